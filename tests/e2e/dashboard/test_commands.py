"""The device page's commands in Chromium: given there, taken by the device, and acknowledged without a reload."""

from typing import Any

import pytest
from playwright.sync_api import expect

from edge.access.roles import Role
from sensors.clock import SystemClock
from sensors.commands import CommandAck, encode_command_ack
from sensors.messages import State, UpdateState, encode
from sensors.reading import Reading, Value
from sensors.topics import Kind, build_topic
from tests.e2e.dashboard.accounts import PASSWORD, Accounts, fill
from tests.e2e.dashboard.conftest import Watched
from tests.e2e.dashboard.stage import Stage

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

SITE, DEVICE = "hall", "pump"


def _measure(scene: Stage, seq: int) -> None:
    values = (Value("temperature", 21.5, "Cel"),)
    scene.devices.publish(SITE, [Reading(DEVICE, 1, seq, SystemClock().wall_ms(), values)])


def _commands(watched: Watched) -> list[dict[str, Any]]:
    path = f"/api/v1/devices/{SITE}/{DEVICE}/commands"
    told: list[dict[str, Any]] = watched.page.evaluate(f"fetch('{path}').then((answer) => answer.json())")["commands"]
    return told


@pytest.fixture
def operator(watched: Watched, accounts: Accounts) -> None:
    """The page is an operator's."""
    accounts.add("ada", Role.OPERATOR)
    watched.page.goto(watched.base)
    fill(watched.page, "ada", PASSWORD)


@pytest.mark.usefixtures("operator")
def test_a_command_is_given_on_the_page_and_its_answer_is_seen_without_reload(scene: Stage, watched: Watched) -> None:
    _measure(scene, 0)
    watched.go("/devices/1")
    page = watched.page
    page.get_by_label("Interval in seconds").fill("5")
    page.get_by_role("button", name="Set interval").click()
    watched.text_becomes(".commands tbody td", "set-interval 5 s")
    watched.text_becomes(".commands .state", "waiting for the device")
    _measure(scene, 1)
    watched.text_becomes(".commands .state", "sent, not answered yet")
    (command,) = _commands(watched)
    scene.devices.publish_raw(
        build_topic(SITE, DEVICE, Kind.CMD_ACK), encode_command_ack(CommandAck(command["id"], "ok"))
    )
    watched.text_becomes(".commands .state", "done")
    page.get_by_role("button", name="Reboot").click()
    watched.text_becomes(".commands tbody td", "reboot")
    page.get_by_role("button", name="Cancel").click()
    watched.text_becomes(".commands .state", "cancelled")


def test_who_is_no_operator_can_give_no_command(scene: Stage, watched: Watched) -> None:
    _measure(scene, 0)
    watched.go("/devices/1")
    watched.text_becomes("main h1", DEVICE)
    panel = watched.page.locator("section[aria-label=Commands]")
    expect(panel).to_contain_text("Only an operator may give one.")
    expect(panel.get_by_role("button")).to_have_count(0)


def test_the_firmware_is_on_the_devices_page_and_the_update_on_the_devices_own(scene: Stage, watched: Watched) -> None:
    _measure(scene, 0)
    state = State(online=True, boot=1, firmware="1.2.0", update=UpdateState("1.3.0", "downloading", 3, 9))
    scene.devices.publish_raw(build_topic(SITE, DEVICE, Kind.STATE), encode(state))
    _measure(scene, 1)
    watched.go("/devices")
    watched.text_becomes("tr[data-key='1'] td.firmware", "1.2.0")
    watched.go("/devices/1")
    expect(watched.page.locator(".tiles")).to_contain_text("update: 1.3.0 downloading 3 of 9")
