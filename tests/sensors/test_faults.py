"""Sensor faults: what each does, how it is labelled, and when random ones come."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.fault_plans import DURATION_MAX_S, FaultRate, RandomFaults, Schedule
from sensors.faults import (
    UNIT_SWAPS,
    Drift,
    Dropout,
    Episode,
    Fault,
    FaultError,
    FaultInjector,
    Offset,
    Sample,
    Saturation,
    Spike,
    Stuck,
    SwappedUnit,
)
from sensors.signals import MS_PER_DAY
from sensors.transducer import TimeWentBackError
from sensors.units import is_registered

HOUR_MS = 3_600_000


def run(*episodes: Episode, readings: list[float]) -> list[Sample]:
    """Apply the episodes to readings that are an hour apart; the truth is the reading."""
    injector = FaultInjector([Schedule(episodes)])
    return [injector.apply(hour * HOUR_MS, reading, reading) for hour, reading in enumerate(readings)]


def during(fault: Fault, start_hour: int, end_hour: int) -> Episode:
    return Episode(fault, start_hour * HOUR_MS, end_hour * HOUR_MS)


@pytest.mark.parametrize(
    ("fault", "values", "labels"),
    [
        (Stuck(), [10, 10, 10, 13], [None, "stuck", "stuck", None]),
        (Drift(0.5), [10, 11, 12.5, 13], [None, "drift", "drift", None]),
        (Offset(2.0), [10, 13, 14, 13], [None, "offset", "offset", None]),
        (Spike(50.0), [10, 61, 12, 13], [None, "spike", None, None]),
        (Dropout(), [10, None, None, 13], [None, "dropout", "dropout", None]),
        (Saturation(0.0, 11.5), [10, 11, 11.5, 13], [None, None, "saturation", None]),
        (SwappedUnit("Cel"), [10, 51.8, 53.6, 13], [None, "swapped_unit", "swapped_unit", None]),
    ],
)
def test_each_fault_distorts_and_labels_its_episode_alone(
    fault: Fault, values: list[float | None], labels: list[str | None]
) -> None:
    samples = run(during(fault, 1, 3), readings=[10.0, 11.0, 12.0, 13.0])
    assert [sample.value for sample in samples] == [pytest.approx(value) for value in values]
    assert [sample.fault_label for sample in samples] == labels
    assert [sample.truth for sample in samples] == [10.0, 11.0, 12.0, 13.0]


def test_a_sensor_stuck_from_its_first_reading_holds_that_one() -> None:
    assert [sample.value for sample in run(during(Stuck(), 0, 9), readings=[4.0, 5.0])] == [4.0, 4.0]


def test_a_sensor_that_was_off_is_stuck_at_what_it_said() -> None:
    samples = run(during(Offset(5.0), 0, 9), during(Stuck(), 2, 9), readings=[1.0, 2.0, 3.0])
    assert samples[2] == Sample(7.0, 3.0, "offset+stuck")


def test_a_sensor_that_had_dropped_out_is_stuck_at_what_it_said_before() -> None:
    samples = run(during(Dropout(), 1, 2), during(Stuck(), 2, 9), readings=[1.0, 2.0, 3.0])
    assert [sample.value for sample in samples] == [1.0, None, 1.0]


def test_episodes_of_several_plans_are_applied_in_order_of_start() -> None:
    late, early = (Schedule([during(fault, start, 9)]) for fault, start in ((SwappedUnit("Cel"), 1), (Offset(1.0), 0)))
    assert FaultInjector([late, early]).apply(2 * HOUR_MS, 10.0, 10.0).fault_label == "offset+swapped_unit"


def test_a_second_stuck_episode_holds_its_own_value() -> None:
    samples = run(during(Stuck(), 1, 2), during(Stuck(), 3, 4), readings=[1.0, 2.0, 3.0, 4.0])
    assert [sample.value for sample in samples] == [1.0, 1.0, 3.0, 3.0]


def test_faults_at_the_same_time_add_up_in_order_of_start() -> None:
    samples = run(during(Offset(1.0), 0, 3), during(SwappedUnit("Cel"), 1, 3), readings=[10.0, 10.0])
    assert samples[1] == Sample(11.0 * 1.8 + 32.0, 10.0, "offset+swapped_unit")


def test_nothing_distorts_a_reading_that_is_not_there() -> None:
    samples = run(during(Dropout(), 0, 3), during(Offset(1.0), 1, 3), readings=[1.0, 1.0])
    assert samples[1] == Sample(None, 1.0, "dropout")


def test_a_spike_comes_once_also_when_sampling_is_sparse() -> None:
    episode = Episode(Spike(5.0), HOUR_MS // 2, 10 * HOUR_MS)
    samples = run(episode, readings=[0.0] * 12)
    assert [hour for hour, sample in enumerate(samples) if sample.fault_label] == [1]


@given(st.floats(-1e6, 1e6), st.integers(0, 2**40))
def test_a_well_sensor_says_what_it_measured_without_a_label(reading: float, at_ms: int) -> None:
    assert FaultInjector([]).apply(at_ms, reading, 1.0) == Sample(reading, 1.0, None)


def test_time_that_goes_back_is_refused() -> None:
    injector = FaultInjector([])
    injector.apply(5, 1.0, 1.0)
    with pytest.raises(TimeWentBackError):
        injector.apply(4, 1.0, 1.0)


def test_swaps_are_known_for_registered_units() -> None:
    assert all(is_registered(unit) for unit in UNIT_SWAPS)


def test_senseless_faults_are_refused_by_name() -> None:
    with pytest.raises(FaultError, match="unit"):
        SwappedUnit("parsec")
    with pytest.raises(FaultError, match="high"):
        Saturation(2.0, 1.0)
    with pytest.raises(FaultError, match="end_ms"):
        Episode(Stuck(), 5, 5)
    with pytest.raises(FaultError, match="per_day"):
        FaultRate(Stuck(), -1.0, 60.0)
    with pytest.raises(FaultError, match="mean_duration_s"):
        FaultRate(Stuck(), 1.0, DURATION_MAX_S + 1)


def test_random_faults_come_at_their_rate_and_last_their_time() -> None:
    """A Poisson process: the count of a day has the rate as its mean and its variance; durations are exponential."""
    plan = RandomFaults(5, [FaultRate(Offset(1.0), per_day=3.0, mean_duration_s=600.0)])
    days = [plan.starting_on(day) for day in range(3_000)]
    counts = [len(episodes) for episodes in days]
    assert statistics.fmean(counts) == pytest.approx(3.0, abs=0.13)
    assert statistics.pvariance(counts) == pytest.approx(3.0, abs=0.35)
    lengths_s = [(episode.end_ms - episode.start_ms) / 1_000 for episodes in days for episode in episodes]
    assert statistics.fmean(lengths_s) == pytest.approx(600, rel=0.05)
    assert statistics.pstdev(lengths_s) == pytest.approx(600, rel=0.07)
    assert all(episode.start_ms // MS_PER_DAY == day for day, episodes in enumerate(days) for episode in episodes)
    times_of_day = [episode.start_ms % MS_PER_DAY / MS_PER_DAY for episodes in days for episode in episodes]
    assert statistics.fmean(times_of_day) == pytest.approx(0.5, abs=0.02)


def test_random_faults_err_to_both_sides() -> None:
    plan = RandomFaults(
        5, [FaultRate(Drift(2.0), 5.0, 60.0), FaultRate(Spike(2.0), 5.0, 60.0), FaultRate(Offset(2.0), 5.0, 60.0)]
    )
    faults = {episode.fault for day in range(50) for episode in plan.starting_on(day)}
    assert faults == {Drift(2.0), Drift(-2.0), Spike(2.0), Spike(-2.0), Offset(2.0), Offset(-2.0)}


def test_an_episode_that_began_days_ago_still_holds() -> None:
    plan = RandomFaults(1, [FaultRate(Stuck(), per_day=0.2, mean_duration_s=400_000.0)])
    episodes = [episode for day in range(400) for episode in plan.starting_on(day)]
    assert max(episode.end_ms - episode.start_ms for episode in episodes) == DURATION_MAX_S * 1_000
    for at_ms in range(10 * MS_PER_DAY, 400 * MS_PER_DAY, 7 * HOUR_MS):
        expected = [episode for episode in episodes if episode.start_ms <= at_ms < episode.end_ms]
        assert list(plan.episodes_at(at_ms)) == expected


def test_a_day_of_random_faults_does_not_depend_on_who_asked_before() -> None:
    rates = [FaultRate(Stuck(), 10.0, 36_000.0), FaultRate(Dropout(), 10.0, 36_000.0)]
    straight, jumping = RandomFaults(9, rates), RandomFaults(9, rates)
    at_ms = 20 * MS_PER_DAY + 12_345_678
    for day in range(20):
        straight.episodes_at(day * MS_PER_DAY)
    assert straight.episodes_at(at_ms) == jumping.episodes_at(at_ms)
    assert straight.episodes_at(at_ms)


def test_a_rate_of_zero_never_comes() -> None:
    assert RandomFaults(1, [FaultRate(Stuck(), 0.0, 60.0)]).starting_on(3) == ()
