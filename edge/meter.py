"""Rates from counts: how fast something goes now, from when it was looked at.

A meter keeps a few (time, count) pairs over a sliding span; the rate is their slope. Time is passed in.
"""

from collections import deque

SPAN_MS = 10_000  # long enough to be calm, short enough to show an outage within seconds
SHORTEST_MS = 2_000  # a burst right after a start is not a rate
MINUTE_S = 60
STEP_MS = 500  # pairs closer than this are merged: at most 20 pairs a meter


class Meter:
    """The rate of one rising count."""

    __slots__ = ("_pairs",)

    def __init__(self) -> None:
        self._pairs: deque[tuple[int, int]] = deque()

    def note(self, count: int, now_ms: int) -> None:
        """The count stands at `count` now."""
        pairs = self._pairs
        if len(pairs) > 1 and now_ms - pairs[-2][0] < STEP_MS:
            pairs.pop()
        pairs.append((now_ms, count))
        while len(pairs) > 2 and now_ms - pairs[1][0] >= SPAN_MS:
            pairs.popleft()

    def per_second(self) -> float:
        """The rate over the last ten seconds; 0.0 until there are two looks."""
        if len(self._pairs) < 2:
            return 0.0
        (from_ms, start), (to_ms, end) = self._pairs[0], self._pairs[-1]
        return (end - start) * 1000 / max(to_ms - from_ms, SHORTEST_MS)


class LastMinute:
    """How often something happened in the last minute: for what is too rare to have a rate, such as errors."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque()  # (second, count): at most one for each second of a minute

    def add(self, count: int, now_ms: int) -> None:
        """So many more, now."""
        if not count:
            return
        second = now_ms // 1000
        if self._buckets and self._buckets[-1][0] == second:
            count += self._buckets.pop()[1]
        self._buckets.append((second, count))
        self._forget(second)

    def count(self, now_ms: int) -> int:
        """So many in the last minute."""
        self._forget(now_ms // 1000)
        return sum(count for _, count in self._buckets)

    def _forget(self, second: int) -> None:
        while self._buckets and self._buckets[0][0] <= second - MINUTE_S:
            self._buckets.popleft()


def seconds_to_catch_up(backlog: int, drained_per_s: float, received_per_s: float) -> float | None:
    """How long until the backlog is gone at these rates; None if it does not shrink."""
    if backlog == 0:
        return 0.0
    net_per_s = drained_per_s - received_per_s
    return backlog / net_per_s if net_per_s > 0 else None
