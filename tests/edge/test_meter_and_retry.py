"""Rates from counts, the time to catch up, and the back-off's bounds."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.meter import SHORTEST_MS, SPAN_MS, LastMinute, Meter, seconds_to_catch_up
from edge.retry import Backoff


@given(st.integers(1, 1000), st.integers(10, 40))
def test_a_steady_flow_is_measured_exactly(per_look: int, looks: int) -> None:
    meter = Meter()
    for at in range(looks):
        meter.note(at * per_look, at * 500)
    assert meter.per_second() == pytest.approx(2 * per_look)


def test_only_the_last_ten_seconds_count() -> None:
    meter = Meter()
    for second in range(100):
        meter.note(min(second, 50) * 10, second * 1000)
    assert meter.per_second() == 0.0
    assert SPAN_MS == 10_000


def test_a_burst_right_after_the_start_is_not_called_a_rate() -> None:
    meter = Meter()
    meter.note(0, 0)
    meter.note(100, 1)
    assert meter.per_second() == 100 * 1000 / SHORTEST_MS


def test_a_meter_without_two_looks_says_nothing() -> None:
    meter = Meter()
    assert meter.per_second() == 0.0
    meter.note(5, 0)
    assert meter.per_second() == 0.0


@pytest.mark.parametrize(
    ("backlog", "drained", "received", "seconds"),
    [(0, 0.0, 9.0, 0.0), (100, 30.0, 10.0, 5.0), (100, 10.0, 10.0, None), (100, 0.0, 0.0, None)],
)
def test_the_time_to_catch_up(backlog: int, drained: float, received: float, seconds: float | None) -> None:
    assert seconds_to_catch_up(backlog, drained, received) == seconds


@given(st.integers(0, 2**32), st.integers(1, 5000), st.integers(1, 120_000))
def test_a_wait_lies_between_zero_and_the_doubling_ceiling(seed: int, base_ms: int, cap_ms: int) -> None:
    backoff = Backoff(Random(seed), base_ms=base_ms, cap_ms=cap_ms)
    for failure in range(70):
        assert 0 <= backoff.fail() <= min(cap_ms, base_ms * 2**failure)
    backoff.reset()
    assert 0 <= backoff.fail() <= min(cap_ms, base_ms)


def test_full_jitter_spreads_two_hundred_gateways_over_the_whole_wait() -> None:
    waits = sorted(Backoff(Random(seed), base_ms=60_000).fail() for seed in range(200))
    quarters = [sum(low <= wait < low + 15_000 for wait in waits) for low in range(0, 60_000, 15_000)]
    assert min(quarters) > 25


@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 50)), max_size=60))
def test_the_last_minute_counts_what_happened_in_it_and_stays_small(steps: list[tuple[int, int]]) -> None:
    recent, seen, now_ms = LastMinute(), list[tuple[int, int]](), 0
    for step_ms, count in steps:
        now_ms += step_ms
        recent.add(count, now_ms)
        seen.append((now_ms // 1000, count))
        assert recent.count(now_ms) == sum(many for second, many in seen if second > now_ms // 1000 - 60)
        assert len(recent._buckets) <= 60
    assert recent.count(now_ms + 60_000) == 0
