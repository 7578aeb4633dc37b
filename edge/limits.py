"""What one device, or a flood of them, may cost: devices, series per device, and rate per device.

Promises: a message over a limit is not lost (it goes to quarantine, and can be retried when the limit is raised); a
device over its rate is not dropped: its `ack` is withheld until its bucket is full enough, so that a device that waits
for its acks slows down. Every case is counted. Memory is bounded by the limits themselves.
Synchronous and sans-IO except for the table of series; lives in the store's thread.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from edge.store import Store
from sensors.reading import Value

DEVICES_MAX = 20_000  # twice the largest fleet that one gateway was measured with; a random client id shows by then
SERIES_MAX = 256  # value names of one device: four readings of the most values (64) that have no name in common
RATE_PER_S = 200.0  # readings of one device: a vibration sensor's features come at a few per second
BURST = 50_000  # readings at once: two weeks of one a minute and more, so that a device's backlog is never throttled


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits, as configured."""

    devices_max: int = DEVICES_MAX
    series_per_device_max: int = SERIES_MAX
    readings_per_s_per_device: float = RATE_PER_S
    readings_burst_per_device: int = BURST


class LimitExceeded(ValueError):
    """A message that would go over a limit. Who must act: the operator, by `[limits]`, or whoever made the device.

    `total` is the ledger's total that counts it.
    """

    def __init__(self, total: str, message: str) -> None:
        super().__init__(message)
        self.total = total


OVER_DEVICES = "over_devices"
OVER_SERIES = "over_series"


class HasValues(Protocol):
    """Whatever holds values: a reading, or what was measured before it became one."""

    @property
    def values(self) -> tuple[Value, ...]:
        """The values."""


class Series:
    """The series (value name and unit) of every device: each is a column in the cloud for ever, so they are bounded."""

    def __init__(self, store: Store, series_max: int) -> None:
        self._store = store
        self._max = series_max
        self._known: dict[int, set[tuple[str, str | None]]] = {}

    def forget_uncommitted(self) -> None:
        """After a failed transaction: read again what the store holds, device by device as they come."""
        self._known.clear()

    def admit(self, device_key: int, readings: Iterable[HasValues]) -> None:
        """Note the series of a message, inside its transaction. Raises `LimitExceeded`; then none of them is noted."""
        known = self._known.get(device_key)
        if known is None:
            rows = self._store.query("SELECT name, unit FROM device_series WHERE device_key = ?", (device_key,))
            known = self._known[device_key] = {(name, unit or None) for name, unit in rows}
        new: set[tuple[str, str | None]] = set()
        for reading in readings:
            for value in reading.values:
                if (value.name, value.unit) not in known:
                    new.add((value.name, value.unit))
        if not new:
            return
        if len(known) + len(new) > self._max:
            raise LimitExceeded(
                OVER_SERIES,
                f"{len(new)} new value names to {len(known)} known: expected at most {self._max} of one device"
                " (limits.series_per_device_max)",
            )
        rows = [(device_key, name, unit or "") for name, unit in sorted(new, key=str)]
        self._store.write("INSERT INTO device_series (device_key, name, unit) VALUES (?, ?, ?)", rows)
        known |= new


def admit_device(store: Store, site: str, device: str, devices_max: int) -> None:
    """Raise `LimitExceeded` for a new device that is one too many."""
    if store.device_count >= devices_max:
        raise LimitExceeded(
            OVER_DEVICES,
            f"{site}/{device} would be device {store.device_count + 1}: expected at most {devices_max}"
            " (limits.devices_max)",
        )


class Throttle:
    """A token bucket for each device: readings take tokens, time gives them back, debt withholds the ack."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_ms = per_s / 1000
        self._burst = float(burst)
        self._buckets: dict[int, tuple[float, int]] = {}  # device key -> (tokens, at ms); none: full
        self.throttled = 0

    def note(self, readings: Mapping[int, int], now_ms: int) -> None:
        """So many readings came, by device key. `now_ms` is monotonic."""
        for key, count in readings.items():
            tokens = self._tokens(key, now_ms)
            left = max(tokens - count, -self._burst)  # debt is bounded: nobody is silenced for more than a burst's time
            self.throttled += left < 0 <= tokens
            self._buckets[key] = (left, now_ms)

    def is_open(self, key: int, now_ms: int) -> bool:
        """Whether the device may be sent its ack."""
        tokens = self._tokens(key, now_ms)
        if tokens >= self._burst:
            self._buckets.pop(key, None)
        return tokens >= 0

    def closed(self, now_ms: int) -> int:
        """How many devices are throttled now."""
        return sum(self._tokens(key, now_ms) < 0 for key in self._buckets)

    def _tokens(self, key: int, now_ms: int) -> float:
        tokens, at_ms = self._buckets.get(key, (self._burst, now_ms))
        return min(self._burst, tokens + (now_ms - at_ms) * self._per_ms)
