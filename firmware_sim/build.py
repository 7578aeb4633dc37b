"""From configuration to devices: everything that can be wrong with a fleet is found here, before a socket opens."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from firmware_sim.build_power import ambient_temperature, build_supply
from firmware_sim.build_radio import Ethers, build_radio, message_limits
from firmware_sim.build_sensors import build_signal, known_parts, sensor_loads
from firmware_sim.config import DeviceGroup, FleetConfig, SensorConfig
from firmware_sim.device import Device
from firmware_sim.device_clock import ClockSpec
from firmware_sim.device_radio import DeviceRadio
from firmware_sim.device_spec import DeviceSpec, FirmwareSpec, Measure, Observer
from firmware_sim.flash import NoMedium
from firmware_sim.outbox import Flash
from firmware_sim.power import PowerDataError, PowerError
from firmware_sim.radio.errors import RadioError
from firmware_sim.sender import SenderSpec
from firmware_sim.supply import Supply
from sensors.catalogue import UnknownPartError, UnknownQuantityError, find_part
from sensors.reading import Reading, Value
from sensors.replay import RecordingError
from sensors.seeds import derive_seed
from sensors.signals import SignalError
from sensors.tables import DataFileError
from sensors.transducer import Transducer

_MS_PER_S = 1000


class FleetError(ValueError):
    """A configuration that is well-formed and still makes no fleet; names the key. Who must act: its author."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key


SupplyOf = Callable[[FleetConfig, DeviceGroup, int], Supply]


def build_fleet(
    config: FleetConfig,
    flash: Flash,
    observer: Observer,
    *,
    first_boot: int,
    started_ms: int = 0,
    supply_of: SupplyOf = build_supply,
) -> list[Device]:
    """The devices, switched off. `first_boot`: see `Flash.outbox`; `started_ms`: from when links' traces count.

    `supply_of` makes each device's supply; a forecast puts a meter there. Raises `FleetError` (unknown part, quantity,
    cell or board; a recording that cannot be read).
    """
    ethers: Ethers = {}
    return [
        _device(_Place(config, at, group, n, started_ms, supply_of, ethers), name, flash, observer, first_boot)
        for at, group in enumerate(config.devices)
        for n, name in enumerate(group.device_names())
    ]


def check_fleet(config: FleetConfig) -> None:
    """Find everything that is wrong with a fleet, without running it. Raises `FleetError`."""
    build_fleet(config, Flash(NoMedium()), _nobody, first_boot=1)


def _nobody(_reading: Reading, _at_ms: int) -> None:
    """Nothing is measured: the fleet is built to be checked."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Which device of the configuration is being built."""

    config: FleetConfig
    at: int
    group: DeviceGroup
    n: int
    started_ms: int
    supply_of: SupplyOf
    ethers: Ethers

    def key(self, *names: str) -> str:
        """The dotted key of something in its group."""
        return ".".join(("devices", str(self.at), *names))


def _device(place: _Place, name: str, flash: Flash, observer: Observer, first_boot: int) -> Device:
    group = place.group
    rng = Random(derive_seed(place.config.seed, name, "device"))  # noqa: S311 - a model's randomness, not a secret's
    outbox = flash.outbox(name, bytes_max=group.outbox.bytes_max, policy=group.outbox.policy, first_boot=first_boot)
    spec, measure = _spec(place, name, rng), _measure(place, name)
    return Device(
        spec,
        outbox,
        measure,
        rng,
        supply=_supply(place),
        observer=observer,
        radio=_radio(place, name),
        temperature_c=ambient_temperature(place.config, group),
    )


def _spec(place: _Place, name: str, rng: Random) -> DeviceSpec:
    group, send = place.group, place.group.send
    ppm = group.clock.ppm + rng.uniform(-group.clock.ppm_spread, group.clock.ppm_spread)
    # The answer comes in real time: at speed 60 a gateway that takes 1 s takes a minute of the device's.
    ack_timeout_s = send.ack_timeout_s * max(1.0, place.config.speed)
    battery = group.battery
    pack, window = _message_limits(place)
    window_s = send.receive_window_s if group.radio is None else 0.0  # a radio's exchange holds its receive windows
    return DeviceSpec(
        name=name,
        interval_ms=_ms(group.interval_s),
        jitter_ms=_ms(group.jitter_s),
        batch=send.batch,
        delta=group.delta,
        heartbeat_ms=None if group.heartbeat_s is None else _ms(group.heartbeat_s),
        receive_window_ms=None if window_s is None else _ms(window_s),
        battery_every=battery.report_every if battery else 1,
        low_battery_percent=battery.low_percent if battery else 0.0,
        low_battery_stretch=battery.low_stretch if battery else 1,
        encoding=send.encoding,
        firmware=FirmwareSpec(
            group.firmware.version, group.firmware.type, group.firmware.public_key, group.firmware.slot_bytes_max
        ),
        clock=ClockSpec(ppm=ppm, source=group.clock.source, sync_error_ms=group.clock.sync_error_ms),
        sender=SenderSpec(window, pack, _ms(ack_timeout_s), send.acknowledge),
    )


def _supply(place: _Place) -> Supply:
    try:
        return place.supply_of(place.config, place.group, place.started_ms)
    except PowerDataError as error:  # a file of the user's own parts: the message names file and key
        raise FleetError("cells or boards", str(error)) from error
    except (PowerError, OSError) as error:
        raise FleetError(place.key("battery"), str(error)) from error


def _radio(place: _Place, name: str) -> DeviceRadio | None:
    given = place.group.radio
    if given is None:
        return None
    rng = Random(derive_seed(place.config.seed, name, "radio"))  # noqa: S311 - a model's randomness
    try:
        return build_radio(given, rng, place.started_ms, place.ethers)
    except (RadioError, OSError) as error:
        raise FleetError(place.key("radio"), str(error)) from error


def _message_limits(place: _Place) -> tuple[int, int]:
    send = place.group.send
    try:
        return message_limits(place.group.radio, send.pack, send.window)
    except RadioError as error:
        raise FleetError(place.key("radio"), str(error)) from error


def _measure(place: _Place, name: str) -> Measure:
    sensors = [_sensor(place, at, sensor, name) for at, sensor in enumerate(place.group.sensors)]
    takes_ms = sensor_loads(place.group, known_parts(place.config)).sense_ms(0)
    if takes_ms > _ms(place.group.interval_s):
        problem = f"expected at least {takes_ms / _MS_PER_S:g}, which its slowest part takes, found "
        raise FleetError(place.key("interval_s"), f"{problem}{place.group.interval_s:g}")

    def measure(at_ms: int) -> tuple[Value, ...]:
        return tuple(sensor(at_ms) for sensor in sensors)

    return measure


def _sensor(place: _Place, at: int, sensor: SensorConfig, device: str) -> Callable[[int], Value]:
    key = place.key("sensors", str(at))
    seed = derive_seed(place.config.seed, device, sensor.value_name)
    try:
        signal = build_signal(sensor, seed, place.n, ambient_temperature(place.config, place.group))
        parts = known_parts(place.config)
        quantity = None if sensor.part is None else find_part(parts, sensor.part).quantity(sensor.quantity or "")
    except (DataFileError, OSError) as error:
        raise FleetError("parts", str(error)) from error
    except (UnknownPartError, UnknownQuantityError, SignalError, RecordingError) as error:
        raise FleetError(key, str(error)) from error
    value_name = sensor.value_name
    if quantity is None:
        unit = sensor.unit
        return lambda at_ms: Value(value_name, signal.value(at_ms), unit)
    transducer, unit = Transducer(quantity, derive_seed(seed, "transducer")), quantity.unit
    return lambda at_ms: Value(value_name, transducer.measure(at_ms, signal.value(at_ms)), unit)


def _ms(seconds: float) -> int:
    return round(seconds * _MS_PER_S)
