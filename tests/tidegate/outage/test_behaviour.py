"""Decisions between a recording and the proxy: what each cause does, and when the link changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.outages.events import (
    AnyEvent,
    Cause,
    Close,
    End,
    Ending,
    Gap,
    Link,
    LinkKind,
    Sample,
    Status,
    Transition,
    UnknownWrite,
)
from edge.outages.recording import Recording, make_header
from edge.outages.rules import UnknownLinkError
from edge.outages.timeline import UNKNOWN, LinkState
from tidegate.outage.behaviour import (
    DOWN_RULES,
    HEALTHY,
    Admission,
    CauseError,
    Existing,
    LinkDriver,
    SpeedError,
    behaviour_of,
    down_behaviour,
)
from tidegate.outage.pipe import LinkShape
from tidegate.testing.strategies import recordings

SECOND = 1_000_000


def recording(*events: AnyEvent) -> Recording:
    links = [Link("wifi", LinkKind.DEVICE), Link("uplink", LinkKind.UPLINK)]
    return Recording(make_header(links), (*events, End(100 * SECOND)))


def test_every_cause_has_its_rule_and_what_refuses_new_connections_never_keeps_old_ones() -> None:
    assert set(DOWN_RULES) == set(Cause)
    assert all(existing is not Existing.KEEP for _, existing in DOWN_RULES.values())


def test_a_timeout_stalls_and_a_refusal_resets() -> None:
    assert down_behaviour(Cause.TIMEOUT).shape.stalled
    refused = down_behaviour(Cause.REFUSED)
    assert (refused.admission, refused.existing, refused.shape.stalled) == (Admission.REFUSE, Existing.RESET, False)


@pytest.mark.parametrize(("cause", "status"), [(Cause.HTTP, None), (Cause.DNS, 503), (Cause.HTTP, 99)])
def test_an_http_status_belongs_to_cause_http_alone(cause: Cause, status: int | None) -> None:
    with pytest.raises(CauseError, match="http_status"):
        down_behaviour(cause, status)


def test_what_is_not_known_does_no_harm() -> None:
    assert behaviour_of(UNKNOWN) == HEALTHY


def test_speed_stretches_bandwidth_and_shrinks_latency() -> None:
    state = LinkState(Status.DEGRADED, Cause.SLOW, one_way_us=50_000, bandwidth_bytes_per_s=1000, loss_ppm=7)
    fast = behaviour_of(state, speed=10.0)
    assert fast.shape == LinkShape(latency_us=5_000, loss_ppm=7)
    assert fast.bandwidth_bytes_per_s == 10_000


def test_a_link_that_carries_nothing_stalls() -> None:
    assert behaviour_of(LinkState(Status.UP, bandwidth_bytes_per_s=0)).shape.stalled
    assert behaviour_of(LinkState(Status.UP, loss_ppm=1_000_000)).shape.stalled


def test_a_driver_takes_the_first_uplink_and_scales_time() -> None:
    made = recording(Transition(50 * SECOND, "uplink", Status.DOWN, Cause.RESET))
    driver = LinkDriver(made, speed=10.0)
    assert driver.link == "uplink"
    assert driver.behaviour(4_999_999).admission is Admission.ACCEPT
    assert driver.behaviour(5_000_000).admission is Admission.RESET
    assert driver.behaviour(10 * SECOND) == HEALTHY


def test_an_unknown_write_loses_one_answer_between_sending_and_giving_up() -> None:
    made = recording(UnknownWrite(90 * SECOND, "uplink", 10 * SECOND))
    driver = LinkDriver(made)
    lost = [driver.behaviour(at * SECOND).shape.lose_answers for at in (9, 10, 89, 90)]
    assert lost == [False, True, True, False]
    assert driver.next_change_us(0) == 10 * SECOND + 1
    driver = LinkDriver(made)
    assert driver.behaviour(10 * SECOND).shape.lose_answers
    driver.answer_was_lost(11 * SECOND)
    assert not driver.behaviour(12 * SECOND).shape.lose_answers


def test_an_unknown_write_waits_a_minute_for_a_write() -> None:
    driver = LinkDriver(recording(UnknownWrite(10 * SECOND, "uplink", 10 * SECOND)))
    assert [driver.behaviour(at * SECOND).shape.lose_answers for at in (10, 69, 70)] == [True, True, False]


def test_each_close_is_met_exactly_once() -> None:
    closes = Close(0, "uplink", Ending.FIN), Close(5, "wifi", Ending.RST), Close(9, "uplink", Ending.STALL)
    driver = LinkDriver(recording(*closes))
    assert [driver.closes(-1, 0), driver.closes(0, 9), driver.closes(9, 50)] == [[Ending.FIN], [Ending.STALL], []]


def test_a_gap_is_not_an_outage_for_a_replay() -> None:
    down = Transition(10, "uplink", Status.DOWN, Cause.REFUSED)
    driver = LinkDriver(recording(down, Sample(11, "uplink", rtt_us=9), Gap(90, 50)))
    assert driver.behaviour(20).admission is Admission.REFUSE
    assert driver.behaviour(60) == HEALTHY


def test_a_wrong_link_or_speed_is_refused() -> None:
    with pytest.raises(UnknownLinkError, match="wifi, uplink"):
        LinkDriver(recording(), "lora")
    with pytest.raises(SpeedError, match="speed"):
        LinkDriver(recording(), speed=0)


@given(recordings(), st.sampled_from([0.5, 1.0, 3.0, 1000.0]))
def test_following_the_changes_one_by_one_misses_no_state_and_comes_to_an_end(made: Recording, speed: float) -> None:
    driver = LinkDriver(made, speed=speed)
    at_us: int | None = 0
    last_us, met = 0, []
    while at_us is not None:
        met.append(driver.state(at_us))
        last_us = at_us
        following_us = driver.next_change_us(at_us)
        assert following_us is None or following_us > at_us
        at_us = following_us
    assert driver.recorded_us(last_us) >= made.end_us or met[-1] == UNKNOWN
    long_enough = [s for s in driver.timeline.segments() if s.end_us - s.start_us > 2 * speed]
    assert all(segment.state in met for segment in long_enough)
