"""One recording, two engines, one verdict: virtual time and real processes agree."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.outages.events import Cause, LinkKind, Status
from edge.outages.recording import Recording, write_recording
from tests.live.mosquitto import mosquitto_binary
from tidegate.outage.builder import MS_US, SECOND_US, Provenance, RecordingBuilder
from tidegate.outage.phases import Phase, record_phases
from tidegate.replay import GatewayCrash, SiteConfig, make_scenario, replay
from tidegate.replay.faults import DiskFull
from tidegate.replay_processes.agree import differences, tolerance_ms
from tidegate.replay_processes.configs import NotForProcessesError, check, fleet_parts
from tidegate.replay_processes.engine import replay_processes

SPEED = 5.0
DEVICES, INTERVAL_S, LASTS_S = 3, 4, 40
SITE = SiteConfig.model_validate(
    {
        "fleet": {"devices": DEVICES, "interval_s": INTERVAL_S},
        "windows": {"sizes_s": [30]},
        "influx": {"retry_cap_s": 5, "batch_rows": 3},
    }
)
"""Small batches: what an outage held does not fit into the newest; the rest is filled in behind it, out of order."""


def recording() -> Recording:
    """An outage of 15 s, longer than any back-off of this site."""
    phases = [
        Phase(10 * SECOND_US, latency_us=20 * MS_US),
        Phase(15 * SECOND_US, Status.DOWN, Cause.REFUSED),
        Phase(15 * SECOND_US, latency_us=20 * MS_US),
    ]
    return record_phases(phases, LASTS_S * SECOND_US, "uplink", Provenance(title="an outage"))


@pytest.mark.live
@pytest.mark.timeout(150)  # three processes start, one of them twice
@pytest.mark.skipif(mosquitto_binary() is None, reason="mosquitto is not installed (Debian: apt install mosquitto)")
def test_both_engines_give_the_same_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # the parts meet no line of their own: uncounted.py
    faults = [GatewayCrash(37 * SECOND_US)]  # when the outage is over: a process takes real seconds to start
    scenario = make_scenario(recording(), SITE, faults=faults)
    virtual = replay(recording(), SITE, faults=faults)
    processes = replay_processes(recording(), scenario, speed=SPEED)
    assert differences(virtual, processes, scenario, SPEED) == []
    assert processes.produced == DEVICES * LASTS_S // INTERVAL_S
    assert processes.gateway_lives == virtual.gateway_lives == 2
    (outage,) = processes.outages
    assert outage.held > 0
    assert outage.fresh_after_ms is not None
    assert processes.backlog_peak >= outage.held
    for verdict in (virtual, processes):
        assert 0 < verdict.out_of_order < verdict.produced
        assert verdict.late_marks > 0
        assert 0 < verdict.requests_failed < verdict.requests
        assert verdict.events > verdict.gateway_lives
        assert [name for name, value in verdict.to_json().items() if value is None and name != "speed"] == (
            ["hash"] if verdict is processes else []
        )
    assert processes.rollups >= processes.produced // (30 // INTERVAL_S + 1)
    assert 0 < processes.needed_bytes <= processes.accepted_bytes < processes.sent_bytes


def test_two_verdicts_that_differ_are_told_apart() -> None:
    scenario = make_scenario(recording(), SITE)
    verdict = replay(recording(), SITE)
    tolerance = tolerance_ms(scenario, SPEED)
    assert tolerance == 20_000
    assert differences(verdict, verdict, scenario, SPEED) == []
    assert differences(verdict, replace(verdict, in_cloud=29, missing=1), scenario, SPEED) == [
        "in_cloud: 30 in virtual time, 29 by processes",
        "missing: 0 in virtual time, 1 by processes",
    ]
    (outage,) = verdict.outages
    late = replace(outage, complete_after_ms=(outage.complete_after_ms or 0) + tolerance + 1)
    (told,) = differences(verdict, replace(verdict, outages=(late,)), scenario, SPEED)
    assert "complete_after_ms" in told
    (told,) = differences(verdict, replace(verdict, outages=()), scenario, SPEED)
    assert told.startswith("outages:")
    most = verdict.out_of_order + DEVICES * tolerance // 1000 // INTERVAL_S
    assert differences(verdict, replace(verdict, out_of_order=most), scenario, SPEED) == []
    (told,) = differences(verdict, replace(verdict, out_of_order=most + 1), scenario, SPEED)
    assert told == f"out_of_order: {verdict.out_of_order} in virtual time, {most + 1} by processes, expected within 15"


@pytest.mark.parametrize(
    ("site", "speed", "named"),
    [
        ({}, 1000.0, "speed"),
        ({"fleet": {"devices": 500}}, 1.0, "fleet.devices"),
        ({"fleet": {"interval_s": 1}}, 50.0, "fleet.interval_s"),
        ({"store": {"age_s_max": 300}}, 10.0, "store.age_s_max"),
    ],
)
def test_what_processes_cannot_do_is_refused_by_name(site: dict[str, object], speed: float, named: str) -> None:
    with pytest.raises(NotForProcessesError, match=f"^{named}: expected"):
        check(make_scenario(recording(), SiteConfig.model_validate(site)), speed)
    with pytest.raises(NotForProcessesError, match="DiskFull"):
        check(make_scenario(recording(), SITE, faults=[DiskFull(1)]), 1.0)


def test_devices_behind_one_link_share_a_process() -> None:
    builder = RecordingBuilder("device-001", LinkKind.DEVICE)
    builder.up(0)
    scenario = make_scenario(builder.build(SECOND_US, Provenance()), SITE)
    assert [(part.link, part.numbers) for part in fleet_parts(scenario)] == [(None, (0, 2)), ("device-001", (1,))]


def test_the_command_refuses_a_speed_that_the_engine_does_not_have(tmp_path: Path) -> None:
    from tidegate.outage.cli import app

    file = tmp_path / "r.outage.jsonl"
    write_recording(file, recording())
    for words, said in (
        (["--speed", "10"], "expected max in virtual time, found 10"),
        (["--engine", "processes", "--speed", "max"], "expected a number"),
        (["--engine", "both", "--speed", "1000"], "speed: expected a number above 0 and up to 100"),
    ):
        result = CliRunner().invoke(app, ["replay", str(file), *words])
        assert result.exit_code == 2
        assert said in result.stderr
