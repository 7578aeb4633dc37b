"""The write-ahead log's bar: a reader that never ends keeps SQLite from starting the log over, and it grows.

Promises: above the bar the log is cut back as soon as no reader is in the way; while one is, that is counted and
known (`held_up`), and the budget counts the log, so that intake stops before the volume is full. A reader in another
process cannot be cut off from here; our own end by themselves (`edge.store.outage_log`).
"""

import os
import sqlite3
from pathlib import Path

WAL_BYTES_MAX = 16 * 1024 * 1024  # four times what SQLite lets gather before it checkpoints


def wal_bytes_max(disk_bytes_max: int | None) -> int:
    """The bar: what of the store's budget is the log's."""
    return WAL_BYTES_MAX if disk_bytes_max is None else min(WAL_BYTES_MAX, disk_bytes_max // 4)


class WalWatch:
    """The log of one store. `blocked` counts the looks at which a reader was in the way."""

    def __init__(self, store_path: Path, bytes_max: int) -> None:
        self._path = str(store_path.with_name(store_path.name + "-wal"))  # looked at often: text is quicker
        self.bytes_max = bytes_max
        self.held_up = False
        self.blocked = 0

    def size_bytes(self) -> int:
        """What it takes now."""
        try:
            return os.stat(self._path).st_size  # noqa: PTH116
        except OSError:
            return 0

    def look(self, db: sqlite3.Connection, busy_timeout_ms: int) -> None:
        """Cut it back if it is above the bar, without waiting for anybody. Raises `sqlite3.Error`."""
        if self.size_bytes() <= self.bytes_max:
            self.held_up = False
            return
        self.held_up = not cut_back(db, busy_timeout_ms)
        self.blocked += self.held_up


def cut_back(db: sqlite3.Connection, busy_timeout_ms: int) -> bool:
    """Write the log into the database and empty it; whether no reader was in the way. Raises `sqlite3.Error`."""
    db.execute("PRAGMA busy_timeout = 0")
    try:
        busy: int = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        db.execute(f"PRAGMA busy_timeout = {busy_timeout_ms}")
    return busy == 0
