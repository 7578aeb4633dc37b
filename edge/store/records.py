"""What the store keeps beside the log: positions of its readers, sets of ids, the ledger, and the quarantine.

Promises: what is written is written inside the transaction that the caller has open, or, of sets that may wait, with
the next one; positions and sets are remembered as they were last written, and asked of the file again after a
transaction failed. The part of `Store` that is about records; `Store` is about the file and the log.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from edge.intervals import Intervals, IntervalsError
from edge.store.errors import StoreCorrupt


class Records(ABC):
    """The records of one open store."""

    _db: sqlite3.Connection
    _corrupt: str | None
    moves = 0
    """Rises with every position, set and row of the log that is written, and when memory is made new: as long as it
    stays, what waits for whom does, too."""
    appended_bytes = 0
    quarantines = 0
    """How often something was put into quarantine since the start: who sums it up need not look before."""
    waiting_ids = 0
    """How many ids joined sets that are not written yet: what a crash forgets of them."""
    _is_waiting_written = False
    """Whether what waits was written in this transaction."""
    forgotten = 0
    """How often a transaction failed or the file was opened: who remembers what the file holds asks it again then."""

    def __init__(self) -> None:
        self._waiting: dict[str, Intervals] = {}

    @abstractmethod
    def _execute(self, sql: str, arguments: tuple[object, ...] = ()) -> list[Any]:
        """The rows of one statement. Raises `StoreError`."""

    def _forget_records(self) -> None:
        self._cursors: dict[str, int] = {}
        self._ranges: dict[str, Intervals] = dict(self._waiting)
        self._totals: dict[str, int] = {}
        self.forgotten += 1
        self.moves += 1

    def cursor(self, name: str) -> int:
        """How far a consumer has durably got: the id of the last entry it is done with; 0 at the start."""
        position = self._cursors.get(name)
        if position is None:
            rows = self._execute("SELECT position FROM cursors WHERE name = ?", (name,))
            position = self._cursors[name] = int(rows[0][0]) if rows else 0
        return position

    def set_cursor(self, name: str, position: int) -> None:
        """Move a consumer, inside a transaction."""
        self._db.execute("INSERT OR REPLACE INTO cursors (name, position) VALUES (?, ?)", (name, position))
        self._cursors[name] = position
        self.moves += 1

    def cursors(self) -> dict[str, int]:
        """Every consumer and its position."""
        return dict(self._execute("SELECT name, position FROM cursors ORDER BY name"))

    def ranges(self, name: str) -> Intervals:
        """A set of ids; empty at the start."""
        return self.look_at_ranges(name).copy()

    def look_at_ranges(self, name: str) -> Intervals:
        """`ranges` for one who only looks, and now: not to be changed, and not a copy."""
        ids = self._ranges.get(name)
        if ids is None:
            rows = self._execute("SELECT ranges FROM ranges WHERE name = ?", (name,))
            ids = self._ranges[name] = self.decode(rows[0][0]) if rows else Intervals()
        return ids

    def put_ranges(self, name: str, ids: Intervals) -> None:
        """Write a set of ids, inside a transaction. It is the store's from now on, and not to be changed any more."""
        if name in self._waiting:
            self.write_waiting()  # or what waited would come back with a later transaction that fails
        self._db.execute("INSERT OR REPLACE INTO ranges VALUES (?, ?)", (name, ids.encode()))
        self._ranges[name] = ids
        self.moves += 1

    def put_ranges_later(self, name: str, ids: Intervals, added: int) -> None:
        """`put_ranges` with the next transaction that does not leave it waiting, for a set that got `added` more ids.

        It is true at once; a failed transaction changes nothing in it, a crash before that one forgets it.
        """
        self._ranges[name] = self._waiting[name] = ids
        self.waiting_ids += added
        self.moves += 1

    def write_waiting(self) -> None:
        """Write what waits, inside a transaction: as it stands now."""
        self._is_waiting_written = True
        for name in self._waiting:
            self._db.execute("INSERT OR REPLACE INTO ranges VALUES (?, ?)", (name, self._ranges[name].encode()))

    def _forget_waiting(self) -> None:
        """It is written, or what it was about is gone."""
        self._waiting.clear()
        self.waiting_ids = 0

    def forget_consumer(self, cursors: Iterable[str], ranges: Iterable[str] = ()) -> None:
        """Drop these cursors and these sets of ids, inside a transaction."""
        self.moves += 1
        for table, names in (("cursors", list(cursors)), ("ranges", list(ranges))):
            self._db.executemany(f"DELETE FROM {table} WHERE name = ?", [(name,) for name in names])  # noqa: S608
            for name in names:
                (self._cursors if table == "cursors" else self._ranges).pop(name, None)
                self._waiting.pop(name, None)

    def ledger_entries(self, device_key: int, boot: int) -> dict[str, Intervals]:
        """What the ledger holds of one boot of one device: entry name -> seqs."""
        rows = self._execute("SELECT entry, ranges FROM ledger WHERE device_key = ? AND boot = ?", (device_key, boot))
        return {entry: self.decode(ranges) for entry, ranges in rows}

    def ledger_accounts(self) -> list[tuple[int, int]]:
        """Every (device_key, boot) that the ledger has heard of, in order."""
        return self._execute("SELECT DISTINCT device_key, boot FROM ledger ORDER BY device_key, boot")

    def ledger_boots(self, device_key: int) -> list[int]:
        """The boots of one device that the ledger has heard of, in order."""
        rows = self._execute("SELECT DISTINCT boot FROM ledger WHERE device_key = ? ORDER BY boot", (device_key,))
        return [row[0] for row in rows]

    def put_ledger(self, rows: Sequence[tuple[int, int, str, bytes]], totals: dict[str, int]) -> None:
        """Write (device_key, boot, entry, ranges) rows and the totals, inside a transaction, and that they are news."""
        changed = dict.fromkeys(row[:2] for row in rows)
        self._db.executemany("INSERT OR IGNORE INTO ledger_untold (device_key, boot) VALUES (?, ?)", changed)
        self._db.executemany("INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?)", rows)
        written = self._totals
        moved = sorted((name, count) for name, count in totals.items() if written.get(name) != count)
        self._db.executemany("INSERT OR REPLACE INTO totals VALUES (?, ?)", moved)
        written.update(moved)

    def forget_totals(self, names: Sequence[str]) -> None:
        """Drop these of the ledger's totals, inside a transaction."""
        self._db.executemany("DELETE FROM totals WHERE name = ?", [(name,) for name in names])
        for name in names:
            self._totals.pop(name, None)

    def totals(self) -> dict[str, int]:
        """The ledger's totals as last written."""
        return dict(self._execute("SELECT name, count FROM totals"))

    def quarantine(
        self, *, at_ms: int, source: str, reason: str, topic: bytes, payload: bytes, reading_id: int | None = None
    ) -> None:
        """Keep a message (or a reading that the cloud refuses) that can never be accepted, inside a transaction.

        `source` is `ingest` or the destination; `reading_id` makes keeping the same reading twice harmless.
        """
        self.quarantines += 1
        self.appended_bytes += len(payload) + len(topic) + len(reason)
        self._db.execute(
            "INSERT OR IGNORE INTO quarantine (at_ms, source, reason, topic, payload, reading_id)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (at_ms, source, reason, topic, payload, reading_id),
        )

    def quarantined_ids(self, source: str, after_id: int) -> set[int]:
        """Log ids above a position that are in quarantine because of this destination."""
        sql = "SELECT reading_id FROM quarantine WHERE source = ? AND reading_id > ?"
        return {row[0] for row in self._execute(sql, (source, after_id))}

    def decode(self, raw: bytes) -> Intervals:
        """A stored set. Raises `StoreCorrupt`."""
        try:
            return Intervals.decode(raw)
        except IntervalsError as error:
            self._corrupt = str(error)
            raise StoreCorrupt(f"the store is damaged: {error}") from error
