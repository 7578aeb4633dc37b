"""What a link may carry, and when: bandwidth, the month's bytes, a schedule of connections.

    bandwidth    a token bucket over everything that a destination is sent
    month        bytes of the current month (from a day of the month that can be chosen), counted durably
    schedule     open for so long, every so often; an alert opens it at once, for the alerts only

As the month's budget runs out, what is least urgent yields first: backfill, then live readings, then rollups. When it
is used up, only alerts pass. Each step is told once, by a notice.

Promises: over any span, no more than the rate times the span (and one batch) is sent; every byte is counted in exactly
one month, and what was counted neither vanishes nor doubles when the clock steps or the process dies. A month begins
when the clock passes into it while the gateway runs. After a step, or a start, in another month than the last one
counted, the old month goes on until the clock has stood by the new one for `STEADY_MS`, so that a clock that is wrong
for minutes resets nothing. If the clock goes back to an earlier month, what was counted under the later one is its.
Synchronous, without a clock; what is durable is in `edge.link_budget`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache

from edge.forward.lanes import LaneName

STEADY_MS = 3_600_000  # a clock that was set wrongly by NTP is usually right again within minutes
STEP_MS = 60_000  # a difference between the clocks that drift, and pauses of the process, do not explain
BURST_MS = 1_000  # of the rate may be saved up: a lull is not made up for by a flood
BYTES_PER_GB = 10**9
DAY_MS = 86_400_000
PERCENT = 100


class Level(IntEnum):
    """How far the month's budget is used."""

    FREE = 0
    NO_BACKFILL = 1
    NO_RAW = 2
    ALERTS_ONLY = 3


_LANES: Mapping[Level, frozenset[LaneName]] = {
    Level.FREE: frozenset(LaneName),
    Level.NO_BACKFILL: frozenset(LaneName) - {LaneName.BACKFILL},
    Level.NO_RAW: frozenset({LaneName.NOTICES, LaneName.ROLLUPS}),
    Level.ALERTS_ONLY: frozenset({LaneName.NOTICES}),
}


@dataclass(frozen=True, slots=True)
class LinkRules:
    """Limits of one destination's link; None and 0: none.

    `reserve_percent` of the month's bytes are for alerts and rollups; backfill yields when as much again is left.
    """

    bytes_per_s_max: int | None = None
    month_bytes_max: int | None = None
    month_first_day: int = 1
    reserve_percent: int = 10
    cost_per_gb: float | None = None
    currency: str = "EUR"
    open_every_ms: int | None = None
    open_for_ms: int = 0

    def lanes(self, level: Level) -> frozenset[LaneName]:
        """The lanes that may send."""
        return _LANES[level]

    def level(self, month_bytes: int) -> Level:
        """What the month's bytes so far mean."""
        if self.month_bytes_max is None:
            return Level.FREE
        reserve = self.month_bytes_max * self.reserve_percent // PERCENT
        left = self.month_bytes_max - month_bytes
        if left <= 0:
            return Level.ALERTS_ONLY
        if left <= reserve:
            return Level.NO_RAW
        return Level.NO_BACKFILL if left <= 2 * reserve else Level.FREE

    def cost(self, size_bytes: float) -> float | None:
        """What so many bytes cost, in `currency`; None if that is not known."""
        return None if self.cost_per_gb is None else size_bytes * self.cost_per_gb / BYTES_PER_GB

    def opens_in_ms(self, now_ms: int) -> int:
        """How long until the link is open by its schedule; 0 if it is. `now_ms` counts from the gateway's start."""
        if self.open_every_ms is None:
            return 0
        at_ms = now_ms % self.open_every_ms
        return 0 if at_ms < self.open_for_ms else self.open_every_ms - at_ms


class Bucket:
    """A token bucket that may run into debt by one batch, and pays before the next. Times are monotonic."""

    def __init__(self, bytes_per_s: int | None) -> None:
        self._bytes_per_s = bytes_per_s
        self._tokens = 0.0
        self._at_ms: int | None = None

    def wait_ms(self, now_ms: int) -> int:
        """How long until something may be sent."""
        if self._bytes_per_s is None:
            return 0
        passed_ms = 0 if self._at_ms is None else max(0, now_ms - self._at_ms)
        saved_max = self._bytes_per_s * BURST_MS / 1000
        self._tokens = min(saved_max, self._tokens + passed_ms * self._bytes_per_s / 1000)
        self._at_ms = now_ms
        return 0 if self._tokens >= 0 else -int(self._tokens * 1000 // self._bytes_per_s)

    def rows_max(self, bytes_per_row: float) -> int | None:
        """How many rows a second's bytes are; None if there is no limit."""
        if self._bytes_per_s is None or bytes_per_row <= 0:
            return None
        return max(1, int(self._bytes_per_s * BURST_MS / 1000 / bytes_per_row))

    def take(self, size_bytes: int) -> None:
        """Note that so much was sent."""
        if self._bytes_per_s is not None:
            self._tokens -= size_bytes


def month_of(wall_ms: int, first_day: int) -> int:
    """The month as a number that rises by one from month to month. A month begins on its `first_day` (1 to 28), UTC."""
    return _month_of_day(wall_ms // DAY_MS, first_day)


@lru_cache(4)  # asked four times a second: of a day, and around its end of the next
def _month_of_day(day: int, first_day: int) -> int:
    at = datetime.fromtimestamp(day * DAY_MS // 1000, UTC)
    return 12 * at.year + at.month - 1 - (at.day < first_day)


def month_bounds_ms(month: int, first_day: int) -> tuple[int, int]:
    """When a month begins, and when it ends, since 1970."""
    begin, end = (datetime(each // 12, each % 12 + 1, first_day, tzinfo=UTC) for each in (month, month + 1))
    return round(begin.timestamp() * 1000), round(end.timestamp() * 1000)


@dataclass(slots=True)
class MonthClock:
    """Which month bytes are counted in. `month` is None until the first look."""

    first_day: int
    month: int | None = None
    _offset_ms: int | None = None
    _other: tuple[int, int] | None = None

    def look(self, now_ms: int, wall_ms: int) -> int:
        """The month to count in now. If it is an earlier one than before, later ones were a clock's mistake."""
        seen = month_of(wall_ms, self.first_day)
        offset_ms = wall_ms - now_ms
        stepped = self._offset_ms is None or abs(offset_ms - self._offset_ms) > STEP_MS
        self._offset_ms = offset_ms
        if self.month is None or seen == self.month:
            self._other = None
            self.month = seen
        elif stepped or self._other is not None:
            if self._other is None or stepped:
                self._other = (seen, now_ms)
            elif now_ms - self._other[1] >= STEADY_MS:
                self.month, self._other = seen, None
        else:
            self.month = seen  # the clock ran into it
        return self.month
