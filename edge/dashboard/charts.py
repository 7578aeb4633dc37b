"""What devices measured over time, for charts: raw readings as far as the log still has them, rollups before that.

Promises: one answer has at most `POINTS_MAX` points; what is read from files is read beside the gateway, over
connections of its own, in a thread that is not the store's.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from edge.dashboard.questions import COUNT, NAMES, RING, Asked
from edge.dashboard.raw_log import read_raw
from edge.history.battery import BatteryHistory, DaysLeft, battery_history, days_left
from edge.history.keep import kept_max
from edge.history.read import read_batteries, read_battery, read_names, read_windows
from edge.history.series import Point, Series, ValueName, ValueNames, columns, merged, step_for, with_gaps
from sensors.clock import Clock

AUTO = "auto"
RAW = "raw"
RAW_SPAN_MS = 3_600_000  # up to an hour is drawn from raw readings, a longer span from rollups and what is newer

DAYS_KEPT_MS = 600_000  # a forecast from points four hours apart does not change sooner
DAYS_KEYS_MAX = 20_000


class ChartFiles(NamedTuple):
    """What charts are read from: the store's file, the history's, and the sizes of the windows that this one keeps."""

    store: Path
    history: Path
    sizes_s: tuple[int, ...]


class Charts:
    """Asks the gateway for what is in memory only, and reads the files in a thread."""

    def __init__(self, asked: Asked, files: ChartFiles, clock: Clock) -> None:
        self._asked = asked
        self._files = files
        self._clock = clock
        self._days: dict[int, tuple[int, DaysLeft | None]] = {}

    @property
    def resolutions_s(self) -> tuple[int, ...]:
        """Which windows are kept."""
        return self._files.sizes_s

    async def series(
        self, key: int, name: str, unit: str | None, from_ms: int, to_ms: int, resolution: str, limit: int
    ) -> Series | None:
        """One value over a span; None if no device has that key. `resolution`: auto, raw, or a size in seconds.

        Raises `StoreError`, and `KeyError` for a resolution that is not kept.
        """
        if not await self._is_known(key):
            return None
        sizes = self._files.sizes_s
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
            name=name, unit=await self._unit(key, name, unit), from_ms=from_ms, to_ms=to_ms, resolution_s=size_s,
            step_ms=step_ms or 1000 * size_s, raw_from_ms=raw[0].at_ms if raw else None, resolutions_s=list(sizes),
            **told,
        )  # fmt: skip

    async def values(self, key: int) -> ValueNames | None:
        """What there is a history of: what came since the start, or what the newest window had; None: no such key."""
        if not await self._is_known(key):
            return None
        names = dict.fromkeys(await self._asked.ask(NAMES, key))
        for size_s in self._files.sizes_s:
            if names:
                break
            path, now_ms = self._files.history, self._clock.wall_ms()
            names = dict.fromkeys(await asyncio.to_thread(read_names, path, key, size_s, now_ms))
        return ValueNames(values=[ValueName(name=name, unit=unit) for name, unit in names])

    async def battery(self, key: int) -> BatteryHistory | None:
        """A battery's history and forecast; None if no device has that key."""
        if not await self._is_known(key):
            return None
        samples = await asyncio.to_thread(read_battery, self._files.history, key, self._clock.wall_ms())
        return battery_history(samples)

    async def look_at_batteries(self, keys: Iterable[int]) -> None:
        """Reckon anew how long these devices' batteries will last, where that is older than `DAYS_KEPT_MS`."""
        now_ms = self._clock.monotonic_ms()
        wanted = [key for key in keys if key not in self._days or now_ms - self._days[key][0] >= DAYS_KEPT_MS]
        if not wanted:
            return
        found = await asyncio.to_thread(_days_left, self._files.history, wanted, self._clock.wall_ms())
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
        sizes = self._files.sizes_s
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
        return await asyncio.to_thread(read_windows, self._files.history, key, size_s, name, unit, from_ms, to_ms)

    async def _raw(self, key: int, name: str, unit: str | None, from_ms: int, to_ms: int) -> list[Point]:
        """Readings of the log's end and of the ring, each once, in the order in which they were measured."""
        found = {identity: point for point, identity in await self._asked.ask(RING, key, name, unit)}
        logged = await asyncio.to_thread(read_raw, self._files.store, key, name, unit, from_ms)
        found.update({identity: point for point, identity in logged})
        inside = [point for point in found.values() if from_ms <= point.at_ms < to_ms]
        return sorted(inside, key=lambda point: point.at_ms)

    async def _is_known(self, key: int) -> bool:
        return 0 < key <= await self._asked.ask(COUNT)

    async def _unit(self, key: int, name: str, unit: str | None) -> str | None:
        if unit is not None:
            return unit
        return next((its for known, its in await self._asked.ask(NAMES, key) if known == name), None)


def _days_left(path: Path, keys: list[int], now_ms: int) -> dict[int, DaysLeft]:
    samples = read_batteries(path, keys, now_ms)
    found = {key: days_left(each) for key, each in samples.items()}
    return {key: each for key, each in found.items() if isinstance(each, DaysLeft)}
