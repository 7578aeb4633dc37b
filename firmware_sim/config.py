"""The fleet's configuration: what devices there are, what they measure, and where they publish.

Models only (frozen, unknown keys refused); the front door reads TOML and environment into them. An error names the key
and what was expected.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import AwareDatetime, Field, SecretStr, field_validator, model_validator

from firmware_sim.companions import CompanionFile
from firmware_sim.config_model import ConfigModel
from firmware_sim.device_clock import TimeSource
from firmware_sim.fault_config import FaultConfig
from firmware_sim.outbox import OUTBOX_BYTES_MIN, FullPolicy
from firmware_sim.power_config import BatteryConfig, HarvestConfig, PlaceConfig, SpreadConfig
from firmware_sim.radio_config import RadioConfig
from firmware_sim.sender import Acknowledge
from firmware_sim.signal_config import RoomConfig, SignalConfig, TrackConfig
from sensors.firmware import IMAGE_BYTES_MAX, check_public_key, version_key
from sensors.senml import UNIT_BYTES_MAX, VALUES_MAX, Encoding
from sensors.topics import DEFAULT_ROOT, check_level, check_root

DEVICES_MAX = 100_000  # ten times the size that was measured at real-time rate; memory is about 10 KB a device
OUTBOX_BYTES_DEFAULT = 256 * 1024  # the spare part of a 1 MB NOR flash: some 2,000 readings
SENSORS_MAX = VALUES_MAX - 5  # of one reading; the battery adds five values
INTERVAL_S_MAX = 366 * 86_400.0  # a rarer reading is a slip, and a forecast would live for centuries to see some
VIRTUAL_START = datetime(2026, 1, 1, tzinfo=UTC)  # fixed, so that two runs of one file measure the same days
RESETS_PER_DAY_MAX = 1440.0  # once a minute: a firmware that hardly gets as far as its first reading
BREAKS_PER_YEAR_MAX = 1000.0  # within the first hours, for tests of what a fleet does without them
SPEED_MAX = 10_000.0  # a day in nine seconds; beyond it the real gateway and broker are the limit


class TlsConfig(ConfigModel):
    """TLS to the broker. Without `ca_file` the system's authorities are trusted."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("expected cert_file and key_file together, or neither")
        return self


class MqttConfig(ConfigModel):
    """The broker, and how the fleet is connected to it.

    `connections = "per-device"`: one MQTT client per device, each with its last will. `"shared"`: one client carries
    all devices, as a radio gateway does, for large fleets; MQTT has one will per client, so then there is none.
    """

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=1883, ge=1, le=65535)
    protocol: Literal["5", "3.1.1"] = "5"
    username: str | None = None
    password: SecretStr | None = None
    tls: TlsConfig | None = None
    connections: Literal["per-device", "shared"] = "per-device"
    client_id: str = Field(default="tidegate-fleet", min_length=1, max_length=64)
    topic_root: str = DEFAULT_ROOT
    keepalive_s: int = Field(default=60, ge=4, le=65535)
    session_expiry_s: int = Field(default=7 * 24 * 3600, ge=0, le=2**32 - 1)

    @field_validator("topic_root")
    @classmethod
    def _root(cls, root: str) -> str:
        return check_root(root)


class SensorConfig(ConfigModel):
    """One measured value: a quantity of a catalogue part, or, without one, the signal itself under `name`, `unit`."""

    signal: SignalConfig
    faults: tuple[FaultConfig, ...] = ()
    part: str | None = None
    quantity: str | None = None
    name: str | None = Field(default=None, min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9\-:._]*$")
    unit: str | None = Field(default=None, min_length=1, max_length=UNIT_BYTES_MAX)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.part is None) != (self.quantity is None):
            raise ValueError("expected part and quantity together, or neither")
        if self.part is None and self.name is None:
            raise ValueError("expected name, where there is no part to take it from")
        if self.part is None and self.unit is None:
            raise ValueError("expected unit, where there is no part to take it from ('/' if it has none)")
        if self.part is not None and self.unit is not None:
            raise ValueError("expected no unit beside part: the catalogue has it")
        return self

    @property
    def value_name(self) -> str:
        """The name of its value in the readings."""
        return self.name or self.quantity or ""


class ClockConfig(ConfigModel):
    """The devices' clocks; each device's ppm is drawn evenly from `ppm` +- `ppm_spread`, and its crystal ages from the
    fleet's start on."""

    ppm: float = Field(default=0.0, ge=-1000, le=1000)
    ppm_spread: float = Field(default=0.0, ge=0, le=1000)
    ageing_ppm_per_year: float = Field(default=0.0, ge=-100, le=100)
    source: TimeSource = TimeSource.NETWORK
    sync_error_ms: int = Field(default=0, ge=0, le=60_000)


class OutboxConfig(ConfigModel):
    """Each device's part of the flash."""

    bytes_max: int = Field(default=OUTBOX_BYTES_DEFAULT, ge=OUTBOX_BYTES_MIN)
    policy: FullPolicy = FullPolicy.DROP_OLDEST


class SendConfig(ConfigModel):
    """How a device sends. `acknowledge = "broker"` is for brokers without a Tidegate gateway behind them."""

    batch: int = Field(default=1, ge=1, le=1024)
    window: int = Field(default=4, ge=1, le=64)
    pack: int = Field(default=32, ge=1, le=1024)
    ack_timeout_s: float = Field(default=30.0, gt=0)
    receive_window_s: float | None = Field(default=None, gt=0)
    acknowledge: Acknowledge = Acknowledge.GATEWAY
    encoding: Encoding = Encoding.JSON


class FirmwareConfig(ConfigModel):
    """What the devices left the factory with, and whose updates they take: without `public_key` (hex), nobody's."""

    version: str = "1.0.0"
    type: str = Field(default="tidegate-sim", min_length=1, max_length=64)
    public_key: str | None = None
    slot_bytes_max: int = Field(default=1024 * 1024, ge=4096, le=IMAGE_BYTES_MAX)

    @field_validator("version")
    @classmethod
    def _numbers(cls, version: str) -> str:
        version_key(version)
        return version

    @field_validator("public_key")
    @classmethod
    def _key(cls, public_key: str | None) -> str | None:
        return None if public_key is None else check_public_key(public_key)


class FailureConfig(ConfigModel):
    """How often each device of the group fails, on average: its watchdog bites, or the board breaks for ever."""

    resets_per_day: float = Field(default=0.0, ge=0, le=RESETS_PER_DAY_MAX)
    breaks_per_year: float = Field(default=0.0, ge=0, le=BREAKS_PER_YEAR_MAX)


class DeviceGroup(ConfigModel):
    """`count` devices of one kind, called `name` or, when there are more, `name-1`, `name-2`, ... (zero-filled)."""

    name: str
    count: int = Field(default=1, ge=1, le=DEVICES_MAX)
    interval_s: float = Field(default=60.0, ge=0.01, le=INTERVAL_S_MAX)
    jitter_s: float = Field(default=0.0, ge=0)
    delta: dict[str, float] = Field(default_factory=dict)
    heartbeat_s: float | None = Field(default=None, gt=0)
    sensors: tuple[SensorConfig, ...]
    battery: BatteryConfig | None = None
    harvest: HarvestConfig | None = None
    place: PlaceConfig | None = None
    radio: RadioConfig | None = None
    clock: ClockConfig = ClockConfig()
    outbox: OutboxConfig = OutboxConfig()
    firmware: FirmwareConfig = FirmwareConfig()
    failures: FailureConfig = FailureConfig()
    send: SendConfig = SendConfig()

    @field_validator("name")
    @classmethod
    def _level(cls, name: str) -> str:
        return check_level(name, "device name")

    @field_validator("sensors")
    @classmethod
    def _some(cls, sensors: tuple[SensorConfig, ...]) -> tuple[SensorConfig, ...]:
        # A min_length here would add "too short" to every mistake inside a sensor.
        if not 1 <= len(sensors) <= SENSORS_MAX:
            raise ValueError(f"expected 1 to {SENSORS_MAX} sensors, found {len(sensors)}")
        return sensors

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.jitter_s >= self.interval_s:
            raise ValueError(f"jitter_s is {self.jitter_s}: expected less than interval_s, {self.interval_s}")
        names = [sensor.value_name for sensor in self.sensors]
        if len(set(names)) != len(names):
            raise ValueError(f"sensors: expected each name once, found {', '.join(names)}")
        if self.harvest is not None and self.battery is None:
            raise ValueError("harvest: expected battery beside it, to be charged")
        if self.radio is not None and self.send.receive_window_s is not None:
            raise ValueError("send.receive_window_s: expected none beside radio, which has receive windows of its own")
        only = {n for sensor in self.sensors for fault in sensor.faults for n in fault.only}
        if only and not 1 <= min(only) <= max(only) <= self.count:
            raise ValueError(f"sensors: faults: only: expected numbers from 1 to {self.count}, found {sorted(only)}")
        unknown = sorted(set(self.delta) - set(names))
        if unknown:
            raise ValueError(f"delta: expected names of sensors ({', '.join(names)}), found {', '.join(unknown)}")
        return self

    def device_names(self) -> list[str]:
        """The names of its devices, in order."""
        if self.count == 1:
            return [self.name]
        width = len(str(self.count))
        return [check_level(f"{self.name}-{n:0{width}d}", "device name") for n in range(1, self.count + 1)]


class FleetConfig(ConfigModel):
    """A fleet. Without `data_dir` the devices' flash lasts as long as the process.

    `speed`: device seconds per real second. `drain_s`: how long a clean stop waits for everything to be acknowledged.
    `measure_s`: in real time, the fleet stops by itself after so much device time; what falls due before is measured.
    `truth_file`: NDJSON of every reading that was measured. `virtual_start`: when time starts in virtual time (at speed
    `max`); in real time it starts now. `cells`, `boards`, `parts`: files of your own, beside the catalogues (see
    docs/models-power.md, docs/sensors.md). `place`: where groups without a `place` of their own stand. `rooms`,
    `tracks`: what signals of several sensors share.
    """

    site: str = "site"
    seed: int = Field(default=1, ge=0, le=2**63 - 1)
    speed: float = Field(default=1.0, gt=0, le=SPEED_MAX)
    drain_s: float = Field(default=0.0, ge=0)
    measure_s: float | None = Field(default=None, gt=0)
    data_dir: Path | None = None
    truth_file: Path | None = None
    virtual_start: AwareDatetime = VIRTUAL_START
    cells: CompanionFile | None = None
    boards: CompanionFile | None = None
    parts: CompanionFile | None = None
    place: PlaceConfig = PlaceConfig()
    spread: SpreadConfig = SpreadConfig()
    rooms: tuple[RoomConfig, ...] = ()
    tracks: tuple[TrackConfig, ...] = ()
    mqtt: MqttConfig = MqttConfig()
    devices: tuple[DeviceGroup, ...]

    @field_validator("site")
    @classmethod
    def _level(cls, site: str) -> str:
        return check_level(site, "site")

    @field_validator("devices")
    @classmethod
    def _some(cls, devices: tuple[DeviceGroup, ...]) -> tuple[DeviceGroup, ...]:
        if not devices:
            raise ValueError("expected at least one group of devices")
        return devices

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        names = [name for group in self.devices for name in group.device_names()]
        if len(names) > DEVICES_MAX:
            raise ValueError(f"devices: expected at most {DEVICES_MAX}, found {len(names)}")
        for what, given in (("rooms", self.rooms), ("tracks", self.tracks)):
            called = [each.name for each in given]
            if len(set(called)) != len(called):
                raise ValueError(f"{what}: expected each name once, found {', '.join(called)}")
        twice = {name for name in names if names.count(name) > 1} if len(set(names)) != len(names) else set()
        if twice:
            raise ValueError(f"devices: expected each name once, found {', '.join(sorted(twice)[:5])} more than once")
        return self
