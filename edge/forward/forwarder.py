"""What to send next to one destination, and what its answer means: the decision table, without any I/O.

Promises: the cursor moves only in `settle`, only over entries that the destination accepted or that went to quarantine,
and in the same transaction as the ledger; a batch whose fate is unknown is sent again byte for byte; one bad point ends
alone in quarantine; whatever the answer, the wait before the next try is bounded.
Synchronous; lives in the store's thread. One batch of a destination is in flight at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from edge.forward.lines import LineEncoder
from edge.forward.outcome import Accepted, Failed, Outcome, Paused, Refused, Throttled, TooLarge
from edge.ledger import Ledger, forward_cursor
from edge.retry import Backoff
from edge.store import LogEntry, Store
from edge.store.rows import StoredRow

PROBE_PAUSED_MS = 60_000  # a token or bucket is mended by a person: once a minute is soon enough
THROTTLE_MIN_MS = 1_000
THROTTLE_MAX_MS = 600_000  # a server once said 86,400 s: ten minutes is as long as we believe anybody
BREAKER_FAILURES = 5  # after so many failures in a row the breaker is open, and each try is a small probe
PROBE_ROWS = 100
EQUAL_500S = 5  # InfluxDB 2.x has answered 500 to a bad point: after so many equal ones, look for it


class Breaker(StrEnum):
    """Whether the destination is believed to work."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class Batch:
    """What to send: the entries with ids over `after_id` up to `through_id`, and `body`, their line protocol."""

    after_id: int
    entries: tuple[LogEntry, ...]
    body: bytes

    @property
    def through_id(self) -> int:
        """Where the cursor stands once the batch is accepted."""
        return self.entries[-1].id


@dataclass(slots=True)
class _Segment:
    """Part of a refused batch, up to `end_id`. `left`: its sibling lies behind it. `bad`: it must hold a bad point."""

    end_id: int
    left: bool = False
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to send for `for_ms`; None: until there is something new in the log."""

    for_ms: int | None


@dataclass(frozen=True, slots=True)
class ForwarderState:
    """What an operator sees of a destination."""

    destination: str
    breaker: Breaker
    paused: bool
    failures: int
    last_error: str | None
    cause: str | None
    batch_rows_max: int


class Forwarder:
    """The decisions for one destination."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        encoder: LineEncoder,
        destination: str,
        rng: Random,
        *,
        batch_rows: int,
        flush_every_ms: int,
        retry_cap_ms: int,
    ) -> None:
        self.destination = destination
        self._store = store
        self._ledger = ledger
        self._encoder = encoder
        self._cursor_name = forward_cursor(destination)
        self._backoff = Backoff(rng, cap_ms=retry_cap_ms)
        self._rows_max = batch_rows
        self._flush_every_ms = flush_every_ms
        self._again: Batch | None = None
        self._segments: list[_Segment] = []  # the nearest last
        self._suspect: LogEntry | None = None  # answered by 500 alone: bad, if its neighbour is accepted
        self._not_before_ms = 0
        self._paused = False
        self._sending = False
        self._error: Failed | Paused | Throttled | Refused | TooLarge | None = None
        self._equal_500s = 0

    # -- what to send

    def plan(self, now_ms: int) -> Batch | Wait:
        """The next batch, or how long to wait. `now_ms` is monotonic. Raises `StoreError`."""
        self._ledger.refresh()
        if now_ms < self._not_before_ms:
            return Wait(self._not_before_ms - now_ms)
        batch = self._again or self._next_batch()
        if batch is None:
            return Wait(None)
        self._again, self._sending = None, True
        return batch

    def _next_batch(self) -> Batch | None:
        while True:
            position = self._store.cursor(self._cursor_name)
            if self._suspect is not None:
                page = self._store.read(self._suspect.id, 1)
                if page.entries:
                    return self._batch(self._suspect.id, page.entries)
                self._suspect = None  # it has no neighbour to compare with: try it again itself
            page = self._store.read(position, self._rows_to_read(position))
            if page.entries:
                return self._batch(position, page.entries)
            if page.damaged is None:
                return None
            self._quarantine_damaged(page.damaged)

    def _batch(self, after_id: int, entries: Sequence[LogEntry]) -> Batch:
        return Batch(after_id, tuple(entries), self._encoder.encode(entries))

    def _rows_to_read(self, position: int) -> int:
        rows = min(self._rows_max, PROBE_ROWS) if self._breaker_open else self._rows_max
        while self._segments and self._segments[-1].end_id <= position:
            self._segments.pop()
        while self._segments:
            nearest = self._segments[-1]
            if not nearest.bad or nearest.end_id - position <= 1:
                return min(rows, nearest.end_id - position)
            self._split(position, nearest.end_id)  # asking for the whole again would only be refused again
        return rows

    def _split(self, after_id: int, end_id: int) -> None:
        """Replace what lies between by two halves."""
        while self._segments and self._segments[-1].end_id <= end_id:
            self._segments.pop()
        self._segments.append(_Segment(end_id))
        self._segments.append(_Segment(after_id + (end_id - after_id) // 2, left=True))

    # -- what the answer means

    def settle(self, batch: Batch, outcome: Outcome, now_ms: int, wall_ms: int) -> None:
        """Act on the answer to `batch`. Raises `StoreError`: then the batch counts as unanswered, and is sent again."""
        self._sending = False
        if isinstance(outcome, Accepted):
            self._accepted(batch, now_ms, wall_ms)
            return
        self._error = outcome
        self._again = batch
        if isinstance(outcome, Refused):
            self._refused(batch, f"{outcome.status}: {outcome.message}", wall_ms)
        elif isinstance(outcome, TooLarge):
            self._too_large(batch, outcome, wall_ms)
        elif isinstance(outcome, Paused):
            self._paused = True
            self._not_before_ms = now_ms + PROBE_PAUSED_MS
        elif isinstance(outcome, Throttled):
            self._throttled(outcome, now_ms)
        else:
            self._failed(batch, outcome, now_ms)

    def _accepted(self, batch: Batch, now_ms: int, wall_ms: int) -> None:
        suspect = self._suspect
        self._again = batch  # until the transaction is through, the batch counts as unanswered
        with self._ledger.transaction():
            if suspect is not None:
                why = self._error.message if self._error else "refused alone"
                self._quarantine(suspect, f"500, and its neighbour is accepted: {why}", wall_ms)
            self._ledger.deliver(self.destination, batch.entries)
            self._store.set_cursor(self._cursor_name, batch.through_id)
        self._again = self._suspect = self._error = None
        self._paused = False
        self._equal_500s = 0
        self._backoff.reset()
        if batch.through_id == self._store.head:  # caught up: let the next readings gather
            self._not_before_ms = now_ms + self._flush_every_ms
        if self._segments and self._segments[-1].end_id <= batch.through_id:
            done = self._segments.pop()
            if done.left and self._segments and batch.through_id == done.end_id:
                self._segments[-1].bad = True

    def _refused(self, batch: Batch, why: str, wall_ms: int) -> None:
        if self._suspect is not None:  # the neighbour is bad as well: that says nothing about the suspect
            self._suspect = self._again = None
            return
        if len(batch.entries) > 1:
            self._again = None
            self._split(batch.after_id, batch.through_id)
            return
        with self._ledger.transaction():
            self._quarantine(batch.entries[0], why, wall_ms)
            self._store.set_cursor(self._cursor_name, batch.through_id)
        self._again = None

    def _too_large(self, batch: Batch, outcome: TooLarge, wall_ms: int) -> None:
        if len(batch.entries) == 1:
            self._refused(batch, f"413: {outcome.message}", wall_ms)
            return
        self._rows_max = max(1, len(batch.entries) // 2)
        self._again = None

    def _throttled(self, outcome: Throttled, now_ms: int) -> None:
        jitter_ms = self._backoff.fail()
        if outcome.after_ms is None:
            wait_ms = max(THROTTLE_MIN_MS, jitter_ms)
        else:
            wait_ms = min(max(outcome.after_ms, THROTTLE_MIN_MS), THROTTLE_MAX_MS) + min(jitter_ms, THROTTLE_MIN_MS)
        self._not_before_ms = now_ms + wait_ms

    def _failed(self, batch: Batch, outcome: Failed, now_ms: int) -> None:
        self._not_before_ms = now_ms + self._backoff.fail()
        self._equal_500s = self._equal_500s + 1 if outcome.status == 500 else 0
        if self._equal_500s < EQUAL_500S:
            return
        self._equal_500s = 0
        if self._suspect is not None:
            self._suspect = self._again = None
        elif len(batch.entries) > 1:
            self._again = None
            self._split(batch.after_id, batch.through_id)
        else:
            self._suspect, self._again = batch.entries[0], None

    # -- quarantine

    def _quarantine(self, entry: LogEntry, why: str, wall_ms: int) -> None:
        self._store.quarantine(
            at_ms=wall_ms,
            source=self.destination,
            reason=why,
            topic="/".join(self._store.device_name(entry.device_key)).encode(),
            payload=self._encoder.encode([entry]),
            reading_id=entry.id,
        )
        self._ledger.quarantine(entry.device_key, entry.reading.boot, entry.reading.seq)
        self._ledger.write()

    def _quarantine_damaged(self, row: StoredRow) -> None:
        with self._ledger.transaction():
            self._store.quarantine(
                at_ms=row[5],
                source=self.destination,
                reason="the row of the log fails its checksum",
                topic=b"",
                payload=repr(row[:7]).encode() + row[7],
                reading_id=row[0],
            )
            self._ledger.quarantine(row[1], row[2], row[3])
            self._ledger.write()
            self._store.set_cursor(self._cursor_name, row[0])

    # -- what an operator sees

    @property
    def _breaker_open(self) -> bool:
        return self._backoff.failures >= BREAKER_FAILURES

    def state(self) -> ForwarderState:
        """How the destination does."""
        breaker = Breaker.CLOSED
        if self._breaker_open:
            breaker = Breaker.HALF_OPEN if self._sending else Breaker.OPEN
        error = self._error
        return ForwarderState(
            destination=self.destination,
            breaker=breaker,
            paused=self._paused,
            failures=self._backoff.failures,
            last_error=error.message if error else None,
            cause=_cause(error),
            batch_rows_max=self._rows_max,
        )


def _cause(error: Failed | Paused | Throttled | Refused | TooLarge | None) -> str | None:
    if isinstance(error, Failed):
        return error.cause
    if isinstance(error, (Paused, Refused)):
        return f"http {error.status}"
    if isinstance(error, Throttled):
        return "throttled"
    return "http 413" if error else None
