"""The sun on a panel under a clear sky, by pvlib: where the sun stands, what the sky gives, what falls on the panel's
plane.

pvlib (with NumPy, SciPy and pandas) is the optional extra `solar`, imported when the first panel needs it. It works on
arrays: light is made for a month of quarter hours at a time and kept, so that a device or a forecast only looks it up.
Figures are rounded to 0.01 W/m2, so that another machine's last bit does not make another fleet.

Sources: sun's position by NREL's SPA (Reda and Andreas 2003), with refraction at the place's altitude; clear sky by
Ineichen and Perez (2002) with pvlib's monthly turbidity, or Haurwitz (1945) split by Erbs (1982); sky light on the
plane by Hay and Davies (1980), ground albedo 0.25.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal

from firmware_sim.power.errors import PowerError

ClearSky = Literal["ineichen", "haurwitz"]

STEP_MS = 900_000
"""A quarter of an hour: the sun moves 4 degrees."""

BLOCK_STEPS = 32 * 96
"""A month of them: pvlib takes as long for one as for some hundreds."""

BLOCKS_MAX = 512
"""Kept at once: a year of some forty different panels and places; 25 KB each."""

DIGITS = 2


class SolarLibraryMissingError(PowerError):
    """A panel under the sun, and no pvlib. Who must act: whoever installed Tidegate."""

    def __init__(self) -> None:
        super().__init__("a solar panel needs pvlib, expected it installed: pip install 'tidegate[solar]'")


@dataclass(frozen=True, slots=True)
class Panel:
    """A plane under the sky: where, and how it is turned. `tilt_deg` 0 lies flat; `azimuth_deg` 180 looks south."""

    latitude_deg: float
    longitude_deg: float
    altitude_m: float = 0.0
    tilt_deg: float = 0.0
    azimuth_deg: float = 180.0
    clear_sky: ClearSky = "ineichen"

    def light_w_m2(self, at_ms: int) -> float:
        """Return the light on the plane in the middle of the quarter hour that holds an instant (Unix time).

        Raises `SolarLibraryMissingError`.
        """
        block, step = divmod(at_ms // STEP_MS, BLOCK_STEPS)
        return _block(self, block)[step]


def require_pvlib() -> None:
    """Raise `SolarLibraryMissingError` where it is not installed."""
    _pvlib()


def haurwitz_w_m2(elevation_deg: float) -> float:
    """Return the global horizontal irradiance of Haurwitz's clear sky, as `Panel` takes it."""
    pvlib, pd = _pvlib()
    return float(pvlib.clearsky.haurwitz(pd.Series([90.0 - elevation_deg]))["ghi"].iloc[0])


@cache
def _pvlib() -> tuple[Any, Any]:
    """pvlib and pandas; neither has types."""
    try:
        import pandas as pd
        import pvlib
    except ImportError as error:
        raise SolarLibraryMissingError from error
    return pvlib, pd


@lru_cache(BLOCKS_MAX)
def _block(panel: Panel, block: int) -> tuple[float, ...]:
    pvlib, pd = _pvlib()
    first_ms = block * BLOCK_STEPS * STEP_MS + STEP_MS // 2
    times = pd.to_datetime([first_ms + n * STEP_MS for n in range(BLOCK_STEPS)], unit="ms", utc=True)
    place = pvlib.location.Location(panel.latitude_deg, panel.longitude_deg, altitude=panel.altitude_m)
    sun = place.get_solarposition(times)
    if panel.clear_sky == "ineichen":
        sky = place.get_clearsky(times, model="ineichen", solar_position=sun)
    else:
        sky = pvlib.clearsky.haurwitz(sun["apparent_zenith"])
        split = pvlib.irradiance.erbs(sky["ghi"], sun["zenith"], times)
        sky = sky.assign(dni=split["dni"], dhi=split["dhi"])
    total = pvlib.irradiance.get_total_irradiance(
        panel.tilt_deg,
        panel.azimuth_deg,
        sun["apparent_zenith"],
        sun["azimuth"],
        sky["dni"],
        sky["ghi"],
        sky["dhi"],
        dni_extra=pvlib.irradiance.get_extra_radiation(times),
        model="haydavies",
    )["poa_global"]
    return tuple(total.fillna(0.0).clip(lower=0.0).round(DIGITS).tolist())
