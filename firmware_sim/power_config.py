"""What feeds a group of devices, as configuration: its battery, its harvester, the place it stands at, and the spread
between devices that a forecast draws from.

Models only, like `firmware_sim.config`; `firmware_sim.build_power` makes supplies of them.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from firmware_sim.config_model import ConfigModel
from firmware_sim.power.cells import COLDEST_C, WARMEST_C
from firmware_sim.power.harvest import LUMEN_PER_WATT
from firmware_sim.power.sun import ClearSky

Share = Annotated[float, Field(gt=0, le=1)]
WEATHER_SIGMAS = 6.0  # how far a front may be off: one in five hundred million goes further


class BatteryConfig(ConfigModel):
    """A cell of the battery catalogue feeding a board of the board catalogue (see `firmware_sim.power`).

    `model`: ideal, peukert, kibam or rakhmatov, where the cell has figures for it; None: the cell's own.
    `capacity_mah`: the same chemistry in another size. `series_resistance_ohm`: contacts, wires, protection.
    """

    cell: str
    board: str
    model: str | None = None
    capacity_mah: float | None = Field(default=None, gt=0)
    series_resistance_ohm: float = Field(default=0.0, ge=0)
    state_of_charge: float = Field(default=1.0, gt=0, le=1)
    report_every: int = Field(default=1, ge=1)
    low_percent: float = Field(default=0.0, ge=0, le=100)
    low_stretch: int = Field(default=1, ge=1, le=100)


class AmbientConfig(ConfigModel):
    """The temperature around the devices: a mean, a season, a day and the fronts between (see `sensors.weather`).

    `season_c` and `day_c` are half of peak to trough, `weather_c` the standard deviation of the air that fronts bring.
    """

    mean_c: float = Field(default=20.0, ge=-60, le=100)
    season_c: float = Field(default=0.0, ge=0, le=60)
    day_c: float = Field(default=0.0, ge=0, le=60)
    weather_c: float = Field(default=0.0, ge=0, le=20)
    warmest_day: float = Field(default=200.0, ge=0, le=366)
    warmest_hour: float = Field(default=15.0, ge=0, lt=24)

    @model_validator(mode="after")
    def _survivable(self) -> Self:
        way_c = self.season_c + self.day_c + WEATHER_SIGMAS * self.weather_c
        low_c, high_c = self.mean_c - way_c, self.mean_c + way_c
        if low_c < COLDEST_C or high_c > WARMEST_C:
            raise ValueError(
                f"expected mean, season, day and {WEATHER_SIGMAS:g} times weather between {COLDEST_C:g} and"
                f" {WARMEST_C:g} degrees, found {low_c:g} to {high_c:g}"
            )
        return self


class SkyConfig(ConfigModel):
    """Clouds: the share of a clear sky's light that arrives, on average, and its standard deviation from day to day.

    `model`: whose clear sky; see `firmware_sim.power.sun`.
    """

    clear_share: Share = 0.6
    day_spread: float = Field(default=0.2, ge=0, le=1)
    model: ClearSky = "ineichen"


class PlaceConfig(ConfigModel):
    """Where devices stand. The sun needs both coordinates; `utc_offset_s` says when it is 15 o'clock there."""

    latitude_deg: float | None = Field(default=None, ge=-90, le=90)
    longitude_deg: float | None = Field(default=None, ge=-180, le=180)
    altitude_m: float = Field(default=0.0, ge=-500, le=9000)
    utc_offset_s: int = Field(default=0, ge=-50_400, le=50_400)
    ambient: AmbientConfig = AmbientConfig()
    sky: SkyConfig = SkyConfig()

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.latitude_deg is None) != (self.longitude_deg is None):
            raise ValueError("expected latitude_deg and longitude_deg together, or neither")
        return self


class _Harvest(ConfigModel):
    """What all harvesters take."""

    area_cm2: float = Field(gt=0)
    charger_efficiency: Share = 0.85
    start_mw: float = Field(default=0.015, ge=0)


class SolarConfig(_Harvest):
    """A panel under the sky of the place; `tilt_deg` 0 lies flat, `azimuth_deg` 180 looks south. Needs pvlib."""

    kind: Literal["solar"]
    panel_efficiency: Share = 0.2
    tilt_deg: float = Field(default=0.0, ge=0, le=90)
    azimuth_deg: float = Field(default=180.0, ge=0, le=360)


class IndoorConfig(_Harvest):
    """A panel under lamps that burn at the place's local hours."""

    kind: Literal["indoor"]
    illuminance_lux: float = Field(gt=0)
    panel_efficiency: Share = 0.07
    lamp: str = "white_led"
    from_hour: float = Field(default=8.0, ge=0, lt=24)
    to_hour: float = Field(default=18.0, gt=0, le=24)
    workdays_only: bool = True

    @field_validator("lamp")
    @classmethod
    def _known(cls, lamp: str) -> str:
        if lamp not in LUMEN_PER_WATT:
            raise ValueError(f"expected one of {', '.join(LUMEN_PER_WATT)}")
        return lamp

    @field_validator("to_hour")
    @classmethod
    def _later(cls, to_hour: float, info: ValidationInfo) -> float:
        if to_hour <= info.data.get("from_hour", 0.0):
            raise ValueError(f"expected an hour after from_hour, {info.data['from_hour']:g}")
        return to_hour


HarvestConfig = Annotated[SolarConfig | IndoorConfig, Field(discriminator="kind")]


class SpreadConfig(ConfigModel):
    """How devices of one type differ, each a standard deviation; a forecast draws every life from these.

    `capacity`, `self_discharge` and `harvest` (dirt, shade, tilt) are shares, `temperature_c` how much warmer or colder
    one device's own spot is.
    """

    capacity: float = Field(default=0.03, ge=0, le=0.3)
    self_discharge: float = Field(default=0.2, ge=0, le=1)
    harvest: float = Field(default=0.1, ge=0, le=0.5)
    temperature_c: float = Field(default=1.0, ge=0, le=20)
