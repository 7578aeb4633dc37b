"""What is around a device: how warm it is, and what light falls on its panel, at any instant.

Pure functions of time, like all of `sensors.signals`: the same place and seed give the same weather to every device
that stands there, in any order of asking. Light comes as W/m2; `Harvester` makes a current of it.
"""

from dataclasses import dataclass
from functools import lru_cache

from firmware_sim.power import sun
from firmware_sim.power.harvest import Harvester, indoor_w_m2
from firmware_sim.power_config import HarvestConfig, IndoorConfig, PlaceConfig, SkyConfig, SolarConfig
from sensors.seeds import derive_seed, normal
from sensors.signals import Constant, DailyCycle, SeasonalCycle, Signal, Sum, local_day, weekday
from sensors.weather import WeatherFronts

SKY_SHARE_MIN = 0.05  # the darkest day still lets this share of a clear sky's light through (heavy overcast)
SATURDAY = 5
WARM_AIR_SIGMAS = 2.0  # one front in forty-four is warmer: a few days in a year


@dataclass(frozen=True, slots=True)
class Panel:
    """A harvester and what shines on it."""

    harvester: Harvester
    config: SolarConfig | IndoorConfig

    @classmethod
    def of(cls, config: HarvestConfig) -> "Panel":
        """Make it. Raises PowerValueError."""
        return cls(
            Harvester(config.area_cm2, config.panel_efficiency, config.charger_efficiency, config.start_mw), config
        )


def climate(place: PlaceConfig) -> Signal:
    """Return the temperature without the weather, Cel."""
    ambient = place.ambient
    return Sum(
        (
            Constant(ambient.mean_c),
            SeasonalCycle(ambient.season_c, ambient.warmest_day),
            DailyCycle(ambient.day_c, ambient.warmest_hour, place.utc_offset_s),
        )
    )


@lru_cache(maxsize=256)
def sun_panel(config: SolarConfig, place: PlaceConfig) -> sun.Panel:
    """Return the panel under its sky."""
    return sun.Panel(
        place.latitude_deg or 0.0,
        place.longitude_deg or 0.0,
        place.altitude_m,
        config.tilt_deg,
        config.azimuth_deg,
        place.sky.model,
    )


def clear_light_w_m2(config: HarvestConfig, place: PlaceConfig, at_ms: int) -> float:
    """Return the light on the panel under a clear sky, or under the lamps. A sun needs the place's coordinates."""
    if isinstance(config, SolarConfig):
        return sun_panel(config, place).light_w_m2(at_ms)
    day, hour = local_day(at_ms, place.utc_offset_s)
    dark = not config.from_hour <= hour < config.to_hour or (config.workdays_only and weekday(day) >= SATURDAY)
    return 0.0 if dark else indoor_w_m2(config.illuminance_lux, config.lamp)


def sky_share(sky: SkyConfig, deviation: float) -> float:
    """Return the share of light that a day's clouds let through; `deviation` is that day's standard normal number."""
    return min(1.0, max(SKY_SHARE_MIN, sky.clear_share + sky.day_spread * deviation))


class Surroundings:
    """One place, with its weather."""

    def __init__(self, place: PlaceConfig, seed: int, panel: Panel | None = None) -> None:
        self.panel = panel
        self._place = place
        self._climate = climate(place)
        sigma = place.ambient.weather_c
        self._fronts = WeatherFronts(derive_seed(seed, "fronts"), sigma) if sigma else None
        self._sky_seed = derive_seed(seed, "sky")

    def temperature_c(self, at_ms: int) -> float:
        """Return the temperature of the air, Cel."""
        base_c = self._climate.value(at_ms)
        return base_c if self._fronts is None else base_c + self._fronts.value(at_ms)

    @property
    def warmest_c(self) -> float:
        """As warm as it gets, with warm air; it may be warmer once in a while."""
        ambient = self._place.ambient
        return ambient.mean_c + ambient.season_c + ambient.day_c + WARM_AIR_SIGMAS * ambient.weather_c

    def light_w_m2(self, at_ms: int) -> float:
        """Return the light on the panel; 0 without one."""
        if self.panel is None:
            return 0.0
        light = clear_light_w_m2(self.panel.config, self._place, at_ms)
        if light == 0 or isinstance(self.panel.config, IndoorConfig):
            return light
        day, _ = local_day(at_ms, self._place.utc_offset_s)
        return light * sky_share(self._place.sky, normal(self._sky_seed, day))
