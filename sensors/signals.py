"""Signals: what there is to measure, as pure functions of time.

A `Signal` answers any instant in any order, keeps no state, and gives the same answer for ever: random ones take a seed
and use the counter-based numbers of `sensors.seeds`. Time is milliseconds since 1970-01-01T00:00:00Z, so that day and
season fall where they belong. Values are in the unit that the caller means; a signal does not know its unit.

This module has the plain shapes and the ways to combine signals. The others: `sensors.noise` (Ornstein-Uhlenbeck,
random walk), `sensors.weather`, `sensors.occupancy` and `sensors.room`, `sensors.machines`, `sensors.tracks`,
`sensors.water`, and `sensors.replay` for recorded data.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

MS_PER_S = 1_000
MS_PER_HOUR = 3_600_000
MS_PER_DAY = 86_400_000
DAYS_PER_YEAR = 365.2425  # the mean Gregorian year
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0
_HOURS_PER_DAY = 24.0


class Signal(Protocol):
    """A quantity over time."""

    def value(self, at_ms: int) -> float:
        """Return the value at `at_ms`."""


class SignalError(ValueError):
    """A signal was given a parameter that makes no sense; the message names it and what was expected."""

    def __init__(self, signal: str, parameter: str, expected: str, found: object) -> None:
        self.signal = signal
        self.parameter = parameter
        self.expected = expected
        self.found = found
        super().__init__(f"{signal}: {parameter}: expected {expected}, found {found!r}")


def require_positive(signal: object, **parameters: float) -> None:
    """Raise `SignalError` for the first parameter that is not a finite number above 0."""
    for name, value in parameters.items():
        if not (math.isfinite(value) and value > 0):
            raise SignalError(type(signal).__name__, name, "a finite number above 0", value)


def require_not_negative(signal: object, **parameters: float) -> None:
    """Raise `SignalError` for the first parameter that is not a finite number of at least 0."""
    for name, value in parameters.items():
        if not (math.isfinite(value) and value >= 0):
            raise SignalError(type(signal).__name__, name, "a finite number, at least 0", value)


def local_day(at_ms: int, utc_offset_s: int) -> tuple[int, float]:
    """Return the local day (days since 1970-01-01) and the local hour of that day (0 to below 24)."""
    day, within_ms = divmod(at_ms + utc_offset_s * MS_PER_S, MS_PER_DAY)
    return day, within_ms / MS_PER_HOUR


def weekday(day: int) -> int:
    """Return the day of the week (Monday is 0) of a day counted from 1970-01-01."""
    return (day + _EPOCH_WEEKDAY) % 7


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same `level`."""

    level: float

    def value(self, at_ms: int) -> float:  # noqa: ARG002 - the same at any time
        """Return the level."""
        return self.level


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of its parts."""

    parts: tuple[Signal, ...]

    def value(self, at_ms: int) -> float:
        """Return the sum of the parts' values."""
        return math.fsum([part.value(at_ms) for part in self.parts])


@dataclass(frozen=True, slots=True)
class Scaled:
    """`signal` times `gain` plus `offset`: another unit, or a weaker echo of the same cause."""

    signal: Signal
    gain: float
    offset: float = 0.0

    def value(self, at_ms: int) -> float:
        """Return the scaled value."""
        return self.gain * self.signal.value(at_ms) + self.offset


@dataclass(frozen=True, slots=True)
class Clamped:
    """`signal`, kept within `low` and `high`: what cannot be negative, or cannot pass 100 %RH."""

    signal: Signal
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise SignalError("Clamped", "high", f"a number of at least low ({self.low})", self.high)

    def value(self, at_ms: int) -> float:
        """Return the value, or the bound that it passed."""
        return min(max(self.signal.value(at_ms), self.low), self.high)


@dataclass(frozen=True, slots=True)
class Steps:
    """A level that jumps: `levels` are (from when in ms, level) in order of time; before the first it is `initial`."""

    initial: float
    levels: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        times = [from_ms for from_ms, _ in self.levels]
        if any(later <= earlier for earlier, later in pairwise(times)):
            raise SignalError("Steps", "levels", "times in ascending order", times)

    def value(self, at_ms: int) -> float:
        """Return the level of the last step that was not after `at_ms`."""
        count = bisect_right(self.levels, at_ms, key=lambda step: step[0])
        return self.levels[count - 1][1] if count else self.initial


@dataclass(frozen=True, slots=True)
class DailyCycle:
    """A cosine with a period of one day that peaks at +`amplitude` at `peak_hour` local time."""

    amplitude: float
    peak_hour: float = 15.0
    utc_offset_s: int = 0

    def value(self, at_ms: int) -> float:
        """Return the deviation from the daily mean."""
        _, hour = local_day(at_ms, self.utc_offset_s)
        return self.amplitude * math.cos(2 * math.pi * (hour - self.peak_hour) / _HOURS_PER_DAY)


@dataclass(frozen=True, slots=True)
class SeasonalCycle:
    """A cosine with a period of one year that peaks at +`amplitude`; day 0 of the year is 1 January.

    The default peak is 20 July, when land in the north is warmest.
    """

    amplitude: float
    peak_day: float = 200.0

    def value(self, at_ms: int) -> float:
        """Return the deviation from the yearly mean."""
        days = at_ms / MS_PER_DAY
        return self.amplitude * math.cos(2 * math.pi * (days - self.peak_day) / DAYS_PER_YEAR)


@dataclass(frozen=True, slots=True)
class Daylight:
    """Light from a clear sky through a day of equal length all year: half a sine from sunrise to sunset, else 0."""

    peak: float
    sunrise_hour: float = 6.0
    sunset_hour: float = 18.0
    utc_offset_s: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.sunrise_hour < self.sunset_hour <= _HOURS_PER_DAY:
            raise SignalError("Daylight", "sunset_hour", "an hour after sunrise_hour, at most 24", self.sunset_hour)

    def value(self, at_ms: int) -> float:
        """Return the light at `at_ms`."""
        _, hour = local_day(at_ms, self.utc_offset_s)
        part = (hour - self.sunrise_hour) / (self.sunset_hour - self.sunrise_hour)
        return self.peak * math.sin(math.pi * part) if 0 < part < 1 else 0.0
