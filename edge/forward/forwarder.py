"""What to send next to one destination, and what its answer means: the decision table, without any I/O.

Promises: an entry counts as delivered only in `settle`, only if the destination accepted it or it went to quarantine,
and together with the ledger; what it accepted is written at once, or, of a few rows (`ROWS_LATE_MAX`), with the store's
next transaction but those of ingest and windows: a crash in between has them sent again, and they overwrite themselves;
a batch whose fate is unknown is sent again byte for byte, unless rows of it were dropped meanwhile: those are not sent
again (and if they were on their way, and are accepted, they end as delivered); one bad point ends alone in quarantine;
whatever the answer, the wait before the next try is bounded.

Several lanes share the destination (`edge.forward.queue`); pauses, throttling, the breaker and the batch size are the
destination's, for all of them.
Synchronous; lives in the store's thread. One batch of a destination is in flight at a time.
"""

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import NamedTuple

from edge.causes import THROTTLED, TIMEOUT
from edge.forward.lanes import Lane, LaneName
from edge.forward.outcome import Accepted, Failed, Outcome, Paused, Refused, Throttled, TooLarge
from edge.forward.queue import Batch, LaneQueue
from edge.forward.sources import Row
from edge.intervals import Intervals
from edge.ledger import Ledger
from edge.link_budget import ALERTS, LinkBudget
from edge.retry import Backoff
from edge.store import LogEntry, Store

PROBE_PAUSED_MS = 60_000  # a token or bucket is mended by a person: once a minute is soon enough
THROTTLE_MIN_MS = 1_000
THROTTLE_MAX_MS = 600_000  # a server once said 86,400 s: ten minutes is as long as we believe anybody
BREAKER_FAILURES = 5  # after so many failures in a row the breaker is open, and each try is a small probe
PROBE_ROWS = 100
ROWS_MIN = 20  # what a batch shrinks to on time-outs: some 500 bytes compressed, a second of the slowest modem
ROWS_LATE_MAX = 100
"""So few accepted rows may be unwritten: a trickle costs one fsync a reading less, and a crash some KB sent again."""
EQUAL_500S = 5  # InfluxDB 2.x has answered 500 to a bad point: after so many equal ones, look for it


class Breaker(StrEnum):
    """Whether the destination is believed to work."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Wait(NamedTuple):
    """Nothing to send for `for_ms`; None: until there is something new in the log."""

    for_ms: int | None


@dataclass(frozen=True, slots=True)
class ForwarderState:
    """What an operator sees of a destination. `backlog`: rows that each lane has yet to send; `requests`: sent since
    the start, and `requests_failed` those of them that were not accepted.
    """

    destination: str
    breaker: Breaker
    paused: bool
    failures: int
    last_error: str | None
    cause: str | None
    batch_rows_max: int
    backlog: dict[str, int]
    requests: int
    requests_failed: int


class ForwarderHealth(NamedTuple):
    """Of a `ForwarderState`, what says whether something is wrong."""

    destination: str
    paused: bool
    failures: int
    last_error: str | None


class Forwarder:
    """The decisions for one destination."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        queue: LaneQueue,
        destination: str,
        rng: Random,
        link: LinkBudget,
        *,
        batch_rows: int,
        flush_every_ms: int,
        retry_cap_ms: int,
        overwrites: bool = True,
    ) -> None:
        """`overwrites`: whether a row that is sent twice is there once."""
        self.destination = destination
        self._store = store
        self._ledger = ledger
        self._queue = queue
        self._link = link
        self._backoff = Backoff(rng, cap_ms=retry_cap_ms)
        self._rows_ceiling = batch_rows
        self._rows_max = batch_rows
        self._flush_every_ms = flush_every_ms
        self._overwrites = overwrites
        self._again: Batch | None = None
        self._suspect: Batch | None = None  # one row that is answered by 500: its neighbour is tried, then it again
        self._on_trial = False
        self._not_before_ms = 0
        self._paused = False
        self._sending = False
        self._error: Failed | Paused | Throttled | Refused | TooLarge | None = None
        self._equal_500s = 0
        self._requests = self._requests_failed = 0

    # -- what to send

    def plan(self, now_ms: int) -> Batch | Wait:
        """The next batch, or how long to wait. `now_ms` is monotonic. Raises `StoreError`."""
        self._ledger.refresh()
        wait_ms = max(self._not_before_ms - now_ms, self._link.wait_ms(now_ms))
        if wait_ms > 0:
            return Wait(None if self._queue.was_empty else wait_ms)
        lanes = self._allowed(now_ms)
        if not lanes:
            return Wait(None)
        if self._again is not None and not self._queue.is_whole(self._again):
            self._again = None
        if self._suspect is not None and not self._queue.is_whole(self._suspect):
            self._clear_suspect()
        again = self._again
        if again is not None and self._queue.lane(again).name in lanes:
            self._again = None
        elif (again := self._next_batch(lanes)) is None:
            return Wait(None)
        self._sending = True
        return again

    def _allowed(self, now_ms: int) -> frozenset[LaneName]:
        """The lanes that may send now: outside the link's schedule none, unless there is an alert."""
        if self._link.is_open(now_ms):
            return self._link.lanes()
        return ALERTS if self._queue.has_alert() else frozenset()

    def _next_batch(self, lanes: frozenset[LaneName]) -> Batch | None:
        if self._suspect is not None:
            neighbour = self._queue.neighbour(self._queue.lane(self._suspect), self._suspect.rows[0])
            if neighbour is not None:
                return neighbour
            self._suspect = None  # it has no neighbour to compare with: try it again itself
        rows_max = min(self._rows_max, PROBE_ROWS) if self._breaker_open else self._rows_max
        return self._queue.next(self._link.rows_max(rows_max), lanes)

    # -- what the answer means

    def settle(self, batch: Batch, outcome: Outcome, now_ms: int, wall_ms: int, sent_bytes: int | None = None) -> None:
        """Act on the answer to `batch`, whose body took `sent_bytes` (None: its length).

        Raises `StoreError`: then the batch counts as unanswered, and is sent again.
        """
        self._sending = False
        self._requests += 1
        self._requests_failed += not isinstance(outcome, Accepted)
        self._link.spend(len(batch.body) if sent_bytes is None else sent_bytes, len(batch.rows))
        lane = self._queue.lane(batch)
        if isinstance(outcome, Accepted):
            self._accepted(lane, batch, now_ms)
            return
        self._error = outcome
        self._again = batch
        if isinstance(outcome, Refused):
            self._refused(lane, batch, f"{outcome.status}: {outcome.message}", wall_ms)
        elif isinstance(outcome, TooLarge):
            self._too_large(lane, batch, outcome, wall_ms)
        elif isinstance(outcome, Paused):
            self._paused = True
            self._not_before_ms = now_ms + PROBE_PAUSED_MS
        elif isinstance(outcome, Throttled):
            self._throttled(outcome, now_ms)
        else:
            self._failed(lane, batch, outcome, now_ms, wall_ms)

    def _accepted(self, lane: Lane, batch: Batch, now_ms: int) -> None:
        self._again = batch  # until that is noted, the batch counts as unanswered
        if not self._note_later(lane, batch):
            self._note_now(lane, batch)
        if self._breaker_open:
            self._queue.outage_is_over(batch)
        self._again = self._error = None
        if self._suspect is not None and not self._on_trial:  # its neighbour: now the suspect itself, once more
            self._on_trial, self._again = True, self._suspect
        else:
            self._clear_suspect()
        self._paused = False
        self._rows_max = min(self._rows_ceiling, 2 * self._rows_max)
        self._equal_500s = 0
        self._backoff.reset()
        self._queue.accepted(batch)
        if self._queue.is_empty():  # caught up: let the next readings gather
            self._not_before_ms = now_ms + self._flush_every_ms

    def _note_later(self, lane: Lane, batch: Batch) -> bool:
        """Note a small batch as delivered, to be written with a later transaction; whether that may be."""
        may_wait = self._overwrites and self._store.waiting_ids + len(batch.rows) <= ROWS_LATE_MAX
        if not may_wait or self._link.is_limited or self._ledger.checkpoint_due():
            return False
        self._ledger.refresh()
        known = self._queue.look_at_done(lane.source)
        ids = [row.id for row in batch.rows]
        if known.has_any(ids):
            return False  # dropped meanwhile: the books are to be put right
        self._ledger.deliver(self.destination, batch.entries)
        self._queue.finish_later(lane.source, ids)
        return True

    def _note_now(self, lane: Lane, batch: Batch) -> None:
        """Note a batch as delivered, in a transaction of its own."""
        writes_link = self._link.is_limited
        with self._ledger.transaction():
            known = self._queue.look_at_done(lane.source)  # a commit that failed may have been one all the same
            fresh = [entry for entry in batch.entries if entry.id not in known]
            self._ledger.deliver(self.destination, fresh)
            if len(fresh) < len(batch.entries):
                self._ledger.reclaim(self.destination, [entry for entry in batch.entries if entry.id in known])
            self._queue.finish(lane.source, Intervals.of([row.id for row in batch.rows]))
            if writes_link:
                self._link.write()
        if writes_link:
            self._link.written()

    def _refused(self, lane: Lane, batch: Batch, why: str, wall_ms: int) -> None:
        if self._suspect is not None and not self._on_trial:  # the neighbour is bad: that says nothing of the suspect
            self._clear_suspect()
            self._again = None
            return
        self._clear_suspect()
        if len(batch.rows) > 1:
            self._split(batch)
            return
        with self._ledger.transaction():
            self._quarantine(lane, batch.rows[0], why, wall_ms)
            self._queue.finish(lane.source, Intervals([(batch.through_id, batch.through_id)]))
        self._again = None

    def _split(self, batch: Batch) -> None:
        self._again = None
        self._queue.split(batch)

    def _too_large(self, lane: Lane, batch: Batch, outcome: TooLarge, wall_ms: int) -> None:
        if len(batch.rows) == 1:
            self._refused(lane, batch, f"413: {outcome.message}", wall_ms)
            return
        self._rows_max = self._rows_ceiling = max(1, len(batch.rows) // 2)
        self._again = None

    def _throttled(self, outcome: Throttled, now_ms: int) -> None:
        jitter_ms = self._backoff.fail()
        if outcome.after_ms is None:
            wait_ms = max(THROTTLE_MIN_MS, jitter_ms)
        else:
            wait_ms = min(max(outcome.after_ms, THROTTLE_MIN_MS), THROTTLE_MAX_MS) + min(jitter_ms, THROTTLE_MIN_MS)
        self._not_before_ms = now_ms + wait_ms

    def _failed(self, lane: Lane, batch: Batch, outcome: Failed, now_ms: int, wall_ms: int) -> None:
        if self._on_trial and outcome.status == 500:
            self._clear_suspect()
            self._refused(lane, batch, f"{outcome.message}, while its neighbour is accepted", wall_ms)
            return
        if self._on_trial:
            self._clear_suspect()
        self._not_before_ms = now_ms + self._backoff.fail()
        if outcome.cause == TIMEOUT and len(batch.rows) > ROWS_MIN:  # the link may be too slow for so much at once
            self._rows_max = max(ROWS_MIN, len(batch.rows) // 2)
            self._again = None
        self._equal_500s = self._equal_500s + 1 if outcome.status == 500 else 0
        if self._equal_500s < EQUAL_500S:
            return
        self._equal_500s = 0
        if self._suspect is not None:
            self._clear_suspect()
            self._again = None
        elif len(batch.rows) > 1:
            self._split(batch)
        else:
            self._suspect, self._again = batch, None

    def _clear_suspect(self) -> None:
        self._suspect, self._on_trial = None, False

    # -- quarantine

    def _quarantine(self, lane: Lane, row: Row, why: str, wall_ms: int) -> None:
        if row.id in self._queue.done(lane.source):
            return  # dropped while it was on its way, or a commit that failed may have been one all the same
        is_reading = isinstance(row, LogEntry)
        self._store.quarantine(
            at_ms=wall_ms,
            source=self.destination,
            reason=why,
            topic=lane.source.topic(row),
            payload=lane.source.encode([row]),
            reading_id=row.id if is_reading else None,
        )
        if isinstance(row, LogEntry):
            self._ledger.quarantine(self.destination, row.device_key, row.reading.boot, row.reading.seq)
            self._ledger.write()

    # -- what an operator sees

    @property
    def _breaker_open(self) -> bool:
        return self._backoff.failures >= BREAKER_FAILURES

    @property
    def is_well(self) -> bool:
        """Whether the destination took what it was sent last."""
        return self._error is None and not self._paused and not self._backoff.failures

    def health(self) -> ForwarderHealth:
        """Whether something is wrong: asked every few seconds, and counts no backlog."""
        error = self._error
        return ForwarderHealth(self.destination, self._paused, self._backoff.failures, error.message if error else None)

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
            backlog=self._queue.backlog(),
            requests=self._requests,
            requests_failed=self._requests_failed,
        )


def _cause(error: Failed | Paused | Throttled | Refused | TooLarge | None) -> str | None:
    if isinstance(error, Failed):
        return error.cause
    if isinstance(error, (Paused, Refused)):
        return f"http {error.status}"
    if isinstance(error, Throttled):
        return THROTTLED
    return "http 413" if error else None


__all__ = ["Batch", "Breaker", "Forwarder", "ForwarderHealth", "ForwarderState", "Wait"]
