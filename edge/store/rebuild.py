"""The ledger of a salvaged store: made to fit the rows that are left.

Rows and what the old ledger says are put together: what is settled (delivered to every destination, in quarantine,
thinned, expired) stays so; what has a row that is not settled is held; what was received and is neither is lost.
`write` leaves a ledger that covers the whole log, so that nothing has to be read again.
"""

import sqlite3
import struct
from collections.abc import Iterable, Iterator
from typing import Any

from edge.intervals import Intervals, IntervalsError
from edge.store import names
from edge.store.rows import RowCorrupt, unpack

_KEPT_TOTALS = (names.DUPLICATES, names.UNDECODABLE, names.NOT_ROLLED_UP, names.SALVAGES, names.ALERTS_RAISED)
_DELIVERED = f"{names.DELIVERED}/"
_REGISTERED = "SELECT name FROM cursors WHERE name LIKE 'destination/%'"
_FORWARD_CURSORS = "SELECT name FROM cursors WHERE name LIKE 'forward/%' AND name NOT LIKE 'forward/%/%'"


class Rebuild:
    """Works on the new store, inside a transaction: `load`, `sift` the rows of the log, `write`."""

    def __init__(self, new: sqlite3.Connection, destinations: Iterable[str]) -> None:
        self._db = new
        self._destinations = tuple(destinations)
        self.recovered = 0
        self._accounts: dict[tuple[int, int], dict[str, Intervals]] = {}
        self._present: dict[tuple[int, int], Intervals] = {}
        self._done: dict[str, Intervals] = {}
        self._held: dict[str, Intervals] = {}
        self._refused: dict[str, set[int]] = {}
        self._seen = Intervals()
        self._highest_id = 0
        self._highest_key = 0

    def load(self) -> None:
        """What was recovered of the old ledger and of the sets of ids."""
        for key, boot, entry, raw in self._db.execute("SELECT device_key, boot, entry, ranges FROM ledger"):
            seqs = _decode(raw)
            if seqs is not None:
                self._accounts.setdefault((key, boot), {})[entry] = seqs
            self._highest_key = max(self._highest_key, key)
        ranges = dict(self._db.execute("SELECT name, ranges FROM ranges"))
        cursors = [row[0].removeprefix("forward/") for row in self._db.execute(_FORWARD_CURSORS)]
        known = {row[0].removeprefix("destination/") for row in self._db.execute(_REGISTERED)} | set(cursors)
        for destination in sorted(known or self._destinations):
            raw = ranges.get(names.done_ranges(destination))
            self._done[destination] = (_decode(raw) if raw is not None else None) or Intervals()
            self._held[destination] = Intervals()
            self._refused[destination] = set()
        for source, reading_id in self._db.execute("SELECT source, reading_id FROM quarantine"):
            self._refused.setdefault(source, set()).add(reading_id)
        for name, raw in ranges.items():
            if _decode(raw) is None:
                self._db.execute("DELETE FROM ranges WHERE name = ?", (name,))

    def sift(self, rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """The rows of the log that are whole, each once."""
        for row in rows:
            try:
                unpack(row, "")  # whether it is such a row is the question
            except (RowCorrupt, struct.error, TypeError):
                continue
            if self._seen.add(row[0]):
                self._note(*row[:4])
                yield row

    def wants(self, row_id: int) -> bool:
        """Whether a row of the log has not come yet, and is not over and done with for every destination."""
        if row_id in self._seen:
            return False
        return not self._done or any(row_id not in done for done in self._done.values())

    def _note(self, row_id: int, key: int, boot: int, seq: int) -> None:
        account = self._accounts.setdefault((key, boot), {})
        self._present.setdefault((key, boot), Intervals()).add(seq)
        self._highest_id = max(self._highest_id, row_id)
        self._highest_key = max(self._highest_key, key)
        self.recovered += 1
        for destination, done in self._done.items():
            gone = any(seq in seqs for seqs in _settled(account, destination))
            delivered = account.setdefault(_DELIVERED + destination, Intervals())
            if row_id in done and row_id not in self._refused[destination] and not gone:
                delivered.add(seq)
            elif row_id not in done and seq not in delivered and not gone:
                self._held[destination].add(row_id)

    def write(self) -> int:
        """The ledger, sets and positions of the new store; how many readings are lost."""
        cursors: dict[str, int] = dict(self._db.execute("SELECT name, position FROM cursors"))
        ends = [done.highest or 0 for done in self._done.values()]
        ends += [position for name, position in cursors.items() if names.is_of_log(name)]
        head = max([self._highest_id, *ends])
        totals: dict[str, int] = dict(self._db.execute("SELECT name, count FROM totals"))
        before = sum(seqs.count() for account in self._accounts.values() for seqs in _lost(account))
        new_totals: dict[str, int] = {name: totals.get(name, 0) for name in _KEPT_TOTALS}
        new_totals[names.SALVAGES] += 1
        self._db.execute("DELETE FROM ledger")
        self._db.execute("DELETE FROM totals")
        for (key, boot), account in self._accounts.items():
            self._settle(account, self._present.get((key, boot), Intervals()))
            _count(account, new_totals)
            rows = [(key, boot, entry, seqs.encode()) for entry, seqs in account.items()]
            self._db.executemany("INSERT INTO ledger VALUES (?, ?, ?, ?)", rows)
        self._db.executemany("INSERT INTO totals VALUES (?, ?)", sorted(new_totals.items()))
        self._place(head, cursors)
        self._name_devices()
        return new_totals.get(names.LOST, 0) - before

    def _settle(self, account: dict[str, Intervals], present: Intervals) -> None:
        over: Intervals | None = None  # for every destination: it has them, or will never get them
        for destination in self._done:
            mine = Intervals(account.get(_DELIVERED + destination, ()))
            for seqs in _settled(account, destination):
                mine.update(seqs)
            over = mine if over is None else _common(over, mine)
        kept = Intervals(over or ())
        kept.update(present)
        lost = account.get(names.RECEIVED, Intervals()).minus(kept)
        account[names.RECEIVED] = kept
        for entry, seqs in list(account.items()):
            if entry.startswith(_DELIVERED) or names.is_settled(entry):
                account[entry] = _common(seqs, kept)
        if lost:
            account.setdefault(names.LOST_IN_STORE, Intervals()).update(lost)

    def _place(self, head: int, cursors: dict[str, int]) -> None:
        """Positions: ids that have no row count as done, or nobody would ever be done with them."""
        positions = {names.HEAD_CURSOR: head, names.RECEIVED_CURSOR: head}
        positions[names.WINDOWS_CURSOR] = cursors.get(names.WINDOWS_CURSOR, head)
        for size_s, last in self._db.execute("SELECT size_s, max(id) FROM rollups GROUP BY size_s").fetchall():
            name = f"rollups/head/{size_s}"
            positions[name] = max(cursors.get(name, 0), last)
        last_notice = self._db.execute("SELECT max(id) FROM notices").fetchone()[0] or 0
        positions["notices/head"] = max(cursors.get("notices/head", 0), last_notice)
        for destination, held in self._held.items():
            done = (Intervals([(1, head)]) if head else Intervals()).minus(held)
            for name in (names.done_ranges(destination), names.covered_ranges(destination)):
                self._db.execute("INSERT OR REPLACE INTO ranges VALUES (?, ?)", (name, done.encode()))
            known = names.registered_cursor(destination)
            positions[known] = cursors.get(known, 0)
        self._db.executemany("INSERT OR REPLACE INTO cursors VALUES (?, ?)", sorted(positions.items()))

    def _name_devices(self) -> None:
        """Keys have no holes: a device whose name is gone gets one that says so."""
        known = {row[0] for row in self._db.execute("SELECT key FROM devices")}
        for key in set(range(1, max(self._highest_key, *known, 0) + 1)) - known:
            self._db.execute("INSERT INTO devices VALUES (?, 'salvaged', ?)", (key, f"device-{key}"))


def _settled(account: dict[str, Intervals], destination: str) -> list[Intervals]:
    """What a destination will never get."""
    return [
        seqs
        for entry, seqs in account.items()
        if names.is_settled(entry) and names.split_entry(entry)[1] == destination
    ]


def _lost(account: dict[str, Intervals]) -> list[Intervals]:
    return [seqs for entry, seqs in account.items() if entry.split("/")[0] == names.LOST]


def _count(account: dict[str, Intervals], totals: dict[str, int]) -> None:
    for entry, seqs in account.items():
        name = entry if entry.startswith(_DELIVERED) else entry.split("/")[0]
        totals[name] = totals.get(name, 0) + seqs.count()


def _common(one: Intervals, other: Intervals) -> Intervals:
    return one.minus(one.minus(other))


def _decode(raw: bytes) -> Intervals | None:
    try:
        return Intervals.decode(raw)
    except IntervalsError:
        return None
