"""How a proxied link must behave, decided from a recording: the sans-IO core between a timeline and the proxy's shell.

Promises: one table says what each cause of an outage does to new and to existing connections; what is not known (a gap,
the time after the recording) does no harm. Time is stretched by `speed`: at speed 10 an outage lasts a tenth, and the
link carries ten times the bytes per second at a tenth of the latency, so each outage meets as many bytes as it did.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from edge.outages.events import PPM, Cause, Ending, LinkKind, Status
from edge.outages.recording import Recording
from edge.outages.timeline import LinkState
from tidegate.outage.mishaps import Mishaps
from tidegate.outage.pipe import LinkShape

SPEED_MIN, SPEED_MAX = 0.001, 100_000.0
"""At 100,000 a day takes less than a second; real sockets cannot follow a faster replay, virtual time can."""
HTTP_STATUSES = range(100, 600)


class SpeedError(ValueError):
    """A replay cannot run at this speed. Carries `speed`."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        super().__init__(f"speed: expected a number from {SPEED_MIN} to {SPEED_MAX}, found {speed}")


class CauseError(ValueError):
    """A link cannot be down so: cause http and an HTTP status belong together. Carries `cause` and `http_status`."""

    def __init__(self, cause: Cause, http_status: int | None) -> None:
        self.cause = cause
        self.http_status = http_status
        super().__init__(f"http_status: expected 100 to 599 with cause http and none with others, found {http_status}")


class Admission(StrEnum):
    """What a new connection meets. `REFUSE` is a real ECONNREFUSED: nothing listens."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    RESET = "reset"
    CLOSE = "close"
    STALL = "stall"
    ANSWER = "answer"


class Existing(StrEnum):
    """What a connection meets that is open when the link goes down. A stall ends when the link comes back."""

    KEEP = "keep"
    RESET = "reset"
    STALL = "stall"


DOWN_RULES: Mapping[Cause, tuple[Admission, Existing]] = {
    # A proxy stands behind name resolution: the nearest it can do to "no address" is "no connection".
    Cause.DNS: (Admission.REFUSE, Existing.RESET),
    Cause.REFUSED: (Admission.REFUSE, Existing.RESET),
    # No route: connecting fails at once, while packets of open connections vanish.
    Cause.UNREACHABLE: (Admission.REFUSE, Existing.STALL),
    # A failing handshake ends a connection before its first answer.
    Cause.TLS: (Admission.CLOSE, Existing.RESET),
    Cause.TIMEOUT: (Admission.STALL, Existing.STALL),
    Cause.RESET: (Admission.RESET, Existing.RESET),
    Cause.HTTP: (Admission.ANSWER, Existing.RESET),
    Cause.SLOW: (Admission.STALL, Existing.STALL),
}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the link behaves from now on."""

    admission: Admission = Admission.ACCEPT
    existing: Existing = Existing.KEEP
    shape: LinkShape = field(default_factory=LinkShape)
    bandwidth_bytes_per_s: int | None = None
    http_status: int | None = None


HEALTHY = Behaviour()


def down_behaviour(cause: Cause, http_status: int | None = None) -> Behaviour:
    """How a link behaves that is down for this cause. Raises `CauseError`."""
    fits = http_status is None if cause is not Cause.HTTP else http_status in HTTP_STATUSES
    if not fits:
        raise CauseError(cause, http_status)
    admission, existing = DOWN_RULES[cause]
    return Behaviour(admission, existing, LinkShape(stalled=existing is Existing.STALL), http_status=http_status)


def behaviour_of(state: LinkState, speed: float = 1.0, *, lose_answers: bool = False) -> Behaviour:
    """How a link behaves in this state of a recording, at this speed."""
    if state.status is Status.DOWN and state.cause is not None:
        return down_behaviour(state.cause, state.http_status)
    bandwidth = state.bandwidth_bytes_per_s
    loss_ppm = state.loss_ppm or 0
    shape = LinkShape(
        stalled=bandwidth == 0 or loss_ppm == PPM,
        latency_us=round((state.latency_us or 0) / speed),
        loss_ppm=loss_ppm,
        lose_answers=lose_answers,
    )
    return Behaviour(shape=shape, bandwidth_bytes_per_s=max(1, round(bandwidth * speed)) if bandwidth else None)


def check_speed(speed: float) -> None:
    """Raise `SpeedError` unless a replay can run at this speed."""
    if not SPEED_MIN <= speed <= SPEED_MAX:
        raise SpeedError(speed)


class LinkDriver:
    """Walks along one link of a recording. Its times are real microseconds since the start of the replay."""

    def __init__(self, recording: Recording, link: str | None = None, speed: float = 1.0) -> None:
        """Take the named link, or the first uplink. Raises `UnknownLinkError`, `SpeedError`."""
        check_speed(speed)
        self.link = link if link is not None else _first_uplink(recording)
        self.timeline = recording.timeline(self.link)
        self._speed = speed
        self._closes = self.timeline.closes
        downs = [(outage.start_us, outage.end_us) for outage in self.timeline.outages()]
        self._mishaps = Mishaps(writes=self.timeline.unknown_writes, downs=downs)
        self._edges_us = sorted({*(close.at_us for close in self._closes), *self._mishaps.edges_us})

    def recorded_us(self, elapsed_us: int) -> int:
        """The instant of the recording that is being replayed."""
        return int(elapsed_us * self._speed)

    def state(self, elapsed_us: int) -> LinkState:
        """The recorded state that is being replayed."""
        return self.timeline.at(self.recorded_us(elapsed_us))

    def behaviour(self, elapsed_us: int) -> Behaviour:
        """How the link behaves now."""
        at_us = self.recorded_us(elapsed_us)
        lose_answers = self._mishaps.loses_answers(at_us)
        return behaviour_of(self.timeline.at(at_us), self._speed, lose_answers=lose_answers)

    def answer_was_lost(self, elapsed_us: int) -> None:
        """An answer has been lost: that was the one write of this recorded unknown write."""
        self._mishaps.takes_answer(self.recorded_us(elapsed_us))

    def closes(self, after_us: int, until_us: int) -> list[Ending]:
        """How open connections ended in the replayed span (after_us, until_us]."""
        first, last = self.recorded_us(after_us), self.recorded_us(until_us)
        return [close.how for close in self._closes if first < close.at_us <= last]

    def next_change_us(self, elapsed_us: int) -> int | None:
        """When the link next changes, or None when the recording has nothing more to say."""
        at_us = self.recorded_us(elapsed_us)
        edge = bisect_right(self._edges_us, at_us)
        following = self._edges_us[edge : edge + 1]
        change_us = self.timeline.next_change_us(at_us)
        if change_us is not None:
            following.append(change_us)
        # Rounded up: the replay must have passed the recorded instant when it looks again.
        return int(min(following) / self._speed) + 1 if following else None


def _first_uplink(recording: Recording) -> str:
    links = recording.header.links
    return next((link.name for link in links if link.kind is LinkKind.UPLINK), links[0].name)
