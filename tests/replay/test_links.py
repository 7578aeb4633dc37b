"""When things arrive over a link that follows a recording."""

from random import Random

import pytest

from edge.outages.events import Cause, Status
from tests.replay.kit import outage
from tidegate.outage.phases import Phase
from tidegate.replay.links import LATENCY_US, RETRANSMIT_US, Down, Link, scripted
from tidegate.replay.world import US_PER_MS, US_PER_S

END_US = 100 * US_PER_S


def link(*phases: Phase) -> Link:
    return Link(scripted(phases, END_US), healed_at_us=END_US)


def down(seconds: int, cause: Cause = Cause.TIMEOUT) -> Phase:
    return Phase(seconds * US_PER_S, Status.DOWN, cause)


def test_a_link_without_a_recording_has_its_latency_and_nothing_else() -> None:
    assert Link(latency_us=7).carry(100, 10**9, Random(1)) == (100, 107)


def test_bytes_take_their_time_at_the_rate_of_each_span() -> None:
    slow = link(
        Phase(10 * US_PER_S, capacity_bytes_per_s=100, latency_us=0),
        Phase(90 * US_PER_S, capacity_bytes_per_s=1_000, latency_us=5 * US_PER_MS),
    )
    assert slow.moved_by(0, 500) == 5 * US_PER_S
    assert slow.moved_by(5 * US_PER_S, 500 + 1_000) == 11 * US_PER_S
    assert slow.carry(5 * US_PER_S, 1_500, Random(1)) == (11 * US_PER_S, 11 * US_PER_S + 5 * US_PER_MS)


def test_what_meets_silence_arrives_behind_it() -> None:
    silent = link(Phase(10 * US_PER_S), down(20), Phase(70 * US_PER_S))
    assert silent.carry(12 * US_PER_S, 100, Random(1)) == (30 * US_PER_S, 30 * US_PER_S + LATENCY_US)


def test_a_crawl_that_meets_an_outage_goes_on_behind_it() -> None:
    crawling = link(
        Phase(10 * US_PER_S, capacity_bytes_per_s=10), down(20), Phase(70 * US_PER_S, capacity_bytes_per_s=10)
    )
    assert crawling.moved_by(9 * US_PER_S, 20) == 31 * US_PER_S


def test_a_healed_link_forgets_its_recording() -> None:
    healed = Link(scripted([down(100)], END_US), healed_at_us=50 * US_PER_S)
    assert healed.carry(0, 100, Random(1))[0] == 50 * US_PER_S
    assert healed.down_at(50 * US_PER_S) is None
    assert healed.downs == (Down(0, 50 * US_PER_S, Cause.TIMEOUT),)


def test_a_lost_packet_costs_a_retransmission() -> None:
    lossy = link(Phase(100 * US_PER_S, loss_ppm=500_000, latency_us=0))
    rng = Random(1)
    delays = [lossy.carry(0, 1, rng)[1] for _ in range(400)]
    assert set(delays) >= {0, RETRANSMIT_US, 3 * RETRANSMIT_US}
    assert 140 < delays.count(0) < 260


@pytest.mark.parametrize(
    ("cause", "after_us"),
    [
        (Cause.REFUSED, 2 * LATENCY_US),
        (Cause.RESET, 2 * LATENCY_US),
        (Cause.TLS, 4 * LATENCY_US),
        (Cause.DNS, 5 * US_PER_S),
        (Cause.UNREACHABLE, US_PER_MS),
        (Cause.TIMEOUT, 9 * US_PER_S),
    ],
)
def test_each_cause_fails_an_attempt_to_connect_in_its_own_time(cause: Cause, after_us: int) -> None:
    broken = Link(outage(10, 20, cause, end_s=100), healed_at_us=END_US)
    now_us = 15 * US_PER_S
    assert broken.refusal(now_us, 9 * US_PER_S) == (now_us + after_us, Down(10 * US_PER_S, 20 * US_PER_S, cause))
    assert broken.refusal(20 * US_PER_S, 9 * US_PER_S) is None


def test_only_a_resetting_outage_resets_what_is_open() -> None:
    both = link(Phase(10 * US_PER_S), down(10), Phase(10 * US_PER_S), down(10, Cause.RESET), Phase(60 * US_PER_S))
    found = both.resets(0, END_US)
    assert found is not None
    assert found.start_us == 30 * US_PER_S
    assert both.resets(0, 30 * US_PER_S) is None
    assert both.resets(40 * US_PER_S, END_US) is None
