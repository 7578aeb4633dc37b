"""Answers from the history's file, over a connection of its own: nobody who looks makes the gateway wait.

Promises: an answer costs as many look-ups as one device may have rows (`kept_max`); without a file, or with one that
cannot be read, there is no history (empty answers), and nothing is raised. For any thread; each call opens and closes.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import msgspec

from edge.history.battery import Sample
from edge.history.keep import BATTERY, Kept, kept_max, slot_s
from edge.history.series import Point

BUSY_MS = 200
_decoder = msgspec.msgpack.Decoder(list[Kept])
_OF_ONE = (
    "WITH RECURSIVE starts (at) AS (VALUES (:first) UNION ALL SELECT at + :step FROM starts WHERE at + :step <= :last)"
    " SELECT start_ms, late, body FROM starts CROSS JOIN windows"
    " ON size_s = :size AND start_ms = at AND device_key = :key"
)


def read_windows(
    path: Path, device_key: int, size_s: int, name: str, unit: str | None, from_ms: int, to_ms: int
) -> list[Point]:
    """The windows of one value that begin from `from_ms` to before `to_ms`, oldest first. `unit` None: any."""
    found: list[Point] = []
    for start_ms, late, body in _rows(path, device_key, size_s, from_ms, to_ms):
        for kept_name, kept_unit, count, low, high, mean in _decoder.decode(body):
            if kept_name == name and unit in (None, kept_unit):
                found.append(Point(start_ms, count, low, high, mean, bool(late)))
                break
    return found


def read_names(path: Path, device_key: int, size_s: int, now_ms: int) -> list[tuple[str, str | None]]:
    """(name, unit) of every value of the newest window of a device."""
    rows = _rows(path, device_key, size_s, 0, now_ms + 1)
    return [(name, unit) for name, unit, *_ in _decoder.decode(rows[-1][2])] if rows else []


def read_battery(path: Path, device_key: int, now_ms: int) -> list[Sample]:
    """A device's battery over the last ninety days, oldest first."""
    return _battery(_rows(path, device_key, BATTERY, 0, now_ms + 1))


def read_batteries(path: Path, keys: Iterable[int], now_ms: int) -> dict[int, list[Sample]]:
    """The same of several devices, over one connection."""
    try:
        with closing(_connect(path)) as db:
            return {key: _battery(_select(db, key, BATTERY, 0, now_ms + 1)) for key in keys}
    except sqlite3.Error:
        return {}


def _battery(rows: Iterable[tuple[int, int, bytes]]) -> list[Sample]:
    samples = []
    for start_ms, _, body in rows:
        volts = percent = None
        for name, unit, _, _, _, mean in _decoder.decode(body):
            if name == "battery_voltage":
                volts = mean / 1000 if unit == "mV" else mean
            elif name == "battery_level":
                percent = mean * 100 if unit == "/" else mean
        samples.append(Sample(start_ms, volts, percent))
    return samples


def _rows(path: Path, device_key: int, size_s: int, from_ms: int, to_ms: int) -> list[tuple[int, int, bytes]]:
    try:
        with closing(_connect(path)) as db:
            return _select(db, device_key, size_s, from_ms, to_ms)
    except sqlite3.Error:
        return []


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_MS / 1000)


def _select(
    db: sqlite3.Connection, device_key: int, size_s: int, from_ms: int, to_ms: int
) -> list[tuple[int, int, bytes]]:
    step_ms = 1000 * slot_s(size_s)
    last = (to_ms - 1) - (to_ms - 1) % step_ms
    first = max(-(-from_ms // step_ms) * step_ms, last - (kept_max(size_s) - 1) * step_ms)
    if first > last:
        return []
    told = {"first": first, "last": last, "step": step_ms, "size": size_s, "key": device_key}
    return db.execute(_OF_ONE, told).fetchall()
