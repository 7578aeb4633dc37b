"""Ornstein-Uhlenbeck noise and the random walk: the published laws, at any instant, in any order."""

import math
import pickle
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.noise import OrnsteinUhlenbeck, RandomWalk
from sensors.signals import Signal, SignalError

SEEDS = range(4_000)
FOUR_SIGMA = 4 / math.sqrt(len(SEEDS))  # of a correlation's estimate; once in 16,000 runs, and the seeds are fixed


def correlation(first: list[float], second: list[float]) -> float:
    return statistics.fmean(a * b for a, b in zip(first, second, strict=True))


@pytest.mark.no_cover
@pytest.mark.parametrize("lag_taus", [0.1, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("start_ms", [0, 7_777, 1_700_000_000_000])
def test_ornstein_uhlenbeck_has_the_published_variance_and_autocorrelation(lag_taus: float, start_ms: int) -> None:
    """Uhlenbeck and Ornstein 1930: variance sigma^2, autocorrelation exp(-lag/tau). Here sigma 1, tau 10 s."""
    processes = [OrnsteinUhlenbeck(seed, sigma=1.0, tau_s=10.0) for seed in SEEDS]
    first = [process.value(start_ms) for process in processes]
    second = [process.value(start_ms + round(lag_taus * 10_000)) for process in processes]
    assert statistics.fmean(second) == pytest.approx(0, abs=FOUR_SIGMA)
    assert statistics.pvariance(second) == pytest.approx(1, abs=math.sqrt(2) * FOUR_SIGMA)
    assert correlation(first, second) == pytest.approx(math.exp(-lag_taus), abs=math.sqrt(2) * FOUR_SIGMA)


def test_ornstein_uhlenbeck_is_stationary_along_one_path_too() -> None:
    process = OrnsteinUhlenbeck(5, sigma=3.0, tau_s=60.0, mean=20.0)
    path = [process.value(at_ms) for at_ms in range(0, 60_000 * 4_000, 30_000)]  # half a tau apart
    assert statistics.fmean(path) == pytest.approx(20.0, abs=0.3)
    assert statistics.pstdev(path) == pytest.approx(3.0, abs=0.15)
    away = [value - 20.0 for value in path]
    lag_one = correlation(away[:-1], away[1:]) / statistics.pvariance(path)
    assert lag_one == pytest.approx(math.exp(-0.5), abs=0.03)


@pytest.mark.no_cover
def test_ornstein_uhlenbeck_moves_little_in_a_short_time() -> None:
    """The increment over dt has the variance 2 sigma^2 (1 - exp(-dt/tau)); a node is where it is exact."""
    processes = [OrnsteinUhlenbeck(seed, sigma=1.0, tau_s=100.0) for seed in SEEDS]
    grain_ms = processes[0].grain_ms
    moves = [process.value(3 * grain_ms) - process.value(2 * grain_ms) for process in processes]
    expected = 2 * (1 - math.exp(-grain_ms / 100_000))
    assert statistics.fmean(move**2 for move in moves) == pytest.approx(expected, rel=math.sqrt(2) * FOUR_SIGMA)


@given(st.integers(0, 100), st.integers(-(10**13), 10**13), st.floats(0.001, 1e7))
def test_ornstein_uhlenbeck_has_no_jumps(seed: int, at_ms: int, tau_s: float) -> None:
    process = OrnsteinUhlenbeck(seed, sigma=1.0, tau_s=tau_s)
    step = abs(process.value(at_ms + 1) - process.value(at_ms))
    # Twelve deviations of a node's increment, shared by the milliseconds between two nodes.
    assert step <= 12 * math.sqrt(2 * (1 - math.exp(-process.grain_ms / (tau_s * 1000)))) / process.grain_ms


@pytest.mark.no_cover
def test_a_random_walk_spreads_with_the_root_of_time() -> None:
    for seconds in (1, 7, 100, 86_400):
        ends = [RandomWalk(seed, 5.0, 2.0).value(seconds * 1000) - 5.0 for seed in SEEDS]
        assert statistics.fmean(end**2 for end in ends) == pytest.approx(4.0 * seconds, rel=math.sqrt(2) * FOUR_SIGMA)


def test_the_steps_of_a_random_walk_are_independent_and_equal() -> None:
    walks = [RandomWalk(seed, 0.0, 1.0) for seed in SEEDS]
    first = [walk.value(64_000) - walk.value(50_000) for walk in walks]
    second = [walk.value(78_000) - walk.value(64_000) for walk in walks]
    assert correlation(first, second) / 14 == pytest.approx(0, abs=FOUR_SIGMA)
    assert correlation(second, second) == pytest.approx(14, rel=math.sqrt(2) * FOUR_SIGMA)


@pytest.mark.no_cover
def test_a_random_walk_starts_where_it_should_and_stays_within_its_bounds() -> None:
    walk = RandomWalk(3, 40.0, 1.0, start_ms=1_000_000, low=0.0, high=100.0)
    assert walk.value(0) == walk.value(1_000_000) == 40.0
    path = [walk.value(1_000_000 + minute * 60_000) for minute in range(5_000)]
    assert all(0 <= value <= 100 for value in path)
    # Brownian motion between two mirrors ends up evenly spread.
    assert statistics.fmean(path) == pytest.approx(50, abs=10)
    assert statistics.pstdev(path) == pytest.approx(100 / math.sqrt(12), abs=5)


def test_senseless_parameters_are_refused_by_name() -> None:
    with pytest.raises(SignalError, match="tau_s"):
        OrnsteinUhlenbeck(1, 1.0, 0.0)
    with pytest.raises(SignalError, match="sigma"):
        OrnsteinUhlenbeck(1, -1.0, 1.0)
    with pytest.raises(SignalError, match="high"):
        RandomWalk(1, 0.0, 1.0, low=0.0)
    with pytest.raises(SignalError, match="start"):
        RandomWalk(1, -1.0, 1.0, low=0.0, high=1.0)


@pytest.mark.parametrize(
    "signal",
    [OrnsteinUhlenbeck(5, 1.0, 1800.0), RandomWalk(5, 0.0, 0.1), RandomWalk(5, 2.0, 0.1, low=-1.0, high=4.0)],
)
@given(st.lists(st.integers(-(10**6), 2 * 10**12), min_size=2, max_size=8), st.integers(1, 10**6))
def test_what_was_asked_before_does_not_change_an_answer(signal: Signal, instants: list[int], step_ms: int) -> None:
    asked = [at_ms + n * step_ms for at_ms in instants for n in range(4)]
    fresh = [replace(signal).value(at_ms) for at_ms in asked]  # type: ignore[type-var]
    assert [signal.value(at_ms) for at_ms in asked] == fresh


def test_a_walk_remembers_little_and_answers_as_one_that_remembers_nothing() -> None:
    walk = RandomWalk(7, 20.0, 0.05, low=0.0, high=100.0)
    for step in range(500):
        at_ms = 1_767_225_600_000 + 60_000 * step
        assert walk.value(at_ms) == RandomWalk(7, 20.0, 0.05, low=0.0, high=100.0).value(at_ms)
    assert len(pickle.dumps(walk)) < 800
