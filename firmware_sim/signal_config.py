"""What there is to measure, as configuration: the signals of `sensors`, a model for each kind, and what several share.

Models only, like `firmware_sim.config`; `firmware_sim.build_signals` makes signals of them. Hours are the place's own.
"""

from collections.abc import Callable, Sized
from itertools import pairwise
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from firmware_sim.companions import CompanionFile
from firmware_sim.config_model import ConfigModel
from sensors.occupancy import PEOPLE_MAX
from sensors.replay import Interpolation, TimeFormat
from sensors.water import DRAWS_PER_DAY_MAX

_Items = TypeVar("_Items", bound=Sized)
Hour = Annotated[float, Field(ge=0, le=24)]
Weekday = Annotated[int, Field(ge=0, le=6)]


def _at_least(count: int) -> Callable[[_Items], _Items]:
    """A minimum length that is looked at last: pydantic's own would add "too short" to every mistake inside."""

    def checked(items: _Items) -> _Items:
        if len(items) < count:
            raise ValueError(f"expected at least {count}, found {len(items)}")
        return items

    return checked


class ConstantSignal(ConfigModel):
    """Always the same value."""

    kind: Literal["constant"]
    value: float


class DailySignal(ConfigModel):
    """A daily cosine about `mean`, with slow noise (Ornstein-Uhlenbeck) of standard deviation `noise`."""

    kind: Literal["daily"]
    mean: float
    amplitude: float
    peak_hour: float = Field(default=15.0, ge=0, lt=24)
    utc_offset_s: int = 0
    noise: float = Field(default=0.0, ge=0)
    noise_tau_s: float = Field(default=1800.0, gt=0)


class SeasonalSignal(ConfigModel):
    """A yearly cosine about `mean`."""

    kind: Literal["seasonal"]
    mean: float
    amplitude: float
    peak_day: float = Field(default=200.0, ge=0, le=366)


class DaylightSignal(ConfigModel):
    """Light of a clear sky: half a sine from sunrise to sunset, else 0."""

    kind: Literal["daylight"]
    peak: float = Field(gt=0)
    sunrise_hour: Hour = 6.0
    sunset_hour: Hour = 18.0


class NoiseSignal(ConfigModel):
    """Ornstein-Uhlenbeck noise about 0, which forgets in `tau_s`."""

    kind: Literal["noise"]
    sigma: float = Field(ge=0)
    tau_s: float = Field(default=1800.0, gt=0)


class FrontSignal(ConfigModel):
    """What weather fronts do to the air's temperature, about 0; the same fronts for all devices of a place."""

    kind: Literal["front"]
    sigma: float = Field(ge=0)
    spacing_s: float = Field(default=345_600.0, gt=0)
    passage_s: float = Field(default=21_600.0, gt=0)


class FrontPressureSignal(ConfigModel):
    """The dip of air pressure, in Pa about 0, as each of these fronts passes."""

    kind: Literal["front-pressure"]
    depth_pa: float = Field(default=1200.0, ge=0)
    spacing_s: float = Field(default=345_600.0, gt=0)
    passage_s: float = Field(default=21_600.0, gt=0)


class AmbientSignal(ConfigModel):
    """The temperature around the device, as its `place` has it; `offset` is added (a warm wall, a cold floor)."""

    kind: Literal["ambient"]
    offset: float = 0.0


class WalkSignal(ConfigModel):
    """A random walk between `low` and `high`."""

    kind: Literal["walk"]
    start: float
    step_per_sqrt_s: float = Field(gt=0)
    low: float
    high: float

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if not self.low < self.high or not self.low <= self.start <= self.high:
            raise ValueError(
                f"expected low <= start <= high and low < high, found {self.low}, {self.start}, {self.high}"
            )
        return self


class StepConfig(ConfigModel):
    """From `from_s` since the fleet's start on it is `value`."""

    from_s: float = Field(ge=0)
    value: float


class StepsSignal(ConfigModel):
    """A level that jumps; with `loop_s` it begins again."""

    kind: Literal["steps"]
    initial: float
    steps: Annotated[tuple[StepConfig, ...], AfterValidator(_at_least(1))]
    loop_s: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        times = [step.from_s for step in self.steps]
        if any(later <= earlier for earlier, later in pairwise(times)):
            raise ValueError(f"steps: expected from_s rising from step to step, found {times}")
        if self.loop_s is not None and self.loop_s <= times[-1]:
            raise ValueError(f"loop_s: expected more than the last from_s, {times[-1]:g}, found {self.loop_s:g}")
        return self


class _People(ConfigModel):
    """Who is there when: see `sensors.occupancy.Occupancy`. Weekdays: 0 is Monday."""

    people: int = Field(default=4, ge=0, le=PEOPLE_MAX)
    arrive_hour: Hour = 8.5
    lunch_hour: Hour = 12.25
    lunch_h: float = Field(default=0.75, ge=0)
    leave_hour: Hour = 17.0
    spread_h: float = Field(default=0.4, ge=0)
    presence: float = Field(default=0.85, ge=0, le=1)
    workdays: tuple[Weekday, ...] = (0, 1, 2, 3, 4)


class OccupancySignal(_People):
    """`empty`, and `per_person` for each who is there: people in a hall, a car over a magnetometer."""

    kind: Literal["occupancy"]
    empty: float = 0.0
    per_person: float = 1.0


class RoomSignal(ConfigModel):
    """One quantity of a room of `rooms`: all sensors in it agree."""

    kind: Literal["room"]
    room: str = Field(min_length=1)
    quantity: Literal["co2", "temperature", "humidity", "light", "door", "people"]


class BearingConfig(ConfigModel):
    """A defect of a bearing's outer race that begins `from_s` after the fleet's start, and grows."""

    balls: int = Field(gt=0)
    ball_diameter_mm: float = Field(gt=0)
    pitch_diameter_mm: float = Field(gt=0)
    contact_angle_deg: float = Field(default=0.0, ge=0, lt=90)
    from_s: float = Field(default=0.0, ge=0)
    growth_m_s2_per_day: float = Field(ge=0)


class MachineSignal(ConfigModel):
    """Vibration of a rotating machine in m/s2: its level (root mean square), or the wave itself."""

    kind: Literal["machine"]
    quantity: Literal["level", "acceleration"]
    speed_rpm: float = Field(gt=0)
    harmonics_m_s2: Annotated[tuple[float, ...], AfterValidator(_at_least(1))]
    noise_m_s2: float = Field(default=0.0, ge=0)
    on_s: float = Field(default=3600.0, gt=0)
    off_s: float = Field(default=0.0, ge=0)
    stagger_s: float = 0.0
    bearing: BearingConfig | None = None


class TrackSignal(ConfigModel):
    """One quantity of a drive of `tracks`; `stagger_s` puts each further device of the group ahead on it."""

    kind: Literal["track"]
    track: str = Field(min_length=1)
    quantity: Literal["latitude", "longitude", "speed"]
    stagger_s: float = 0.0


class WaterSignal(ConfigModel):
    """Water drawn through the day: its flow in l/s, or the litres that a meter has counted since the fleet's start."""

    kind: Literal["water"]
    quantity: Literal["flow", "volume"]
    litres_per_day: float = Field(default=120.0, gt=0)
    draws_per_day: int = Field(default=40, ge=1, le=DRAWS_PER_DAY_MAX)
    flow_l_s: float = Field(default=0.12, gt=0)
    first_hour: Hour = 6.0
    last_hour: Hour = 22.0


class CsvSignal(ConfigModel):
    """One column of a recording, repeated for ever. `stagger_s` shifts each further device of the group into it."""

    kind: Literal["csv"]
    file: CompanionFile
    column: str = Field(min_length=1)
    time_column: str = Field(min_length=1)
    time_format: TimeFormat = TimeFormat.ISO
    utc_offset_s: int = 0
    time_scale: float = Field(default=1.0, gt=0)
    stagger_s: float = 0.0
    interpolation: Interpolation = Interpolation.LINEAR


class SumSignal(ConfigModel):
    """The sum of other signals, kept between `floor` and `ceiling`."""

    kind: Literal["sum"]
    parts: Annotated[tuple["SignalConfig", ...], AfterValidator(_at_least(1))]
    floor: float | None = None
    ceiling: float | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.floor is not None and self.ceiling is not None and self.ceiling <= self.floor:
            raise ValueError(f"ceiling: expected more than floor, {self.floor:g}, found {self.ceiling:g}")
        return self


SignalConfig = Annotated[
    ConstantSignal
    | DailySignal
    | SeasonalSignal
    | DaylightSignal
    | NoiseSignal
    | FrontSignal
    | FrontPressureSignal
    | AmbientSignal
    | WalkSignal
    | StepsSignal
    | OccupancySignal
    | RoomSignal
    | MachineSignal
    | TrackSignal
    | WaterSignal
    | CsvSignal
    | SumSignal,
    Field(discriminator="kind"),
]
SumSignal.model_rebuild()  # its parts are named by now: who walks the fields of models is to see them, too


class RoomConfig(_People):
    """A room whose people drive its CO2, warmth, moisture, lamps and door: see `sensors.room.Room`.

    `shared`: all devices that name it are in this one room; else each has one of its own, of this kind.
    """

    name: str = Field(min_length=1)
    shared: bool = False
    base_c: float = 21.0
    outdoor_humidity_percent: float = Field(default=75.0, ge=0, le=100)
    daylight_lx: float = Field(default=400.0, gt=0)
    sunrise_hour: Hour = 6.0
    sunset_hour: Hour = 18.0
    volume_m3: float = Field(default=50.0, gt=0)
    air_changes_per_h: float = Field(default=1.5, gt=0)
    heat_capacity_kj_k: float = Field(default=1500.0, gt=0)
    heat_loss_w_k: float = Field(default=60.0, gt=0)
    lamps_lx: float = Field(default=450.0, ge=0)
    door_open_s: float = Field(default=20.0, gt=0)


class WaypointConfig(ConfigModel):
    """A place in degrees, and how long to stop there."""

    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)
    stop_s: float = Field(default=0.0, ge=0)


class TrackConfig(ConfigModel):
    """A drive along waypoints, begun with the fleet: see `sensors.tracks.Track`."""

    name: str = Field(min_length=1)
    waypoints: Annotated[tuple[WaypointConfig, ...], AfterValidator(_at_least(2))]
    speed_m_s: float = Field(gt=0)
    loop: bool = True
