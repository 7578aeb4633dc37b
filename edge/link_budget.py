"""One destination's link budget at work: bucket, schedule, and the month's bytes in the store.

Promises: see `edge.link_rules`. Bytes are noted in memory and written in the transaction of the answer that they belong
to, or with the next one: a crash forgets at most what failed sends of the last seconds have cost. Without a budget they
are only counted, and written with the ledger. What is written is the sum, so writing it twice changes nothing.
Synchronous; lives in the store's thread.
"""

from dataclasses import dataclass

from edge.forward.lanes import REQUEST_COST_BYTES, LaneName
from edge.forward.lines import NS_PER_MS, escape_tag
from edge.link_rules import Bucket, Level, LinkRules, MonthClock, month_bounds_ms
from edge.store import Store
from edge.store.notices import LINK_NOTICE, Notices

SMOOTHING = 0.2  # weight of the latest batch in the mean of bytes per row
EVERY_LANE = frozenset(LaneName)
ALERTS = frozenset({LaneName.NOTICES})


def month_cursor(destination: str) -> str:
    """The cursor that says which month a destination's bytes are counted in."""
    return f"link/month/{destination}"


@dataclass(frozen=True, slots=True)
class LinkState:
    """How a link's budget stands. `counted_from_ms`, `month_end_ms`: since 1970; None until the clock was looked at.

    `bytes_per_row`: a mean of late, 0 until something was sent.
    """

    rules: LinkRules
    month_bytes: int
    counted_from_ms: int | None
    month_end_ms: int | None
    level: Level
    is_open: bool
    bytes_per_row: float


class LinkBudget:
    """The budget of one destination."""

    def __init__(self, store: Store, destination: str, rules: LinkRules, notice_head: str) -> None:
        """`notice_head`: measurement and tags of its notices. Raises `StoreError`."""
        self.rules = rules
        self._store = store
        self._destination = destination
        self._notice_head = notice_head
        self._notices = Notices(store)
        self._bucket = Bucket(rules.bytes_per_s_max)
        self._clock = MonthClock(rules.month_first_day, store.cursor(month_cursor(destination)) or None)
        self._started_ms: int | None = None
        self._bytes_per_row = 0.0
        self._unwritten = 0
        self._is_open = True
        self._month = self._clock.month
        self._bytes, self._told = 0, Level.FREE
        self._from_ms: int | None = None
        self._read(None)

    def _read(self, wall_ms: int | None) -> None:
        sql = "SELECT bytes, level, from_ms FROM link_months WHERE destination = ? AND month = ?"
        rows = self._store.run(sql, (self._destination, self._month)) if self._month is not None else []
        self._bytes, self._from_ms = int(rows[0][0]) if rows else 0, rows[0][2] if rows else wall_ms
        self._told = Level(rows[0][1]) if rows else Level.FREE

    # -- what may be sent

    def wait_ms(self, now_ms: int) -> int:
        """How long the bandwidth says to wait."""
        return self._bucket.wait_ms(now_ms)

    def rows_max(self, rows: int) -> int:
        """At most `rows` at once, and no more than about a second's bytes."""
        limit = self._bucket.rows_max(self._bytes_per_row)
        return rows if limit is None else min(rows, limit)

    def is_open(self, now_ms: int) -> bool:
        """Whether the schedule has the link open. It opens first when the gateway is asked first."""
        if self.rules.open_every_ms is None:
            return True
        if self._started_ms is None:
            self._started_ms = now_ms
        self._is_open = self.rules.opens_in_ms(now_ms - self._started_ms) == 0
        return self._is_open

    def lanes(self) -> frozenset[LaneName]:
        """The lanes that the month's budget lets send."""
        return EVERY_LANE if self.rules.month_bytes_max is None else self.rules.lanes(self.level)

    @property
    def level(self) -> Level:
        """How far the month's budget is used."""
        return self.rules.level(self._bytes + self._unwritten)

    # -- what was sent

    def spend(self, size_bytes: int, rows: int) -> None:
        """Note that a batch of so many rows was sent, or tried, in so many bytes of body."""
        cost = size_bytes + REQUEST_COST_BYTES if size_bytes else 0
        if not cost:
            return
        self._bucket.take(cost)
        self._unwritten += cost
        self._bytes_per_row += (cost / rows - self._bytes_per_row) * (SMOOTHING if self._bytes_per_row else 1)

    @property
    def is_dirty(self) -> bool:
        """Whether there is something to write."""
        return self._unwritten > 0 and self._month is not None

    @property
    def is_limited(self) -> bool:
        """Whether every byte counts: then what an answer cost is written with it."""
        return self.rules.month_bytes_max is not None

    def write(self) -> None:
        """Write what was spent, inside a transaction; `written` is to be called when that is through."""
        if self.is_dirty:
            self._put(self._bytes + self._unwritten, self._told)

    def written(self) -> None:
        """The transaction is through."""
        if self.is_dirty:
            self._bytes, self._unwritten = self._bytes + self._unwritten, 0

    def _put(self, count: int, told: Level) -> None:
        row = (self._destination, self._month, count, int(told), self._from_ms)
        self._store.run("INSERT OR REPLACE INTO link_months VALUES (?, ?, ?, ?, ?)", row)

    # -- the months

    def look(self, now_ms: int, wall_ms: int) -> bool:
        """See which month it is; whether `turn` is to be called."""
        self._clock.look(now_ms, wall_ms)
        return self._clock.month != self._month or self.level != self._told

    def turn(self, wall_ms: int) -> None:
        """Count in another month, or tell another level, in a transaction of its own. Raises `StoreError`."""
        before = (self._month, self._bytes, self._unwritten, self._told, self._from_ms)
        month = self._clock.month
        try:
            with self._store.transaction():
                if month is not None and month != self._month:
                    self._change_month(month, wall_ms)
                level = self.level
                if level > self._told:
                    self._notices.append(self._notice(level, wall_ms))
                self._told = level
                self._put(self._bytes + self._unwritten, level)
        except BaseException:
            self._month, self._bytes, self._unwritten, self._told, self._from_ms = before
            raise
        self.written()

    def _change_month(self, month: int, wall_ms: int) -> None:
        """Later months than one that the clock goes back to were a mistake of it: what they counted is this one's."""
        if self._month is not None:
            self._put(self._bytes + self._unwritten, self._told)
            self._unwritten = 0
        of_later = (self._destination, month)
        later = self._store.run("SELECT sum(bytes) FROM link_months WHERE destination = ? AND month > ?", of_later)
        self._store.run("DELETE FROM link_months WHERE destination = ? AND month > ?", of_later)
        self._store.set_cursor(month_cursor(self._destination), month)
        self._month = month
        self._read(wall_ms)
        self._bytes += later[0][0] or 0

    def _notice(self, level: Level, wall_ms: int) -> str:
        used = self._bytes + self._unwritten
        fields = f"level={int(level)}i,month_bytes={used}i,month_bytes_max={self.rules.month_bytes_max or 0}i"
        return f"{self._notice_head} {fields} {wall_ms * NS_PER_MS}"

    def state(self) -> LinkState:
        """How it stands."""
        end_ms = None if self._month is None else month_bounds_ms(self._month, self.rules.month_first_day)[1]
        return LinkState(
            self.rules,
            self._bytes + self._unwritten,
            self._from_ms,
            end_ms,
            self.level,
            self._is_open,
            self._bytes_per_row,
        )


def notice_head(measurement: str, destination: str, gateway: str) -> str:
    """Measurement and tags of the notices that tell of a budget."""
    return f"{escape_tag(measurement)}{LINK_NOTICE},destination={destination},gateway={escape_tag(gateway)}"
