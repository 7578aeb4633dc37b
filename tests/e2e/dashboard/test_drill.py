"""A drill in Chromium: only for operators in maintenance mode, seen on every page, and nothing is lost by it."""

import json
import urllib.request
from typing import Any

import pytest
from playwright.sync_api import expect

from edge.access.roles import Role
from sensors.clock import SystemClock
from sensors.reading import Reading, Value
from tests.e2e.dashboard.accounts import PASSWORD, Accounts, fill
from tests.e2e.dashboard.conftest import PATIENCE_MS, Watched
from tests.e2e.dashboard.stage import Stage
from tests.e2e.dashboard.test_pages import serious

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]


def _send(scene: Stage, *seqs: int) -> None:
    for seq in seqs:
        values = (Value("temperature", 21.5, "Cel"),)
        scene.devices.publish("hall", [Reading("pump", 1, seq, SystemClock().wall_ms(), values)])


def _ask(watched: Watched, path: str) -> Any:
    return watched.page.evaluate(f"fetch('/api/v1/{path}').then((answer) => answer.json())")


def test_an_operator_drills_and_everybody_sees_it_and_nothing_is_lost(
    scene: Stage, watched: Watched, accounts: Accounts
) -> None:
    page = watched.page
    watched.go("/drill")
    begin = page.get_by_role("button", name="Begin the drill")
    expect(page.get_by_text("To begin a drill, it takes an operator's account")).to_be_visible()
    expect(begin).to_be_hidden()
    accounts.add("ada", Role.OPERATOR)
    page.reload()
    fill(page, "ada", PASSWORD)
    expect(page.get_by_text("To begin a drill, it takes maintenance mode")).to_be_visible(timeout=PATIENCE_MS)
    expect(begin).to_be_hidden()
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("button", name="Begin, for an hour").click()
    expect(page.locator("#drill")).to_have_text("Drills may be begun on this gateway.", timeout=PATIENCE_MS)
    page.get_by_role("link", name="Drill").click()
    _send(scene, 0, 1, 2)
    expect(page.get_by_text("3 delivered")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_label("Lose answers").check()
    assert serious(watched) == []
    begin.click()
    expect(page.locator(".running")).to_contain_text("Lose answers on the way to the cloud (reset_peer)")
    _send(scene, 3, 4, 5)
    expect(page.get_by_label("What it does").locator(".number").nth(1)).to_have_text("3", timeout=PATIENCE_MS)
    expect(page.get_by_text("the connection breaks before the answer")).to_be_visible()
    assert serious(watched) == []
    page.get_by_role("link", name="Devices", exact=True).click()
    expect(page.locator("#drill")).to_contain_text("This outage is made on purpose", timeout=PATIENCE_MS)
    page.go_back()
    page.get_by_role("button", name="Stop it").click()
    expect(page.get_by_text("caught up")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("6 delivered, 0 held")).to_be_visible(timeout=PATIENCE_MS)
    assert _ask(watched, "drill")["last"]["by"] == "ada"
    page.get_by_role("link", name="Outages").click()
    expect(page.get_by_text("Not counted: 1 drill")).to_be_visible(timeout=PATIENCE_MS)
    assert [each["is_drill"] for each in _ask(watched, "outages")["outages"]] == [True]


def test_a_drill_of_the_device_link_disconnects_from_the_broker_and_comes_back(
    scene: Stage, watched: Watched, accounts: Accounts
) -> None:
    page = watched.page
    accounts.add("ada", Role.OPERATOR)
    watched.page.goto(f"{scene.gateway.url}/#/settings")
    fill(page, "ada", PASSWORD)
    page.get_by_role("button", name="Begin, for an hour").click()
    page.get_by_role("link", name="Drill").click()
    page.get_by_label("On the way to").select_option("devices")
    expect(page.get_by_label("Cut")).to_be_disabled()
    page.get_by_role("button", name="Begin the drill").click()
    link = page.get_by_label("What it does").locator(".number").first
    expect(link).to_have_text("down", timeout=PATIENCE_MS)
    _send(scene, 0, 1, 2)
    assert json.loads(_status(page))["ledger"]["received"] == 0
    page.get_by_role("button", name="Stop it").click()
    expect(link).to_have_text("up", timeout=PATIENCE_MS)
    expect(page.get_by_text("3 readings received")).to_be_visible(timeout=PATIENCE_MS)


def _status(page: Any) -> str:
    return str(page.evaluate("fetch('/api/v1/status').then((answer) => answer.text())"))


def test_without_rights_the_api_refuses(scene: Stage) -> None:
    request = urllib.request.Request(f"{scene.gateway.url}/api/v1/drill", b'{"fault": "down"}', method="POST")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request, timeout=10)
