"""Weather fronts: the air changes every few days, with a step in temperature and a dip in pressure as it passes.

Time is cut into spells of `spacing_s`; in each, one front passes at a random instant and brings air whose temperature
differs from the climate's mean by a random amount. The step is a logistic curve whose middle 76 % takes `passage_s`.
"""

import math
from dataclasses import dataclass

from sensors.noise import OrnsteinUhlenbeck
from sensors.seeds import derive_seed, normal, uniform
from sensors.signals import (
    MS_PER_S,
    Constant,
    DailyCycle,
    SeasonalCycle,
    Signal,
    SignalError,
    Sum,
    require_not_negative,
    require_positive,
)

_SPELLS_EACH_SIDE = 2  # a front further off has fully passed, or not begun, as passage_s is at most spacing_s / 4
_PASSAGE_SHARE_MAX = 0.25
_STANDARD_PRESSURE_PA = 101_325.0  # ISO 2533, sea level


@dataclass(frozen=True, slots=True)
class WeatherFronts:
    """The deviation of the air's temperature from the climate's mean, in the unit of `sigma`.

    `sigma` is the standard deviation of the spells' levels. Defaults: a front every four days, passing in six hours, as
    is usual at 50 degrees north.
    """

    seed: int
    sigma: float = 4.0
    spacing_s: float = 345_600.0
    passage_s: float = 21_600.0

    def __post_init__(self) -> None:
        require_not_negative(self, sigma=self.sigma)
        require_positive(self, spacing_s=self.spacing_s, passage_s=self.passage_s)
        if self.passage_s > self.spacing_s * _PASSAGE_SHARE_MAX:
            raise SignalError("WeatherFronts", "passage_s", "at most a quarter of spacing_s", self.passage_s)

    def passes_at_ms(self, spell: int) -> float:
        """Return when the front of spell number `spell` (from 1970) passes."""
        return (spell + uniform(self.seed, 2 * spell)) * self.spacing_s * MS_PER_S

    def value(self, at_ms: int) -> float:
        """Return the deviation at `at_ms`."""
        first = self.spell(at_ms) - _SPELLS_EACH_SIDE
        level = before = self._level(first - 1)
        for spell in range(first, first + 2 * _SPELLS_EACH_SIDE + 1):
            after = self._level(spell)
            level += (after - before) * _logistic((at_ms - self.passes_at_ms(spell)) / (self.passage_s * MS_PER_S))
            before = after
        return level

    def spell(self, at_ms: int) -> int:
        """Return the number of the spell that holds `at_ms`."""
        return math.floor(at_ms / (self.spacing_s * MS_PER_S))

    def _level(self, spell: int) -> float:
        return self.sigma * normal(self.seed, 2 * spell + 1)


def _logistic(passages: float) -> float:
    """Return how much of a front has passed: 12 % at -0.5 passages, 88 % at +0.5."""
    return 0.5 * (1 + math.tanh(2 * passages))


@dataclass(frozen=True, slots=True)
class FrontPressure:
    """The deviation of air pressure in Pa: a dip of `depth_pa` as each front of `fronts` passes.

    The dip is a bell as wide (standard deviation) as two passages of the front.
    """

    fronts: WeatherFronts
    depth_pa: float = 1_200.0

    def value(self, at_ms: int) -> float:
        """Return the deviation at `at_ms`."""
        width_ms = 2 * self.fronts.passage_s * MS_PER_S
        middle = self.fronts.spell(at_ms)
        spells = range(middle - _SPELLS_EACH_SIDE, middle + _SPELLS_EACH_SIDE + 1)
        return -self.depth_pa * math.fsum(
            math.exp(-0.5 * ((at_ms - self.fronts.passes_at_ms(spell)) / width_ms) ** 2) for spell in spells
        )


@dataclass(frozen=True, slots=True)
class Outdoors:
    """The air outside: temperature in Cel, and pressure in Pa at sea level, that belong together."""

    temperature: Signal
    pressure: Signal


def temperate_outdoors(seed: int, *, mean_cel: float = 10.0, utc_offset_s: int = 0) -> Outdoors:
    """Return a temperate climate: a year of +-9 Cel, a day of +-4 Cel, fronts, and gusts that last minutes."""
    fronts = WeatherFronts(derive_seed(seed, "fronts"))
    return Outdoors(
        temperature=Sum(
            (
                Constant(mean_cel),
                SeasonalCycle(9.0),
                DailyCycle(4.0, utc_offset_s=utc_offset_s),
                fronts,
                OrnsteinUhlenbeck(derive_seed(seed, "gusts"), sigma=0.4, tau_s=1_200.0),
            )
        ),
        pressure=Sum(
            (
                Constant(_STANDARD_PRESSURE_PA),
                FrontPressure(fronts),
                OrnsteinUhlenbeck(derive_seed(seed, "pressure"), sigma=400.0, tau_s=172_800.0),
            )
        ),
    )
