"""A page of the log, gathered: each device's readings of each stretch of device time, summed up once for all windows.

The sizes of all windows are multiples of one stretch (their greatest common divisor), so a cell lies within one window
of each size: a reading is looked at once, however many sizes there are, and a window is touched once for many readings.
Synchronous and sans-IO; nothing outlives its page.
"""

from collections.abc import Iterable

from edge.stats import At, Content, SeriesKey, Stats
from edge.store import LogEntry


class Cell:
    """The readings of one device whose device time lies in one stretch.

    `opened_ms`: how far the gateway's clock was ahead of the device's at the first of them; `touched_ms`: the gateway's
    clock at the last, whose id in the log is `last_id`.
    """

    __slots__ = ("_columns", "_last", "device_key", "last_id", "opened_ms", "readings", "start_ms", "touched_ms")

    def __init__(self, device_key: int, start_ms: int, opened_ms: int) -> None:
        self.device_key = device_key
        self.start_ms = start_ms
        self.opened_ms = opened_ms
        self.touched_ms = self.last_id = 0
        self.readings = 0
        self._columns: dict[SeriesKey, list[Content]] = {}
        self._last: dict[SeriesKey, tuple[At, Content]] = {}

    def add(self, entry: LogEntry) -> None:
        """Add one reading."""
        reading, columns, lasts = entry.reading, self._columns, self._last
        self.readings += 1
        self.touched_ms, self.last_id = entry.received_at_ms, entry.id
        at = (reading.taken_at_ms, reading.boot, reading.seq)
        for value in reading.values:
            content = value.value
            key = (value.name, value.unit, isinstance(content, str))
            column = columns.get(key)
            if column is None:
                columns[key] = [content]
                lasts[key] = (at, content)
                continue
            column.append(content)
            if at >= lasts[key][0]:
                lasts[key] = (at, content)

    def series(self, *, quantiles: bool) -> dict[SeriesKey, Stats]:
        """The statistics of every value, with what `quantiles` are told from if they are wanted."""
        return {
            key: Stats.of(key[0], key[1], contents, self._last[key][1], self._last[key][0], quantiles=quantiles)
            for key, contents in self._columns.items()
        }


def gather(entries: Iterable[LogEntry], stretch_ms: int, cells: dict[tuple[int, int], Cell]) -> None:
    """Add readings to the cells, in the order of the log; new cells are put behind those that there are."""
    for entry in entries:
        taken_at_ms = entry.reading.taken_at_ms
        key = (entry.device_key, taken_at_ms - taken_at_ms % stretch_ms)
        cell = cells.get(key)
        if cell is None:
            cell = cells[key] = Cell(*key, entry.received_at_ms - taken_at_ms)
        cell.add(entry)
