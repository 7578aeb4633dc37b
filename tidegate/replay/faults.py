"""What a scenario does to a world, as data: each fault has a time and knows how to happen.

Links have their outages in timelines, and the cloud its moods in rules; these are the faults of the parts themselves.
"""

from dataclasses import dataclass
from typing import Protocol

from tidegate.replay.broker import Broker
from tidegate.replay.devices import SimDevice
from tidegate.replay.gateway import Gateway
from tidegate.replay.world import US_PER_MS, World


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that can be broken."""

    world: World
    devices: tuple[SimDevice, ...]
    broker: Broker
    gateway: Gateway


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
        parts.gateway.clock_off_ms += self.by_ms
        parts.world.note(f"gateway's clock is {parts.gateway.clock_off_ms} ms off")
