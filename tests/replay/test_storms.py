"""Every fault, alone and stacked: what was acknowledged is in the cloud, once and unchanged, and the ledger says so."""

from dataclasses import replace
from random import Random

import pytest

from edge.config import EdgeConfig, InfluxSettings
from edge.outages.events import Cause, Status
from sensors.reading import Identity
from tests.replay.kit import FailingStores, crashes, outage
from tests.replay.test_hour import check_nothing_was_lost
from tidegate.outage.phases import Phase
from tidegate.replay.broker import BrokerSpec
from tidegate.replay.chance import random_scenario
from tidegate.replay.cloud import Answer, LoseAnswer, Poison, ResetInBody, Rule
from tidegate.replay.faults import BrokerRestart, ClockStep, DevicePowerCut, DeviceReset, GatewayCrash
from tidegate.replay.history import Promise
from tidegate.replay.links import scripted
from tidegate.replay.run import Fleet, Scenario, run
from tidegate.replay.world import US_PER_S

TEN_MINUTES_S = 600
BUSY = Scenario(fleet=Fleet(5, 8_000), faults_s=TEN_MINUTES_S)
ALWAYS_US = TEN_MINUTES_S * US_PER_S


def away(from_s: int, until_s: int, answer: Answer) -> Rule:
    return Rule(from_s * US_PER_S, until_s * US_PER_S, answer)


def test_a_gateway_killed_thirty_times_loses_nothing() -> None:
    verdict = run(replace(BUSY, faults=crashes(Random(3), 30, TEN_MINUTES_S), uplink=outage(200, 400, end_s=600)))
    check_nothing_was_lost(verdict)
    assert verdict.gateway_lives > 20


@pytest.mark.no_cover
def test_a_kill_between_the_commit_and_its_puback_is_redelivered_and_known() -> None:
    slow_disk = replace(BUSY, commit_us=400_000, fleet=Fleet(5, 1_000))
    kills = tuple(GatewayCrash(at_s * US_PER_S + 137_000, 500) for at_s in range(20, 580, 20))
    verdict = run(replace(slow_disk, faults=kills))
    check_nothing_was_lost(verdict)
    assert verdict.redelivered > 5


@pytest.mark.parametrize("how", [Cause.RESET, Cause.TIMEOUT])
def test_answers_lost_behind_the_commit_make_no_second_point(how: Cause) -> None:
    verdict = run(replace(BUSY, rules=(Rule(0, ALWAYS_US, LoseAnswer(how), ppm=300_000),)))
    check_nothing_was_lost(verdict)
    assert verdict.answers_lost > 5
    assert verdict.duplicates > 5


@pytest.mark.no_cover
def test_a_kill_while_the_answer_is_on_its_way_makes_no_second_point() -> None:
    far = replace(BUSY, uplink=scripted([Phase(ALWAYS_US, latency_us=2 * US_PER_S)], ALWAYS_US))
    kills = tuple(GatewayCrash(at_s * US_PER_S, 100) for at_s in range(20, 580, 20))
    verdict = run(replace(far, faults=kills))
    check_nothing_was_lost(verdict)
    assert verdict.duplicates > 0


@pytest.mark.no_cover
def test_a_reset_in_mid_body_stores_nothing_and_is_sent_again() -> None:
    verdict = run(replace(BUSY, rules=(Rule(0, ALWAYS_US, ResetInBody(), ppm=300_000),)))
    check_nothing_was_lost(verdict)
    assert verdict.duplicates == 0
    assert verdict.requests_failed > 5


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "answer",
    [
        Answer(429, retry_after_s=5),
        Answer(429),
        Answer(500),
        Answer(500, stores=True),
        Answer(502),
        Answer(503, retry_after_s=5),
        Answer(401),
        Answer(404),
        Answer(200),
        Answer(302),
    ],
    ids=str,
)
def test_no_answer_but_204_moves_anything(answer: Answer) -> None:
    verdict = run(replace(BUSY, rules=(Rule(0, ALWAYS_US, answer, ppm=100_000),)))
    check_nothing_was_lost(verdict)
    assert verdict.faults_met > 0


@pytest.mark.no_cover
def test_an_outage_told_by_500s_puts_no_good_reading_into_quarantine() -> None:
    for seed in range(6):
        scenario = Scenario(seed=seed, fleet=Fleet(1), faults_s=900, rules=(away(200, 500, Answer(500)),))
        verdict = run(scenario)
        assert (verdict.quarantined, verdict.missing, verdict.in_cloud) == (0, 0, verdict.produced)
        # A reading under suspicion waits for its neighbour's answer, and may so arrive behind it.
        assert {violation.promise for violation in verdict.violations} <= {Promise.LIVE_ORDER}


@pytest.mark.no_cover
def test_a_backlog_larger_than_the_link_can_carry_in_one_time_out_drains() -> None:
    crawl = Phase(100 * US_PER_S, capacity_bytes_per_s=500, latency_us=150_000)
    gone = Phase(1200 * US_PER_S, Status.DOWN, Cause.TIMEOUT)
    uplink = scripted([crawl, gone, *[crawl] * 6], 1900 * US_PER_S)
    verdict = run(Scenario(fleet=Fleet(5, 5_000), faults_s=1900, uplink=uplink))
    check_nothing_was_lost(verdict)
    assert verdict.outages[0].complete_after_ms is not None
    assert verdict.outages[0].complete_after_ms < 300_000


@pytest.mark.parametrize("status", [400, 422])
def test_poison_goes_to_quarantine_alone(status: int) -> None:
    bad = frozenset(Identity(f"device-{device:03}", 1, seq) for device in range(3) for seq in (0, 7, 8, 50))
    verdict = run(replace(BUSY, poison=Poison(bad, status), uplink=outage(100, 300, end_s=600)))
    assert verdict.violations == ()
    assert verdict.quarantined == len(bad)
    assert verdict.in_cloud == verdict.produced - len(bad)
    assert verdict.missing == 0


@pytest.mark.no_cover
def test_a_cloud_that_takes_little_at_a_time_gets_it_in_pieces() -> None:
    verdict = run(replace(BUSY, body_bytes_max=1_000, uplink=outage(100, 300, end_s=600)))
    check_nothing_was_lost(verdict)


@pytest.mark.parametrize("crash", [False, True])
def test_a_broker_that_goes_takes_nothing_acknowledged_with_it(*, crash: bool) -> None:
    restarts = tuple(BrokerRestart(at_s * US_PER_S, 5_000, crash) for at_s in (100, 200, 300, 301, 400))
    verdict = run(replace(BUSY, faults=restarts, broker=BrokerSpec(autosave_s=150)))
    check_nothing_was_lost(verdict)


def test_what_a_full_broker_dropped_the_devices_still_hold() -> None:
    scenario = replace(BUSY, faults=(GatewayCrash(60 * US_PER_S, 400_000),), broker=BrokerSpec(queue_max=10))
    check_nothing_was_lost(run(scenario))


def test_devices_that_restart_count_from_nought_and_lose_nothing() -> None:
    faults = tuple(
        fault
        for at_s in range(30, 570, 60)
        for fault in (
            DeviceReset(at_s * US_PER_S, 0),
            DevicePowerCut(at_s * US_PER_S, 1, 20_000),
            DevicePowerCut((at_s + 1) * US_PER_S, 2, 0),
        )
    )
    down = outage(100, 400, end_s=600)
    verdict = run(replace(BUSY, faults=faults, device_links={0: down, 1: down}))
    check_nothing_was_lost(verdict)


@pytest.mark.no_cover
@pytest.mark.parametrize("cause", [Cause.TIMEOUT, Cause.RESET, Cause.REFUSED, Cause.UNREACHABLE])
def test_devices_cut_off_bring_what_they_measured_meanwhile(cause: Cause) -> None:
    cut = outage(100, 400, cause, end_s=600)
    verdict = run(replace(BUSY, device_links=dict.fromkeys(range(5), cut), uplink=outage(350, 500, cause, end_s=600)))
    check_nothing_was_lost(verdict)


def test_what_a_full_flash_pushed_out_is_declared_lost_and_nothing_else_is() -> None:
    small = replace(BUSY, fleet=Fleet(3, 1_000, outbox_bytes_max=4096), device_links={0: outage(100, 500, end_s=600)})
    verdict = run(small)
    assert verdict.violations == ()
    assert verdict.missing == 0
    assert 200 < verdict.lost < 400
    assert verdict.in_cloud == verdict.produced - verdict.lost


def test_a_gateways_clock_that_jumps_changes_no_point() -> None:
    steps = (ClockStep(100 * US_PER_S, -3_600_000), ClockStep(300 * US_PER_S, 315_360_000_000))
    check_nothing_was_lost(run(replace(BUSY, faults=steps, uplink=outage(90, 310, end_s=600))))


@pytest.mark.no_cover
def test_a_slow_far_lossy_link_drains_an_outage() -> None:
    slow = Phase(300 * US_PER_S, capacity_bytes_per_s=5_000, latency_us=300_000, loss_ppm=50_000)
    gone = Phase(200 * US_PER_S, Status.DOWN, Cause.TIMEOUT)
    verdict = run(replace(BUSY, fleet=Fleet(5, 1_000), uplink=scripted([gone, slow, slow], ALWAYS_US)))
    check_nothing_was_lost(verdict)
    assert verdict.sent_bytes < 1.1 * verdict.accepted_bytes
    assert verdict.outages[0].complete_after_ms is not None
    assert verdict.outages[0].complete_after_ms < 120_000


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(3))
def test_a_store_that_fails_at_any_statement_acknowledges_nothing_that_it_lost(seed: int) -> None:
    failing = FailingStores(seed, ppm=3_000)
    verdict = run(random_scenario(seed), make_desk=failing.make)
    assert [str(each) for each in verdict.violations] == []
    assert verdict.missing == 0
    assert failing.failures > 0


@pytest.mark.no_cover
def test_small_batches_bring_the_same() -> None:
    config = EdgeConfig(influx=InfluxSettings(batch_rows=1, flush_every_ms=0))
    check_nothing_was_lost(run(replace(BUSY, gateway=config, uplink=outage(100, 200, end_s=600))))
