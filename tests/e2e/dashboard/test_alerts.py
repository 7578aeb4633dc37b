"""Alerts in Chromium: they appear by themselves, can be acknowledged by who may, and pass."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from edge.access.roles import Role
from sensors.alerts import DeviceAlert, encode_alert
from sensors.clock import SystemClock
from sensors.reading import Reading, Value
from sensors.topics import Kind, build_topic
from tests.e2e.dashboard.accounts import PASSWORD, Accounts, fill
from tests.e2e.dashboard.conftest import PATIENCE_MS, Watched
from tests.e2e.dashboard.stage import Stage

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

AXE = Path(__file__).parent / "axe" / "axe.min.js"


def _send(scene: Stage, seq: int, number: float, device: str = "<b>oven") -> None:
    values = (Value("temperature", number, "Cel"),)
    scene.devices.publish("hall", [Reading(device, 1, seq, SystemClock().wall_ms(), values)])


def _serious(watched: Watched) -> list[str]:
    watched.page.evaluate(AXE.read_text(encoding="utf-8"))
    result = watched.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [found["id"] for found in result["violations"] if found["impact"] in ("serious", "critical")]


def _ask(scene: Stage, path: str) -> Any:
    with urllib.request.urlopen(f"{scene.gateway.url}/api/v1/{path}", timeout=10) as answer:
        return json.load(answer)


def test_an_alert_appears_is_acknowledged_by_an_operator_and_passes(
    scene: Stage, watched: Watched, accounts: Accounts
) -> None:
    page = watched.page
    _send(scene, 0, 20.0)
    watched.go("/")
    expect(page.get_by_text("No alerts: nothing needs you.")).to_be_visible(timeout=PATIENCE_MS)
    _send(scene, 1, 90.0)
    watched.text_becomes(".alert .severity", "Critical")
    watched.text_becomes(".alert strong", "<b>oven is too warm: 90.0 Cel")
    watched.text_becomes(".alerts .found", "1 active, 1 not acknowledged")
    assert _serious(watched) == []
    acknowledge = page.get_by_role("button", name="Acknowledge too-warm of <b>oven")
    expect(acknowledge).to_have_count(0)
    accounts.add("ada", Role.OPERATOR)
    page.reload()
    fill(page, "ada", PASSWORD)
    acknowledge.evaluate("(button) => { button.met = true; }")
    _send(scene, 0, 95.0, "kiln")
    watched.text_becomes(".alerts .found", "2 active, 2 not acknowledged")
    assert acknowledge.evaluate("(button) => button.met")  # if it were another, a click meanwhile would be none
    acknowledge.click()
    expect(page.locator(".alert > .note")).to_have_text("seen by ada", timeout=PATIENCE_MS)
    page.locator(".alert").get_by_role("link", name="<b>oven").click()
    watched.text_becomes("main h1", "<b>oven")
    watched.text_becomes(".alert .severity", "Critical")
    _send(scene, 2, 70.0)
    expect(page.get_by_text("No alerts for this device.")).to_be_visible(timeout=PATIENCE_MS)
    (closed,) = page.evaluate("fetch('/api/v1/alerts?state=closed').then((answer) => answer.json())")["items"]
    assert (closed["rule"], closed["acknowledged_by"], closed["active"]) == ("too-warm", "ada", False)
    assert closed["number"] == 70.0


def test_a_late_subscriber_hears_what_is_active_and_the_gateway_does_not_take_it_in(scene: Stage) -> None:
    topic = build_topic("hall", "<b>oven", Kind.ALERT)
    while _ask(scene, "status")["devices_link"]["state"] != "up":
        pass  # what is published before the gateway's first subscription is nobody's
    _send(scene, 0, 90.0)
    told = json.loads(scene.devices.retained(topic))
    assert [each["rule"] for each in told["active"]] == ["too-warm"]
    said = DeviceAlert("door-open", "raised", 1, 0, message="door open")
    scene.devices.publish_raw(topic, encode_alert(said))
    while told["active_count"] < 2:
        told = json.loads(scene.devices.retained(topic))
    assert {each["rule"] for each in told["active"]} == {"too-warm", "door-open"}
    assert {each["source"] for each in _ask(scene, "alerts")["items"]} == {"rule", "device"}
    with urllib.request.urlopen(f"{scene.gateway.url}/metrics", timeout=10) as answer:
        assert 'tidegate_alerts_active{severity="critical"} 1\n' in answer.read().decode()
    assert _ask(scene, "quarantine")["count"] == 0
