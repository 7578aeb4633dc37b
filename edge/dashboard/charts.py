"""What devices measured over time, for charts: raw readings as far as the log still has them, rollups before that.

Promises: one answer has at most `POINTS_MAX` points, looks through at most `RAW_ROWS_MAX` rows of the log, in steps
that no ingest commit waits long behind, and reads the history's file in a thread that is not the store's.
"""

import asyncio
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge.dashboard.in_store import InStore
from edge.desk import Desk
from edge.history.battery import BatteryHistory, DaysLeft, battery_history, days_left
from edge.history.keep import LATE_MS, kept_max
from edge.history.read import read_batteries, read_battery, read_names, read_windows
from edge.history.series import Point, Series, ValueName, ValueNames, columns, merged, step_for, with_gaps
from edge.store.rows import RowCorrupt, unpack
from sensors.clock import Clock
from sensors.reading import Reading

AUTO = "auto"
RAW = "raw"
RAW_SPAN_MS = 3_600_000  # up to an hour is drawn from raw readings, a longer span from rollups and what is newer
RAW_ROWS_MAX = 200_000  # of the log: half a minute at 5,000 a second, a day at two
RAW_STEP_ROWS = 5_000  # of one look: about 1 ms of the store's thread
CLOCK_SPAN_MS = (
    3_600_000  # a device's clock may be ahead by so much, and its reading still stands where it was received
)

DAYS_KEPT_MS = 600_000  # a forecast from points four hours apart does not change sooner
DAYS_KEYS_MAX = 20_000


class Charts:
    """Asks the desk (in the store's thread) and the history's file (in another)."""

    def __init__(self, desk: Desk, in_store: InStore, clock: Clock) -> None:
        self._desk = desk
        self._in_store = in_store
        self._clock = clock
        self._days: dict[int, tuple[int, DaysLeft | None]] = {}

    @property
    def resolutions_s(self) -> tuple[int, ...]:
        """Which windows are kept."""
        return self._desk.history.sizes_s

    async def series(
        self, key: int, name: str, unit: str | None, from_ms: int, to_ms: int, resolution: str, limit: int
    ) -> Series | None:
        """One value over a span; None if no device has that key. `resolution`: auto, raw, or a size in seconds.

        Raises `StoreError`, and `KeyError` for a resolution that is not kept.
        """
        if not 0 < key <= self._desk.store.device_count:
            return None
        sizes = self._desk.history.sizes_s
        size_s = self._size_s(resolution, from_ms, to_ms, limit)
        raw: list[Point] = []
        rollups: list[Point] = []
        if size_s:
            rollups = await self._windows(key, size_s, name, unit, from_ms, to_ms)
        raw_from_ms = from_ms if not rollups else rollups[-1].at_ms + 1000 * size_s
        if resolution in (RAW, AUTO) and raw_from_ms < to_ms:
            raw = await self._raw(key, name, unit, raw_from_ms, to_ms)
        if resolution == AUTO and size_s == 0 and sizes:  # of a short span, what the log no longer has
            until_ms = raw[0].at_ms if raw else to_ms
            rollups = await self._windows(key, sizes[0], name, unit, from_ms, until_ms)
        points = [*rollups, *raw]
        step_ms = step_for(len(points), from_ms, to_ms, 1000 * (size_s or 1), limit)
        line = with_gaps(merged(points, step_ms))
        told: dict[str, Any] = columns(line)
        return Series(
            name=name, unit=self._unit(key, name, unit), from_ms=from_ms, to_ms=to_ms, resolution_s=size_s,
            step_ms=step_ms or 1000 * size_s, raw_from_ms=raw[0].at_ms if raw else None, resolutions_s=list(sizes),
            **told,
        )  # fmt: skip

    async def values(self, key: int) -> ValueNames | None:
        """What there is a history of: what came since the start, or what the newest window had; None: no such key."""
        if not 0 < key <= self._desk.store.device_count:
            return None
        names = dict.fromkeys(await self._in_store(self._names, key))
        for size_s in self._desk.history.sizes_s:
            if names:
                break
            path, now_ms = self._desk.history.path, self._clock.wall_ms()
            names = dict.fromkeys(await asyncio.to_thread(read_names, path, key, size_s, now_ms))
        return ValueNames(values=[ValueName(name=name, unit=unit) for name, unit in names])

    async def battery(self, key: int) -> BatteryHistory | None:
        """A battery's history and forecast; None if no device has that key."""
        if not 0 < key <= self._desk.store.device_count:
            return None
        samples = await asyncio.to_thread(read_battery, self._desk.history.path, key, self._clock.wall_ms())
        return battery_history(samples)

    async def look_at_batteries(self, keys: Iterable[int]) -> None:
        """Reckon anew how long these devices' batteries will last, where that is older than `DAYS_KEPT_MS`."""
        now_ms = self._clock.monotonic_ms()
        wanted = [key for key in keys if key not in self._days or now_ms - self._days[key][0] >= DAYS_KEPT_MS]
        if not wanted:
            return
        found = await asyncio.to_thread(_days_left, self._desk.history.path, wanted, self._clock.wall_ms())
        for key in wanted:
            self._days.pop(key, None)
            self._days[key] = now_ms, found.get(key)
        while len(self._days) > DAYS_KEYS_MAX:
            del self._days[next(iter(self._days))]

    def days_left(self, key: int) -> DaysLeft | None:
        """What the last look said."""
        found = self._days.get(key)
        return None if found is None else found[1]

    def _size_s(self, resolution: str, from_ms: int, to_ms: int, limit: int) -> int:
        """Which windows to read; 0: none, raw readings."""
        sizes = self._desk.history.sizes_s
        if resolution == RAW or (resolution == AUTO and (to_ms - from_ms <= RAW_SPAN_MS or not sizes)):
            return 0
        if resolution != AUTO:
            if int(resolution) not in sizes:
                raise KeyError(resolution)
            return int(resolution)
        reach = [size for size in sizes if to_ms - from_ms <= 1000 * size * min(kept_max(size), max(limit, 2))]
        return reach[0] if reach else sizes[-1]

    async def _windows(
        self, key: int, size_s: int, name: str, unit: str | None, from_ms: int, to_ms: int
    ) -> list[Point]:
        return await asyncio.to_thread(read_windows, self._desk.history.path, key, size_s, name, unit, from_ms, to_ms)

    async def _raw(self, key: int, name: str, unit: str | None, from_ms: int, to_ms: int) -> list[Point]:
        """Readings of the log's end and of the ring, each once, in the order in which they were measured."""
        found = {identity: point for point, identity in await self._in_store(self._ring, key, name, unit)}
        last = await self._in_store(self._head)
        for through in range(last, max(0, last - RAW_ROWS_MAX), -RAW_STEP_ROWS):
            look = functools.partial(self._log, key, name, unit, from_ms, through)
            more, points = await self._in_store(look)
            found.update({identity: point for point, identity in points})
            if not more:
                break
        inside = [point for point in found.values() if from_ms <= point.at_ms < to_ms]
        return sorted(inside, key=lambda point: point.at_ms)

    # -- in the store's thread

    def _names(self, key: int) -> list[tuple[str, str | None]]:
        latest = self._desk.latest.get(key)
        return [] if latest is None else list(latest.columns)

    def _head(self) -> int:
        return self._desk.store.head

    def _ring(self, key: int, name: str, unit: str | None) -> list[tuple[Point, tuple[int, int]]]:
        latest = self._desk.latest.get(key)
        if latest is None:
            return []
        at = next((at for (known, its), at in latest.columns.items() if known == name and unit in (None, its)), None)
        if at is None:
            return []
        return [
            (_point(each.taken_at_ms, each.received_at_ms, number), (each.boot, each.seq))
            for each in latest.ring
            if at < len(each.numbers) and (number := each.numbers[at]) is not None
        ]

    def _log(
        self, key: int, name: str, unit: str | None, from_ms: int, through: int
    ) -> tuple[bool, list[tuple[Point, tuple[int, int]]]]:
        """One step back through the log; whether there may be more behind it."""
        after = through - RAW_STEP_ROWS
        store = self._desk.store
        rows = store.query("SELECT * FROM readings WHERE id > ? AND id <= ? AND device_key = ?", (after, through, key))
        found = []
        for row in rows:
            try:
                entry = unpack(row, "")
            except RowCorrupt:
                continue  # who reads the log for its readings finds it, and says so
            number = _number(entry.reading, name, unit)
            if number is not None:
                identity = entry.reading.boot, entry.reading.seq
                found.append((_point(entry.reading.taken_at_ms, entry.received_at_ms, number), identity))
        first_ms = store.oldest_received_ms(after)
        exists = bool(store.query("SELECT 1 FROM readings WHERE id <= ? LIMIT 1", (after,)))
        return exists and (first_ms is None or first_ms >= from_ms - CLOCK_SPAN_MS), found

    def _unit(self, key: int, name: str, unit: str | None) -> str | None:
        latest = self._desk.latest.get(key)
        if unit is not None or latest is None:
            return unit
        return next((its for known, its in latest.columns if known == name), None)


def _point(taken_at_ms: int, received_at_ms: int, number: float) -> Point:
    return Point(taken_at_ms, 1, number, number, number, received_at_ms - taken_at_ms > LATE_MS)


def _number(reading: Reading, name: str, unit: str | None) -> float | None:
    for value in reading.values:
        if value.name == name and unit in (None, value.unit) and not isinstance(value.value, str):
            return float(value.value)
    return None


def _days_left(path: Path, keys: list[int], now_ms: int) -> dict[int, DaysLeft]:
    samples = read_batteries(path, keys, now_ms)
    found = {key: days_left(each) for key, each in samples.items()}
    return {key: each for key, each in found.items() if isinstance(each, DaysLeft)}
