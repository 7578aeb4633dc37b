"""From configuration to the signal in front of a sensor.

Raises `SignalError` and `RecordingError` with the parameter that is wrong; the caller names the key of the sensor.

What belongs together has one seed: the rooms and tracks of a fleet, the fronts over a place, a device's machine and its
people. What is random about one sensor alone has the sensor's own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from firmware_sim.signal_config import (
    AmbientSignal,
    ConstantSignal,
    CsvSignal,
    DailySignal,
    DaylightSignal,
    FrontPressureSignal,
    FrontSignal,
    MachineSignal,
    NoiseSignal,
    OccupancySignal,
    RoomConfig,
    RoomSignal,
    SeasonalSignal,
    SignalConfig,
    StepsSignal,
    SumSignal,
    TrackConfig,
    TrackSignal,
    WalkSignal,
    WaterSignal,
)
from sensors.machines import BearingDefect, Machine, VibrationLevel
from sensors.noise import OrnsteinUhlenbeck, RandomWalk
from sensors.occupancy import Occupancy
from sensors.replay import Recording, Replay, TimeFormat, read_recording
from sensors.room import Room
from sensors.seeds import derive_seed
from sensors.signals import (
    Clamped,
    Constant,
    DailyCycle,
    Daylight,
    Scaled,
    SeasonalCycle,
    Signal,
    SignalError,
    Steps,
    Sum,
)
from sensors.tracks import Track, Waypoint
from sensors.water import MeterVolume, WaterUse
from sensors.weather import FrontPressure, WeatherFronts

TEMPERATE_C = 20.0
_MS_PER_S = 1000
_Named = TypeVar("_Named", RoomConfig, TrackConfig)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a sensor is, and what it shares with others. `seed`: its own; `n`: its device's number in the group."""

    seed: int
    fleet_seed: int
    device: str
    n: int
    place: str
    utc_offset_s: int
    started_ms: int
    temperature_c: Callable[[int], float] | None
    rooms: tuple[RoomConfig, ...]
    tracks: tuple[TrackConfig, ...]

    def seed_of(self, *names: str) -> int:
        """The seed of something that several sensors share."""
        return derive_seed(self.fleet_seed, *names)


@dataclass(frozen=True, slots=True)
class Ambient:
    """The temperature around a device as a signal."""

    temperature_c: Callable[[int], float] | None
    offset: float

    def value(self, at_ms: int) -> float:
        """Return it, Cel; 20 degrees where the place says nothing."""
        return self.offset + (TEMPERATE_C if self.temperature_c is None else self.temperature_c(at_ms))


@dataclass(frozen=True, slots=True)
class Looped:
    """`signal` from `start_ms` on, over and over every `loop_ms`."""

    signal: Signal
    start_ms: int
    loop_ms: int

    def value(self, at_ms: int) -> float:
        """Return what the signal said in its first round."""
        return self.signal.value(self.start_ms + (at_ms - self.start_ms) % self.loop_ms)


def build_signal(given: SignalConfig, spot: Spot) -> Signal:
    """What the sensor would see. Raises `SignalError`, `RecordingError`."""
    match given:
        case ConstantSignal():
            return Constant(given.value)
        case DailySignal():
            return Sum(tuple(_daily_parts(given, spot.seed)))
        case WalkSignal():
            return RandomWalk(spot.seed, given.start, given.step_per_sqrt_s, low=given.low, high=given.high)
        case CsvSignal():
            return _replay(given, spot)
        case NoiseSignal():
            return OrnsteinUhlenbeck(spot.seed, given.sigma, given.tau_s)
        case StepsSignal():
            return _steps(given, spot)
        case SumSignal():
            # Each part has a seed of its own, or two noises would be one.
            parts = tuple(
                build_signal(part, _with_seed(spot, derive_seed(spot.seed, "part", str(at))))
                for at, part in enumerate(given.parts)
            )
            low = float("-inf") if given.floor is None else given.floor
            return Clamped(Sum(parts), low, float("inf") if given.ceiling is None else given.ceiling)
        case _:
            return _outdoors(given, spot)


def _outdoors(given: SignalConfig, spot: Spot) -> Signal:
    match given:
        case SeasonalSignal():
            return Sum((Constant(given.mean), SeasonalCycle(given.amplitude, given.peak_day)))
        case DaylightSignal():
            return Daylight(given.peak, given.sunrise_hour, given.sunset_hour, spot.utc_offset_s)
        case FrontSignal():
            return _fronts(spot, given.sigma, given.spacing_s, given.passage_s)
        case FrontPressureSignal():
            return FrontPressure(_fronts(spot, 0.0, given.spacing_s, given.passage_s), given.depth_pa)
        case AmbientSignal():
            return Ambient(spot.temperature_c, given.offset)
        case _:
            return _indoors(given, spot)


def _indoors(given: SignalConfig, spot: Spot) -> Signal:
    match given:
        case OccupancySignal():
            people = _occupancy(given, spot.seed_of(spot.device, "people"), spot.utc_offset_s)
            return Scaled(people, given.per_person, given.empty)
        case RoomSignal():
            return _room(given, spot)
        case MachineSignal():
            return _machine(given, spot)
        case TrackSignal():
            return _track(given, spot)
        case WaterSignal():
            return _water(given, spot)
    raise SignalError("signal", "kind", "a kind that this module builds", given.kind)


def _daily_parts(given: DailySignal, seed: int) -> Iterator[Signal]:
    yield Constant(given.mean)
    yield DailyCycle(given.amplitude, given.peak_hour, given.utc_offset_s)
    if given.noise:
        yield OrnsteinUhlenbeck(seed, given.noise, given.noise_tau_s)


def _with_seed(spot: Spot, seed: int) -> Spot:
    return Spot(**{name: getattr(spot, name) for name in Spot.__slots__} | {"seed": seed})


def _steps(given: StepsSignal, spot: Spot) -> Signal:
    steps = Steps(given.initial, tuple((spot.started_ms + _ms(step.from_s), step.value) for step in given.steps))
    return steps if given.loop_s is None else Looped(steps, spot.started_ms, _ms(given.loop_s))


def _fronts(spot: Spot, sigma: float, spacing_s: float, passage_s: float) -> WeatherFronts:
    return WeatherFronts(spot.seed_of("fronts", spot.place), sigma, spacing_s, passage_s)


def _occupancy(given: OccupancySignal | RoomConfig, seed: int, utc_offset_s: int) -> Occupancy:
    return Occupancy(
        seed,
        given.people,
        arrive_hour=given.arrive_hour,
        lunch_hour=given.lunch_hour,
        lunch_h=given.lunch_h,
        leave_hour=given.leave_hour,
        spread_h=given.spread_h,
        presence=given.presence,
        workdays=given.workdays,
        utc_offset_s=utc_offset_s,
    )


def _room(given: RoomSignal, spot: Spot) -> Signal:
    config = _named(spot.rooms, given.room, "room")
    whose = () if config.shared else (spot.device,)
    room = Room(
        occupancy=_occupancy(config, spot.seed_of("room", config.name, *whose), spot.utc_offset_s),
        base_cel=Constant(config.base_c),
        outdoor_cel=Ambient(spot.temperature_c, 0.0),
        outdoor_humidity=Constant(config.outdoor_humidity_percent),
        daylight_lx=Daylight(config.daylight_lx, config.sunrise_hour, config.sunset_hour, spot.utc_offset_s),
        volume_m3=config.volume_m3,
        air_changes_per_h=config.air_changes_per_h,
        heat_capacity_kj_k=config.heat_capacity_kj_k,
        heat_loss_w_k=config.heat_loss_w_k,
        lamps_lx=config.lamps_lx,
        door_open_s=config.door_open_s,
    )
    quantities: dict[str, Signal] = {
        "co2": room.co2,
        "temperature": room.temperature,
        "humidity": room.humidity,
        "light": room.light,
        "door": room.door,
        "people": room.occupancy,
    }
    return quantities[given.quantity]


def _machine(given: MachineSignal, spot: Spot) -> Signal:
    bearing = given.bearing
    defect = None
    if bearing is not None:
        defect = BearingDefect(
            bearing.balls,
            bearing.ball_diameter_mm,
            bearing.pitch_diameter_mm,
            spot.started_ms + _ms(bearing.from_s),
            bearing.growth_m_s2_per_day,
            bearing.contact_angle_deg,
        )
    machine = Machine(
        spot.seed_of(spot.device, "machine"),
        given.speed_rpm,
        given.harmonics_m_s2,
        noise_m_s2=given.noise_m_s2,
        on_s=given.on_s,
        off_s=given.off_s,
        start_ms=_ms(given.stagger_s * spot.n),
        defect=defect,
    )
    return VibrationLevel(machine) if given.quantity == "level" else machine


def _track(given: TrackSignal, spot: Spot) -> Signal:
    config = _named(spot.tracks, given.track, "track")
    track = Track(
        tuple(Waypoint(each.lat, each.lon, each.stop_s) for each in config.waypoints),
        config.speed_m_s,
        start_ms=spot.started_ms - _ms(given.stagger_s * spot.n),
        loop=config.loop,
    )
    return {"latitude": track.latitude, "longitude": track.longitude, "speed": track.speed}[given.quantity]


def _water(given: WaterSignal, spot: Spot) -> Signal:
    use = WaterUse(
        spot.seed_of(spot.device, "water"),
        given.litres_per_day,
        given.draws_per_day,
        given.flow_l_s,
        given.first_hour,
        given.last_hour,
        spot.utc_offset_s,
    )
    return use if given.quantity == "flow" else MeterVolume(use, spot.started_ms)


def _replay(given: CsvSignal, spot: Spot) -> Signal:
    recording = _recording(given.file, given.column, given.time_column, given.time_format, given.utc_offset_s)
    # It starts at 1970, so that what a device measures at an instant does not depend on when it was started.
    offset_ms = _ms(given.stagger_s * spot.n)
    return Replay(recording, 0, offset_ms, given.time_scale, interpolation=given.interpolation)


def _named(known: Sequence[_Named], name: str, what: str) -> _Named:
    found = next((each for each in known if each.name == name), None)
    if found is None:
        names = ", ".join(each.name for each in known)
        raise SignalError("signal", what, f"one of {names}" if names else f"a name in {what}s, which has none", name)
    return found


@cache
def _recording(file: Path, column: str, time_column: str, time_format: TimeFormat, utc_offset_s: int) -> Recording:
    return read_recording(file, column, time_column=time_column, time_format=time_format, utc_offset_s=utc_offset_s)


def _ms(seconds: float) -> int:
    return round(seconds * _MS_PER_S)
