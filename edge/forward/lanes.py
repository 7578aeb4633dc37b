"""Lanes: which log, which part of it, in which order; and who of them is served next.

A lane's rows are those ids of its log that are not in the destination's delivered set. Live and backfill share the log
of readings: live is what lies above the live point, backfill what lies below. Bisection is a lane's own: the parts of a
refused batch are asked for before anything else of that lane.

Promises: `Schedule` starves nobody: of lanes that always have something to send, each gets the line's bytes in
proportion to its weight, and one that had nothing for a while gains no credit by it (start-time fair queueing:
P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queueing", SIGCOMM 1996).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from edge.forward.sources import Source
from edge.intervals import Intervals

Ranges = list[tuple[int, int]]
REQUEST_COST_BYTES = 1_000  # headers and TLS records of one request: small ones are not free


class LaneName(StrEnum):
    """The lanes, in the order in which they are served when all have waited equally long."""

    NOTICES = "notices"
    ROLLUPS = "rollups"
    LIVE = "live"
    BACKFILL = "backfill"


_ORDER = {name: at for at, name in enumerate(LaneName)}


class Order(StrEnum):
    """Which readings of the backfill go first."""

    OLDEST = "oldest-first"
    NEWEST = "newest-first"


@dataclass(frozen=True, slots=True)
class LaneRules:
    """How one destination's lanes are served. Without `backfill` readings go strictly in the order of the log."""

    backfill: bool = True
    backfill_order: Order = Order.OLDEST
    rollups_weight: int = 8
    live_weight: int = 4
    backfill_weight: int = 2

    def weights(self) -> dict[LaneName, int]:
        """Weight by lane; notices have none, they go first."""
        return {
            LaneName.ROLLUPS: self.rollups_weight,
            LaneName.LIVE: self.live_weight,
            LaneName.BACKFILL: self.backfill_weight,
        }


@dataclass(slots=True)
class _Part:
    """Part of a refused batch. `left`: its sibling lies behind it. `bad`: it must hold a bad row."""

    first: int
    last: int
    left: bool = False
    bad: bool = False


@dataclass(slots=True)
class Lane:
    """One log, or part of it, as one destination is served from it. `key` names it among the destination's lanes."""

    key: str
    name: LaneName
    source: Source
    order: Order = Order.OLDEST
    parts: list[_Part] = field(default_factory=list)  # the nearest last

    def next_ranges(self, done: Intervals, first: int, last: int, rows: int) -> Ranges:
        """At most `rows` ids to send next, of those from `first` to `last` that are not done; in rising order."""
        while self.parts:
            part = self.parts[-1]
            gaps = list(done.gaps(part.first, part.last))
            if not gaps:
                self.parts.pop()
            elif part.bad and _count(gaps) > 1:
                self.split(done, part.first, part.last)  # asking for the whole again would only be refused again
            else:
                return _head(gaps, rows)
        if self.order is Order.OLDEST:
            return _head(done.gaps(first, last), rows)
        return _tail(list(done.gaps(first, last)), rows)

    def split(self, done: Intervals, first: int, last: int) -> None:
        """Replace what lies between by two halves."""
        while self.parts and first <= self.parts[-1].last <= last:
            self.parts.pop()
        gaps = list(done.gaps(first, last))
        if _count(gaps) < 2:  # the others were dropped while it was on its way
            self.parts.append(_Part(first, last))
            return
        middle = _head(gaps, _count(gaps) // 2)[-1][1]
        self.parts.append(_Part(middle + 1, last))
        self.parts.append(_Part(first, middle, left=True))

    def accepted(self, done: Intervals) -> None:
        """Note that an accepted batch went into `done`: if it finished a left half, the right one holds the bad row."""
        while self.parts and not any(done.gaps(self.parts[-1].first, self.parts[-1].last)):
            if self.parts.pop().left and self.parts:
                self.parts[-1].bad = True


class Schedule:
    """Whose turn it is. Counts bytes, in memory: a restart starts everybody even."""

    def __init__(self, weights: Mapping[LaneName, int]) -> None:
        self._weights = dict(weights)
        self._finish = dict.fromkeys(weights, 0.0)
        self._virtual = 0.0

    def favour(self, name: LaneName) -> None:
        """Let this lane be the next, once; what it sends counts as ever."""
        self._finish[name] = 0.0

    def choose(self, waiting: Iterable[LaneName]) -> LaneName:
        """The lane to serve next, of those that have something."""
        order = sorted(waiting, key=_ORDER.__getitem__)
        if len(order) == 1 or order[0] is LaneName.NOTICES:
            return order[0]
        return min(order, key=self._start)

    def charge(self, name: LaneName, size_bytes: int) -> None:
        """Note that a lane sent so much."""
        if name in self._finish:
            start = self._virtual = self._start(name)
            self._finish[name] = start + (size_bytes + REQUEST_COST_BYTES) / self._weights[name]

    def _start(self, name: LaneName) -> float:
        return max(self._finish[name], self._virtual)


def _count(ranges: Ranges) -> int:
    return sum(last - first + 1 for first, last in ranges)


def _head(ranges: Iterable[tuple[int, int]], count: int) -> Ranges:
    """The first `count` numbers of ranges."""
    found: Ranges = []
    for first, last in ranges:
        if count <= 0:
            break
        last = min(last, first + count - 1)
        found.append((first, last))
        count -= last - first + 1
    return found


def _tail(ranges: Sequence[tuple[int, int]], count: int) -> Ranges:
    """The last `count` numbers of ranges, in rising order."""
    found: Ranges = []
    for first, last in reversed(ranges):
        if count <= 0:
            break
        first = max(first, last - count + 1)
        found.append((first, last))
        count -= last - first + 1
    return found[::-1]
