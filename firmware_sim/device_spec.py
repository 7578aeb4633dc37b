"""What a device is set to do, what it publishes and what it counts: the plain data of `firmware_sim.device`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from firmware_sim.device_clock import ClockSpec
from firmware_sim.device_radio import Air
from firmware_sim.sender import SenderSpec
from sensors.reading import Reading, Value
from sensors.senml import Encoding
from sensors.topics import Kind

Measure = Callable[[int], tuple[Value, ...]]
Observer = Callable[[Reading, int], None]


@dataclass(frozen=True, slots=True)
class FirmwareSpec:
    """What the device left the factory with. `public_key`: in hex, whose images it installs; None: it takes no update.

    `slot_bytes_max`: the size of each of its two slots.
    """

    version: str = "1.0.0"
    device_type: str = "tidegate-sim"
    public_key: str | None = None
    slot_bytes_max: int = 1024 * 1024  # a usual part of a 4 MB flash: two slots, a bootloader and data


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """What a device is set to do. Times are in true milliseconds."""

    name: str
    interval_ms: int
    jitter_ms: int = 0
    batch: int = 1
    delta: Mapping[str, float] = field(default_factory=dict)
    heartbeat_ms: int | None = None
    receive_window_ms: int | None = None
    battery_every: int = 1
    low_battery_percent: float = 0.0
    low_battery_stretch: int = 1
    encoding: Encoding = Encoding.JSON
    firmware: FirmwareSpec = field(default_factory=FirmwareSpec)
    clock: ClockSpec = field(default_factory=ClockSpec)
    sender: SenderSpec = field(default_factory=SenderSpec)


class Publish(NamedTuple):
    """One message to publish; `token` names a message of readings when the broker answers (`Device.answered`)."""

    kind: Kind
    payload: bytes
    retain: bool = False
    token: int | None = None
    readings: int = 0
    air: Air | None = None  # what became of it on a radio of the device's own


@dataclass(slots=True)
class Counters:
    """What a device has done since this process started it. Readings, unless the name says otherwise."""

    sampled: int = 0
    suppressed: int = 0  # send-on-delta: nothing had changed enough
    missed: int = 0  # samples in which no sensor said anything
    refused: int = 0  # the outbox was full under `stop-sampling`
    sent: int = 0
    resent: int = 0
    delivered_messages: int = 0
    refused_messages: int = 0  # by the broker, with a reason code
    acked: int = 0
    bad_messages: int = 0  # of the gateway's, not understood
    boots: int = 0
    brown_outs: int = 0
    commands: int = 0  # carried out; a repeat is not
    updates: int = 0  # confirmed
    roll_backs: int = 0

    def pass_on(self) -> None:
        """Count a reading that was measured, sent, delivered and acknowledged at one instant."""
        self.sampled += 1
        self.sent += 1
        self.delivered_messages += 1
        self.acked += 1
