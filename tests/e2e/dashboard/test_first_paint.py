"""What stands on the first page before any script has run, and that the scripts go on from there."""

import json
import re

import pytest
from playwright.sync_api import Browser, Route, expect

from edge.access.roles import Role
from edge.dashboard.first_page import count, duration, rate
from tests.e2e.dashboard.accounts import Accounts
from tests.e2e.dashboard.conftest import PATIENCE_MS, Watched
from tests.e2e.dashboard.stage import Stage
from tests.e2e.dashboard.test_pages import _send as send

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

BYTES_FETCHED = (
    "() => Object.fromEntries(performance.getEntriesByType('resource')"
    ".filter((each) => /[.](js|css)$/.test(each.name)).map((each) => [each.name, each.transferSize]))"
)
NUMBERS = (0, 1, 999, 1000, 123_456, 999_999_999, 1_000_000_000, 1_234_000_000, 5_600_000_000_000)
RATES = (0, 0.04, 0.5, 3.14, 9.94, 10, 36.2, 1234.4, 5_000)
SPANS_MS = (0, 40, 940, 9_940, 10_000, 59_999, 60_000, 61_000, 3_599_000, 3_600_000, 86_400_000, 93_600_000, 10**14)


def test_the_scripts_and_the_server_write_numbers_alike(watched: Watched) -> None:
    watched.go("/")
    written = watched.page.evaluate(
        "async ([counts, rates, spans]) => { const f = await import('/static/js/format.js');"
        " return [counts.map((n) => f.count(n)), rates.map((n) => f.rate(n)), spans.map((n) => f.duration(n))]; }",
        [NUMBERS, RATES, SPANS_MS],
    )
    assert written == [[count(n) for n in NUMBERS], [rate(n) for n in RATES], [duration(n) for n in SPANS_MS]]


def test_without_a_script_the_page_says_whether_it_works_and_what_is_held(
    scene: Stage, browser: Browser, watched: Watched
) -> None:
    scene.cloud.stop()
    send(scene, "pump", range(17))
    watched.go("/")
    watched.text_becomes(".verdict h1", "The cloud cannot be reached. Readings are kept here.")
    watched.text_becomes(".figure .number", "17")
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(watched.base)
    expect(page.locator(".verdict h1")).to_have_text("The cloud cannot be reached. Readings are kept here.")
    expect(page.locator(".figure .number").first).to_have_text("17")
    expect(page.locator(".term .number").first).to_have_text("17")
    expect(page.locator(".verdict .icon")).to_be_visible()
    context.close()


def test_the_scripts_go_on_without_asking_for_what_the_page_came_with(watched: Watched) -> None:
    asked: list[str] = []
    watched.page.on("request", lambda request: asked.append(request.url.removeprefix(watched.base)))
    watched.go("/")
    expect(watched.page.locator(".chart canvas").first).to_be_visible(timeout=PATIENCE_MS)
    assert "/api/v1/me" not in asked
    files = [re.sub(r"^/static/[0-9a-f]+/", "", path) for path in asked]
    assert files.index("js/app.js") < files.index("vendor/uPlot.iife.min.js"), "charts come last"


def test_a_second_visit_fetches_the_page_and_none_of_its_files(watched: Watched) -> None:
    fetched: list[dict[str, int]] = []
    for _ in range(2):
        watched.page.goto("about:blank")
        watched.go("/")
        expect(watched.page.locator(".chart canvas").first).to_be_visible(timeout=PATIENCE_MS)
        fetched.append(watched.page.evaluate(BYTES_FETCHED))
    first, second = fetched
    assert len(first) > 10
    assert any(first.values())
    assert {name: second.get(name) for name in first} == dict.fromkeys(first, 0)


def test_another_page_does_not_show_the_figures_of_the_first(watched: Watched) -> None:
    hidden: list[bool] = []

    def hold(route: Route) -> None:
        hidden.append(not watched.page.locator(".verdict").is_visible())
        route.continue_()

    watched.page.route("**/js/devices.js", hold)
    watched.page.goto(f"{watched.base}/#/devices")
    watched.text_becomes("main h1", "Devices")
    assert watched.page.locator("html").get_attribute("data-elsewhere") is None
    assert hidden == [True]


def test_nobody_in_particular_gets_no_figures_where_a_login_is_needed(watched: Watched, accounts: Accounts) -> None:
    def data() -> str:
        found = re.search(r'<script id="first"[^>]*>(.*?)</script>', watched.page.request.get(watched.base).text())
        return found[1] if found else ""

    watched.go("/")
    assert json.loads(data())["me"]["kind"] == "nobody"
    watched.page.goto("about:blank")
    accounts.add("ada", Role.VIEWER)
    assert data() == ""
    assert "verdict" not in watched.page.request.get(watched.base).text()
