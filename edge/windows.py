"""Event-time tumbling windows: readings of the log become rollups, exactly, whatever the order and whatever crashes.

    log --cursor--> open windows (table) --emitted--> rollup log (table) --> forwarder's rollup lane

A window of size S holds the readings of one device whose device time lies in [n*S, (n+1)*S); several sizes at once.

When a window is emitted. Each reading says how the device's clock stands to the gateway's, so the window that it opens
is reckoned complete when the device's own clock reaches the window's end: received + (end - taken) + grace. That is the
watermark, one for each device and window: a device with a slow clock or a slow link holds up nobody, and one with a
wrong clock closes nobody's windows. Time flows as the log flows (a row's receive time) until the aggregator has caught
up with the log, and by the wall clock from then on, so that a silent device's window is emitted as well.

A late reading reopens its window, which is emitted again, corrected: same series, same timestamp: it overwrites.

How long a window can be corrected. An emitted window is kept until nothing has touched it for the allowed lateness;
then its state is deleted and its number is remembered as forgotten. A reading of a window that was never seen opens it
however late it comes; a reading of a forgotten window changes no rollup: it is counted (the ledger's total
`not_rolled_up`, one for each window size) and is in the raw lane as every reading is.

A reading need not be in its window before that is due, so readings may gather in the log until the first of them is
(`due_ms`): one transaction then takes them in and emits, and what is emitted is the same.

Promises: for any order of arrival, duplicates, and crashes at any point, the last rollup emitted for a window equals a
recomputation from the raw readings (less those that were counted). Windows, rollups, and the aggregator's cursor move
in one transaction, and nothing that they rest on is kept in memory between two calls: a restart has nothing to rebuild,
and memory does not depend on how many windows are open.
Synchronous; lives in the store's thread.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from edge.cells import Cell, gather
from edge.intervals import Intervals
from edge.ledger import NOT_ROLLED_UP, Ledger
from edge.stats import SeriesKey, Stats
from edge.store import Store
from edge.store.names import WINDOWS_CURSOR as WINDOWS_CURSOR
from edge.store.windows import Window, WindowKey, WindowTables

PAGE_ROWS = 8192  # of one transaction: one fsync, and one look at every window, for so many readings
READ_ROWS = 2048  # of one read, so that memory stays flat
CELLS_MAX = 2048  # a page of many devices ends earlier: each cell is a look at its windows, and ingest waits 0.1 s
EMIT_WINDOWS = 2048  # of one transaction, for the same reason
SERIES_MAX = 256  # values of one device in one window: four times what one reading may hold; bounds a row
FORGOTTEN_RANGES_MAX = 1024  # per device and size, about 10 KB: beyond it the oldest gap counts as forgotten, too
FORGET_EVERY_MS = 60_000  # an emitted window is kept up to so much longer than its lateness: one fsync for all of them
_NEVER_MS = 2**62
DEFAULT_SIZES_S = (10, 60, 900)
DEFAULT_GRACE_MS = 2_000  # a reading may be on the radio for so long without costing a correction
DEFAULT_LATENESS_MS = 3_600_000  # costs the disk about 470 kept windows per device that reports every 10 s


@dataclass(frozen=True, slots=True)
class WindowRules:
    """Which windows there are. Without sizes nothing is rolled up."""

    sizes_s: tuple[int, ...] = DEFAULT_SIZES_S
    grace_ms: int = DEFAULT_GRACE_MS
    lateness_ms: int = DEFAULT_LATENESS_MS
    quantiles: tuple[float, ...] = ()


class Aggregator:
    """Rolls the log of one store up."""

    def __init__(self, store: Store, ledger: Ledger, rules: WindowRules) -> None:
        self._store = store
        self._ledger = ledger
        self._rules = rules
        self._tables = WindowTables(store)
        self._stretch_ms = 1000 * math.gcd(*rules.sizes_s)
        self.emitted: list[tuple[WindowKey, Window]] = []
        """What the last `advance` has emitted and committed."""
        self._horizon_ms = 1000 * max(rules.sizes_s, default=0) + rules.grace_ms + rules.lateness_ms + FORGET_EVERY_MS
        self._sizes_ms = tuple(1000 * size_s for size_s in rules.sizes_s)
        self._looked_from: tuple[int, int] | None = None
        self._looked_through = 0
        self._opening_ms = _NEVER_MS

    def advance(self, wall_ms: int | None) -> bool:
        """Take the next readings and emit what is due, in one transaction; whether there is more to do at once.

        `wall_ms`: the gateway's clock, None while it is not known. Raises `StoreError`: then nothing has changed.
        """
        self.emitted = []
        if not self._rules.sizes_s:
            return self._skip_log(wall_ms)
        before = self._store.cursor(WINDOWS_CURSOR)
        cells, position, received_at_ms = self._gather(before)
        behind = position < self._store.head
        clock_ms = received_at_ms if behind and received_at_ms is not None else wall_ms
        if position == before and (clock_ms is None or not self._due(clock_ms)):
            return False
        due: list[tuple[WindowKey, bool]] = []
        emitted: list[tuple[WindowKey, Window]] = []
        with self._ledger.transaction(leaves_waiting=True):
            touched = self._take(cells)
            self._store.set_cursor(WINDOWS_CURSOR, position)
            if clock_ms is not None:
                due = self._due_with(touched, clock_ms)  # what this page opened and closed is among them
                emitted = self._serve(due, touched)
            self._tables.put(touched.items())
        self.emitted = emitted
        return behind or len(due) == EMIT_WINDOWS

    def _gather(self, position: int) -> tuple[list[Cell], int, int | None]:
        """The next page, where it ends, and when its last reading was received."""
        cells: dict[tuple[int, int], Cell] = {}
        received_at_ms: int | None = None
        through = position + PAGE_ROWS
        while position < through and len(cells) < CELLS_MAX:
            wanted = min(READ_ROWS, through - position)
            page = self._store.read(position, wanted)
            gather(page.entries, self._stretch_ms, cells)
            if page.entries:
                position, received_at_ms = page.entries[-1].id, page.entries[-1].received_at_ms
            if page.damaged is not None:
                position = page.damaged[0]  # the forwarder puts it into quarantine
            if len(page.entries) < wanted:
                break
        return list(cells.values()), position, received_at_ms

    def _skip_log(self, wall_ms: int | None) -> bool:
        """Nothing is to be rolled up: hold no row back, and finish the windows of an earlier configuration."""
        due = [] if wall_ms is None else self._due(wall_ms)
        if due or self._store.cursor(WINDOWS_CURSOR) < self._store.head:
            with self._ledger.transaction():
                self._store.set_cursor(WINDOWS_CURSOR, self._store.head)
                emitted: dict[WindowKey, Window] = {}
                self._serve(due, emitted)
                self._tables.put(emitted.items())
        return len(due) == EMIT_WINDOWS

    def _due(self, clock_ms: int) -> list[tuple[WindowKey, bool]]:
        """A time beyond the horizon was set by a clock that has since been put back: it would never come."""
        return self._tables.due(clock_ms, clock_ms + self._horizon_ms, EMIT_WINDOWS)

    def _due_with(self, touched: dict[WindowKey, Window], clock_ms: int) -> list[tuple[WindowKey, bool]]:
        """`_due`, with windows that are not written yet."""
        found = [
            (window.next_ms, key, window.dirty)
            for key, window in touched.items()
            if not clock_ms < window.next_ms <= clock_ms + self._horizon_ms
        ]
        written = [(0, key, dirty) for key, dirty in self._due(clock_ms) if key not in touched]
        return [(key, dirty) for _, key, dirty in (written + sorted(found))[:EMIT_WINDOWS]]

    # -- readings into windows

    def _take(self, cells: Sequence[Cell]) -> dict[WindowKey, Window]:
        """The windows that these belong to, with them; to be written."""
        rules = self._rules
        sizes = [(size_s, 1000 * size_s) for size_s in rules.sizes_s]
        keys = [
            [WindowKey(cell.device_key, size_s, cell.start_ms - cell.start_ms % size_ms) for size_s, size_ms in sizes]
            for cell in cells
        ]
        touched = self._open(dict.fromkeys(chain.from_iterable(keys)))
        last_ids: dict[WindowKey, int] = {}  # cells are in the order of their first readings, not of their last
        missed = 0
        for cell, its_keys in zip(cells, keys, strict=True):
            series = cell.series(quantiles=bool(rules.quantiles))
            for key in its_keys:
                window = touched.get(key)
                if window is None:
                    missed += cell.readings
                else:
                    missed += self._add(key, window, cell, series)
                    if cell.last_id > last_ids.get(key, 0):
                        last_ids[key] = cell.last_id
                        window.touched_ms = cell.touched_ms
        if missed:
            self._ledger.count(NOT_ROLLED_UP, missed)
        return touched

    def _open(self, keys: Iterable[WindowKey]) -> dict[WindowKey, Window]:
        """The windows' states, in the order of their keys, new if they were never seen; without the forgotten ones."""
        windows, damaged = self._tables.find(keys)
        forgotten = self._tables.forgotten(key[:2] for key in keys if key not in windows)
        opened: dict[WindowKey, Window] = {}
        for key in keys:
            window = windows.get(key)
            if window is None:
                if key in damaged or _number(key) in forgotten[key[:2]]:
                    continue
                window = Window({}, dirty=False, touched_ms=0, next_ms=0)
            opened[key] = window
        return opened

    def _add(self, key: WindowKey, window: Window, cell: Cell, series: dict[SeriesKey, Stats]) -> int:
        """Add a cell; how many values found no room."""
        known, missed = window.series, 0
        for name, stats in series.items():
            before = known.get(name)
            if before is not None:
                before.merge(stats)
            elif len(known) < SERIES_MAX:
                known[name] = stats.copy()
            else:
                missed += stats.count
        if not window.dirty:
            window.dirty = True
            window.next_ms = cell.opened_ms + key.end_ms + self._rules.grace_ms
        return missed

    # -- windows into rollups, and out of the store

    def _serve(
        self, due: Sequence[tuple[WindowKey, bool]], touched: dict[WindowKey, Window]
    ) -> list[tuple[WindowKey, Window]]:
        """Emit what is dirty, and forget the rest; `touched` are not written yet, and what is emitted joins them."""
        emitted: list[tuple[WindowKey, Window]] = []
        over: list[WindowKey] = []
        written = self._tables.find([key for key, dirty in due if dirty and key not in touched]).windows
        for key, dirty in due:
            # What is clean is over, whatever else it says.
            window = (touched.get(key) or written.get(key)) if dirty else None
            if window is None or not window.dirty:  # a damaged state is not to be emitted
                over.append(key)
                continue
            window.dirty = False
            window.next_ms = _turn(window.touched_ms + self._rules.lateness_ms)
            emitted.append((key, window))
        if emitted:
            self._tables.append(emitted, self._rules.quantiles)
            touched.update(emitted)
        if over:
            self._forget(over)
        return emitted

    def _forget(self, keys: list[WindowKey]) -> None:
        before = self._tables.forgotten(key[:2] for key in keys)
        forgotten = {place: numbers.copy() for place, numbers in before.items()}
        for key in keys:
            forgotten[key[:2]].add(_number(key))
        self._tables.put_forgotten({key: _bounded(numbers) for key, numbers in forgotten.items()})
        self._tables.delete(keys)

    # -- for a driver that does not ask all the time

    @property
    def waiting(self) -> int:
        """How many rows of the log are not taken in yet. Raises `StoreError`."""
        return self._store.head - self._store.cursor(WINDOWS_CURSOR)

    def due_ms(self) -> int | None:
        """When `advance` has something to emit or to forget, by the gateway's clock; 0: a whole page waits.

        None: not before new readings. Raises `StoreError`.
        """
        waiting, next_ms = self.waiting, self._tables.next_ms()
        if not waiting:
            return next_ms
        if waiting >= READ_ROWS or not self._sizes_ms:
            return 0
        opening_ms = self._first_opening_ms()
        return opening_ms if next_ms is None else min(next_ms, opening_ms)

    def _first_opening_ms(self) -> int:
        """When the first window would be due of those that the waiting readings open: none is due before."""
        store = self._store
        looked_from = store.cursor(WINDOWS_CURSOR), store.forgotten
        if looked_from != self._looked_from:
            self._looked_from, self._looked_through, self._opening_ms = looked_from, looked_from[0], _NEVER_MS
        if self._looked_through < store.head:
            page = store.read(self._looked_through, READ_ROWS)
            if page.damaged is not None or not page.entries:
                return 0
            for entry in page.entries:
                taken_ms = entry.reading.taken_at_ms
                left_ms = min([size_ms - taken_ms % size_ms for size_ms in self._sizes_ms])
                self._opening_ms = min(self._opening_ms, entry.received_at_ms + left_ms + self._rules.grace_ms)
            self._looked_through = page.entries[-1].id
        return self._opening_ms

    def has_open(self) -> bool:
        """Whether any window holds what no rollup says yet. Raises `StoreError`."""
        return self._tables.has_dirty()


def _turn(at_ms: int) -> int:
    """The next turn at which windows are forgotten: many together, in one transaction."""
    return -(-at_ms // FORGET_EVERY_MS) * FORGET_EVERY_MS


def _number(key: WindowKey) -> int:
    return key.start_ms // (1000 * key.size_s)


def _bounded(numbers: Intervals) -> Intervals:
    """At most so many ranges: the oldest grow together."""
    excess = len(numbers) - FORGOTTEN_RANGES_MAX
    if excess > 0:
        ranges = list(numbers)
        numbers.add_range(ranges[0][0], ranges[excess][1])
    return numbers
