"""What one rule makes of one value of one device, reading by reading: pure, and small enough to be checked whole.

Time is the device's own. Only a reading newer than every one before it (by device time, then boot and seq) is looked
at: one that comes out of order changes nothing. A late reading (see `Delays`) is old news: it never raises and never
clears, it can only end a hold time, since it shows that the condition did not last.

    quiet --beyond the limit--> pending --beyond for `for_s`--> active --back by the hysteresis--> quiet

Promise: with a number inside the band, between the limit and the limit less the hysteresis, nothing is raised and
nothing cleared.
"""

from typing import NamedTuple

import msgspec

from edge.alerts.rules import AlertRule, RuleKind

POINTS = 16  # of one window of a rate: the window's length is met within a sixteenth
DELAY_BUCKET_MS = 900_000  # a device whose clock was set back is believed again after one to two of these

At = tuple[int, int, int]
"""(taken_at_ms, boot, seq)."""
BEFORE_ALL: At = (-(2**63), 0, 0)


class Series(msgspec.Struct, array_like=True):
    """What is kept of one value. `since_ms`: since when the condition holds, while pending or active."""

    rule: bytes
    unit: str | None
    at: At = BEFORE_ALL
    is_active: bool = False
    since_ms: int | None = None
    points: list[tuple[int, float]] = []


class Change(NamedTuple):
    """An alert that is to be raised or cleared. `number` is what was compared with the limit."""

    is_raised: bool
    number: float
    since_ms: int


class Limits:
    """One rule's numbers, in the form in which they are compared: a lower limit is an upper one, mirrored."""

    __slots__ = ("back", "for_ms", "late_ms", "limit", "per_ms", "sign", "window_ms")

    def __init__(self, rule: AlertRule) -> None:
        self.sign = 1.0 if rule.above is not None else -1.0
        self.limit = self.sign * rule.threshold
        self.back = self.limit - rule.hysteresis
        self.for_ms = round(1000 * rule.for_s)
        self.late_ms = round(1000 * rule.late_s)
        self.window_ms = round(1000 * rule.window_s) if rule.window_s is not None else 0
        self.per_ms = rule.per.ms if rule.kind is RuleKind.RATE_OF_CHANGE else 0

    def step(self, series: Series, at: At, number: float, lateness_ms: int) -> Change | None:
        """Take one more number; what has changed, if anything has."""
        if at <= series.at:
            return None
        series.at = at
        if self.window_ms:
            rate = _rate(series.points, self.window_ms, at[0], number)
            if rate is None:
                return None
            number = rate * self.per_ms
        return self._judge(series, at[0], number, is_late=lateness_ms > self.late_ms)

    def _judge(self, series: Series, taken_at_ms: int, number: float, *, is_late: bool) -> Change | None:
        level = self.sign * number
        if series.is_active:
            if is_late or level > self.back:
                return None
            since_ms, series.since_ms, series.is_active = series.since_ms, None, False
            return Change(is_raised=False, number=number, since_ms=taken_at_ms if since_ms is None else since_ms)
        if level <= self.limit:
            series.since_ms = None
            return None
        if is_late:
            return None
        if series.since_ms is None:
            series.since_ms = taken_at_ms
        if taken_at_ms - series.since_ms < self.for_ms:
            return None
        series.is_active = True
        return Change(is_raised=True, number=number, since_ms=series.since_ms)


def _rate(points: list[tuple[int, float]], window_ms: int, taken_at_ms: int, number: float) -> float | None:
    """The change by millisecond since the newest kept point that is a window old; None while there is none.

    Points closer than a sixteenth of the window to the last one are not kept, so their number is bounded.
    """
    start_ms = taken_at_ms - window_ms
    while len(points) > 1 and points[1][0] <= start_ms:
        del points[0]
    rate = None
    if points and points[0][0] <= start_ms:
        rate = (number - points[0][1]) / (taken_at_ms - points[0][0])
    if not points or POINTS * (taken_at_ms - points[-1][0]) >= window_ms:
        points.append((taken_at_ms, number))
    return rate


class Delays(msgspec.Struct, array_like=True):
    """How long readings of one device usually take, so that a wrong clock is not taken for lateness.

    The delay of a reading is receive time less device time. The least delay of this quarter of an hour and the one
    before counts as the device's usual one: what a reading took more than that is its lateness. A device begins with
    the belief that its clock is right. Both times are in the log, so the answer is the same after a restart.
    """

    least_ms: int = 0
    before_ms: int = 0
    from_ms: int | None = None

    def lateness_ms(self, received_at_ms: int, taken_at_ms: int) -> int:
        """How late this reading is, and note it."""
        delay_ms = received_at_ms - taken_at_ms
        if self.from_ms is None:
            self.from_ms, self.least_ms = received_at_ms, delay_ms
        elif not 0 <= received_at_ms - self.from_ms < DELAY_BUCKET_MS:
            self.from_ms, self.before_ms, self.least_ms = received_at_ms, self.least_ms, delay_ms
        elif delay_ms < self.least_ms:
            self.least_ms = delay_ms
        return delay_ms - min(self.least_ms, self.before_ms)
