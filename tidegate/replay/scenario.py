"""What a run is of: the devices, the links, the faults, the gateway's configuration, and how long it may take."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.config import EdgeConfig
from edge.outages.timeline import LinkTimeline
from firmware_sim.device_clock import ClockSpec, TimeSource
from firmware_sim.device_spec import DeviceSpec
from tidegate.replay.broker import BrokerSpec
from tidegate.replay.cloud import BODY_BYTES_MAX, Poison, Rule
from tidegate.replay.devices import OUTBOX_BYTES_MAX
from tidegate.replay.faults import Fault
from tidegate.replay.gateway import COMMIT_US


@dataclass(frozen=True, slots=True)
class Fleet:
    """The devices: each measures every `interval_ms` and sends `batch` readings at a time."""

    devices: int = 20
    interval_ms: int = 60_000
    batch: int = 1
    receive_window_ms: int | None = None
    clock: TimeSource = TimeSource.RTC
    outbox_bytes_max: int = OUTBOX_BYTES_MAX
    site: str = "site"

    def spec(self, number: int) -> DeviceSpec:
        """The specification of one of them."""
        return DeviceSpec(
            name=f"device-{number:03}",
            interval_ms=self.interval_ms,
            batch=self.batch,
            receive_window_ms=self.receive_window_ms,
            clock=ClockSpec(source=self.clock),
        )


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run, whole. Times are virtual, from the start of the world.

    Timelines rule their links for `faults_s`; `device_links` are by device number, those not named are well;
    `broker_link` is the gateway's link to its broker.
    """

    seed: int = 1
    fleet: Fleet = field(default_factory=Fleet)
    faults_s: int = 3_600
    converge_s: int = 1_800
    check_every_s: int = 60
    uplink: LinkTimeline | None = None
    broker_link: LinkTimeline | None = None
    device_links: Mapping[int, LinkTimeline] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    rules: tuple[Rule, ...] = ()
    poison: Poison | None = None
    broker: BrokerSpec = field(default_factory=BrokerSpec)
    gateway: EdgeConfig = field(default_factory=EdgeConfig)
    commit_us: int = COMMIT_US
    body_bytes_max: int = BODY_BYTES_MAX
