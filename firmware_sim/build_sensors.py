"""From configuration to a device's sensors: the parts it has, what they draw, and the signals in front of them.

Raises what the catalogue, a signal or a recording refuses; the caller names the key of the configuration.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from firmware_sim.config import (
    AmbientSignal,
    ConstantSignal,
    CsvSignal,
    DailySignal,
    DeviceGroup,
    FleetConfig,
    SensorConfig,
    WalkSignal,
)
from firmware_sim.sensor_loads import SensorLoads
from sensors.catalogue import Part, find_part, load_parts
from sensors.noise import OrnsteinUhlenbeck, RandomWalk
from sensors.replay import Recording, Replay, TimeFormat, read_recording
from sensors.signals import Constant, DailyCycle, Signal, Sum

TEMPERATE_C = 20.0
_MS_PER_S = 1000


def known_parts(config: FleetConfig) -> Mapping[str, Part]:
    """The catalogue's parts, and the file's own. Raises `DataFileError`, OSError."""
    return _parts(None) if config.parts is None else {**_parts(None), **_parts(config.parts)}


def sensor_loads(group: DeviceGroup, parts: Mapping[str, Part]) -> SensorLoads:
    """What the parts of one device draw. Raises `UnknownPartError`."""
    chosen = ((each.part, each.quantity) for each in group.sensors if each.part is not None)
    return SensorLoads.of((find_part(parts, part), quantity or "") for part, quantity in chosen)


@dataclass(frozen=True, slots=True)
class Ambient:
    """The temperature around a device as a signal."""

    temperature_c: Callable[[int], float] | None
    offset: float

    def value(self, at_ms: int) -> float:
        """Return it, Cel; 20 degrees where the place says nothing."""
        return self.offset + (TEMPERATE_C if self.temperature_c is None else self.temperature_c(at_ms))


def build_signal(sensor: SensorConfig, seed: int, n: int, temperature_c: Callable[[int], float] | None) -> Signal:
    """What the sensor would see. `n`: the device's number in its group; `temperature_c`: what its place says.

    Raises `SignalError`, `RecordingError`.
    """
    match sensor.signal:
        case ConstantSignal() as given:
            return Constant(given.value)
        case DailySignal() as given:
            return Sum(tuple(_daily_parts(given, seed)))
        case AmbientSignal() as given:
            return Ambient(temperature_c, given.offset)
        case WalkSignal() as given:
            return RandomWalk(seed, given.start, given.step_per_sqrt_s, low=given.low, high=given.high)
        case CsvSignal() as given:
            recording = _recording(given.file, given.column, given.time_column, given.time_format, given.utc_offset_s)
            # It starts at 1970, so that what a device measures at an instant does not depend on when it was started.
            offset_ms = _ms(given.stagger_s * n)
            return Replay(recording, 0, offset_ms, given.time_scale, interpolation=given.interpolation)


def _daily_parts(given: DailySignal, seed: int) -> Iterator[Signal]:
    yield Constant(given.mean)
    yield DailyCycle(given.amplitude, given.peak_hour, given.utc_offset_s)
    if given.noise:
        yield OrnsteinUhlenbeck(seed, given.noise, given.noise_tau_s)


@cache
def _recording(file: Path, column: str, time_column: str, time_format: TimeFormat, utc_offset_s: int) -> Recording:
    return read_recording(file, column, time_column=time_column, time_format=time_format, utc_offset_s=utc_offset_s)


_parts = cache(load_parts)


def _ms(seconds: float) -> int:
    return round(seconds * _MS_PER_S)
