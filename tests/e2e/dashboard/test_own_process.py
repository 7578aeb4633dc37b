"""The dashboard in its own process, in a real browser: it dies, the gateway takes readings in, the page comes back."""

import os
import signal
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.e2e.dashboard.conftest import PATIENCE_MS
from tests.e2e.dashboard.stage import stage
from tests.edge.kit import reading


def _fronts() -> list[int]:
    """Children of this process that are fronts, by what they run."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    of_threads = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
    found = {int(pid) for pids in (children, *of_threads) for pid in pids}
    return sorted(pid for pid in found if b"edge.front" in Path(f"/proc/{pid}/cmdline").read_bytes())


def test_the_dashboards_process_dies_readings_go_on_and_the_page_comes_back(tmp_path: Path, browser: Browser) -> None:
    with stage(tmp_path, own_process=True) as scene:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(scene.gateway.url)
        expect(page.locator("#link")).to_have_attribute("data-state", "live", timeout=PATIENCE_MS)
        (front,) = _fronts()
        os.kill(front, signal.SIGKILL)
        expect(page.locator("#link")).not_to_have_attribute("data-state", "live", timeout=PATIENCE_MS)
        scene.devices.publish("office", [reading(0)])  # nobody serves pages: it is taken in
        expect(page.locator("#link")).to_have_attribute("data-state", "live", timeout=PATIENCE_MS)
        expect(page.locator(".term.received .number")).to_have_text("1", timeout=PATIENCE_MS)
        assert _fronts() != [front]
        page.close()
    assert _fronts() == []
