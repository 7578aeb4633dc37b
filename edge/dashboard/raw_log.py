"""Readings of one device from the end of the log, read from the store's file beside the gateway.

Promises: looks through at most `RAW_ROWS_MAX` rows, in steps, each a read transaction of its own, so that the gateway
can cut its write-ahead log back in between; a damaged row is left out (who reads the log for its readings finds it, and
says so). For any thread; each call opens and closes its connection, and makes nobody wait.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from edge.history.keep import LATE_MS
from edge.history.series import Point
from edge.store import StoreFailed
from edge.store.rows import RowCorrupt, StoredRow, unpack
from sensors.reading import Reading

RAW_ROWS_MAX = 200_000  # of the log: half a minute at 5,000 a second, a day at two
RAW_STEP_ROWS = 5_000  # of one look: about 1 ms
CLOCK_SPAN_MS = (
    3_600_000  # a device's clock may be ahead by so much, and its reading still stands where it was received
)
BUSY_S = 0.2


def read_raw(path: Path, key: int, name: str, unit: str | None, from_ms: int) -> list[tuple[Point, tuple[int, int]]]:
    """The readings of one value that were received since `from_ms` (and an hour before), each with its boot and seq.

    Raises `StoreFailed`.
    """
    found: list[tuple[Point, tuple[int, int]]] = []
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)) as db:
            ((head,),) = db.execute("SELECT coalesce(max(id), 0) FROM readings").fetchall()
            for through in range(head, max(0, head - RAW_ROWS_MAX), -RAW_STEP_ROWS):
                after = through - RAW_STEP_ROWS
                rows = db.execute(
                    "SELECT * FROM readings WHERE id > ? AND id <= ? AND device_key = ?", (after, through, key)
                ).fetchall()
                found += _points(rows, name, unit)
                older = db.execute(
                    "SELECT received_at_ms FROM readings WHERE id <= ? ORDER BY id DESC LIMIT 1", (after,)
                ).fetchall()
                if not older or older[0][0] < from_ms - CLOCK_SPAN_MS:
                    break
    except sqlite3.Error as error:
        raise StoreFailed(f"{path.name}: {error}") from error
    return found


def raw_point(taken_at_ms: int, received_at_ms: int, number: float) -> Point:
    """One reading as a point."""
    return Point(taken_at_ms, 1, number, number, number, received_at_ms - taken_at_ms > LATE_MS)


def _points(rows: list[StoredRow], name: str, unit: str | None) -> list[tuple[Point, tuple[int, int]]]:
    found = []
    for row in rows:
        try:
            entry = unpack(row, "")
        except RowCorrupt:
            continue
        number = _number(entry.reading, name, unit)
        if number is not None:
            identity = entry.reading.boot, entry.reading.seq
            found.append((raw_point(entry.reading.taken_at_ms, entry.received_at_ms, number), identity))
    return found


def _number(reading: Reading, name: str, unit: str | None) -> float | None:
    for value in reading.values:
        if value.name == name and unit in (None, value.unit) and not isinstance(value.value, str):
            return float(value.value)
    return None
