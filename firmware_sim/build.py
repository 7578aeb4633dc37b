"""From configuration to devices: everything that can be wrong with a fleet is found here, before a socket opens."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from firmware_sim.board import Board, FaultTruth, Probe
from firmware_sim.build_power import ambient_temperature, build_supply
from firmware_sim.build_radio import Ethers, build_radio, message_limits
from firmware_sim.build_sensors import build_probe, known_parts, sensor_loads
from firmware_sim.build_signals import Spot
from firmware_sim.config import DeviceGroup, FleetConfig, SensorConfig
from firmware_sim.device import Device
from firmware_sim.device_clock import ClockSpec
from firmware_sim.device_radio import DeviceRadio
from firmware_sim.device_spec import DeviceSpec, FirmwareSpec, Observer
from firmware_sim.failures import NO_FAILURES, FailureRates, Failures
from firmware_sim.flash import NoMedium
from firmware_sim.outbox import Flash
from firmware_sim.power import PowerDataError, PowerError
from firmware_sim.radio.errors import RadioError
from firmware_sim.sender import SenderSpec
from firmware_sim.supply import Supply
from sensors.catalogue import UnknownPartError, UnknownQuantityError
from sensors.faults import FaultError
from sensors.reading import Reading
from sensors.replay import RecordingError
from sensors.seeds import derive_seed
from sensors.signals import SignalError
from sensors.tables import DataFileError

_MS_PER_S = 1000


class FleetError(ValueError):
    """A configuration that is well-formed and still makes no fleet; names the key. Who must act: its author."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key


class GroundTruth(Protocol):
    """Who hears what really happened: `faults` were at work in the sample."""

    def measured(self, reading: Reading, at_ms: int, faults: tuple[FaultTruth, ...]) -> None:
        """A device measured and stored this."""

    def missed(self, device: str, at_ms: int, faults: tuple[FaultTruth, ...]) -> None:
        """A device got nothing out of its sensors, so that there is no reading."""


SupplyOf = Callable[[FleetConfig, DeviceGroup, int], Supply]


def build_fleet(
    config: FleetConfig,
    flash: Flash,
    observer: Observer,
    *,
    first_boot: int,
    started_ms: int = 0,
    on_ms: int | None = None,
    supply_of: SupplyOf = build_supply,
    ground: GroundTruth | None = None,
) -> list[Device]:
    """The devices, switched off. `first_boot`: see `Flash.outbox`; `started_ms`: from when traces and steps count;
    `on_ms`: when they are switched on (again), if that is not the same.

    `ground` hears, beside the observer, of the faults that were at work. `supply_of` makes each device's supply; a
    forecast puts a meter there. Raises `FleetError` (unknown part, quantity, cell or board; a recording that cannot be
    read).
    """
    ethers: Ethers = {}
    on_ms = started_ms if on_ms is None else on_ms
    return [
        _device(
            _Place(config, at, group, n, started_ms, on_ms, supply_of, ethers, ground),
            name,
            flash,
            observer,
            first_boot,
        )
        for at, group in enumerate(config.devices)
        for n, name in enumerate(group.device_names())
    ]


def check_fleet(config: FleetConfig) -> None:
    """Find everything that is wrong with a fleet, without running it. Raises `FleetError`."""
    build_fleet(config, Flash(NoMedium()), nobody, first_boot=1)


def nobody(_reading: Reading, _at_ms: int) -> None:
    """Whoever is not told by the device itself: hears and says nothing."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Which device of the configuration is being built."""

    config: FleetConfig
    at: int
    group: DeviceGroup
    n: int
    started_ms: int
    on_ms: int
    supply_of: SupplyOf
    ethers: Ethers
    ground: GroundTruth | None

    def key(self, *names: str) -> str:
        """The dotted key of something in its group."""
        return ".".join(("devices", str(self.at), *names))


def _device(place: _Place, name: str, flash: Flash, observer: Observer, first_boot: int) -> Device:
    group = place.group
    rng = Random(derive_seed(place.config.seed, name, "device"))  # noqa: S311 - a model's randomness, not a secret's
    outbox = flash.outbox(name, bytes_max=group.outbox.bytes_max, policy=group.outbox.policy, first_boot=first_boot)
    spec, board = _spec(place, name, rng), _board(place, name)
    return Device(
        spec,
        outbox,
        board,
        rng,
        supply=_supply(place),
        observer=_told(observer, place.ground, board),
        missed=_missed(name, place.ground, board),
        radio=_radio(place, name),
        temperature_c=ambient_temperature(place.config, group),
        failures=_failures(place, name),
    )


def _failures(place: _Place, name: str) -> Failures:
    given = place.group.failures
    if not (given.resets_per_day or given.breaks_per_year):
        return NO_FAILURES
    rng = Random(derive_seed(place.config.seed, name, "failures"))  # noqa: S311 - a model's randomness
    return Failures(FailureRates(given.resets_per_day, given.breaks_per_year), rng, place.started_ms)


def _told(observer: Observer, ground: GroundTruth | None, board: Board) -> Observer:
    if ground is None:
        return observer

    def told(reading: Reading, at_ms: int) -> None:
        observer(reading, at_ms)
        ground.measured(reading, at_ms, board.faults)

    return told


def _missed(name: str, ground: GroundTruth | None, board: Board) -> Callable[[int], None] | None:
    return None if ground is None else lambda at_ms: ground.missed(name, at_ms, board.faults)


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
        clock=ClockSpec(
            ppm, group.clock.source, group.clock.sync_error_ms, group.clock.ageing_ppm_per_year, place.started_ms
        ),
        sender=SenderSpec(window, pack, _ms(ack_timeout_s), send.acknowledge),
    )


def _supply(place: _Place) -> Supply:
    try:
        return place.supply_of(place.config, place.group, place.on_ms)
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


def _board(place: _Place, name: str) -> Board:
    board = Board([_probe(place, at, sensor, name) for at, sensor in enumerate(place.group.sensors)])
    takes_ms = sensor_loads(place.group, known_parts(place.config)).sense_ms(0)
    if takes_ms > _ms(place.group.interval_s):
        problem = f"expected at least {takes_ms / _MS_PER_S:g}, which its slowest part takes, found "
        raise FleetError(place.key("interval_s"), f"{problem}{place.group.interval_s:g}")
    return board


def _probe(place: _Place, at: int, sensor: SensorConfig, device: str) -> Probe:
    config, group = place.config, place.group
    key = place.key("sensors", str(at))
    where = group.place or config.place
    spot = Spot(
        seed=derive_seed(config.seed, device, sensor.value_name),
        fleet_seed=config.seed,
        device=device,
        n=place.n,
        place="fleet" if group.place is None else group.name,
        utc_offset_s=where.utc_offset_s,
        started_ms=place.started_ms,
        temperature_c=ambient_temperature(config, group),
        rooms=config.rooms,
        tracks=config.tracks,
    )
    try:
        return build_probe(sensor, known_parts(config), spot)
    except (DataFileError, OSError) as error:
        raise FleetError("parts", str(error)) from error
    except FaultError as error:
        raise FleetError(f"{key}.faults", str(error)) from error
    except (UnknownPartError, UnknownQuantityError, SignalError, RecordingError) as error:
        raise FleetError(key, str(error)) from error


def _ms(seconds: float) -> int:
    return round(seconds * _MS_PER_S)
