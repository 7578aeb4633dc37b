"""How long a battery will last, from what it was: the slope of its level, and how sure that is.

The slope is the Theil-Sen estimate (H. Theil, 1950; P. K. Sen, 1968: the median of the slopes of all pairs), which a
tenth of wild samples does not move; the band is from the 10th to the 90th percentile of the same slopes. Only what came
after the last change of battery counts. Promises: no number rather than a guess (fewer than `SAMPLES_MIN` samples,
less than a day, a level that does not fall); nothing is negative, and nothing beyond `DAYS_MAX`.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

SAMPLES_MIN = 6
SPAN_MIN_MS = 86_400_000  # a shorter time says more of the room's temperature than of the battery
SAMPLES_USED = 90  # the newest fifteen days of them: 4,005 pairs, 2 ms
DAYS_MAX = 3650.0  # ten years: beyond it cells age by themselves
NEW_BATTERY_PERCENT = 20.0  # a rise by more than this is another battery, or a charge
_DAY_MS = 86_400_000


class Sample(NamedTuple):
    """A battery in one slot of four hours."""

    at_ms: int
    volts: float | None
    percent: float | None


class DaysLeft(BaseModel):
    """Until the battery is empty, at the rate of the last days: as likely as not, and the band of 80 % of the slopes.

    `high` is null where the slowest of them does not fall.
    """

    model_config = ConfigDict(frozen=True)

    low: float
    likely: float
    high: float | None


class BatteryHistory(BaseModel):
    """A battery as columns of equal length, a point every four hours at most, and what will come of it.

    `why`: what is missing for a forecast: "no-level" (it reports no percent), "too-short" (under a day), "not-falling".
    """

    model_config = ConfigDict(frozen=True)

    at_ms: list[int]
    percent: list[float | None]
    volts: list[float | None]
    days_left: DaysLeft | None
    why: Literal["no-level", "too-short", "not-falling"] | None


def battery_history(samples: Sequence[Sample]) -> BatteryHistory:
    """The document of these samples, oldest first."""
    found = days_left(samples)
    return BatteryHistory(
        at_ms=[each.at_ms for each in samples],
        percent=[each.percent for each in samples],
        volts=[each.volts for each in samples],
        days_left=found if isinstance(found, DaysLeft) else None,
        why=None if isinstance(found, DaysLeft) else found,
    )


def days_left(samples: Sequence[Sample]) -> DaysLeft | Literal["no-level", "too-short", "not-falling"]:
    """The forecast, or why there is none."""
    known = [(each.at_ms, each.percent) for each in samples if each.percent is not None]
    if not known:
        return "no-level"
    since = _of_this_battery(known)[-SAMPLES_USED:]
    if len(since) < SAMPLES_MIN or since[-1][0] - since[0][0] < SPAN_MIN_MS:
        return "too-short"
    slopes = sorted(
        (percent - before) / (at_ms - before_ms) * _DAY_MS
        for (before_ms, before), (at_ms, percent) in combinations(since, 2)
    )
    fast, likely, slow = (slopes[round(share * (len(slopes) - 1))] for share in (0.1, 0.5, 0.9))
    level = max(0.0, min(100.0, since[-1][1]))
    if likely >= 0:
        return "not-falling"
    return DaysLeft(low=_days(level, fast), likely=_days(level, likely), high=_days(level, slow) if slow < 0 else None)


def _of_this_battery(known: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    for at in range(len(known) - 1, 0, -1):
        if known[at][1] - known[at - 1][1] > NEW_BATTERY_PERCENT:
            return known[at:]
    return known


def _days(level: float, slope_per_day: float) -> float:
    return round(min(DAYS_MAX, level / -slope_per_day), 2)
