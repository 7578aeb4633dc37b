"""What the demo saw of each outage: how long it lasted, how much was held, and how long catching up took.

Fed with one look at the system after another; pure, time is passed in.
"""

from dataclasses import dataclass

CAUGHT_UP_MS = 3_000  # the oldest unsent reading is younger: a flush interval, a batch in flight and some room
NOTICED_READINGS = 1


@dataclass(slots=True)
class OutageSeen:
    """One outage. Times are monotonic milliseconds; `caught_up_ms` None: not yet."""

    began_ms: int
    cause: str
    ended_ms: int | None = None
    caught_up_ms: int | None = None
    backlog_peak: int = 0

    def lasted_s(self, now_ms: int) -> float:
        """How long the link was away (so far)."""
        return ((self.ended_ms or now_ms) - self.began_ms) / 1000

    @property
    def catch_up_s(self) -> float | None:
        """From the link's return until nothing old was left to send."""
        if self.ended_ms is None or self.caught_up_ms is None:
            return None
        return (self.caught_up_ms - self.ended_ms) / 1000


class OutageLog:
    """The outages of a run, in order."""

    def __init__(self) -> None:
        self.seen: list[OutageSeen] = []

    def look(self, now_ms: int, *, down: bool, cause: str, backlog: int, oldest_unsent_ms: int | None) -> None:
        """One look: is the link down now, and what does the gateway hold."""
        latest = self.seen[-1] if self.seen else None
        if down and (latest is None or latest.ended_ms is not None):
            if latest is not None and latest.caught_up_ms is None:
                latest.caught_up_ms = now_ms  # the next outage came first; it carries the rest of the backlog
            latest = OutageSeen(now_ms, cause)
            self.seen.append(latest)
        if latest is None or latest.caught_up_ms is not None:
            return
        latest.backlog_peak = max(latest.backlog_peak, backlog)
        if not down and latest.ended_ms is None:
            latest.ended_ms = now_ms
        if latest.ended_ms is not None and (oldest_unsent_ms is None or oldest_unsent_ms < CAUGHT_UP_MS):
            latest.caught_up_ms = now_ms

    @property
    def survived(self) -> int:
        """Outages that met data (something was held) and were caught up with."""
        return sum(each.caught_up_ms is not None and each.backlog_peak >= NOTICED_READINGS for each in self.seen)
