"""The quarantine's bound: at it, the oldest messages that were never understood go, and are counted.

Promises: what is evicted is a foreign message (its readings, if it had any, were never acknowledged as received), the
oldest first; a reading that a destination refused is never evicted: only a person purges it. The count is written in
the transaction that deletes.
Synchronous; lives in the store's thread.
"""

from dataclasses import dataclass

from edge.ingest import INGEST_SOURCE
from edge.ledger import Ledger
from edge.store import Store

EVICTED = "evicted"
"""The ledger's total of messages that left quarantine for want of room."""
DEFAULT_BYTES_MAX = 64 * 1024**2  # a 32nd of the store's default cap: enough to see what a wrong rule does to a day
DEFAULT_ROWS_MAX = 100_000  # more than anybody reads; summed up in 20 ms
ROW_BYTES = 120  # of a row beside its texts: id, time, place in the index, unused space
EVICT_ROWS = 2000  # of one transaction: about 20 ms in which ingest waits


@dataclass(frozen=True, slots=True)
class QuarantineLimits:
    """What messages that were not understood may take together."""

    bytes_max: int = DEFAULT_BYTES_MAX
    rows_max: int = DEFAULT_ROWS_MAX


class QuarantineBound:
    """Keeps the quarantine of one store within its limits."""

    def __init__(self, store: Store, ledger: Ledger, limits: QuarantineLimits) -> None:
        self._store = store
        self._ledger = ledger
        self._limits = limits
        self._looked_at: tuple[int, int, int] | None = None

    @property
    def is_due(self) -> bool:
        """Whether there may be more than when it was last looked at."""
        return self._looked_at != self._now()

    def _now(self) -> tuple[int, int, int]:
        return self._store.quarantines, self._store.forgotten, self._ledger.totals.get(EVICTED, 0)

    def enforce(self) -> bool:
        """Evict what is too much, one step of it; whether there is more to do. Raises `StoreError`."""
        looked_at = self._now()
        if looked_at == self._looked_at:
            return False
        rows, size_bytes = self._store.query(
            "SELECT count(*), coalesce(sum(length(topic) + length(reason) + length(payload) + ?), 0)"
            " FROM quarantine WHERE source = ?",
            (ROW_BYTES, INGEST_SOURCE),
        )[0]
        if rows <= self._limits.rows_max and size_bytes <= self._limits.bytes_max:
            self._looked_at = looked_at
            return False
        self._evict(rows - self._limits.rows_max, size_bytes - self._limits.bytes_max)
        return True

    def _evict(self, rows: int, size_bytes: int) -> None:
        oldest = self._store.query(
            "SELECT id, length(topic) + length(reason) + length(payload) + ? FROM quarantine WHERE source = ?"
            " ORDER BY id LIMIT ?",
            (ROW_BYTES, INGEST_SOURCE, EVICT_ROWS),
        )
        going: list[tuple[int]] = []
        for item_id, item_bytes in oldest:
            if rows <= 0 and size_bytes <= 0:
                break
            going.append((item_id,))
            rows, size_bytes = rows - 1, size_bytes - item_bytes
        with self._ledger.transaction():
            self._store.write("DELETE FROM quarantine WHERE id = ?", going)
            self._ledger.count(EVICTED, len(going))
