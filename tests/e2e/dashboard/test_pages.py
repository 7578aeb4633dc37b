"""The pages in Chromium against a running gateway: true, live, back by themselves, harmless, usable by everybody."""

import json
import re
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from playwright.sync_api import expect

from edge.message import Message
from edge.outages.recording import read_recording
from sensors.clock import SystemClock
from sensors.reading import Reading, Value
from sensors.senml import encode
from sensors.topics import Kind, build_topic
from tests.e2e.dashboard.conftest import PATIENCE_MS, Watched
from tests.e2e.dashboard.stage import Stage
from tidegate.replay.gateway import open_desk

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

AXE = Path(__file__).parent / "axe" / "axe.min.js"
SITE = "hall"
PAGES = {  # and what each says once it is there, for a gateway with one device and no trouble
    "/": "Everything is working.",
    "/devices": "1 device",
    "/devices/1": "Last seen",
    "/topics": "Topics",
    "/outages": "No outage.",
    "/store": "Healthy",
    "/quarantine": "Nothing is in quarantine.",
    "/drill": "No drill runs.",
    "/settings": "Maintenance mode",
}


def _reading(device: str, seq: int, value: float | bool | str = 21.5, **more: float | bool | str) -> Reading:
    values = (Value("temperature", value, "Cel"), *(Value(name, each) for name, each in more.items()))
    return Reading(device, 1, seq, SystemClock().wall_ms() + seq, values)  # no two within a millisecond


def _send(scene: Stage, device: str, seqs: Sequence[int], **more: Any) -> None:
    for seq in seqs:
        scene.devices.publish(SITE, [_reading(device, seq, **more)])


def _fill(scene: Stage, devices: Sequence[str]) -> None:
    """Every device once in the store of a gateway that does not run: sooner done than by way of a broker."""
    desk = open_desk(scene.gateway.config, scene.gateway.config.store.data_dir, Random(0))
    now_ms = SystemClock().wall_ms()
    messages = [
        Message(build_topic(SITE, name, Kind.READING), encode([_reading(name, 0)], sent_at_ms=now_ms))
        for name in devices
    ]
    desk.take_in(messages, 0, now_ms)
    desk.close()


def _api(scene: Stage, path: str) -> Any:
    with urllib.request.urlopen(f"{scene.gateway.url}{path}", timeout=10) as answer:
        return json.load(answer)


def serious(watched: Watched) -> list[str]:
    """What axe-core calls serious or critical."""
    watched.page.evaluate(AXE.read_text(encoding="utf-8"))
    result = watched.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{found['id']}: {node['html'][:120]}"
        for found in result["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]


def test_the_numbers_of_the_first_page_are_those_of_the_api(scene: Stage, watched: Watched) -> None:
    _send(scene, "pump", range(30))
    watched.go("/")
    watched.text_becomes(".term.received .number", "30")
    watched.text_becomes(".term.delivered .number", "30")
    now = _api(scene, "/api/v1/now")
    assert now["status"]["ledger"]["delivered"] == 30
    watched.text_becomes(".verdict h1", now["verdict"]["headline"])
    watched.text_becomes(".balance", "balances")
    watched.text_becomes("[data-node=devices] .state", "1 device")
    watched.text_becomes("[data-node=cloud] .state", "Connected")
    machine = watched.page.get_by_role("region", name="This machine")
    expect(machine.locator(".tile", has_text="Open files").locator("dd").first).to_have_text(re.compile(r"^[1-9]"))
    expect(machine.locator(".tile", has_text="Processor").locator("dd").first).to_have_text(re.compile(r"^[\d.]+ %$"))
    lanes = watched.page.get_by_role("region", name="Lanes", exact=True)
    assert lanes.locator("tbody td").all_inner_texts()
    assert now["status"]["machine"]["open_files"] > 0


def test_an_outage_is_seen_without_reload_and_so_is_its_end(scene: Stage, watched: Watched) -> None:
    _send(scene, "pump", range(3))
    watched.go("/")
    watched.text_becomes(".term.delivered .number", "3")
    scene.cloud.stop()
    _send(scene, "pump", range(3, 20))
    watched.text_becomes(".verdict h1", "The cloud cannot be reached. Readings are kept here.")
    watched.text_becomes(".figure .number", "17")
    watched.text_becomes("[data-node=cloud] .state", "Not reachable")
    expect(watched.page.locator(".pipe .wrong").last).to_have_text(  # one alone is no outage yet
        re.compile(r"^([2-9]|\d\d+) requests failed in the last minute$"), timeout=PATIENCE_MS
    )
    watched.text_becomes(".pipe[data-state=stuck] .note", "✕ stuck here")
    assert "connection refused" in watched.page.inner_text("[data-node=cloud] .since")
    away = watched.page.locator("[data-tile=uplink]")
    expect(away).to_contain_text("1 outage; the last at", timeout=PATIENCE_MS)
    expect(away).to_contain_text("it lasts")
    scene.cloud.start()
    watched.text_becomes(".term.delivered .number", "20")
    watched.text_becomes(".verdict h1", "Everything is working.")
    expect(away).to_contain_text("17 held, made up for in", timeout=PATIENCE_MS)
    expect(watched.page.locator("[data-tile=devices] dd").first).to_have_text("never")
    expect(watched.page.locator("[data-tile=silent]")).to_contain_text("pump")


def test_devices_are_searched_sorted_and_brought_up_to_date(scene: Stage, watched: Watched) -> None:
    for at in range(12):
        _send(scene, f"meter-{at:02d}", range(3))
    _send(scene, "gappy", (0, 1, 5))
    watched.go("/devices")
    watched.text_becomes(".found", "13 devices")
    page = watched.page
    page.get_by_role("button", name="Missing").click()
    watched.text_becomes("tr[data-key] td.device a", "gappy")
    row = _api(scene, "/api/v1/devices?q=gappy")["items"][0]
    watched.text_becomes("tr[data-key] td.missing", f"{row['missing']}")
    assert row["missing"] == 3
    page.get_by_label("Search").fill("METER-07")
    watched.text_becomes(".found", "1 device found")
    _send(scene, "meter-07", [3], value=99.5)
    watched.text_becomes("tr[data-key] td.values .content", "99.5")
    page.get_by_role("link", name="meter-07").click()
    watched.text_becomes("main h1", "meter-07")


@pytest.mark.no_cover
def test_ten_thousand_devices_cost_as_many_rows_as_are_seen(scene: Stage, watched: Watched) -> None:
    scene.gateway.stop()
    _fill(scene, [f"d{at:05d}" for at in range(10_000)])
    scene.gateway.start()
    watched.go("/devices")
    watched.text_becomes(".found", "10,000 devices")
    watched.page.eval_on_selector(".scroller", "table => { table.scrollTop = table.scrollHeight; }")
    last = watched.page.locator("tr[data-key] td.device a").last
    expect(last).to_have_text("d09999")
    assert watched.page.locator("tbody tr").count() < 60
    assert watched.page.get_attribute("table.devices", "aria-rowcount") == "10001"


def test_a_device_page_draws_what_arrives(scene: Stage, watched: Watched) -> None:
    _send(scene, "pump", (0, 1, 2, 5))
    watched.go("/devices/1")
    watched.text_becomes("main h1", "pump")
    watched.text_becomes(".last strong", "21.5")
    watched.page.wait_for_selector(".strip rect.missing", state="attached")
    assert "seq 3–4" in watched.page.inner_text(".boot:not(.by-time) .classes .missing")
    by_time = watched.page.locator(".by-time")
    expect(by_time.locator(".classes .missing")).to_have_text("2 missing")
    low, width = (float(by_time.locator("rect.missing").get_attribute(name) or 0) for name in ("x", "width"))
    assert 0 < low < low + width < 1000  # between 2 and 5, when they were measured
    _send(scene, "pump", [6], value=33.25)
    watched.text_becomes(".last strong", "33.25")
    expect(watched.page.locator(".chart").first).to_have_attribute("aria-label", re.compile(r"Last 33\.25"))


def test_the_topics_page_shows_who_takes_a_message_and_suggests_a_rule(scene: Stage, watched: Watched) -> None:
    scene.devices.publish_raw("zigbee/kitchen", b'{"temperature": 21.5}', retain=True)
    scene.devices.publish_raw("zigbee/<b>x\u202e", b"\xff\x00", retain=True)
    watched.go("/topics")
    watched.text_becomes(".found", "2 topics.")
    expect(watched.page.locator(".leaf .topic").first).to_have_text("<b>x\u202e")
    _send(scene, "pump", [0])
    expect(watched.page.locator(".leaf", has_text="ack").locator(".who")).to_have_text("gateway", timeout=PATIENCE_MS)
    native = watched.page.locator(".leaf", has_text="reading")
    expect(native.locator(".who")).to_have_text("native", timeout=PATIENCE_MS)
    scene.devices.publish_raw("tidegate/v1/hall/pump/reading", b"nonsense")
    expect(native.locator(".who")).to_have_text("native: not understood", timeout=PATIENCE_MS)
    watched.page.get_by_role("button", name="kitchen").click()
    one = watched.page.get_by_role("region", name="One topic")
    expect(one).to_contain_text("No rule takes it")
    expect(one.locator("pre").last).to_contain_text('topic = "zigbee/{device}"')
    assert serious(watched) == []
    watched.page.get_by_label("Search").fill("PUMP/R")
    watched.text_becomes(".found", "1 topic.")
    expect(watched.page.locator(".leaf")).to_have_count(1)


def test_the_outages_page_tells_of_each_outage_and_gives_the_recording(
    scene: Stage, watched: Watched, tmp_path: Path
) -> None:
    _send(scene, "pump", range(3))
    watched.go("/outages")
    watched.text_becomes(".found", "No outage.")
    scene.cloud.stop()
    _send(scene, "pump", range(3, 20))
    watched.text_becomes(".outages tbody td:nth-child(3)", "connection refused")
    expect(watched.page.locator(".outages tbody td:nth-child(4)")).to_contain_text("so far")
    scene.cloud.start()
    expect(watched.page.locator(".outages tbody td:nth-child(6)")).to_have_text(
        re.compile(r"^[\d.]+ "), timeout=PATIENCE_MS
    )
    outage = _api(scene, "/api/v1/outages")["outages"][0]
    assert watched.page.inner_text(".outages tbody td:nth-child(5)") == str(outage["held_max"])
    expect(watched.page.locator(".strip rect.down")).to_have_count(1)
    watched.page.get_by_label("Of the last").select_option("7")
    with watched.page.expect_download() as waiting:
        watched.page.get_by_role("link", name="Download the recording").click()
    waiting.value.save_as(saved := tmp_path / waiting.value.suggested_filename)
    recording = read_recording(saved)
    assert len(recording.timeline("uplink").outages()) == 1


def test_the_outages_page_draws_a_replay_that_is_handed_to_it(watched: Watched, tmp_path: Path) -> None:
    course = {"at_ms": [0, 60_000, 120_000], "backlog": [0, 40, None], "lag_ms": [0, 30_000, None]}
    run = {"title": "<b>tunnel", "outages": [{"start_ms": 30_000, "end_ms": 90_000}], "course": course}
    (tmp_path / "run.json").write_text(json.dumps(run))
    (tmp_path / "other.json").write_text('{"title": 1}')
    watched.go("/outages")
    panel = watched.page.get_by_role("region", name="A replay")
    panel.get_by_label("Its course").set_input_files(tmp_path / "run.json")
    expect(panel.locator(".note")).to_have_text("<b>tunnel: 2 min, 1 outage, 40 held at most.")
    expect(panel.locator("rect.down")).to_have_count(1)
    expect(panel.locator(".chart").first).to_have_attribute("aria-label", re.compile("highest 40"))
    panel.get_by_label("Its course").set_input_files(tmp_path / "other.json")
    expect(panel.locator(".note")).to_contain_text("other.json: expected what tidegate outage replay")
    expect(panel.locator(".chart")).to_have_count(0)


def test_the_store_page_says_what_the_api_says(scene: Stage, watched: Watched) -> None:
    _send(scene, "pump", range(5))
    watched.go("/store")
    head = _api(scene, "/api/v1/store")["head"]
    watched.text_becomes(".figure:nth-child(3) .number", str(head))
    assert head == 5
    assert "Forwarder to influx" in watched.page.inner_text("main")
    expect(watched.page.locator(".budget .note")).to_contain_text("of 2.1 GB used")
    retention = watched.page.get_by_role("region", name="Retention")
    expect(retention).to_contain_text("intake stops")
    assert _api(scene, "/api/v1/store")["retention"]["on_full"] == "block"
    scene.devices.publish_raw("tidegate/v1/hall/pump/reading", b"nonsense")
    watched.text_becomes(".figure:nth-child(4) .number", "1")
    watched.page.get_by_role("link", name="look at it").click()
    watched.text_becomes("main h1", "Quarantine")


def test_the_page_comes_back_when_the_gateway_does(scene: Stage, watched: Watched) -> None:
    _send(scene, "pump", range(4))
    watched.go("/")
    watched.text_becomes(".term.received .number", "4")
    scene.gateway.stop()
    watched.text_becomes("#link-text", "Reconnecting")
    assert "Trying again" in watched.page.inner_text("#banner")
    scene.gateway.start()
    watched.text_becomes("#link-text", "Live")
    _send(scene, "pump", range(4, 9))
    watched.text_becomes(".term.received .number", "9")
    assert watched.page.is_hidden("#banner")
    # Chromium's own words for an outage are no error of the page.
    watched.errors[:] = [error for error in watched.errors if "ERR_" not in error]


@pytest.mark.parametrize(("theme", "width_px"), [("light", 1280), ("dark", 320)])
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_screen(
    scene: Stage, watched: Watched, theme: str, width_px: int
) -> None:
    _send(scene, "pump", (0, 1, 4), battery_level=3.0)
    watched.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    watched.page.set_viewport_size({"width": width_px, "height": 800})
    for path, says in PAGES.items():
        watched.go(path)
        expect(watched.page.locator("main")).to_contain_text(says, timeout=PATIENCE_MS)
        assert serious(watched) == [], path
        assert watched.page.evaluate("document.documentElement.scrollWidth") == width_px, path


def test_axe_finds_nothing_serious_in_an_outage_and_without_the_gateway(scene: Stage, watched: Watched) -> None:
    _send(scene, "pump", range(3))
    watched.go("/")
    scene.cloud.stop()
    _send(scene, "pump", range(3, 9))
    watched.text_becomes(".pipe[data-state=stuck] .note", "✕ stuck here")
    assert serious(watched) == []
    scene.gateway.stop()
    watched.text_becomes("#link-text", "Reconnecting")
    assert serious(watched) == []
    watched.page.goto("about:blank")  # no more asking
    watched.errors.clear()  # Chromium's own words for a gateway that is away


def test_every_page_is_reached_by_keyboard(scene: Stage, watched: Watched) -> None:
    _send(scene, "pump", range(2))
    watched.go("/")
    page = watched.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    watched.text_becomes("main h1", "Devices")
    page.get_by_role("link", name="pump").focus()
    page.keyboard.press("Enter")
    watched.text_becomes("main h1", "pump")
    assert page.evaluate("document.activeElement.id") == "main"


def test_no_page_is_wider_than_a_phone(scene: Stage, watched: Watched) -> None:
    _send(scene, "a-device-with-a-long-name-that-does-not-break-anywhere-0123456", range(2))
    watched.page.set_viewport_size({"width": 360, "height": 740})
    for path, says in PAGES.items():
        watched.go(path)
        expect(watched.page.locator("main")).to_contain_text(says, timeout=PATIENCE_MS)
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_the_theme_stays_chosen(scene: Stage, watched: Watched) -> None:
    watched.go("/")
    button = watched.page.locator("#theme")
    button.click()
    button.click()
    assert watched.page.evaluate("document.documentElement.dataset.theme") == "dark"
    watched.page.reload()
    assert watched.page.evaluate("document.documentElement.dataset.theme") == "dark"
