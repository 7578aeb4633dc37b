"""The proof: an hour of gateway life with an outage, lived in about a second, the same way each time."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from edge.outages.timeline import LinkTimeline
from tests.replay.kit import outage
from tests.uncounted import uncounted
from tidegate.outage.builder import Provenance
from tidegate.outage.importers.capacity_csv import import_capacity_csv
from tidegate.replay.run import Fleet, Scenario, Verdict, run

RECORDINGS = Path(__file__).parents[1] / "recordings" / "data" / "saturator-cellular"
TEN_MINUTES = Scenario(seed=1, uplink=outage(1200, 1800))


@cache
def lived() -> Verdict:
    """That hour, once for all tests."""
    return run(TEN_MINUTES)


def drive() -> LinkTimeline:
    """A real one: LTE in a moving car, with 78 s without a byte."""
    trace = (RECORDINGS / "att-lte-driving-up.csv").read_bytes()
    return import_capacity_csv(trace, "uplink", Provenance()).recording.timeline("uplink")


def check_nothing_was_lost(verdict: Verdict) -> None:
    assert verdict.violations == ()
    assert verdict.passed
    assert verdict.valid
    assert verdict.produced == verdict.acknowledged == verdict.in_cloud
    assert verdict.missing == verdict.quarantined == verdict.lost == 0


def test_an_hour_with_ten_minutes_without_an_uplink_loses_nothing() -> None:
    verdict = lived()
    check_nothing_was_lost(verdict)
    assert verdict.produced == 20 * 60
    (found,) = verdict.outages
    assert (found.start_ms, found.end_ms, found.cause) == (1_200_000, 1_800_000, "timeout")
    assert found.held == 200  # ten minutes of twenty devices, one reading a minute each
    assert found.complete_after_ms is not None
    assert found.complete_after_ms <= 65_000  # the longest back-off, and a few round trips
    assert verdict.backlog_peak >= 200
    assert verdict.requests_failed > 0


@pytest.mark.no_cover
def test_the_same_scenario_gives_the_same_log_byte_for_byte_and_another_seed_another() -> None:
    first, again = lived(), run(TEN_MINUTES)
    assert first == replace(again, disk_peak_bytes=first.disk_peak_bytes)
    other = run(replace(TEN_MINUTES, seed=2))
    assert other.hash != first.hash
    check_nothing_was_lost(other)


def test_another_process_with_another_hash_seed_lives_the_same_hour() -> None:
    code = "from tests.replay.test_hour import TEN_MINUTES, run; print(run(TEN_MINUTES).hash)"
    there = subprocess.run(
        [sys.executable, "-c", code],
        env=uncounted(PYTHONHASHSEED="4711", PYTHONPATH=str(Path(__file__).parents[2])),
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == lived().hash


def test_a_recorded_drive_through_a_dead_zone_loses_nothing() -> None:
    verdict = run(Scenario(uplink=drive(), faults_s=1000))
    check_nothing_was_lost(verdict)
    longest = max(verdict.outages, key=lambda each: each.end_ms - each.start_ms)
    assert 77_000 <= longest.end_ms - longest.start_ms <= 79_000
    assert all(each.complete_after_ms is not None for each in verdict.outages)


def test_a_run_whose_faults_met_no_traffic_is_not_valid() -> None:
    verdict = run(Scenario(fleet=Fleet(1), uplink=outage(1, 2), faults_s=600))
    assert verdict.produced == 10
    assert verdict.violations == ()
    assert not verdict.valid
    assert verdict.faults_unmet


def test_a_verdict_is_plain_json() -> None:
    plain = json.loads(json.dumps(lived().to_json()))
    assert plain["outages"][0]["cause"] == "timeout"
    assert plain["hash"] == lived().hash
    assert "story" not in plain


@pytest.mark.parametrize("devices", [0, 1])
def test_a_site_of_any_size_can_be_lived(devices: int) -> None:
    scenario = replace(TEN_MINUTES, fleet=replace(TEN_MINUTES.fleet, devices=devices))
    verdict = run(scenario)
    assert verdict.violations == ()
    assert verdict.valid is (devices > 0)
