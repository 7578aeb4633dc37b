"""A recording and a site make a run; what the site says is what happens."""

import json
from pathlib import Path

import pytest

from edge.outages.events import Cause, End, Link, LinkKind, Status, Transition
from edge.outages.recording import Recording, make_header, write_recording
from tidegate.errors import ConfigError
from tidegate.replay import GatewayCrash, SiteConfig, make_scenario, read_site, replay
from tidegate.replay.faults import ClockStep, DiskFull, StoreCrash
from tidegate.replay.world import US_PER_S

SMALL = SiteConfig.model_validate({"fleet": {"devices": 3, "interval_s": 5}})


def recording(*links: tuple[str, LinkKind], end_s: int = 300) -> Recording:
    """Every link is down from 100 s to 160 s."""
    links = links or (("uplink", LinkKind.UPLINK),)
    events = [Transition(0, name, Status.UP) for name, _ in links]
    events += [Transition(100 * US_PER_S, name, Status.DOWN, Cause.TIMEOUT) for name, _ in links]
    events += [Transition(160 * US_PER_S, name, Status.UP) for name, _ in links]
    return Recording(make_header([Link(*link) for link in links]), (*events, End(end_s * US_PER_S)))


def test_a_recording_in_a_file_on_a_site_in_a_file_is_replayed(tmp_path: Path) -> None:
    write_recording(tmp_path / "r.outage.jsonl", recording())
    (tmp_path / "site.toml").write_text(
        '[windows]\nsizes_s = [30]\n[fleet]\ndevices = 2\ninterval_s = 10\n[[faults]]\nkind = "crash"\nat_s = 120\n'
    )
    verdict = replay(tmp_path / "r.outage.jsonl", tmp_path / "site.toml", seed=3)
    assert verdict.passed
    assert verdict.valid
    assert verdict.exit_code == 0
    assert verdict.produced == 2 * 30
    assert verdict.gateway_lives == 2
    assert verdict.rollups == 2 * 10 or verdict.rollups == 2 * 11
    assert [(each.start_ms, each.end_ms) for each in verdict.outages] == [(100_000, 160_000)]
    assert json.loads(json.dumps(verdict.to_json()))["missing"] == 0
    assert "hash" not in verdict.to_snapshot()


def test_the_same_input_gives_the_same_verdict_and_another_seed_another_run() -> None:
    first, again = (replay(recording(), SMALL, seed=5, faults=[GatewayCrash(110 * US_PER_S)]) for _ in range(2))
    assert first == again
    assert replay(recording(), SMALL, seed=6).hash != first.hash


def test_without_an_outage_that_met_traffic_a_run_is_invalid() -> None:
    quiet = SiteConfig.model_validate({"fleet": {"devices": 1, "interval_s": 3600}})
    verdict = replay(recording(), quiet)
    assert verdict.passed
    assert not verdict.valid
    assert verdict.exit_code == 2


@pytest.mark.parametrize("name", ["node", "devices"])
def test_an_outage_of_a_device_link_alone_is_a_fault_that_was_met(name: str) -> None:
    verdict = replay(recording((name, LinkKind.DEVICE)), SMALL)
    assert (verdict.valid, verdict.passed, verdict.faults_met, verdict.faults_unmet) == (True, True, 1, ())


def test_an_outage_of_a_device_link_that_nobody_met_makes_a_run_invalid() -> None:
    quiet = SiteConfig.model_validate({"fleet": {"devices": 1, "interval_s": 3600}})
    verdict = replay(recording(("node", LinkKind.DEVICE)), quiet, seed=2)
    assert verdict.produced > 0
    assert not verdict.valid
    (unmet,) = verdict.faults_unmet
    assert unmet.startswith("node: Down(start_us=100000000, end_us=160000000")


def test_every_kind_of_link_is_given_to_its_owner() -> None:
    links = recording(
        ("lte", LinkKind.UPLINK),
        ("devices", LinkKind.DEVICE),
        ("device-001", LinkKind.DEVICE),
        ("node-a", LinkKind.DEVICE),
        ("node-b", LinkKind.DEVICE),
    )
    scenario = make_scenario(links, SMALL)
    assert scenario.uplink is not None
    assert scenario.uplink.link == "lte"
    assert scenario.broker_link is not None
    assert {number: each.link for number, each in scenario.device_links.items()} == {
        0: "node-a",
        1: "device-001",
        2: "node-a",
    }
    verdict = replay(links, SMALL)
    assert verdict.passed


def test_the_faults_of_a_site_are_those_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(
        '[[faults]]\nkind = "store-crash"\nat_s = 1\noperation = 9\n'
        '[[faults]]\nkind = "disk-full"\nat_s = 2\nfor_s = 3\n'
        '[[faults]]\nkind = "clock-step"\nat_s = 4\nby_s = -3600\n'
    )
    scenario = make_scenario(recording(), read_site(tmp_path / "site.toml"), faults=[GatewayCrash(5)])
    assert scenario.faults == (
        StoreCrash(1_000_000, 9, 2_000),
        DiskFull(2_000_000, 3_000),
        ClockStep(4_000_000, -3_600_000),
        GatewayCrash(5),
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[fleet]\ndevices = 0", "fleet.devices"),
        ("[fleet]\ncolour = 1", "fleet.colour"),
        ('[fleet]\nsite = "a/b"', "fleet.site"),
        ('[[faults]]\nkind = "flood"\nat_s = 1', "faults"),
        ('[[faults]]\nkind = "power-cut"\nat_s = 1\ndevice = 20', "fleet.devices"),
        ("[store]\ncommit_wait_ms = -1", "store.commit_wait_ms"),
    ],
)
def test_a_site_that_makes_no_sense_is_refused_by_the_name_of_its_field(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(ConfigError, match=named):
        read_site(tmp_path / "site.toml")


def test_a_fault_behind_the_end_of_the_recording_is_not_met() -> None:
    verdict = replay(recording(), SMALL, faults=[GatewayCrash(400 * US_PER_S)])
    assert verdict.gateway_lives == 1
    assert len(verdict.faults_unmet) == 1
