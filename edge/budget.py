"""The store's budgets: bytes on the disk, space left on the volume, age of unsent readings; and what gives way at them.

The limit is the smaller of what the configuration allows and what the volume has above its floor. Intake stops at
`ADMIT_SHARE` of it (`StoreFull` is raised long before SQLite is full), so that delivering, the ledger and rollups
always have room: a full store drains. With a policy that drops, the oldest readings go at `DROP_SHARE`, before intake
would stop, until `KEEP_SHARE` is used.

Promises: a reading is dropped only after its values are in a window (rollups are kept) and alert rules have
looked at it, and in the transaction that
tells the ledger, the delivered set and the log; notices and rollups are never dropped. Age runs on the monotonic clock
while the gateway runs, so a step of the wall clock expires nothing; it is never overstated.
Synchronous; lives in the store's thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from edge.intervals import Intervals
from edge.ledger import Ledger, done_ranges
from edge.store import LogEntry, Store, StoreFull
from edge.store.names import EXPIRED, THINNED, WINDOWS_CURSOR
from edge.store.rows import StoredRow
from edge.store.store import Pages

ADMIT_SHARE = 0.90
DROP_SHARE = 0.85
KEEP_SHARE = 0.80
ROW_FACTOR_MAX = 64  # a reading takes ten times its body's bytes with index, windows, rollups and ledger: far less
DROP_ROWS = 2000  # of one transaction: about 20 ms in which ingest waits
AGE_STEPS = 64  # marks in one age limit: expiry is late by 2 % at most
AGE_CLOCK_CURSOR = "age/clock"
DEFAULT_DISK_BYTES_MAX = 2 * 1024**3  # 15 million readings; fits an 8 GB eMMC beside a system
DEFAULT_FREE_BYTES_MIN = 64 * 1024**2  # room for logs and for the write-ahead log of a drain


class OnFull(StrEnum):
    """What gives way when the store is full."""

    BLOCK = "block"
    DROP_OLDEST = "drop-oldest"
    THIN_OLDEST = "thin-oldest"


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """The budgets of one store."""

    disk_bytes_max: int = DEFAULT_DISK_BYTES_MAX
    free_bytes_min: int = DEFAULT_FREE_BYTES_MIN
    age_ms_max: int | None = None
    on_full: OnFull = OnFull.BLOCK


class Room(NamedTuple):
    """Pages used of the pages that there may be, and what sets the limit."""

    used: int
    limit: int
    reason: str


@dataclass(frozen=True, slots=True)
class RoomBytes:
    """`Room` in bytes, and up to where readings are taken in, or the oldest of them stay."""

    used_bytes: int
    limit_bytes: int
    full_at_bytes: int
    reason: str


class Budget:
    """Keeps one store within its limits."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        limits: StoreLimits,
        policies: Mapping[str, OnFull] | None = None,
        readers: Sequence[str] = (),
    ) -> None:
        """`policies`: destinations with a policy of their own; the others go by that of `limits`.

        `readers`: cursors of further readers of the log, behind which nothing is dropped either.
        """
        self._store = store
        self._readers = (WINDOWS_CURSOR, *readers)
        self._ledger = ledger
        self._limits = limits
        self._policies = dict(policies or {})
        self._may_drop = any(each is not OnFull.BLOCK for each in (limits.on_full, *self._policies.values()))
        self._dropping = False
        self._age_from_ms: tuple[int, int] | None = None
        self._marked_ms: int | None = None
        self._pages: Pages | None = None
        self._looked_at_bytes = 0
        self._look_again_bytes = 0

    def room(self) -> Room:
        """How full the store is. Raises `StoreError`."""
        return self._room(self._look())

    def _look(self) -> Pages:
        """Ask for the pages anew, and remember them."""
        self._pages, self._looked_at_bytes = self._store.pages(), self._store.appended_bytes
        return self._pages

    def _recent_room(self) -> Room:
        """`room`, as far as few readings can have changed it since: pages are looked at again when they could matter.

        What others have left of the volume is asked each time.
        """
        pages = self._pages
        if pages is not None and self._store.appended_bytes - self._looked_at_bytes < self._look_again_bytes:
            return self._room(pages)
        pages = self._look()
        room = self._room(pages)
        left = ADMIT_SHARE * room.limit - room.used
        self._look_again_bytes = max(0, int(left)) * pages.size_bytes // ROW_FACTOR_MAX
        return room

    def _room(self, pages: Pages) -> Room:
        cap = self._store.pages_max or pages.total + 1
        spare = max(0, self._store.volume_free_bytes() - self._limits.free_bytes_min) // pages.size_bytes
        reason = "size" if cap <= pages.total + spare else "space"
        return Room(pages.total - pages.free, min(cap, pages.total + spare), reason)

    def room_bytes(self) -> RoomBytes:
        """How full the store is, in bytes. Raises `StoreError`."""
        pages = self._look()
        room, page_bytes = self._room(pages), pages.size_bytes
        full_at = int((DROP_SHARE if self.is_watchful else ADMIT_SHARE) * room.limit)
        return RoomBytes(room.used * page_bytes, room.limit * page_bytes, full_at * page_bytes, room.reason)

    def row_bytes(self) -> float | None:
        """What a row of the log takes now, with all that there is beside it; None while there is none."""
        first: int | None = self._store.query("SELECT min(id) FROM readings")[0][0]
        if first is None:
            return None
        pages = self._look()
        return self._room(pages).used * pages.size_bytes / (self._store.head - first + 1)

    @property
    def is_watchful(self) -> bool:
        """Whether a policy drops readings for want of room, so that it is to be asked after each batch."""
        return self._may_drop and any(self._policy(name) is not OnFull.BLOCK for name in self._ledger.destinations)

    @property
    def is_dropping(self) -> bool:
        """Whether readings are being dropped for want of room: those that are in a window."""
        return self._dropping

    def mark_in_ms(self, now_ms: int) -> int | None:
        """In how long age may let a reading go; None: never, or there is none."""
        limit_ms = self._limits.age_ms_max
        if limit_ms is None or not any(self._ledger.held(name) for name in self._ledger.destinations):
            return None
        if self._age_from_ms is None or self._marked_ms is None:
            return 0
        started_ms, base_ms = self._age_from_ms
        return self._marked_ms + limit_ms // AGE_STEPS - (base_ms + now_ms - started_ms)

    def admit(self) -> None:
        """Raises `StoreFull` if nothing more may be taken in, `StoreFailed` if the store is closed or its file gone."""
        store = self._store
        store.ensure_open()
        if store.wal.held_up and store.disk_bytes_max is not None and store.size_bytes() >= store.disk_bytes_max:
            raise StoreFull(f"a reader in another process keeps {store.path}-wal from being cut back: end that one")
        room = self._recent_room()
        if room.used >= ADMIT_SHARE * room.limit:
            store.ensure_files()  # a folder that is gone has no room either
            what = "disk_bytes_max is reached" if room.reason == "size" else "the volume is at free_bytes_min"
            raise StoreFull(f"the store is full ({what}, {room.used} of {room.limit} pages used)")

    def is_pressed(self) -> bool:
        """Whether the store needs the room of what is kept for convenience only. Raises `StoreError`."""
        room = self.room()
        return room.used > KEEP_SHARE * room.limit

    def enforce(self, now_ms: int) -> bool:
        """Drop what has to go, one step of it; whether there is more to do. Raises `StoreError`."""
        if self._expire(now_ms):
            return True
        if not self.is_watchful:
            return False
        room = self.room()
        share = KEEP_SHARE if self._dropping else DROP_SHARE
        self._dropping = room.used > share * room.limit
        if not self._dropping:
            return False
        return self.drop(f"{EXPIRED}/{room.reason}", self._blocked_from(), thin=True)

    def _policy(self, destination: str) -> OnFull:
        return self._policies.get(destination, self._limits.on_full)

    def _blocked_from(self) -> int | None:
        """Up to where those destinations have got whose policy is to block; None if there is no such one."""
        blocking = [name for name in self._ledger.destinations if self._policy(name) is OnFull.BLOCK]
        return min((self._store.look_at_ranges(done_ranges(name)).end_of_run(1) for name in blocking), default=None)

    def drop(self, entry: str, through_id: int | None = None, *, thin: bool = False) -> bool:
        """Take the oldest readings out of the log, up to `through_id`; whether any went.

        For each destination, those that it has not are told to the ledger under `entry`; with `thin`, as thinned, if
        that is its policy. Raises `StoreError`.
        """
        last = min(map(self._store.cursor, self._readers))
        if through_id is not None:
            last = min(last, through_id)
        page = self._store.read(0, DROP_ROWS)
        going = [one for one in page.entries if one.id <= last]
        if not going and (page.entries or page.damaged is None or page.damaged[0] > last):
            return False
        with self._ledger.transaction():
            for name in self._ledger.destinations:
                thinned = thin and self._policy(name) is OnFull.THIN_OLDEST
                self._give_up(name, THINNED if thinned else entry, going, page.damaged)
            self._store.drop_through(going[-1].id if going or page.damaged is None else page.damaged[0])
        return True

    def _give_up(self, destination: str, entry: str, going: list[LogEntry], damaged: StoredRow | None) -> None:
        """Note for one destination that these entries go, or, if there are none, the damaged row."""
        done = self._store.ranges(done_ranges(destination))
        self._ledger.drop(destination, entry, [one for one in going if one.id not in done])
        done.update(_ids(going))
        if not going and damaged is not None and done.add(damaged[0]):
            self._quarantine(destination, damaged)
        self._store.put_ranges(done_ranges(destination), done)

    def _quarantine(self, destination: str, row: StoredRow) -> None:
        self._store.quarantine(
            at_ms=row[5],
            source=destination,
            reason="the row of the log (readings) fails its checksum",
            topic=b"",
            payload=repr(row[:7]).encode() + row[7],
            reading_id=row[0],
        )
        self._ledger.quarantine(destination, row[1], row[2], row[3])

    # -- age

    def _expire(self, now_ms: int) -> bool:
        """Drop what is too old; whether there is more. A mark: at this time of the age clock, these ids had come."""
        limit_ms = self._limits.age_ms_max
        if limit_ms is None:
            return False
        if self._age_from_ms is None:
            self._age_from_ms = (now_ms, self._store.cursor(AGE_CLOCK_CURSOR))
        started_ms, base_ms = self._age_from_ms
        clock_ms = base_ms + now_ms - started_ms
        if self._marked_ms is None or clock_ms - self._marked_ms >= limit_ms // AGE_STEPS:
            with self._store.transaction():
                self._store.run("INSERT OR REPLACE INTO age_marks VALUES (?, ?)", (clock_ms, self._store.head))
                self._store.run(
                    "DELETE FROM age_marks WHERE at_ms < (SELECT max(at_ms) FROM age_marks WHERE at_ms <= ?)",
                    (clock_ms - limit_ms,),
                )
                self._store.set_cursor(AGE_CLOCK_CURSOR, clock_ms)
            self._marked_ms = clock_ms
        rows = self._store.run("SELECT max(head) FROM age_marks WHERE at_ms <= ?", (clock_ms - limit_ms,))
        return rows[0][0] is not None and self.drop(f"{EXPIRED}/age", rows[0][0])


def _ids(entries: list[LogEntry]) -> Intervals:
    return Intervals.of(entry.id for entry in entries)
