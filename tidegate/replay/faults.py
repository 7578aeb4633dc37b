"""What a scenario does to a world, as data: each fault has a time and knows how to happen.

Links have their outages in timelines, and the cloud its moods in rules; these are the faults of the parts themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from tidegate.replay.broker import Broker
from tidegate.replay.devices import SimDevice
from tidegate.replay.failpoint import Failpoint
from tidegate.replay.gateway import Gateway
from tidegate.replay.world import US_PER_MS, World


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that can be broken. A fault whose effect shows later tells `met` when it did show."""

    world: World
    devices: tuple[SimDevice, ...]
    broker: Broker
    gateway: Gateway
    met: Callable[["Fault"], None]


@runtime_checkable
class Fault(Protocol):
    """Something that goes wrong at `at_us`."""

    @property
    def at_us(self) -> int:
        """When, in microseconds since the start of the world."""

    def happen(self, parts: Parts) -> None:
        """Go wrong, and see to it that it ends."""


@dataclass(frozen=True, slots=True)
class GatewayCrash:
    """`kill -9`, and a start `down_ms` later."""

    at_us: int
    down_ms: int = 2_000

    def happen(self, parts: Parts) -> None:
        """Kill it."""
        parts.gateway.crash()
        parts.world.after(self.down_ms * US_PER_MS, parts.gateway.start)


@dataclass(frozen=True, slots=True)
class BrokerRestart:
    """The broker goes for `down_ms`: cleanly, or killed and back to what it had saved."""

    at_us: int
    down_ms: int = 2_000
    crash: bool = False

    def happen(self, parts: Parts) -> None:
        """Stop or kill it."""
        if not parts.broker.up:
            return
        if self.crash:
            parts.broker.crash()
        else:
            parts.broker.stop()
        parts.world.after(self.down_ms * US_PER_MS, parts.broker.start)


@dataclass(frozen=True, slots=True)
class DeviceReset:
    """The watchdog of device number `device` bites."""

    at_us: int
    device: int

    def happen(self, parts: Parts) -> None:
        """Reset it."""
        parts.devices[self.device].reset()


@dataclass(frozen=True, slots=True)
class DevicePowerCut:
    """Device number `device` is without power for `down_ms`."""

    at_us: int
    device: int
    down_ms: int = 60_000

    def happen(self, parts: Parts) -> None:
        """Cut it off, unless it is off."""
        device = parts.devices[self.device]
        if device.device.powered:
            device.cut_power()
            parts.world.after(self.down_ms * US_PER_MS, device.switch_on)


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The gateway's wall clock is set off by `by_ms`; later steps add up."""

    at_us: int
    by_ms: int

    def happen(self, parts: Parts) -> None:
        """Set it."""
        parts.gateway.set_clock(self.by_ms)


@dataclass(frozen=True, slots=True)
class StoreCrash:
    """`kill -9` at the `operation`-th statement (from 1) that the gateway gives to its store from `at_us` on.

    So it falls inside a transaction, or in the midst of a commit, which then is torn. A start `down_ms` later.
    """

    at_us: int
    operation: int = 1
    down_ms: int = 2_000

    def happen(self, parts: Parts) -> None:
        """Arm it, unless another one still waits."""
        gateway, world = parts.gateway, parts.world

        def fired() -> None:
            gateway.failpoint = None
            parts.met(self)
            world.after(self.down_ms * US_PER_MS, gateway.start)

        if gateway.failpoint is None:
            gateway.failpoint = Failpoint(self.operation, world.rng("failpoint", str(self.at_us)), fired)


@dataclass(frozen=True, slots=True)
class DiskFull:
    """For `for_ms` the gateway's disk has no room: no page can be added to the store."""

    at_us: int
    for_ms: int = 60_000

    def happen(self, parts: Parts) -> None:
        """Fill it, and see whether anything was refused until there is room again."""
        gateway = parts.gateway
        before = gateway.refusals.copy()

        def ends() -> None:
            gateway.free_disk()
            if gateway.refusals != before:
                parts.met(self)

        gateway.fill_disk()
        parts.world.after(self.for_ms * US_PER_MS, ends)


SHOWS_LATER = (StoreCrash, DiskFull)
