"""Parameters of KiBaM and Peukert from what a datasheet or a bench gives: capacities at several rates."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from firmware_sim.power.errors import PowerValueError

RATES_PER_HOUR = (1e-3, 1e2)  # k' of cells in use lies between minutes and weeks
GOLDEN = (math.sqrt(5) - 1) / 2
GRID = 60  # starts of the search: enough that the best one lies in the basin of the optimum
SLOPE_STEP = 1e-4  # relative step of the numeric slope: rounding and curvature both stay under 1e-8
STEPS = 60  # golden sections: 0.618^60 = 3e-13 of the bracket


class KibamFit(NamedTuple):
    """`worst_error` is the largest relative misfit of a given capacity, run down at its own current."""

    capacity_mah: float
    c: float
    k_per_hour: float
    worst_error: float


class PeukertFit(NamedTuple):
    """Capacity at `reference_ma`, the smallest current that was measured."""

    capacity_mah: float
    exponent: float
    reference_ma: float
    worst_error: float


def deliverable_share(c: float, k_per_hour: float, hours: float) -> float:
    """Return the share of a full KiBaM cell that a constant current takes out when it empties it in `hours`.

    Manwell and McGowan 1993, eq. for q_max(I): k c T / (1 - e^(-kT) + c (kT - 1 + e^(-kT))).
    """
    span = k_per_hour * hours
    gone = -math.expm1(-span)
    return c * span / (gone + c * (span - gone))


def fit_kibam(points: Sequence[tuple[float, float]]) -> KibamFit:
    """Fit capacity, c and k' to (hours to empty, mAh delivered) pairs, three or more at different rates.

    Least squares of the logarithms; with three points the fit is exact where a KiBaM cell can do what is asked, which
    is the method of NREL's ssc (capacity_kibam_t, capacities at 1, 10 and 20 h). Raises PowerValueError on bad points.
    """
    if len(points) < 3:
        raise PowerValueError("points", "three or more (hours, mAh) pairs", len(points))
    _check_positive(points)

    def misfit(c: float, log_k: float) -> float:
        return sum(r * r for r in _residuals(points, c, math.exp(log_k))[1])

    def best_c(log_k: float) -> float:
        return _minimise(lambda c: misfit(c, log_k), 0.001, 0.999)

    log_k = _minimise(lambda x: misfit(best_c(x), x), math.log(RATES_PER_HOUR[0]), math.log(RATES_PER_HOUR[1]))
    c, k_per_hour = best_c(log_k), math.exp(log_k)
    log_capacity, residuals = _residuals(points, c, k_per_hour)
    return KibamFit(math.exp(log_capacity), c, k_per_hour, max(abs(math.expm1(r)) for r in residuals))


def fit_peukert(points: Sequence[tuple[float, float]]) -> PeukertFit:
    """Fit Peukert's law to (mA, mAh delivered) pairs by a straight line through the logarithms."""
    if len(points) < 2:
        raise PowerValueError("points", "two or more (mA, mAh) pairs", len(points))
    _check_positive(points)
    reference_ma = min(current for current, _ in points)
    xs = [math.log(current / reference_ma) for current, _ in points]
    ys = [math.log(capacity) for _, capacity in points]
    mean_x, mean_y = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    spread = math.fsum((x - mean_x) ** 2 for x in xs)
    if spread == 0:
        raise PowerValueError("points", "different currents", points)
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    start = mean_y - slope * mean_x
    worst = max(abs(math.expm1(start + slope * x - y)) for x, y in zip(xs, ys, strict=True))
    return PeukertFit(math.exp(start), 1 - slope, reference_ma, worst)


def _check_positive(points: Sequence[tuple[float, float]]) -> None:
    for pair in points:
        if not (pair[0] > 0 and pair[1] > 0):
            raise PowerValueError("points", "pairs of positive numbers", pair)


def _residuals(points: Sequence[tuple[float, float]], c: float, k_per_hour: float) -> tuple[float, list[float]]:
    """Return the best logarithm of the capacity for c and k', and each point's log misfit when run down.

    What is compared is the capacity at a given current, not in a given time: a cell that gives more also lasts longer,
    so a misfit at the given time grows by 1 / (1 - slope), the slope being that of the deliverable share over time.
    """
    logs, weights = [], []
    for hours, mah in points:
        share = deliverable_share(c, k_per_hour, hours)
        slope = math.log(deliverable_share(c, k_per_hour, hours * (1 + SLOPE_STEP)) / share) / SLOPE_STEP
        logs.append(math.log(mah / share))
        weights.append(1 / (1 - slope))
    squares = [weight * weight for weight in weights]
    centre = math.fsum(s * value for s, value in zip(squares, logs, strict=True)) / math.fsum(squares)
    return centre, [(centre - value) * weight for value, weight in zip(logs, weights, strict=True)]


def _minimise(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the argument of the least value: a grid to find the basin, golden sections within it."""
    step = (high - low) / GRID
    best = min(range(GRID + 1), key=lambda i: function(low + i * step))
    low, high = max(low, low + (best - 1) * step), min(high, low + (best + 1) * step)
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(STEPS):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = function(right)
    return (low + high) / 2
