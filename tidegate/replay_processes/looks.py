"""What was seen of a gateway process while it lived through a recording: outages, peaks, and the course.

Fed with one look after another; pure, time is passed in, in microseconds of the recording.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.forward.lanes import LaneName
from edge.status import GatewayStatus
from tidegate.replay.links import Down
from tidegate.replay.verdict import Moment, OutageResult
from tidegate.replay.watches import outage_result
from tidegate.replay.world import US_PER_MS


@dataclass(slots=True)
class _Watch:
    """Of one outage: how much waited at its end, and when that was in the cloud.

    No look falls on the end itself: `held` is the most that was seen in the last look before it and the first behind
    it, by which a gateway that tried at once may have sent everything.
    """

    down: Down
    held: int = 0
    is_over: bool = False
    fresh_us: int | None = None
    complete_us: int | None = None

    def look(self, at_us: int, status: GatewayStatus, unsent_since_us: int | None) -> None:
        end_us = self.down.end_us
        if at_us < end_us:
            self.held = status.forward.backlog if at_us >= self.down.start_us else 0
            return
        if not self.is_over:
            self.is_over, self.held = True, max(self.held, status.forward.backlog)
        if self.complete_us is None and (unsent_since_us is None or unsent_since_us >= end_us):
            self.complete_us = at_us
        if self.fresh_us is None and _rollups(status) == 0:
            self.fresh_us = at_us

    def result(self) -> OutageResult:
        return outage_result(self.down, self.held, self.fresh_us, self.complete_us)


class Looks:
    """All that was seen of a run."""

    def __init__(self, downs: Sequence[Down], speed: float) -> None:
        self.last: GatewayStatus | None = None
        self._answered = False
        self._sent: dict[int, tuple[int, int]] = {}  # by when a life of the gateway began: requests, and failed ones
        self.backlog_peak = 0
        self.disk_peak_bytes = 0
        self.course: list[Moment] = []
        self._downs = downs
        self._watches = [_Watch(down) for down in downs]
        self._speed = speed

    def look(self, at_us: int, status: GatewayStatus | None) -> None:
        """The gateway's status at this moment; None: it did not answer."""
        down = next((down for down in self._downs if down.start_us <= at_us < down.end_us), None)
        link = None if down is None else str(down.cause)
        self._answered = status is not None
        if status is None:
            self.course.append(Moment(at_us // US_PER_MS, link, None, None, None))
            return
        self.last = status
        forward, age_ms = status.forward, status.forward.oldest_unsent_ms
        self._sent[status.started_ms] = forward.requests, forward.requests_failed
        lag_ms = 0 if age_ms is None else round(age_ms * self._speed)
        self.course.append(Moment(at_us // US_PER_MS, link, forward.backlog, lag_ms, status.store.bytes))
        self.backlog_peak = max(self.backlog_peak, forward.backlog)
        self.disk_peak_bytes = max(self.disk_peak_bytes, status.store.bytes)
        for watch in self._watches:
            watch.look(at_us, status, None if age_ms is None else at_us - lag_ms * US_PER_MS)

    def outages(self) -> tuple[OutageResult, ...]:
        """What came of each outage of the uplink."""
        return tuple(watch.result() for watch in self._watches)

    @property
    def requests(self) -> int:
        """How many the gateway has sent in all its lives; what it did between a last look and a kill, nobody knows."""
        return sum(sent for sent, _ in self._sent.values())

    @property
    def requests_failed(self) -> int:
        """Those of them that were not accepted."""
        return sum(failed for _, failed in self._sent.values())

    @property
    def is_drained(self) -> bool:
        """Whether the gateway answers and has nothing left to send."""
        if self.last is None or not self._answered:
            return False
        return self.last.forward.backlog == 0 and _rollups(self.last) == 0


def _rollups(status: GatewayStatus) -> int:
    """Rollups that have yet to be sent; they have a lane for each size of a window."""
    return sum(rows for lane, rows in status.forward.lanes.items() if lane.startswith(LaneName.ROLLUPS))
