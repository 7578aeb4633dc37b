"""The last minutes of the gateway's figures, for the charts of the first page.

Promises: bounded (`SAMPLES_MAX`); a sample that could not be taken, and time in which nobody looked, are null, so
that a chart shows a gap and never a line across it.
"""

from collections import deque

from edge.dashboard.documents import History
from edge.status import GatewayStatus

STEP_MS = 1000
SAMPLES_MAX = 900  # fifteen minutes at one a second
GAP_MS = 3 * STEP_MS  # later than this, somebody was not there

_Sample = tuple[int, int | None, int | None, float | None, float | None]


class Recorder:
    """Keeps samples of the status."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=SAMPLES_MAX)

    def note(self, status: GatewayStatus) -> None:
        """One look."""
        forward = status.forward
        self._gap_before(status.at_ms)
        self._samples.append(
            (
                status.at_ms,
                forward.backlog,
                forward.oldest_unsent_ms,
                forward.received_per_s,
                forward.drained_per_s,
            )
        )

    def note_nothing(self, at_ms: int) -> None:
        """A look that got no answer."""
        self._gap_before(at_ms)
        self._samples.append((at_ms, None, None, None, None))

    def history(self) -> History:
        """Everything kept."""
        at_ms, backlog, oldest, received, drained = zip(*self._samples, strict=True) if self._samples else [()] * 5
        return History(
            step_ms=STEP_MS,
            at_ms=list(at_ms),
            backlog=list(backlog),
            oldest_unsent_ms=list(oldest),
            received_per_s=list(received),
            drained_per_s=list(drained),
        )

    def _gap_before(self, at_ms: int) -> None:
        if not self._samples:
            return
        last_ms = self._samples[-1][0]
        if at_ms <= last_ms:  # the clock was set back: what is drawn from left to right starts over
            self._samples.clear()
        elif at_ms - last_ms > GAP_MS:
            self._samples.append((last_ms + STEP_MS, None, None, None, None))
