"""Water use: draws of water through the day, as flow and as the count of a meter that only goes up."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from sensors.seeds import derive_seed, uniform
from sensors.signals import MS_PER_DAY, MS_PER_HOUR, MS_PER_S, SignalError, require_positive

DRAWS_PER_DAY_MAX = 1_000  # every question looks at each draw of the day
_DAYS_CACHED = 4_096  # some thousand meters with their current day; a forgotten day is made again, the same
_HOURS_PER_DAY = 24.0


@dataclass(frozen=True, slots=True)
class WaterUse:
    """The flow of water in l/s: `draws_per_day` draws between two hours of the day, `litres_per_day` together.

    The sizes of the draws are random, their sum is not: so the meter's reading at any instant is known without
    counting all days before it. Draws at the same time add up. `volume` is the meter.
    """

    seed: int
    litres_per_day: float = 120.0
    draws_per_day: int = 40
    flow_l_s: float = 0.12
    first_hour: float = 6.0
    last_hour: float = 22.0
    utc_offset_s: int = 0

    def __post_init__(self) -> None:
        require_positive(self, litres_per_day=self.litres_per_day, flow_l_s=self.flow_l_s)
        if not 1 <= self.draws_per_day <= DRAWS_PER_DAY_MAX:
            raise SignalError(
                "WaterUse", "draws_per_day", f"a number from 1 to {DRAWS_PER_DAY_MAX}", self.draws_per_day
            )
        if not 0 <= self.first_hour < self.last_hour <= _HOURS_PER_DAY:
            raise SignalError("WaterUse", "last_hour", "an hour after first_hour, at most 24", self.last_hour)
        longest_h = self.litres_per_day / self.flow_l_s * MS_PER_S / MS_PER_HOUR
        if longest_h >= self.last_hour - self.first_hour:
            raise SignalError("WaterUse", "flow_l_s", "a flow that gives litres_per_day in time", self.flow_l_s)

    def value(self, at_ms: int) -> float:
        """Return the flow at `at_ms`."""
        day, within_ms = self._day(at_ms)
        return self.flow_l_s * sum(draw.start_ms <= within_ms < draw.end_ms for draw in _draws_of_day(self, day))

    def drawn_l(self, at_ms: int) -> float:
        """Return the litres drawn from 1970 to `at_ms`; it never falls."""
        day, within_ms = self._day(at_ms)
        draws = _draws_of_day(self, day)
        running_ms = math.fsum(min(max(within_ms - draw.start_ms, 0.0), draw.end_ms - draw.start_ms) for draw in draws)
        # The parts of a day may add up to a hair more than the whole: the next day must not begin below it.
        return day * self.litres_per_day + min(running_ms / MS_PER_S * self.flow_l_s, self.litres_per_day)

    def _day(self, at_ms: int) -> tuple[int, int]:
        """Return the local day and the milliseconds since its midnight."""
        return divmod(at_ms + self.utc_offset_s * MS_PER_S, MS_PER_DAY)


class _Draw(NamedTuple):
    """One draw of water; times are within its day."""

    start_ms: float
    end_ms: float


@lru_cache(maxsize=_DAYS_CACHED)
def _draws_of_day(use: WaterUse, day: int) -> tuple[_Draw, ...]:
    seed = derive_seed(use.seed, "day", str(day))
    shares = [-math.log(uniform(seed, 2 * draw)) for draw in range(use.draws_per_day)]
    whole = math.fsum(shares)
    draws = []
    for draw, share in enumerate(shares):
        length_ms = share / whole * use.litres_per_day / use.flow_l_s * MS_PER_S
        spare_ms = (use.last_hour - use.first_hour) * MS_PER_HOUR - length_ms
        start_ms = use.first_hour * MS_PER_HOUR + uniform(seed, 2 * draw + 1) * spare_ms
        draws.append(_Draw(start_ms, start_ms + length_ms))
    return tuple(draws)


@dataclass(frozen=True, slots=True)
class MeterVolume:
    """The reading in litres of a meter that was put in at `start_ms` with 0."""

    use: WaterUse
    start_ms: int

    def value(self, at_ms: int) -> float:
        """Return the meter's reading at `at_ms`; 0 before it was put in."""
        return max(self.use.drawn_l(at_ms) - self.use.drawn_l(self.start_ms), 0.0)
