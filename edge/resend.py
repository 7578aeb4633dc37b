"""Sending again what the cloud turns out not to have, and how long sent readings are kept for that.

Promises: only rows that are still in the log are sent again, as the same lines, so asking twice changes nothing in the
cloud; the ledger takes the delivery back in the transaction that makes the rows wait again, so it balances; rows that
are kept after they were sent give way as soon as the store needs room.
Synchronous; lives in the store's thread.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from edge.intervals import Intervals
from edge.ledger import DELIVERED, Ledger, done_ranges
from edge.store import LogEntry, Store
from edge.store.rows import RowCorrupt, unpack

SCAN_ROWS = 20_000  # of the log in one step: some 20 ms in which ingest waits
MARKS = 64  # in one span of keeping: rows stay 2 % longer at most


@dataclass(frozen=True, slots=True)
class Resent:
    """`again`: readings that wait to be sent again; `gone`: those asked for that are no longer in the log."""

    again: int
    gone: int


class Resend:
    """Of one destination of one store."""

    def __init__(self, store: Store, ledger: Ledger, destination: str) -> None:
        self._store = store
        self._ledger = ledger
        self._destination = destination

    def ask(self, site: str, device: str, boot: int, ranges: Iterable[tuple[int, int]]) -> Resent:
        """Make these seqs wait again, as far as they are delivered and in the log. Raises `StoreError`."""
        wanted = Intervals(ranges)
        key = self._store.known_key(site, device)
        if key is None or not wanted:
            return Resent(0, wanted.count())
        found = list(self._rows(key, boot, wanted))
        delivered = self._ledger.account(key, boot).entries.get(f"{DELIVERED}/{self._destination}", Intervals())
        with self._ledger.transaction():
            done = self._store.ranges(done_ranges(self._destination))
            again = [entry for entry in found if entry.id in done and entry.reading.seq in delivered]
            done = done.minus(Intervals((entry.id, entry.id) for entry in again))
            taken_back = self._ledger.take_back(self._destination, again)
            self._store.put_ranges(done_ranges(self._destination), done)
            self._ledger.write()
        return Resent(taken_back, wanted.count() - len(found))

    def _rows(self, key: int, boot: int, wanted: Intervals) -> Iterable[LogEntry]:
        first, last = next(iter(wanted))[0], wanted.highest
        refused = self._store.quarantined_ids(self._destination, 0)
        position = 0
        while position < self._store.head:
            through = position + SCAN_ROWS
            rows = self._store.run(
                "SELECT * FROM readings WHERE id > ? AND id <= ? AND device_key = ? AND boot = ?"
                " AND seq BETWEEN ? AND ?",
                (position, through, key, boot, first, last),
            )
            for row in rows:
                if row[3] in wanted and row[0] not in refused:
                    try:
                        yield unpack(row, "")
                    except RowCorrupt:
                        continue
            rows = self._store.run("SELECT id FROM readings WHERE id > ? ORDER BY id LIMIT 1", (through,))
            position = rows[0][0] - 1 if rows else self._store.head


class Grace:
    """How long rows that everybody has passed stay in the log, on the monotonic clock. 0: not at all."""

    def __init__(self, keep_ms: int) -> None:
        self._keep_ms = keep_ms
        self._marks: deque[tuple[int, int]] = deque()
        self._allowed = 0

    def allowed(self, through: int, now_ms: int, *, is_pressed: bool) -> int:
        """Up to where rows may be deleted, of those `through` which nobody needs any more.

        After a restart the time counts anew. `is_pressed`: the store needs the room.
        """
        if not self._keep_ms or is_pressed:
            return through
        if not self._marks or now_ms - self._marks[-1][0] >= self._keep_ms // MARKS:
            self._marks.append((now_ms, through))
        while self._marks and now_ms - self._marks[0][0] >= self._keep_ms:
            self._allowed = max(self._allowed, self._marks.popleft()[1])
        return min(self._allowed, through)
