"""The weather of many lives at once: each life has its own fronts and clouds, of the law that the fleet's place has.

The deterministic part (season, day, sun, lamps) is one year of hours, worked out by the fleet's own functions; the year
repeats. Fronts are `sensors.weather.WeatherFronts` without their six hours of passage: a level that changes at a random
hour of each four-day spell. Clouds are drawn once a day by `firmware_sim.surroundings.sky_share`'s law.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firmware_sim.battery_supply import HOUR_MS, SUN_STEP_MS
from firmware_sim.forecast.cell_arrays import Floats
from firmware_sim.power_config import HarvestConfig, PlaceConfig, SolarConfig
from firmware_sim.surroundings import SKY_SHARE_MIN, clear_light_w_m2, climate
from sensors.weather import WeatherFronts

HOURS_PER_DAY = 24
DAYS_PER_YEAR = 365  # a forecast's year: the calendar's quarter of a day is lost in the weather
SPELL_DAYS = round(WeatherFronts(0).spacing_s / 86_400)


@dataclass(frozen=True, slots=True)
class Year:
    """One year of a place from the forecast's start: temperature and clear light, a row per day, a column per hour."""

    temperature_c: Floats
    light_w_m2: Floats

    @classmethod
    def at(cls, place: PlaceConfig, harvest: HarvestConfig | None, start_ms: int) -> "Year":
        """Work it out: temperature in the middle of each hour, light as the mean of its quarters."""
        hours = [start_ms + n * HOUR_MS for n in range(DAYS_PER_YEAR * HOURS_PER_DAY)]
        signal = climate(place)
        temperature = np.array([signal.value(at + HOUR_MS // 2) for at in hours])
        light = np.zeros(len(hours))
        if harvest is not None:
            quarters = range(SUN_STEP_MS // 2, HOUR_MS, SUN_STEP_MS)
            light = np.array(
                [sum(clear_light_w_m2(harvest, place, at + q) for q in quarters) / len(quarters) for at in hours]
            )
        shape = DAYS_PER_YEAR, HOURS_PER_DAY
        return cls(temperature.reshape(shape), light.reshape(shape))


class WeatherDays:
    """The weather of so many lives, a day at a time. Every life draws the same count of numbers, dead or alive."""

    def __init__(self, place: PlaceConfig, year: Year, lives: int, rng: np.random.Generator, *, clouds: bool) -> None:
        self._place, self._year, self._rng, self._lives = place, year, rng, lives
        self._clouds = clouds and place.sky.day_spread > 0
        self._sigma = place.ambient.weather_c
        self._before = self._sigma * rng.standard_normal(lives) if self._sigma else np.zeros(lives)
        self._after = self._before
        self._front_hour = np.zeros(lives)

    def day(self, day: int) -> tuple[Floats, Floats, Floats]:
        """Return (temperature, clear light, share of it that the clouds let through): per hour and life, hour, life."""
        of_year = day % DAYS_PER_YEAR
        temperature = np.repeat(self._year.temperature_c[of_year][:, None], self._lives, axis=1)
        if self._sigma:
            temperature += self._fronts(day)
        share = np.full(self._lives, self._place.sky.clear_share)
        if self._clouds:
            share += self._place.sky.day_spread * self._rng.standard_normal(self._lives)
        return temperature, self._year.light_w_m2[of_year], np.clip(share, SKY_SHARE_MIN, 1.0)

    def _fronts(self, day: int) -> Floats:
        if day % SPELL_DAYS == 0:
            self._before = self._after
            self._after = self._sigma * self._rng.standard_normal(self._lives)
            self._front_hour = self._rng.random(self._lives) * SPELL_DAYS * HOURS_PER_DAY
        hours: npt.NDArray[np.int64] = np.arange(HOURS_PER_DAY)[:, None] + day % SPELL_DAYS * HOURS_PER_DAY
        return np.where(hours < self._front_hour, self._before, self._after)


def has_clouds(harvest: HarvestConfig | None) -> bool:
    """Whether clouds come between the light and the panel."""
    return isinstance(harvest, SolarConfig)
