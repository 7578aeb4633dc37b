"""One stage, one browser, and a page that notes whatever it should not have done."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, expect

from tests.e2e.dashboard.accounts import Accounts
from tests.e2e.dashboard.stage import CHROMIUM, Stage, chromium, stage

PATIENCE_MS = 45_000  # a slow machine that also measures coverage


@pytest.fixture(scope="module")  # Playwright keeps an event loop running while it is open: other files need theirs
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.fail(f"{CHROMIUM} is missing: apt-get install chromium")
    with chromium() as opened:
        yield opened


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as opened:
        yield opened


def press(button: Locator) -> None:
    """Click a button that stays pressed. What loads above it may move it away under the first click."""
    while button.get_attribute("aria-pressed") != "true":
        button.click()


class Watched:
    """A page, what its console said, and whom it asked."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._request)

    def go(self, path: str) -> None:
        """Open a page of the dashboard, and wait until it is live."""
        self.page.goto(f"{self.base}/#{path}")
        expect(self.page.locator("#link")).to_have_attribute("data-state", "live", timeout=PATIENCE_MS)

    def text_becomes(self, selector: str, text: str) -> None:
        """Wait until the first such element says exactly this (`wait_for_function` evals, which our policy bans)."""
        expect(self.page.locator(selector).first).to_have_text(text, timeout=PATIENCE_MS)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.base + "/", "data:")):
            self.foreign.append(request.url)


@pytest.fixture
def watched(scene: Stage, browser: Browser) -> Iterator[Watched]:
    """A page; afterwards it must have said nothing and asked nobody else."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, timezone_id="UTC")
    opened = Watched(context.new_page(), scene.gateway.url)
    yield opened
    context.close()
    assert opened.errors == []
    assert opened.foreign == []


@pytest.fixture
def accounts(scene: Stage, tmp_path: Path) -> Iterator[Accounts]:
    opened = Accounts(tmp_path)
    yield opened
    opened.desk.close()
