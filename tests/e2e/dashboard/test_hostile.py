"""Values that somebody made to do harm, on every page: shown as text, and nothing else happens."""

import pytest
from playwright.sync_api import Dialog, expect

from sensors.clock import SystemClock
from sensors.reading import Reading, Value
from sensors.senml import encode
from tests.e2e.dashboard.conftest import PATIENCE_MS, Watched, press
from tests.e2e.dashboard.stage import Stage
from tests.e2e.dashboard.test_pages import PAGES, serious

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]
HOSTILE = (
    "<script>alert(1)",
    "<img src=x onerror=alert(1)>",
    "\u202egnp.exe\u2066",
    "'\";--&lt;b&gt;",
    "名前" * 8,
)
LONG = "<script>alert(1)</script>\u202e" + "x" * 10_000


def test_every_page_shows_hostile_values_harmlessly(scene: Stage, watched: Watched) -> None:
    now_ms = SystemClock().wall_ms()
    for name in HOSTILE:
        values = (
            Value("temperature", 1e308, "Cel"),
            Value("low", -1e308, "V"),
            Value("small", 5e-324),
            Value("on", value=True),
            Value("note", LONG[:900]),
        )
        for seq in range(3):
            scene.devices.publish(name, [Reading(name, 1, seq, now_ms - 9000 + 1000 * seq, values)])
    too_long = encode([Reading("long", 1, 0, now_ms, (Value("note", LONG),))], sent_at_ms=now_ms)
    scene.devices.publish_raw("tidegate/v1/x/long/reading", too_long)  # longer than a text may be: to quarantine
    scene.devices.publish_raw("tidegate/v1/x/y/reading", b'[{"boot":1,"seq":0,"bt":1,"n":"v","v":NaN}]')
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    watched.page.on("dialog", note)
    watched.go("/devices")
    watched.text_becomes(".found", f"{len(HOSTILE)} devices")
    expect(watched.page.locator("tr[data-key]")).to_have_count(len(HOSTILE))
    shown = watched.page.eval_on_selector_all("td.device a bdi", "all => all.map(one => one.textContent)")
    assert sorted(shown) == sorted(HOSTILE)
    others = [f"/devices/{key}" for key in range(2, len(HOSTILE) + 1)]
    for path in (*PAGES, *others):
        watched.page.goto(f"{watched.base}/#{path}")
        expect(watched.page.locator("main h1")).not_to_have_text("…", timeout=PATIENCE_MS)
        if path.startswith("/devices/"):
            watched.text_becomes(".last strong", "1.000e+308")
        if path == "/devices/1":
            press(watched.page.get_by_role("button", name="15 min"))
            chart = watched.page.locator(".history .chart").first
            said = "temperature. Last 1.000e+308, lowest 1.000e+308, highest 1.000e+308."
            expect(chart).to_have_attribute("aria-label", said, timeout=PATIENCE_MS)
        assert watched.page.query_selector_all("main script, main img, main b") == [], path
        assert watched.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        if path in PAGES:
            assert serious(watched) == [], path
    assert dialogs == []
