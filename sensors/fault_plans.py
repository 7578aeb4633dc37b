"""When a sensor's faults happen: at set times, or at random with a rate.

Random faults come as a Poisson process per kind and last an exponential time. They are made day by day from the seed:
any day can be asked about without its past, and is the same whoever asks first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sensors.faults import Episode, Fault, FaultError
from sensors.seeds import derive_seed, uniform
from sensors.signals import MS_PER_DAY, MS_PER_S

PER_DAY_MAX = 10_000.0  # a fault every nine seconds; a day's episodes are held in memory
DURATION_MAX_S = 604_800.0  # a week: how many days back the plan looks for episodes that still last
_DAYS_BACK = math.ceil(DURATION_MAX_S * MS_PER_S / MS_PER_DAY)
_DRAWS_PER_EPISODE = 3


class Schedule:
    """Faults at set times."""

    def __init__(self, episodes: Sequence[Episode]) -> None:
        self._episodes = tuple(sorted(episodes, key=lambda episode: episode.start_ms))

    def episodes_at(self, at_ms: int) -> Sequence[Episode]:
        """Return the episodes that hold `at_ms`, in order of their start."""
        return [episode for episode in self._episodes if episode.start_ms <= at_ms < episode.end_ms]


@dataclass(frozen=True, slots=True)
class FaultRate:
    """A fault that comes `per_day` times a day on average and lasts `mean_duration_s` on average, at most a week.

    Faults with sides (drift, offset, spike) err to either side with equal chance.
    """

    fault: Fault
    per_day: float
    mean_duration_s: float

    def __post_init__(self) -> None:
        if not 0 <= self.per_day <= PER_DAY_MAX:
            raise FaultError("FaultRate", "per_day", f"a number from 0 to {PER_DAY_MAX:g}", self.per_day)
        if not 0 < self.mean_duration_s <= DURATION_MAX_S:
            expected = f"a number above 0, at most {DURATION_MAX_S:g}"
            raise FaultError("FaultRate", "mean_duration_s", expected, self.mean_duration_s)


class RandomFaults:
    """Faults at random, each kind with its rate."""

    def __init__(self, seed: int, rates: Sequence[FaultRate]) -> None:
        self._seed = seed
        self._rates = tuple(rates)
        self._day: int | None = None
        self._touching_day: tuple[Episode, ...] = ()

    def starting_on(self, day: int) -> tuple[Episode, ...]:
        """Return the episodes that start on day `day` (since 1970-01-01, UTC), in order of their start."""
        episodes = [episode for number, rate in enumerate(self._rates) for episode in self._of_rate(number, rate, day)]
        return tuple(sorted(episodes, key=lambda episode: episode.start_ms))

    def episodes_at(self, at_ms: int) -> Sequence[Episode]:
        """Return the episodes that hold `at_ms`, in order of their start."""
        day = at_ms // MS_PER_DAY
        if day != self._day:
            days = range(day - _DAYS_BACK, day + 1)
            recent = [episode for earlier in days for episode in self.starting_on(earlier)]
            self._touching_day = tuple(episode for episode in recent if episode.end_ms > day * MS_PER_DAY)
            self._day = day
        return [episode for episode in self._touching_day if episode.start_ms <= at_ms < episode.end_ms]

    def _of_rate(self, number: int, rate: FaultRate, day: int) -> list[Episode]:
        if rate.per_day == 0:
            return []
        seed = derive_seed(self._seed, str(number), rate.fault.label, str(day))
        episodes: list[Episode] = []
        start_days = _exponential(seed, 0) / rate.per_day
        while start_days < 1:
            first = _DRAWS_PER_EPISODE * len(episodes)
            duration_s = min(_exponential(seed, first + 1) * rate.mean_duration_s, DURATION_MAX_S)
            start_ms = math.floor((day + start_days) * MS_PER_DAY)
            fault = rate.fault if uniform(seed, first + 2) < 1 / 2 else rate.fault.mirrored()
            episodes.append(Episode(fault, start_ms, start_ms + max(1, round(duration_s * MS_PER_S))))
            start_days += _exponential(seed, first + _DRAWS_PER_EPISODE) / rate.per_day
        return episodes


def _exponential(seed: int, index: int) -> float:
    """Return number `index` of the stream, exponentially distributed with mean 1."""
    return -math.log(uniform(seed, index))
