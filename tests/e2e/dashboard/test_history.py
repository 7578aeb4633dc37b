"""The device page's history in Chromium: what the API says, with its band, and where the battery leads."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from edge.history.keep import HISTORY_FILE, History
from edge.stats import Stats
from edge.store.windows import Window, WindowKey
from sensors.clock import SystemClock
from sensors.reading import Reading, Value
from tests.e2e.dashboard.conftest import PATIENCE_MS, Watched, press
from tests.e2e.dashboard.stage import Stage
from tests.e2e.dashboard.test_pages import SITE, serious

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]
HOUR_MS = 3_600_000


def _before(folder: Path, now_ms: int) -> None:
    """Three days of rollups of the first device, as the gateway has kept them."""
    history = History(folder / "store" / HISTORY_FILE, 2**24, (60, 900))
    first_ms = now_ms - now_ms % 900_000 - 72 * HOUR_MS
    for at in range(4 * 70):
        start_ms = first_ms + 900_000 * at
        level = 90.0 - at / 40
        values = [
            Stats.of("temperature", "Cel", [20.0, 25.0], 25.0, (start_ms, 1, 1)),
            Stats.of("battery_level", "%EL", [level], level, (start_ms, 1, 1)),
        ]
        series = {(each.name, each.unit, False): each for each in values}
        touched_ms = start_ms + (900_000 if at % 50 else 9_000_000)
        window = Window(series, dirty=False, touched_ms=touched_ms, next_ms=0)
        history.note([(WindowKey(1, 900, start_ms), window)])
    assert history.trouble is None
    history.close()


def test_history_outlives_delivery_and_is_drawn_with_its_band(scene: Stage, watched: Watched, tmp_path: Path) -> None:
    now_ms = SystemClock().wall_ms()
    _before(tmp_path, now_ms)
    values = (Value("temperature", 21.5, "Cel"), Value("battery_level", 83.0, "%EL"))
    scene.devices.publish(SITE, [Reading("pump", 1, 0, now_ms - 5000, values)])
    watched.go("/devices")
    expect(watched.page.locator("tr[data-key]")).to_have_count(1)
    watched.go("/devices/1")
    watched.text_becomes("main h1", "pump")
    page = watched.page
    expect(page.get_by_role("region", name="temperature", exact=True)).to_be_visible()
    press(page.get_by_role("button", name="7 d"))
    chart = page.get_by_role("region", name="History of temperature").locator(".chart")
    expect(chart).to_have_attribute("aria-label", re.compile(r"lowest 21\.5, highest 22\.5"), timeout=PATIENCE_MS)
    expect(page.get_by_role("region", name="temperature", exact=True)).to_be_hidden()
    expect(page.get_by_role("region", name="History of temperature").locator(".rings")).to_be_visible()
    expect(page.get_by_role("button", name="7 d")).to_have_attribute("aria-pressed", "true")
    assert "A point stands for" in page.inner_text(".spans .note")
    expect(page.locator(".battery-curve .last strong")).to_have_text(re.compile(r"d left$"), timeout=PATIENCE_MS)
    page.screenshot(path=str(tmp_path / "device.png"), full_page=True)
    assert serious(watched) == []
    press(page.get_by_role("button", name="Live"))
    expect(page.get_by_role("region", name="temperature", exact=True)).to_be_visible()
    watched.go("/devices")
    expect(page.locator("tr[data-key] .left")).to_have_text(re.compile(r"d left$"), timeout=PATIENCE_MS)
    expect(page.locator("tr[data-key] td.radio")).to_have_text("100 %")
    expect(page.locator("tr[data-key] td.offset")).to_have_text(re.compile("behind"))
    page.screenshot(path=str(tmp_path / "devices.png"))


def test_devices_are_grouped_by_site(scene: Stage, watched: Watched) -> None:
    for site, device in (("yard", "a"), ("attic", "b"), ("yard", "c")):
        scene.devices.publish(site, [Reading(device, 1, 0, SystemClock().wall_ms(), (Value("t", 1.0, "Cel"),))])
    watched.go("/devices")
    watched.text_becomes(".found", "3 devices")
    watched.page.get_by_role("button", name="Group by site").click()
    expect(watched.page.locator("tr[data-key] td.device a")).to_have_text(["b", "a", "c"])
    expect(watched.page.locator("tr.first-of-site .site")).to_have_text(["attic", "yard"])
    watched.page.locator("#site").select_option("yard")
    watched.text_becomes(".found", "2 devices found")
    expect(watched.page.locator("#site").locator("option")).to_have_text(["All sites", "attic (1)", "yard (2)"])
