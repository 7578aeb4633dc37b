"""A file of its own beside the store: the rollups of every device, kept after they were sent.

Promises: bounded by age (`WINDOWS_KEPT` windows of each size, `BATTERY_SLOTS_KEPT` slots of a battery) and by bytes
(`bytes_max`; then every size gives up its oldest, so that all of them keep the same share of their time); what fails
here harms nobody: the history has a gap, `trouble` says why, and a damaged file is begun anew. It never makes ingest
wait for the disk: `synchronous=NORMAL`, so a power cut may cost the last minutes of it, and only of it.

Rows stand in the order of time, not of devices: the windows of one minute are written side by side (one page after the
other, not one for each device), and are deleted side by side; a chart of one device is at most `WINDOWS_KEPT` look-ups.
Lives in the store's thread.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from edge.stats import Summary
from edge.store.windows import Window, WindowKey

HISTORY_FILE = "history.sqlite"
WINDOWS_KEPT = (
    1440  # of each size: a day of minutes, fifteen days of quarters of an hour; more than a screen has pixels
)
SIZE_S_MIN = 60  # smaller windows are what raw readings are for, and would be written six times as often
BATTERY = 0
"""Stands for a size: the slots of batteries."""
BATTERY_SLOT_S = 4 * 3600  # a battery that lasts for weeks is drawn well by six points a day
BATTERY_SLOTS_KEPT = 540  # ninety days
LATE_MS = 60_000  # what was received so long after its window ended is late, as on the pages
DEFAULT_BYTES_MAX = 256 * 1024**2  # twenty devices with four values: all of it; 10,000: some two hours of minutes
DELETE_ROWS = 4096  # of one round: some 10 ms of the store's thread
BATTERY_VALUES = frozenset({"battery_voltage", "battery_level"})
NAME_CHARS_MAX = 64
_WAL_BYTES_MAX = 4 * 1024**2
_encoder = msgspec.msgpack.Encoder()

Kept = tuple[str, str | None, int, float, float, float]
"""name, unit, count, low, high, mean of one value over one window."""


def slot_s(size_s: int) -> int:
    """How long a row of this size stands for."""
    return BATTERY_SLOT_S if size_s == BATTERY else size_s


def kept_max(size_s: int) -> int:
    """How many rows of one device and size are kept."""
    return BATTERY_SLOTS_KEPT if size_s == BATTERY else WINDOWS_KEPT


def sizes_kept(sizes_s: Sequence[int]) -> tuple[int, ...]:
    """Of the sizes that are rolled up, those that are kept: none so small as `SIZE_S_MIN`, but one at least."""
    return tuple(sorted(size for size in sizes_s if size >= SIZE_S_MIN)) or tuple(sorted(sizes_s)[-1:])


class History:
    """Writes the file. `bytes_max` 0: there is none."""

    def __init__(self, path: Path, bytes_max: int, sizes_s: Sequence[int]) -> None:
        self.path = path
        self.sizes_s = sizes_kept(sizes_s) if bytes_max else ()
        self.trouble: str | None = None
        self._bytes_max = bytes_max
        self._db: sqlite3.Connection | None = None

    def note(self, emitted: Sequence[tuple[WindowKey, Window]]) -> None:
        """Keep what was rolled up; a correction replaces what it corrects. Raises nothing that a disk can cause."""
        rows = [row for key, window in emitted if key.size_s in self.sizes_s for row in self._rows(key, window)]
        if not rows:
            return
        try:
            db = self._opened()
            with db:
                db.execute("BEGIN")
                db.executemany("INSERT OR REPLACE INTO windows VALUES (?, ?, ?, ?, ?)", rows)
                self._make_room(db, max(window.touched_ms for _, window in emitted))
            self.trouble = None
        except sqlite3.Error as error:
            self.trouble = str(error)
            self.close()
            if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                self._begin_anew()

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _rows(self, key: WindowKey, window: Window) -> list[tuple[int, int, int, int, bytes]]:
        kept = [kept_of(stats.summary()) for stats in window.series.values()]
        numbers = [one for one in kept if one is not None]
        if not numbers:
            return []
        late = int(window.touched_ms - key.end_ms > LATE_MS)
        rows = [(key.size_s, key.start_ms, key.device_key, late, _encoder.encode(numbers))]
        battery = [one for one in numbers if one[0] in BATTERY_VALUES]
        if battery and key.size_s == self.sizes_s[-1]:
            start_ms = key.start_ms - key.start_ms % (1000 * BATTERY_SLOT_S)
            rows.append((BATTERY, start_ms, key.device_key, late, _encoder.encode(battery)))
        return rows

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_MAX}")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS windows (size_s INTEGER NOT NULL, start_ms INTEGER NOT NULL,"
                " device_key INTEGER NOT NULL, late INTEGER NOT NULL, body BLOB NOT NULL,"
                " PRIMARY KEY (size_s, start_ms, device_key)) STRICT, WITHOUT ROWID"
            )
        return self._db

    def _begin_anew(self) -> None:
        for name in (self.path.name, self.path.name + "-wal", self.path.name + "-shm"):
            with suppress(OSError):
                self.path.with_name(name).unlink(missing_ok=True)

    def _make_room(self, db: sqlite3.Connection, now_ms: int) -> None:
        """Delete some of what is too old, and, in a file that is full, of what is oldest for its size."""
        shares: list[tuple[float, int]] = []
        for size_s in (*self.sizes_s, BATTERY):
            oldest, newest = db.execute(
                "SELECT (SELECT min(start_ms) FROM windows WHERE size_s = ?1),"
                " (SELECT max(start_ms) FROM windows WHERE size_s = ?1)",
                (size_s,),
            ).fetchone()
            if oldest is None:
                continue
            length_ms = 1000 * slot_s(size_s) * kept_max(size_s)
            self._delete(db, size_s, min(newest, now_ms) - length_ms)
            shares.append(((newest - oldest) / length_ms, size_s))
        (pages,), (free,), (page_bytes,) = (
            db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count", "page_size")
        )
        if shares and (pages - free) * page_bytes > self._bytes_max:
            self._delete(db, max(shares)[1], now_ms)
        if free > pages // 4:
            db.execute("PRAGMA incremental_vacuum(256)").fetchall()

    def _delete(self, db: sqlite3.Connection, size_s: int, before_ms: int) -> None:
        db.execute(
            "DELETE FROM windows WHERE (size_s, start_ms, device_key) IN (SELECT size_s, start_ms, device_key"
            " FROM windows WHERE size_s = ? AND start_ms <= ? ORDER BY start_ms, device_key LIMIT ?)",
            (size_s, before_ms, DELETE_ROWS),
        )


def kept_of(summary: Summary) -> Kept | None:
    """What is kept of a value; None for a text, and for what has no finite sum."""
    if summary.low is None or summary.high is None or summary.mean is None:
        return None
    return (
        summary.name[:NAME_CHARS_MAX], summary.unit and summary.unit[:NAME_CHARS_MAX], summary.count,
        summary.low, summary.high, summary.mean,
    )  # fmt: skip
