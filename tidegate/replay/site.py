"""`site.toml`: what a recording is replayed against, checked: a gateway's configuration, its devices, and what else
goes wrong beside the links.

The tables of a gateway's own configuration stand as they do in `edge.toml`, so a site starts as a copy of that file.
`[fleet]` says what the devices do, `[[faults]]` what happens to the parts and when, `[replay]` how the run is judged.
Everything has a default: an empty file is twenty devices with one reading a minute behind a gateway as delivered.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from edge.config import EdgeConfig
from firmware_sim.device_clock import TimeSource
from sensors.topics import check_level
from tidegate.replay.broker import BrokerSpec
from tidegate.replay.devices import OUTBOX_BYTES_MAX
from tidegate.replay.faults import (
    BrokerRestart,
    ClockStep,
    DevicePowerCut,
    DeviceReset,
    DiskFull,
    Fault,
    GatewayCrash,
    StoreCrash,
)
from tidegate.replay.gateway import COMMIT_US
from tidegate.replay.scenario import Fleet
from tidegate.replay.world import US_PER_S

DEVICES_MAX = 10_000
MONTHS_S = 400 * 86_400  # as long as a recording may be
FAULTS_MAX = 10_000
CLOCK_STEP_S_MAX = 20 * 366 * 86_400  # a clock that starts at 2006

Seconds = Annotated[float, Field(ge=0, le=MONTHS_S)]


def check_site(name: str) -> str:
    """A site's name as it may stand in a topic. Raises `TopicError`, a `ValueError`."""
    return check_level(name, "site")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class FleetSettings(_Section):
    """The devices: each measures every `interval_s`, and sends `batch` readings in one message."""

    devices: Annotated[int, Field(ge=1, le=DEVICES_MAX)] = 20
    interval_s: Annotated[float, Field(ge=0.001, le=86_400)] = 60
    batch: Annotated[int, Field(ge=1, le=1000)] = 1
    receive_window_s: Annotated[float, Field(gt=0, le=3600)] | None = None
    clock: TimeSource = TimeSource.RTC
    flash_bytes: Annotated[int, Field(ge=4096, le=64 * 1024**2)] = OUTBOX_BYTES_MAX
    site: Annotated[str, AfterValidator(check_site)] = "site"

    def fleet(self) -> Fleet:
        """What the world goes by."""
        return Fleet(
            devices=self.devices,
            interval_ms=round(1000 * self.interval_s),
            batch=self.batch,
            receive_window_ms=None if self.receive_window_s is None else round(1000 * self.receive_window_s),
            clock=self.clock,
            outbox_bytes_max=self.flash_bytes,
            site=self.site,
        )


class BrokerSettings(_Section):
    """The broker between devices and gateway; the defaults are those of Mosquitto as we recommend to set it up."""

    inflight_max: Annotated[int, Field(ge=1, le=65_535)] = BrokerSpec().inflight_max
    queue_max: Annotated[int, Field(ge=1, le=10_000_000)] = BrokerSpec().queue_max
    autosave_s: Annotated[int, Field(ge=0, le=86_400)] = 1800

    def spec(self) -> BrokerSpec:
        """What the world goes by. `autosave_s` 0: every change is saved at once."""
        return BrokerSpec(self.inflight_max, self.queue_max, self.autosave_s or None)


class _FaultSettings(_Section):
    at_s: Seconds

    @property
    def at_us(self) -> int:
        return round(self.at_s * US_PER_S)


class _Pause(_FaultSettings):
    down_s: Annotated[float, Field(ge=0, le=86_400)] = 2

    @property
    def down_ms(self) -> int:
        return round(1000 * self.down_s)


class CrashSettings(_Pause):
    """`kill -9` of the gateway."""

    kind: Literal["crash"]

    def fault(self) -> Fault:
        """What the world does."""
        return GatewayCrash(self.at_us, self.down_ms)


class StoreCrashSettings(_Pause):
    """`kill -9` inside the store: at so many statements after `at_s`."""

    kind: Literal["store-crash"]
    operation: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    def fault(self) -> Fault:
        """What the world does."""
        return StoreCrash(self.at_us, self.operation, self.down_ms)


class DiskFullSettings(_FaultSettings):
    """The gateway's disk has no room for `for_s`."""

    kind: Literal["disk-full"]
    for_s: Seconds = 60

    def fault(self) -> Fault:
        """What the world does."""
        return DiskFull(self.at_us, round(1000 * self.for_s))


class ClockStepSettings(_FaultSettings):
    """The gateway's wall clock is set off by `by_s`."""

    kind: Literal["clock-step"]
    by_s: Annotated[float, Field(ge=-CLOCK_STEP_S_MAX, le=CLOCK_STEP_S_MAX)]

    def fault(self) -> Fault:
        """What the world does."""
        return ClockStep(self.at_us, round(1000 * self.by_s))


class BrokerRestartSettings(_Pause):
    """The broker goes, in good order or killed."""

    kind: Literal["broker-restart"]
    killed: bool = False

    def fault(self) -> Fault:
        """What the world does."""
        return BrokerRestart(self.at_us, self.down_ms, self.killed)


class DeviceResetSettings(_FaultSettings):
    """The watchdog of device number `device` bites; the first is 0."""

    kind: Literal["device-reset"]
    device: Annotated[int, Field(ge=0, lt=DEVICES_MAX)]

    def fault(self) -> Fault:
        """What the world does."""
        return DeviceReset(self.at_us, self.device)


class PowerCutSettings(_Pause):
    """Device number `device` is without power."""

    kind: Literal["power-cut"]
    device: Annotated[int, Field(ge=0, lt=DEVICES_MAX)]

    def fault(self) -> Fault:
        """What the world does."""
        return DevicePowerCut(self.at_us, self.device, self.down_ms)


AnyFault = Annotated[
    CrashSettings
    | StoreCrashSettings
    | DiskFullSettings
    | ClockStepSettings
    | BrokerRestartSettings
    | DeviceResetSettings
    | PowerCutSettings,
    Field(discriminator="kind"),
]


class ReplaySettings(_Section):
    """How a run is judged."""

    converge_s: Annotated[int, Field(ge=1, le=86_400)] = 1800
    check_every_s: Annotated[int, Field(ge=1, le=86_400)] | None = None
    commit_us: Annotated[int, Field(ge=0, le=10_000_000)] = COMMIT_US


class SiteConfig(EdgeConfig):
    """A whole `site.toml`."""

    fleet: FleetSettings = FleetSettings()
    broker: BrokerSettings = BrokerSettings()
    faults: Annotated[tuple[AnyFault, ...], Field(max_length=FAULTS_MAX)] = ()
    replay: ReplaySettings = ReplaySettings()

    @model_validator(mode="after")
    def _faults_are_of_devices_that_there_are(self) -> Self:
        for fault in self.faults:
            if isinstance(fault, DeviceResetSettings | PowerCutSettings) and fault.device >= self.fleet.devices:
                raise ValueError(
                    f"faults: expected device below fleet.devices ({self.fleet.devices}), found {fault.device}"
                )
        return self

    def edge(self) -> EdgeConfig:
        """The gateway's part."""
        return EdgeConfig.model_construct(**{name: getattr(self, name) for name in EdgeConfig.model_fields})
