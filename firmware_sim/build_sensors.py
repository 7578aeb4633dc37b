"""From configuration to a device's sensors: the parts it has, what they draw, and its board of probes.

Raises what the catalogue, a signal, a fault or a recording refuses; the caller names the key of the configuration.
"""

from collections.abc import Mapping, Sequence
from functools import cache

from firmware_sim.board import Probe
from firmware_sim.build_signals import Spot, build_signal
from firmware_sim.config import DeviceGroup, FleetConfig, SensorConfig
from firmware_sim.fault_config import (
    DriftFault,
    DropoutFault,
    FaultConfig,
    OffsetFault,
    SaturationFault,
    SpikeFault,
    StuckFault,
)
from firmware_sim.sensor_loads import SensorLoads
from sensors.catalogue import Part, find_part, load_parts
from sensors.fault_plans import FaultRate, RandomFaults, Schedule
from sensors.faults import (
    Drift,
    Dropout,
    Episode,
    Fault,
    FaultInjector,
    FaultPlan,
    Offset,
    Saturation,
    Spike,
    Stuck,
    SwappedUnit,
)
from sensors.seeds import derive_seed
from sensors.transducer import Transducer

_MS_PER_S = 1000
_FOR_EVER_MS = 2**53  # after any instant that a device lives to see


def known_parts(config: FleetConfig) -> Mapping[str, Part]:
    """The catalogue's parts, and the file's own. Raises `DataFileError`, OSError."""
    return _parts(None) if config.parts is None else {**_parts(None), **_parts(config.parts)}


def sensor_loads(group: DeviceGroup, parts: Mapping[str, Part]) -> SensorLoads:
    """What the parts of one device draw. Raises `UnknownPartError`."""
    chosen = ((each.part, each.quantity) for each in group.sensors if each.part is not None)
    return SensorLoads.of((find_part(parts, part), quantity or "") for part, quantity in chosen)


def build_probe(sensor: SensorConfig, parts: Mapping[str, Part], spot: Spot) -> Probe:
    """One sensor. Raises `SignalError`, `RecordingError`, `FaultError`, `UnknownPartError`, `UnknownQuantityError`."""
    signal = build_signal(sensor.signal, spot)
    unit, transducer = sensor.unit or "", None
    if sensor.part is not None:
        quantity = find_part(parts, sensor.part).quantity(sensor.quantity or "")
        unit, transducer = quantity.unit, Transducer(quantity, derive_seed(spot.seed, "transducer"))
    plans = _plans(sensor.faults, unit, spot)
    return Probe(sensor.value_name, unit, signal, transducer, FaultInjector(plans) if plans else None)


def _plans(faults: Sequence[FaultConfig], unit: str, spot: Spot) -> list[FaultPlan]:
    mine = [(at, given) for at, given in enumerate(faults) if not given.only or spot.n + 1 in given.only]
    return [_plan(given, _fault(given, unit), derive_seed(spot.seed, "fault", str(at)), spot) for at, given in mine]


def _plan(given: FaultConfig, fault: Fault, seed: int, spot: Spot) -> FaultPlan:
    if given.per_day is not None:
        return RandomFaults(seed, [FaultRate(fault, given.per_day, given.lasts_s or 0.0)])
    start_ms = spot.started_ms + round((given.from_s or 0.0) * _MS_PER_S)
    end_ms = _FOR_EVER_MS if given.lasts_s is None else start_ms + max(1, round(given.lasts_s * _MS_PER_S))
    return Schedule([Episode(fault, start_ms, end_ms)])


def _fault(given: FaultConfig, unit: str) -> Fault:
    match given:
        case StuckFault():
            return Stuck()
        case DriftFault():
            return Drift(given.per_hour)
        case OffsetFault():
            return Offset(given.by)
        case SpikeFault():
            return Spike(given.by)
        case DropoutFault():
            return Dropout()
        case SaturationFault():
            return Saturation(given.low, given.high)
        case _:
            return SwappedUnit(unit)


_parts = cache(load_parts)
