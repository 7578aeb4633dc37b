"""The store's tables of windows: open windows, windows that are forgotten, and the log of rollups.

Promises: every row carries a CRC32 over all that it means; ids of the rollup log rise by one within one window size and
are never used twice. Methods that write are called inside `Store.transaction`. Windows that were written last are
remembered as they were written, and read again after a transaction failed: what `find` gave is changed only on the way
to `put`, in one and the same transaction.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from typing import Any, NamedTuple

import msgspec

from edge.intervals import Intervals
from edge.stats import SeriesKey, Stats, Summary
from edge.store.store import Store
from edge.store.tail import Tail
from edge.store.window_times import WindowTimes

_window_head = struct.Struct("<qqqqqq")
_rollup_head = struct.Struct("<qqqq")
_encoder = msgspec.msgpack.Encoder()
_stats_decoder = msgspec.msgpack.Decoder(list[Stats])
_summary_decoder = msgspec.msgpack.Decoder(tuple[Summary, ...])

KEYS_LOOKED_UP = 256  # in one statement: beyond that nothing is gained
WINDOWS_KEPT = 2048  # in memory: of a thousand devices those of two sizes, a few KB each with a dozen values
KEYS_KEPT = 16_384  # of windows and their times, in memory: 300 bytes each; a small site's all
FORGOTTEN_KEPT = 4096  # sets in memory, some 200 bytes each
ROLLUPS_KEPT_BYTES = 64 * 1024  # of bodies, of each size: some hundred rollups, sent at once when there is no outage

_WINDOWS_WANTED = (
    "WITH wanted (device_key, size_s, start_ms) AS (VALUES {values}) SELECT windows.* FROM wanted CROSS JOIN windows"
    " USING (device_key, size_s, start_ms)"
)
_FORGOTTEN_WANTED = (
    "WITH wanted (device_key, size_s) AS (VALUES {values}) SELECT device_key, size_s, ranges FROM wanted"
    " CROSS JOIN forgotten_windows USING (device_key, size_s)"
)

RollupRow = tuple[int, int, int, int, bytes, int]
"""size_s, id, device_key, start_ms, body, crc: the columns in order."""


class WindowKey(NamedTuple):
    """One window of one device: from `start_ms` (device time), `size_s` long."""

    device_key: int
    size_s: int
    start_ms: int

    @property
    def end_ms(self) -> int:
        """Where the next window starts."""
        return self.start_ms + self.size_s * 1000


class Window(msgspec.Struct):
    """The state of one window. At `next_ms` it is emitted if it is `dirty` (holds what no rollup says), else forgotten.

    `touched_ms`, `next_ms`: the gateway's clock.
    """

    series: dict[SeriesKey, Stats]
    dirty: bool
    touched_ms: int
    next_ms: int


class Found(NamedTuple):
    """What there is of windows that were asked for. `damaged`: rows that fail their checksum."""

    windows: dict[WindowKey, Window]
    damaged: set[WindowKey]


class RollupEntry(NamedTuple):
    """One emission of one window, with its place in the log of its size."""

    id: int
    device_key: int
    size_s: int
    start_ms: int
    summaries: tuple[Summary, ...]


class RollupPage(NamedTuple):
    """Rollups in order, and the damaged row that ended the page, if one did."""

    entries: list[RollupEntry]
    damaged: RollupRow | None


def rollup_head_cursor(size_s: int) -> str:
    """The cursor that holds the highest id given out in the rollup log of one size."""
    return f"rollups/head/{size_s}"


class WindowTables:
    """Reads and writes the windows of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[WindowKey, Window] = {}
        self._forgotten: dict[tuple[int, int], Intervals] = {}
        self._kept_since = store.forgotten
        self._times: WindowTimes[WindowKey] | None = None  # of all that have a row; None: too many
        self._are_times_known = False
        self._next_ms: int | None = None  # while `_times` are too many
        self._is_next_known = False

    def _know(self) -> None:
        """Forget what is remembered if a transaction has failed since, or somebody else opened the file."""
        if self._kept_since != self._store.forgotten:
            self._kept.clear()
            self._forgotten.clear()
            self._is_next_known = self._are_times_known = False
            self._kept_since = self._store.forgotten

    # -- windows

    def find(self, keys: Iterable[WindowKey]) -> "Found":
        """The windows of these keys, as far as there are any."""
        self._know()
        windows: dict[WindowKey, Window] = {}
        asked: list[WindowKey] = []
        times = self._known_times()
        for key in keys:
            kept = self._kept.get(key)
            if kept is not None:
                windows[key] = kept
            elif times is None or key in times:  # most are asked for once before they are opened, and have no row
                asked.append(key)
        damaged = set()
        for row in self._look_up(_WINDOWS_WANTED, 3, asked):
            key, window = _window(*row)
            if window is None:
                damaged.add(key)
            else:
                windows[key] = window
        return Found(windows, damaged)

    def _known_times(self) -> WindowTimes[WindowKey] | None:
        if not self._are_times_known:
            sql = "SELECT device_key, size_s, start_ms, next_ms, dirty FROM windows LIMIT ?"
            rows = self._store.run(sql, (KEYS_KEPT + 1,))
            known = ((WindowKey(*row[:3]), row[3], bool(row[4])) for row in rows)
            self._times = WindowTimes(known) if len(rows) <= KEYS_KEPT else None
            self._are_times_known = True
        return self._times

    def _look_up(self, sql: str, columns: int, keys: Sequence[tuple[int, ...]]) -> Iterator[Any]:
        """The rows of `sql` for keys of so many columns, many in one statement."""
        for at in range(0, len(keys), KEYS_LOOKED_UP):
            some = keys[at : at + KEYS_LOOKED_UP]
            width = 1 << (len(some) - 1).bit_length()  # few widths, so that the statements are prepared once
            values = ", ".join([f"({', '.join('?' * columns)})"] * width)
            padded = chain(some, repeat(some[-1], width - len(some)))
            yield from self._store.run(sql.format(values=values), tuple(chain.from_iterable(padded)))

    def put(self, windows: Iterable[tuple[WindowKey, Window]]) -> None:
        """Write windows."""
        self._know()
        rows = []
        times = self._known_times()
        for key, window in windows:
            if times is not None:
                times.put(key, window.next_ms, window.dirty)
            body = _encoder.encode(list(window.series.values()))
            crc = _window_crc(key, window.dirty, window.touched_ms, window.next_ms, body)
            rows.append((*key, int(window.dirty), window.touched_ms, window.next_ms, body, crc))
            self._kept.pop(key, None)  # to the end of those that are kept
            self._kept[key] = window
        if times is None or len(times) > KEYS_KEPT:
            self._times = None
            self._is_next_known = False
        self._store.run_many("INSERT OR REPLACE INTO windows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        for key in list(islice(self._kept, max(0, len(self._kept) - WINDOWS_KEPT))):
            del self._kept[key]

    def delete(self, keys: Sequence[WindowKey]) -> None:
        """Delete windows."""
        self._know()
        times = self._known_times()
        self._is_next_known = False
        for key in keys:
            self._kept.pop(key, None)
            if times is not None:
                times.forget(key)
        self._store.run_many("DELETE FROM windows WHERE device_key = ? AND size_s = ? AND start_ms = ?", keys)

    def due(self, now_ms: int, beyond_ms: int, limit: int) -> list[tuple[WindowKey, bool]]:
        """(key, dirty) of at most `limit` windows whose `next_ms` has come, or is beyond `beyond_ms`, by that time."""
        if self.next_ms() is None:
            return []
        times = self._known_times()
        if times is not None and times.latest_ms <= beyond_ms:
            return times.due(now_ms, limit)
        rows = self._store.run(
            "SELECT * FROM (SELECT device_key, size_s, start_ms, dirty, next_ms FROM windows WHERE next_ms <= ?"
            " UNION ALL SELECT device_key, size_s, start_ms, dirty, next_ms FROM windows WHERE next_ms > ?)"
            " ORDER BY next_ms, device_key, size_s, start_ms LIMIT ?",  # one search each: an OR reads every window
            (now_ms, beyond_ms, limit),
        )
        return [(WindowKey(*row[:3]), bool(row[3])) for row in rows]

    def next_ms(self) -> int | None:
        """The earliest time of any window, by the gateway's clock; None if there is no window."""
        self._know()
        times = self._known_times()
        if times is not None:
            return times.next_ms()
        if not self._is_next_known:
            self._next_ms = self._store.run("SELECT min(next_ms) FROM windows")[0][0]
            self._is_next_known = True
        return self._next_ms

    def has_dirty(self) -> bool:
        """Whether any window holds what no rollup says yet."""
        soonest = (
            "SELECT 1 FROM windows WHERE dirty ORDER BY next_ms LIMIT 1"  # what is dirty is due before what is not
        )
        return bool(self._store.run(soonest))

    def forgotten(self, places: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Intervals]:
        """Of each (device_key, size_s), which windows are no longer kept, by number (start divided by size).

        The sets are not to be changed.
        """
        self._know()
        found: dict[tuple[int, int], Intervals] = {}
        asked: list[tuple[int, int]] = []
        for place in dict.fromkeys(places):
            kept = self._forgotten.get(place)
            if kept is None:
                asked.append(place)
            else:
                found[place] = kept
        for place in asked:
            found[place] = Intervals()
        for device_key, size_s, ranges in self._look_up(_FORGOTTEN_WANTED, 2, asked):
            found[device_key, size_s] = self._store.decode(ranges)
        for place in asked:
            self._keep_forgotten(*place, found[place])
        return found

    def _keep_forgotten(self, device_key: int, size_s: int, numbers: Intervals) -> None:
        if len(self._forgotten) >= FORGOTTEN_KEPT:
            self._forgotten.clear()
        self._forgotten[device_key, size_s] = numbers

    def put_forgotten(self, forgotten: Mapping[tuple[int, int], Intervals]) -> None:
        """Write which windows are no longer kept, by device and size."""
        rows = []
        for (device_key, size_s), numbers in forgotten.items():
            self._keep_forgotten(device_key, size_s, numbers)
            rows.append((device_key, size_s, numbers.encode()))
        self._store.run_many("INSERT OR REPLACE INTO forgotten_windows VALUES (?, ?, ?)", rows)

    # -- the log of rollups

    def append(self, emitted: Sequence[tuple[WindowKey, Window]], quantiles: tuple[float, ...] = ()) -> None:
        """Append one rollup for each window to the log of its size."""
        heads: dict[int, int] = {}
        rows = []
        entries: dict[int, list[RollupEntry]] = {}
        bytes_of: dict[int, int] = {}
        for key, window in emitted:
            size_s = key.size_s
            row_id = heads[size_s] = (heads.get(size_s) or self.head(size_s)) + 1
            ordered = sorted(window.series.items(), key=lambda item: (item[0][0], item[0][1] or "", item[0][2]))
            summaries = tuple([stats.summary(quantiles) for _, stats in ordered])
            body = _encoder.encode(summaries)
            crc = _rollup_crc(size_s, row_id, key.device_key, key.start_ms, body)
            rows.append((size_s, row_id, key.device_key, key.start_ms, body, crc))
            entries.setdefault(size_s, []).append(RollupEntry(row_id, key.device_key, size_s, key.start_ms, summaries))
            bytes_of[size_s] = bytes_of.get(size_s, 0) + len(body)
        self._store.run_many("INSERT INTO rollups VALUES (?, ?, ?, ?, ?, ?)", rows)
        for size_s, head in heads.items():
            self._store.set_cursor(rollup_head_cursor(size_s), head)
            self._tail(size_s).append(entries[size_s], bytes_of[size_s])

    def _tail(self, size_s: int) -> Tail[RollupEntry]:
        """The newest rollups of one size, in memory for all who read them."""
        tails, name = self._store.tails, rollup_head_cursor(size_s)
        tail = tails.get(name)
        if tail is None:
            tail = tails[name] = Tail(ROLLUPS_KEPT_BYTES)
        return tail

    def head(self, size_s: int) -> int:
        """The highest id ever given out in the log of this size."""
        return self._store.cursor(rollup_head_cursor(size_s))

    def sizes_s(self) -> list[int]:
        """The sizes of which there are rollups, in order: from one to the next by the index, however many there are."""
        rows = self._store.run(
            "WITH RECURSIVE sizes (size_s) AS (SELECT min(size_s) FROM rollups UNION ALL"
            " SELECT (SELECT min(size_s) FROM rollups WHERE size_s > sizes.size_s) FROM sizes"
            " WHERE sizes.size_s IS NOT NULL) SELECT size_s FROM sizes WHERE size_s IS NOT NULL"
        )
        return [row[0] for row in rows]

    def read(self, size_s: int, first: int, last: int, limit: int) -> RollupPage:
        """Rollups with ids `first` to `last`, oldest first, up to the first damaged row."""
        recent = self._tail(size_s).read(first - 1, min(limit, last - first + 1))
        if recent is not None:
            return RollupPage(recent, None)
        rows = self._store.run(
            "SELECT * FROM rollups WHERE size_s = ? AND id BETWEEN ? AND ? ORDER BY id LIMIT ?",
            (size_s, first, last, limit),
        )
        entries: list[RollupEntry] = []
        for row in rows:
            _, row_id, device_key, start_ms, body, crc = row
            if crc != _rollup_crc(size_s, row_id, device_key, start_ms, body):
                return RollupPage(entries, row)
            entries.append(RollupEntry(row_id, device_key, size_s, start_ms, _summary_decoder.decode(body)))
        return RollupPage(entries, None)

    def delete_through(self, size_s: int, position: int, limit: int) -> int:
        """Delete at most `limit` rollups up to `position`, oldest first; how many went."""
        sql = (
            "DELETE FROM rollups WHERE size_s = ? AND id IN"
            " (SELECT id FROM rollups WHERE size_s = ? AND id <= ? ORDER BY id LIMIT ?)"
        )
        self._tail(size_s).forget_through(position)
        return self._store.change(sql, (size_s, size_s, position, limit))


def _window(
    device_key: int, size_s: int, start_ms: int, dirty: int, touched_ms: int, next_ms: int, body: bytes, crc: int
) -> tuple[WindowKey, Window | None]:
    """A row: whose it is, and the window unless the checksum fails."""
    key = WindowKey(device_key, size_s, start_ms)
    if crc != _window_crc(key, dirty, touched_ms, next_ms, body):
        return key, None
    series = {(one.name, one.unit, isinstance(one.last, str)): one for one in _stats_decoder.decode(body)}
    return key, Window(series, bool(dirty), touched_ms, next_ms)


def _window_crc(key: WindowKey, dirty: bool | int, touched_ms: int, next_ms: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_window_head.pack(*key, int(dirty), touched_ms, next_ms)))


def _rollup_crc(size_s: int, row_id: int, device_key: int, start_ms: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_rollup_head.pack(size_s, row_id, device_key, start_ms)))
