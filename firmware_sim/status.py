"""What a fleet has done so far, as numbers to be read at any time."""

from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from firmware_sim.device import Device
from firmware_sim.device_spec import Counters

if TYPE_CHECKING:
    from firmware_sim.links import Links


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """One device. `counters` count since this process started; `lost` counts readings by reason, of those not yet
    passed by an acknowledgement; `wear_bytes` is what its flash has ever been written."""

    name: str
    phase: str
    boot: int
    held: int
    outbox_bytes: int
    wear_bytes: int
    counters: Counters
    lost: dict[str, int]


@dataclass(frozen=True, slots=True)
class FleetReport:
    """The whole fleet: `total` sums the devices' counters. `late_ms_max`: how long something that was due had to wait,
    in real milliseconds, at worst: a fleet that the machine cannot carry is ever later."""

    devices: tuple[DeviceReport, ...]
    total: Counters
    lost: dict[str, int]
    held: int
    links_up: int
    connects: int
    last_failure: str | None
    late_ms_max: float


@dataclass(frozen=True, slots=True)
class FleetTotals:
    """A few sums of the whole fleet: cheap enough to be read every second of 10,000 devices."""

    sampled: int
    acked: int
    held: int
    links_up: int
    connects: int


class FleetStatus:
    """A window into a running fleet: make one, hand it to `serve`, call `report` whenever you like."""

    def __init__(self) -> None:
        self._devices: list[Device] = []
        self._links: Links | None = None
        self._late_ms = 0.0
        self._late_ms_max = 0.0

    def attach(self, devices: list[Device], links: "Links") -> None:
        """Done by `serve`."""
        self._devices, self._links = devices, links

    def note_late(self, late_ms: float) -> None:
        """Done by `serve`: how long something that was due has waited, in real milliseconds."""
        self._late_ms = max(self._late_ms, late_ms)
        self._late_ms_max = max(self._late_ms_max, late_ms)

    def take_late_ms(self) -> float:
        """How late the fleet was at worst since this was last asked."""
        late_ms, self._late_ms = self._late_ms, 0.0
        return late_ms

    def totals(self) -> FleetTotals:
        """The sums of this moment."""
        return FleetTotals(
            sampled=sum(device.counters.sampled for device in self._devices),
            acked=sum(device.counters.acked for device in self._devices),
            held=sum(len(device.outbox) for device in self._devices),
            links_up=self._links.up_count if self._links else 0,
            connects=self._links.connects if self._links else 0,
        )

    def report(self) -> FleetReport:
        """The counters of this moment; empty before the fleet has been built."""
        devices = tuple(_device_report(device) for device in self._devices)
        total = {
            field.name: sum(getattr(device.counters, field.name) for device in devices) for field in fields(Counters)
        }
        lost: Counter[str] = Counter()
        for device in devices:
            lost.update(device.lost)
        return FleetReport(
            devices=devices,
            total=Counters(**total),
            lost=dict(lost),
            held=sum(device.held for device in devices),
            links_up=self._links.up_count if self._links else 0,
            connects=self._links.connects if self._links else 0,
            last_failure=self._links.last_failure if self._links else None,
            late_ms_max=self._late_ms_max,
        )


def _device_report(device: Device) -> DeviceReport:
    outbox = device.outbox
    lost: Counter[str] = Counter()
    for gone in outbox.lost:
        lost[gone.reason] += gone.last - gone.first + 1
    counters = Counters(**{field.name: getattr(device.counters, field.name) for field in fields(Counters)})
    return DeviceReport(
        name=device.spec.name,
        phase=device.phase.value,
        boot=outbox.boot,
        held=len(outbox),
        outbox_bytes=outbox.bytes_used,
        wear_bytes=outbox.bytes_written,
        counters=counters,
        lost=dict(lost),
    )
