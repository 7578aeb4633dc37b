"""The latest of every device, in memory: last values, when it was heard, and a ring of recent readings to draw.

Promises: bounded, whatever devices send (`DEVICES_MAX`, `VALUES_MAX`, `POINTS_MAX`, `TEXT_CHARS_MAX`); a late reading
joins the ring, and never replaces a newer value; every change has a version, so that a reader asks for what changed
since. Nothing here is durable: a restart starts it over from the end of the log. Lives in the store's thread.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from sensors.reading import Reading, Value

DEVICES_MAX = 20_000  # twice the fleet that the pages are made for; the one not heard for longest goes first
VALUES_MAX = 32  # names of one device; the largest node of the catalogue has 16
RING_READINGS = 600  # of one device: ten minutes at one a second, ten hours at one a minute
POINTS_MAX = 200_000  # numbers in all rings together: some 20 MB
TEXT_CHARS_MAX = 256  # of a text value: what a table can show

Name = tuple[str, str | None]


class Recent(msgspec.Struct, frozen=True, gc=False):
    """One reading in a ring. `numbers` stand in the order of the device's columns; it may be the shorter."""

    version: int
    received_at_ms: int
    taken_at_ms: int
    boot: int
    seq: int
    synced: bool
    numbers: tuple[float | None, ...]


class LatestValue(msgspec.Struct, frozen=True, gc=False):
    """One value as last measured."""

    value: float | bool | str
    taken_at_ms: int


class DeviceLatest:
    """What is remembered of one device."""

    __slots__ = (
        "boot",
        "columns",
        "key",
        "received_at_ms",
        "ring",
        "seq",
        "synced",
        "taken_at_ms",
        "values",
        "version",
    )

    def __init__(self, key: int) -> None:
        self.key = key
        self.version = 0
        self.received_at_ms = 0
        self.taken_at_ms = 0
        self.boot = self.seq = -1
        self.synced = True
        self.values: dict[Name, LatestValue] = {}
        self.columns: dict[Name, int] = {}
        self.ring: deque[Recent] = deque()

    def number(self, name: str) -> tuple[float, str | None] | None:
        """The number last measured under that name and its unit, or None."""
        for (known, unit), latest in self.values.items():
            if known == name and isinstance(latest.value, float):
                return latest.value, unit
        return None

    def readings_since(self, version: int) -> list[Recent]:
        """What joined the ring after a version, oldest first."""
        newer: list[Recent] = []
        for recent in reversed(self.ring):
            if recent.version <= version:
                break
            newer.append(recent)
        return newer[::-1]


class Latest:
    """The latest of all devices."""

    def __init__(self) -> None:
        self.version = 0
        self._devices: OrderedDict[int, DeviceLatest] = OrderedDict()
        self._points = 0
        self._ring_readings = RING_READINGS

    def note(self, readings: Sequence[tuple[int, Reading]], received_at_ms: int) -> None:
        """These (device_key, reading) pairs have been committed."""
        if not readings:
            return
        self.version += 1
        for key, reading in readings:
            self._note(self._device(key), reading, received_at_ms)
        if self._points > POINTS_MAX:
            self._shrink()

    def get(self, key: int) -> DeviceLatest | None:
        """One device, or None if it was not heard since the start."""
        return self._devices.get(key)

    def changed_since(self, version: int) -> Iterator[DeviceLatest]:
        """Every device heard after a version, last heard first."""
        for device in reversed(self._devices.values()):
            if device.version <= version:
                return
            yield device

    def __len__(self) -> int:
        return len(self._devices)

    def _device(self, key: int) -> DeviceLatest:
        device = self._devices.get(key)
        if device is None:
            if len(self._devices) >= DEVICES_MAX:
                _, gone = self._devices.popitem(last=False)
                self._points -= sum(map(_points, gone.ring))
            device = self._devices[key] = DeviceLatest(key)
        elif device.version != self.version:
            self._devices.move_to_end(key)
        device.version = self.version
        return device

    def _note(self, device: DeviceLatest, reading: Reading, received_at_ms: int) -> None:
        device.received_at_ms = received_at_ms
        taken_at_ms, boot, seq = reading.taken_at_ms, reading.boot, reading.seq
        # Newer by its identity, or by its time: a device may set its clock back, and a reflashed one counts boots anew.
        newer = boot > device.boot or (boot == device.boot and seq > device.seq) or taken_at_ms > device.taken_at_ms
        if newer:
            device.boot, device.seq, device.synced, device.taken_at_ms = boot, seq, reading.synced, taken_at_ms
        numbers = _take(device, reading.values, taken_at_ms, newer)
        ring = device.ring
        ring.append(Recent(self.version, received_at_ms, taken_at_ms, boot, seq, reading.synced, tuple(numbers)))
        self._points += 1 + len(numbers)
        while len(ring) > self._ring_readings:
            self._points -= _points(ring.popleft())

    def _shrink(self) -> None:
        """Halve what every device may keep, until all fit."""
        while self._points > POINTS_MAX and self._ring_readings > 1:
            self._ring_readings //= 2
            for device in self._devices.values():
                while len(device.ring) > self._ring_readings:
                    self._points -= _points(device.ring.popleft())


def _points(recent: Recent) -> int:
    return 1 + len(recent.numbers)


def _take(device: DeviceLatest, values: Iterable[Value], taken_at_ms: int, newer: bool) -> list[float | None]:
    """The numbers of a reading, each at its column (up to `VALUES_MAX`); if it is the newest, its values are kept."""
    known, columns = device.values, device.columns
    numbers: list[float | None] = []
    for value in values:
        content = value.value
        name = (value.name, value.unit)
        if newer:
            if name not in known and len(known) >= VALUES_MAX:
                del known[next(iter(known))]
            known[name] = LatestValue(content[:TEXT_CHARS_MAX] if isinstance(content, str) else content, taken_at_ms)
        if isinstance(content, str):
            continue
        at = columns.get(name)
        if at is None:
            if len(columns) >= VALUES_MAX:
                continue
            at = columns[name] = len(columns)
        while len(numbers) <= at:
            numbers.append(None)
        numbers[at] = float(content)
    return numbers
