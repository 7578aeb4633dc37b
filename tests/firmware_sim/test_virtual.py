"""A fleet in virtual time: the same bytes each time, nothing lost, and memory that does not grow."""

import hashlib
import json
from typing import Any

import pytest

from firmware_sim.config import FleetConfig
from firmware_sim.virtual import VirtualReport, run_virtual

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DAILY = {"kind": "daily", "mean": 20.0, "amplitude": 2.0, "noise": 0.3}
SENSORS = [{"part": "SHT31", "quantity": "temperature", "signal": DAILY}]
BATTERY = {"cell": "18650-li-ion", "board": "esp32-wifi", "report_every": 4}

SCENARIO: dict[str, Any] = {
    "seed": 7,
    "devices": [
        {"name": "air", "count": 3, "interval_s": 600, "jitter_s": 5, "sensors": SENSORS},
        {
            "name": "door",
            "count": 2,
            "interval_s": 300,
            "sensors": SENSORS,
            "battery": BATTERY,
            "send": {"batch": 4, "receive_window_s": 1.0},
            "clock": {"ppm_spread": 20.0},
            "delta": {"temperature": 0.05},
        },
    ],
}
GOLDEN = "3b7a37df88f095df3fab7afec9108f4e39e9f8393bfc38dc950825d741e58da6"


def virtual(scenario: dict[str, Any], for_ms: int) -> tuple[bytes, VirtualReport]:
    lines: list[bytes] = []
    report = run_virtual(FleetConfig.model_validate(scenario), for_ms, lines.append)
    return b"".join(lines), report


def group(**changes: Any) -> dict[str, Any]:
    return {"devices": [{"name": "d", "interval_s": 600, "sensors": SENSORS} | changes]}


@pytest.mark.no_cover
def test_the_same_scenario_and_seed_give_the_same_bytes_as_ever() -> None:
    written, _ = virtual(SCENARIO, 3 * DAY_MS)
    assert hashlib.sha256(written).hexdigest() == GOLDEN


@pytest.mark.no_cover
def test_another_seed_gives_other_readings() -> None:
    assert virtual(SCENARIO, DAY_MS)[0] != virtual(SCENARIO | {"seed": 8}, DAY_MS)[0]


@pytest.mark.no_cover
def test_a_longer_run_begins_like_a_shorter_one() -> None:
    short, long = virtual(SCENARIO, DAY_MS)[0], virtual(SCENARIO, 2 * DAY_MS)[0]
    assert long.startswith(short)
    assert len(long) > len(short)


def test_every_reading_that_was_measured_is_a_line_once_and_in_the_order_of_arrival() -> None:
    written, report = virtual(SCENARIO, DAY_MS)
    lines = [json.loads(line) for line in written.splitlines()]
    identities = [(line["device"], line["boot"], line["seq"]) for line in lines]
    assert len(set(identities)) == len(identities) == sum(each.received for each in report.groups)
    arrivals = [line["received_at_ms"] for line in lines]
    assert arrivals == sorted(arrivals)
    assert all(0 <= at_ms - 1_767_225_600_000 < DAY_MS for at_ms in arrivals)
    air, door = report.groups
    assert (air.measured, air.received, air.held, air.lost) == (432, 432, 0, 0)
    assert (door.devices, door.lost, door.duplicates) == (2, 0, 0)
    assert door.measured == door.received + door.held
    assert air.battery_percent_min is None
    assert door.battery_percent_min is not None
    assert door.battery_percent_min < 100


@pytest.mark.no_cover
def test_a_device_whose_battery_ends_is_dead_and_the_run_ends_with_it() -> None:
    cell = {"cell": "cr2032", "board": "nrf52-ble", "state_of_charge": 0.0001}
    _, report = virtual(group(battery=cell), 4000 * DAY_MS)
    (dead,) = report.groups
    assert dead.dead == 1
    assert dead.measured < 4000 * 144
    assert report.simulated_ms == 4000 * DAY_MS


@pytest.mark.no_cover
def test_a_stopped_run_says_how_far_it_got() -> None:
    looks = iter([False, False, True])
    report = run_virtual(FleetConfig.model_validate(group()), 400 * DAY_MS, len, lambda: next(looks))
    assert 0 < report.simulated_ms < 400 * DAY_MS
    assert report.groups[0].received == pytest.approx(report.simulated_ms / 600_000, abs=2)


@pytest.mark.no_cover
def test_lines_are_written_as_they_come() -> None:
    sizes: list[int] = []
    run_virtual(FleetConfig.model_validate(group(interval_s=1)), HOUR_MS, lambda data: sizes.append(data.count(b"\n")))
    assert sum(sizes) == 3_600
    assert max(sizes) <= 2048


@pytest.mark.no_cover
def test_the_speed_of_the_file_changes_nothing() -> None:
    assert virtual(SCENARIO | {"speed": 60.0}, DAY_MS) == virtual(SCENARIO, DAY_MS)


def test_a_report_has_the_energy_beside_the_charge() -> None:
    """At the terminals: some 4 V of a full 18650 cell, and less the more is drawn, 83 milliohm and its polarisation."""
    _, report = virtual(group(battery=BATTERY, send={"receive_window_s": 1.0}), DAY_MS)
    (only,) = report.groups
    assert only.drain_j.keys() == only.drain_mah.keys()
    volts = {name: joule / (3.6 * only.drain_mah[name]) for name, joule in only.drain_j.items() if joule > 0.01}
    assert all(4.0 < each < 4.21 for each in volts.values())
    assert volts["transmit"] < volts["connect"] < volts["sleep"]
    assert (only.brown_outs, only.wear_bytes > 0) == (0, True)


def test_a_report_counts_brown_outs_and_the_wear_of_the_flash() -> None:
    weak = {"cell": "cr2032", "board": "esp32-wifi"}
    _, report = virtual({"devices": [group(battery=weak)["devices"][0], {"name": "m", "sensors": SENSORS}]}, HOUR_MS)
    looping, mains = report.groups
    assert looping.brown_outs > 1000  # every 2.35 s
    assert (looping.boots, looping.measured) == (0, 0)
    assert mains.brown_outs == 0
    assert mains.wear_bytes > 60 * 40 > looping.wear_bytes
