"""Devices that fail as a whole: watchdog restarts and boards that break."""

import json
import math
from random import Random
from typing import Any

import pytest

from firmware_sim.config import FleetConfig
from firmware_sim.failures import FailureRates, Failures
from firmware_sim.virtual import GroupReport, run_virtual

DAY_MS = 86_400_000
YEAR_MS = 365 * DAY_MS
SENSOR = {"name": "t", "unit": "Cel", "signal": {"kind": "daily", "mean": 20.0, "amplitude": 5.0, "noise": 1.0}}


def run(days: int, **group: Any) -> tuple[list[dict[str, Any]], GroupReport]:
    device = {"name": "d", "interval_s": 3600.0, "jitter_s": 60.0, "sensors": [SENSOR], **group}
    written: list[bytes] = []
    report = run_virtual(FleetConfig.model_validate({"devices": [device]}), days * DAY_MS, written.append)
    return [json.loads(line) for line in b"".join(written).splitlines()], report.groups[0]


@pytest.mark.no_cover
def test_the_watchdog_bites_as_often_as_the_rate_says_and_costs_no_reading() -> None:
    devices, days, rate = 20, 30, 0.5
    lines, group = run(days, count=devices, interval_s=14_400.0, failures={"resets_per_day": rate})
    expected = devices * days * rate
    assert abs(group.boots - devices - expected) < 4 * math.sqrt(expected)
    assert (group.lost, group.dead, group.received + group.held) == (0, 0, group.measured)
    first_seqs = {(line["device"], line["boot"]): line["seq"] for line in reversed(lines)}
    assert set(first_seqs.values()) == {0}


def test_a_broken_board_is_dead_and_never_heard_again() -> None:
    devices, days, rate = 60, 36, 10.0
    lines, group = run(days, count=devices, interval_s=21_600.0, failures={"breaks_per_year": rate})
    share = 1 - math.exp(-rate * days / 365)
    assert abs(group.dead - devices * share) < 4 * math.sqrt(devices * share * (1 - share))
    heard = {line["device"]: line["received_at_ms"] for line in lines}
    silent = sum(last_ms < max(heard.values()) - DAY_MS / 2 for last_ms in heard.values())
    assert 0 < silent <= group.dead
    assert group.boots == devices


def test_until_the_first_failure_a_fleet_measures_what_it_would_have_measured_without() -> None:
    spared, _ = run(20)
    failing, _ = run(20, failures={"resets_per_day": 0.2})
    same = next(at for at, (one, other) in enumerate(zip(spared, failing, strict=False)) if one != other)
    assert same > 10
    assert failing[same]["boot"] == 2


def test_a_restart_costs_the_energy_of_booting() -> None:
    battery = {"cell": "18650-li-ion", "board": "esp32-wifi"}
    _, spared = run(5, battery=battery)
    _, failing = run(5, battery=battery, failures={"resets_per_day": 4.0})
    ratio = failing.drain_mah["boot"] / spared.drain_mah["boot"]
    assert math.isclose(ratio, failing.boots, rel_tol=1e-3)


def test_a_board_that_broke_while_it_was_off_breaks_as_soon_as_it_starts() -> None:
    failures = Failures(FailureRates(breaks_per_year=1000.0), Random(1), 0)
    at_ms = failures.next_ms(0)
    assert at_ms is not None
    assert not failures.has_broken(at_ms - 1)
    assert failures.has_broken(at_ms)
    assert failures.next_ms(at_ms + YEAR_MS) == at_ms + YEAR_MS
    assert Failures(FailureRates(), Random(1), 0).next_ms(5) is None
