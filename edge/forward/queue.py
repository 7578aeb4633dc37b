"""What waits for one destination: its lanes over the logs of the store, and the sets of ids that it is done with.

Notices go first. Rollups, largest window first, and live and backfilled readings share the line by weight. When live
readings have piled up (an outage, a slow line), the live point jumps ahead: the newest go on at once, and what lies
below is backfill. A reading's line never says that it was late (it could then differ from an earlier send of unknown
fate); the jump itself is told by a notice, one point: from its timestamp to `until_ms` (when the gateway received them)
so many `readings` came late.

Promises: what a destination is done with is durable, in one set of ids for each log, written in the transaction that
tells the ledger, or, of a few ids that it accepted, with a later transaction; `next` never hands out an id
that is done; the live point moves in a transaction with the notice that says so. Nothing here knows what an answer
means: see `edge.forward.forwarder`.
Synchronous; lives in the store's thread.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from edge.forward.lanes import Lane, LaneName, LaneRules, Ranges, Schedule
from edge.forward.lines import NS_PER_MS, escape_tag
from edge.forward.sources import READINGS, DamagedRow, Row, Source, SourcePage
from edge.intervals import Intervals
from edge.ledger import Ledger, done_ranges
from edge.store import LogEntry, Store
from edge.store.notices import LATE_NOTICE, Notice, Notices

EVERY_LANE = frozenset(LaneName)
ALERTS_LOOKED_AT = (
    500  # notices that wait, of which one may be an alert: a closed link is looked at four times a second
)
LIVE_BATCHES_MAX = 2  # more live readings than this many batches, and the live point jumps to the newest batch


class Batch(NamedTuple):
    """What to send: `body`, the line protocol of readings (`entries`), or of rows of another log (`others`).

    `after_id` is the id before the first; `lane` is the key of the lane that it came from.
    """

    after_id: int
    entries: tuple[LogEntry, ...]
    body: bytes
    lane: str = LaneName.LIVE
    others: tuple[Row, ...] = ()

    @property
    def rows(self) -> Sequence[Row]:
        """Whatever it holds."""
        return self.others or self.entries

    @property
    def through_id(self) -> int:
        """The highest id in it."""
        return self.rows[-1].id


class LaneQueue:
    """The lanes of one destination."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        lanes: Iterable[Lane],
        rules: LaneRules,
        destination: str,
        *,
        gateway: str,
        measurement: str,
        batch_rows: int,
    ) -> None:
        """`lanes` in the order of service within one name; `gateway` names this one in its notices."""
        self._store = store
        self._ledger = ledger
        self._notices = Notices(store)
        self._lanes = {lane.key: lane for lane in lanes}
        self._rules = rules
        self._schedule = Schedule(rules.weights())
        self._destination = destination
        self._done_names = {
            lane.source.name: done_ranges(destination, lane.source.name) for lane in self._lanes.values()
        }
        self._live_cursor = f"live/{destination}"
        self._notice_head = (
            f"{escape_tag(measurement)}{LATE_NOTICE},destination={destination},gateway={escape_tag(gateway)}"
        )
        self._batch_rows = batch_rows
        self._nothing: tuple[int, frozenset[LaneName]] | None = None  # as of `Store.moves`, of these lanes

    # -- what is next

    def next(self, rows_max: int, allowed: frozenset[LaneName] = EVERY_LANE) -> Batch | None:
        """At most `rows_max` rows of the lane whose turn it is, of those that are `allowed`; None if nothing waits.

        Raises `StoreError`.
        """
        if self._nothing == (self._store.moves, allowed):
            return None
        if self._rules.backfill and LaneName.LIVE in allowed:
            self._move_live_point()
        while (lane := self._next_lane(allowed)) is not None:
            ranges = lane.next_ranges(self.look_at_done(lane.source), *self._region(lane), rows_max)
            batch = self._read(lane, ranges)
            if batch is not None:
                self._schedule.charge(lane.name, len(batch.body))
                return batch
        self._nothing = self._store.moves, allowed
        return None

    @property
    def was_empty(self) -> bool:
        """Whether nothing waited when that was last looked at, and nothing has moved since."""
        return self._nothing == (self._store.moves, EVERY_LANE)

    def is_empty(self) -> bool:
        """Whether nothing waits. Raises `StoreError`."""
        if self.was_empty:
            return True
        if any(map(self._is_owed, self._lanes.values())):
            return False
        self._nothing = self._store.moves, EVERY_LANE
        return True

    def lane(self, batch: Batch) -> Lane:
        """The lane that a batch came from."""
        return self._lanes[batch.lane]

    def backlog(self) -> dict[str, int]:
        """How many rows wait, by lane. Raises `StoreError`."""
        return {key: self._backlog(lane) for key, lane in self._lanes.items()}

    def is_whole(self, batch: Batch) -> bool:
        """Whether the destination is still owed every row of a batch. Raises `StoreError`."""
        done = self.look_at_done(self._lanes[batch.lane].source)
        return not done.has_any([row.id for row in batch.rows])

    def has_alert(self) -> bool:
        """Whether a notice waits that cannot. Raises `StoreError`."""
        lane = self._lanes.get(LaneName.NOTICES)
        if lane is None:
            return False
        for first, last in self.look_at_done(lane.source).gaps(*self._region(lane)):
            rows = lane.source.read(first, last, ALERTS_LOOKED_AT).rows
            return any(isinstance(row, Notice) and row.is_alert for row in rows)
        return False

    def _next_lane(self, allowed: frozenset[LaneName]) -> Lane | None:
        waiting: dict[LaneName, Lane] = {}
        for lane in self._lanes.values():
            if lane.name in allowed and lane.name not in waiting and self._is_owed(lane):
                waiting[lane.name] = lane
        return waiting[self._schedule.choose(waiting)] if waiting else None

    def _is_owed(self, lane: Lane) -> bool:
        """Whether rows of this lane wait: asked of every lane for each batch."""
        first, last = self._region(lane)
        return first <= last and self.look_at_done(lane.source).end_of_run(first) < last

    def _region(self, lane: Lane) -> tuple[int, int]:
        """The first and the last id that is this lane's to send."""
        if lane.name is LaneName.LIVE:
            return self._store.cursor(self._live_cursor) + 1, lane.source.head()
        if lane.name is LaneName.BACKFILL:
            return 1, self._store.cursor(self._live_cursor)
        return 1, lane.source.head()

    def done(self, source: Source) -> Intervals:
        """The ids that the destination is done with: accepted by it, or in quarantine. Raises `StoreError`."""
        return self._store.ranges(self._done_names[source.name])

    def look_at_done(self, source: Source) -> Intervals:
        """`done`, only to be looked at."""
        return self._store.look_at_ranges(self._done_names[source.name])

    def _read(self, lane: Lane, ranges: Ranges) -> Batch | None:
        """The rows of these ids as a batch. None if there are none: then what stood in the way is out of it."""
        rows: list[Row] = []
        for first, last in ranges:
            page = lane.source.read(first, last, last - first + 1)
            rows += page.rows
            if page.damaged is not None or len(page.rows) < last - first + 1:
                if not rows:
                    self._skip(lane, page, first, last)
                    return None
                break
        return _batch(lane, rows)

    def _skip(self, lane: Lane, page: SourcePage, first: int, last: int) -> None:
        """Get past a damaged row, or past ids whose rows are gone: nothing sends them, and the ledger shows it."""
        with self._ledger.transaction():
            if page.damaged is not None:
                self._quarantine_damaged(lane.source, page.damaged)
                last = page.damaged.id
            self.finish(lane.source, Intervals([(first, last)]))

    def neighbour(self, lane: Lane, suspect: Row) -> Batch | None:
        """Another row of the same log, alone in a batch; None if there is none. Raises `StoreError`.

        One that waits, or a reading beside it that is delivered: that one is sent again, and overwrites itself.
        """
        done, head = self.done(lane.source), lane.source.head()
        done.add(suspect.id)
        ids = [first for first, _ in (*done.gaps(suspect.id, head), *done.gaps(1, suspect.id))]
        if lane.source.name == READINGS:
            ids += [suspect.id + 1, suspect.id - 1]
        for row_id in ids:
            page = lane.source.read(row_id, row_id, 1)
            if page.rows:
                return _batch(lane, page.rows)
        return None

    def _move_live_point(self) -> None:
        """If more is live than the line keeps up with, let only the newest batch be live, and write the jump down."""
        live, backfill = self._lanes[LaneName.LIVE], self._lanes[LaneName.BACKFILL]
        first, head = self._region(live)
        if head - first < LIVE_BATCHES_MAX * self._batch_rows:
            return
        gaps = list(self.look_at_done(live.source).gaps(first, head))
        count = sum(gap_last - gap_first + 1 for gap_first, gap_last in gaps)
        if count <= LIVE_BATCHES_MAX * self._batch_rows:
            return
        position = head - self._batch_rows
        with self._ledger.transaction():
            self._store.set_cursor(self._live_cursor, position)
            since_ms = self._store.oldest_received_ms(gaps[0][0] - 1)
            until_ms = self._store.oldest_received_ms(position - 1)
            if since_ms is not None and until_ms is not None:
                since_ms, until_ms = sorted((since_ms, until_ms))  # the clock may have been put back in between
                fields = f"readings={count - self._batch_rows}i,until_ms={until_ms}i"
                # Two jumps may begin in one millisecond (a broker's queue after a restart): two points.
                stamp = since_ms * NS_PER_MS + gaps[0][0] % NS_PER_MS
                self._notices.append(f"{self._notice_head} {fields} {stamp}")
        backfill.parts += live.parts
        live.parts = []

    def _backlog(self, lane: Lane) -> int:
        return sum(last - first + 1 for first, last in self.look_at_done(lane.source).gaps(*self._region(lane)))

    # -- what is done

    def finish(self, source: Source, ids: Intervals) -> None:
        """Note that the destination is done with these ids, inside a transaction."""
        done = self.done(source)
        done.update(ids)
        self._store.put_ranges(self._done_names[source.name], done)

    def finish_later(self, source: Source, ids: Sequence[int]) -> None:
        """`finish` of ids that are not done, to be written with a later transaction: until then a crash has
        them sent again."""
        done = self.done(source)
        for row_id in ids:
            done.add(row_id)
        self._store.put_ranges_later(self._done_names[source.name], done, len(ids))

    def accepted(self, batch: Batch) -> None:
        """Note that the batch was accepted, after the transaction that says so."""
        lane = self._lanes[batch.lane]
        lane.accepted(self.look_at_done(lane.source))

    def outage_is_over(self, batch: Batch) -> None:
        """Note that this batch was the first to get through: rollups next, unless it was one of them."""
        if self._lanes[batch.lane].name is not LaneName.ROLLUPS:
            self._schedule.favour(LaneName.ROLLUPS)

    def split(self, batch: Batch) -> None:
        """Note that the batch was refused: ask for its halves."""
        lane = self._lanes[batch.lane]
        lane.split(self.done(lane.source), batch.rows[0].id, batch.through_id)

    def _quarantine_damaged(self, source: Source, row: DamagedRow) -> None:
        reading = row.reading
        self._store.quarantine(
            at_ms=reading[5] if reading is not None else 0,
            source=self._destination,
            reason=f"the row of the log ({source.name}) fails its checksum",
            topic=b"",
            payload=row.content,
            reading_id=row.id if reading is not None else None,
        )
        if reading is not None:
            self._ledger.quarantine(self._destination, reading[1], reading[2], reading[3])
            self._ledger.write()

    def sources(self) -> list[Source]:
        """The logs that this destination is served from."""
        return list(dict.fromkeys(lane.source for lane in self._lanes.values()))


def _batch(lane: Lane, rows: Sequence[Row]) -> Batch:
    entries = tuple([row for row in rows if isinstance(row, LogEntry)])
    others = () if entries else tuple(rows)
    return Batch(rows[0].id - 1, entries, lane.source.encode(rows), lane.key, others)
