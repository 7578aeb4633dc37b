"""Light into current: where the sun stands, what a clear sky and a lamp give, and what a panel and charger make of it.

Sources: solar position by the low precision formulas of the Astronomical Almanac (page C5; 0.01 degrees from 1950 to
2050), geometric, without refraction; clear sky by B. Haurwitz (J. Meteorology 2 (1945)
154-166) as tested by pvlib. Clouds are the caller's: `sky`, the share of the clear sky's light that arrives.
"""

import math
from dataclasses import dataclass

from firmware_sim.power.errors import PowerValueError
from firmware_sim.power.models import checked

MS_PER_DAY = 86_400_000
J2000_DAYS = 10_957.5  # 2000-01-01 12:00 in days of Unix time
HAURWITZ_W_M2 = 1098.0
HAURWITZ_EXTINCTION = 0.059

LUMEN_PER_WATT = {"white_led": 330.0, "fluorescent": 340.0, "daylight": 115.0}
"""Luminous efficacy of radiation by source: lux over this is W/m2. White LED and fluorescent lamps put their light
where the eye sees (300-350 lm/W); daylight 105-120 lm/W: P. J. Littlefair, Lighting Research and Technology 17 (1985)
162."""


def solar_elevation_deg(at_ms: int, latitude_deg: float, longitude_deg: float) -> float:
    """Return the sun's geometric elevation over the horizon (negative at night).

    `at_ms`: Unix time in ms; latitude north and longitude east positive. Raises PowerValueError off the globe.
    """
    if not (-90 <= latitude_deg <= 90 and -180 <= longitude_deg <= 180):
        raise PowerValueError("latitude_deg, longitude_deg", "-90 to 90 and -180 to 180", (latitude_deg, longitude_deg))
    days = at_ms / MS_PER_DAY - J2000_DAYS
    anomaly = math.radians(357.528 + 0.9856003 * days)
    longitude = 280.460 + 0.9856474 * days + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)
    ecliptic = math.radians(longitude)
    obliquity = math.radians(23.439 - 0.0000004 * days)
    declination = math.asin(math.sin(obliquity) * math.sin(ecliptic))
    right_ascension = math.atan2(math.cos(obliquity) * math.sin(ecliptic), math.cos(ecliptic))
    sidereal_deg = 280.46061837 + 360.98564736629 * days + longitude_deg
    hour_angle = math.radians(sidereal_deg) - right_ascension
    latitude = math.radians(latitude_deg)
    sine = math.sin(latitude) * math.sin(declination)
    sine += math.cos(latitude) * math.cos(declination) * math.cos(hour_angle)
    return math.degrees(math.asin(max(-1.0, min(1.0, sine))))


def clear_sky_w_m2(elevation_deg: float) -> float:
    """Return the global horizontal irradiance of a clear sky by Haurwitz; 0 with the sun down."""
    sine = math.sin(math.radians(elevation_deg))
    return HAURWITZ_W_M2 * sine * math.exp(-HAURWITZ_EXTINCTION / sine) if sine > 0 else 0.0


def indoor_w_m2(illuminance_lux: float, lamp: str = "white_led") -> float:
    """Return the irradiance of a lamp's light. Raises PowerValueError on an unknown lamp."""
    if lamp not in LUMEN_PER_WATT:
        raise PowerValueError("lamp", f"one of {', '.join(LUMEN_PER_WATT)}", lamp)
    return illuminance_lux / LUMEN_PER_WATT[lamp]


@dataclass(frozen=True, slots=True)
class Harvester:
    """A panel that lies flat, and its charger.

    `panel_efficiency`: 0.2 for silicon in the sun, 0.07 for amorphous silicon under a lamp. `charger_efficiency`:
    power into the battery over power from the panel. `start_mw`: the least panel power at which the charger runs.
    """

    area_cm2: float
    panel_efficiency: float
    charger_efficiency: float = 0.85
    start_mw: float = 0.015  # cold start of an energy-harvesting charger (TI BQ25504: 15 uW)

    def __post_init__(self) -> None:
        """Refuse a panel that cannot be."""
        checked("area_cm2", self.area_cm2, 0.0)
        checked("panel_efficiency", self.panel_efficiency, 0.0, 1.0)
        checked("charger_efficiency", self.charger_efficiency, 0.0, 1.0)

    def panel_mw(self, irradiance_w_m2: float) -> float:
        """Return the panel's power: W/m2 is 0.1 mW/cm2."""
        return irradiance_w_m2 * 0.1 * self.area_cm2 * self.panel_efficiency

    def current_ma(self, irradiance_w_m2: float, battery_mv: float, sky: float = 1.0) -> float:
        """Return the current into the battery's terminals, for `Battery.draw(harvest_ma=...)`."""
        power_mw = self.panel_mw(irradiance_w_m2 * sky)
        if power_mw < self.start_mw:
            return 0.0
        return 1000 * power_mw * self.charger_efficiency / checked("battery_mv", battery_mv, 0.0)

    def sun_current_ma(
        self, at_ms: int, latitude_deg: float, longitude_deg: float, battery_mv: float, sky: float = 1.0
    ) -> float:
        """Return the current under the sun at a place and time."""
        irradiance = clear_sky_w_m2(solar_elevation_deg(at_ms, latitude_deg, longitude_deg))
        return self.current_ma(irradiance, battery_mv, sky)
