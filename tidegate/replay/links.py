"""Links that follow a recording: when does what is sent now arrive, and how does a connection over it fail.

A `Link` is pure: its whole future is known (a timeline, then healed for good), so it answers at once; only its
`mishaps` and `met_downs` remember which of them somebody met. How an outage is felt follows its cause:

    refused, reset, http    connections are reset the moment the link goes down, new ones are refused
    all others              silence: nothing moves; if the link returns in time all goes on, else a time-out notices

Loss on a link costs a connection time, not bytes: each lost packet waits for a retransmission (RFC 6298: at least
200 ms as Linux has it, doubled each time). Unknown (a gap of the recording) is not down: it carries like a healed link.
"""

from bisect import bisect_right
from collections.abc import Iterable
from random import Random
from typing import NamedTuple

from edge.outages.events import PPM, Cause, Status
from edge.outages.timeline import UNKNOWN, LinkState, LinkTimeline
from tidegate.outage.builder import Provenance
from tidegate.outage.mishaps import Mishaps
from tidegate.outage.phases import Phase, record_phases
from tidegate.replay.world import US_PER_MS, US_PER_S

RESETTING = frozenset({Cause.REFUSED, Cause.RESET, Cause.HTTP})
LATENCY_US = 20 * US_PER_MS  # one way, where a recording says nothing: a wired or LTE path to the nearest region
RETRANSMIT_US = 200 * US_PER_MS  # Linux's TCP_RTO_MIN
RETRANSMISSIONS_MAX = 8  # beyond it the connection is as good as silent, and a time-out decides
FAILS_AFTER_US = {
    Cause.DNS: 5 * US_PER_S,  # resolv.conf(5): a resolver's default time-out
    Cause.UNREACHABLE: US_PER_MS,  # the own kernel says so
}
ROUND_TRIPS_TO_FAIL = {Cause.REFUSED: 2, Cause.RESET: 2, Cause.TLS: 4, Cause.HTTP: 2}  # one-way trips


class Down(NamedTuple):
    """A span in which nothing passes."""

    start_us: int
    end_us: int
    cause: Cause


class Link:
    """What a link does at any instant. `timeline` rules until `healed_at_us`, from then on the link is well."""

    def __init__(
        self, timeline: LinkTimeline | None = None, *, healed_at_us: int = 0, latency_us: int = LATENCY_US
    ) -> None:
        self._timeline = timeline
        self._healed_at_us = healed_at_us if timeline is not None else 0
        self._latency_us = latency_us
        self._calm_from_us = self._calm_until_us = self._calm_latency_us = 0
        self.name = "" if timeline is None else timeline.link
        self.downs = tuple(_downs(timeline, healed_at_us)) if timeline is not None else ()
        self.met_downs: set[Down] = set()
        """Those of `downs` that somebody met: was refused or cut off by, or had to wait for."""
        self.mishaps = Mishaps() if timeline is None else _mishaps(timeline, self.downs, healed_at_us)

    def state(self, at_us: int) -> LinkState:
        """The state at an instant; `UNKNOWN` where nothing is wrong that anybody knows of."""
        if self._timeline is None or at_us >= self._healed_at_us:
            return UNKNOWN
        return self._timeline.at(at_us)

    def down_at(self, at_us: int) -> Down | None:
        """The span without a link that this instant lies in."""
        at = bisect_right(self.downs, at_us, key=_start) - 1
        return self.downs[at] if at >= 0 and at_us < self.downs[at].end_us else None

    def meet(self, at_us: int) -> Down | None:
        """`down_at`, for one who is about to use the link."""
        down = self.down_at(at_us)
        if down is not None:
            self.met_downs.add(down)
        return down

    def downs_after(self, at_us: int) -> tuple[Down, ...]:
        """The spans without a link that end behind this instant."""
        return self.downs[bisect_right(self.downs, at_us, key=_end) :]

    def latency_us(self, at_us: int) -> int:
        """One way, in microseconds."""
        latency_us = self.state(at_us).latency_us
        return self._latency_us if latency_us is None else latency_us

    def moved_by(self, start_us: int, size_bytes: int) -> int:
        """When the last of `size_bytes` has left the near end, waiting through every span in which nothing moves."""
        at_us, left = start_us, size_bytes * US_PER_S  # in byte-microseconds per second, so that all stays whole
        while self._timeline is not None and at_us < self._healed_at_us:
            state = self._timeline.at(at_us)
            change_us = self._timeline.next_change_us(at_us)
            change_us = self._healed_at_us if change_us is None else min(change_us, self._healed_at_us)
            if state.status is not Status.DOWN:
                rate = state.bandwidth_bytes_per_s
                if rate is None or left <= rate * (change_us - at_us):
                    return at_us if rate is None else at_us + _ceil(left, rate)
                left -= rate * (change_us - at_us)
            else:
                self.meet(at_us)
            at_us = change_us
        return at_us

    def carry(self, start_us: int, size_bytes: int, rng: Random) -> tuple[int, int]:
        """(when the last byte has left, when it is at the far end), by waiting and retransmission if need be."""
        if self._timeline is None or start_us >= self._healed_at_us:
            return start_us, start_us + self._latency_us
        if self._calm_from_us <= start_us < self._calm_until_us:
            return start_us, start_us + self._calm_latency_us
        self._look_for_calm(start_us)
        moved_us = at_us = self.moved_by(start_us, size_bytes)
        loss_ppm = self.state(at_us).loss_ppm or 0
        wait_us = max(RETRANSMIT_US, 2 * self.latency_us(at_us))
        for _ in range(RETRANSMISSIONS_MAX):
            if loss_ppm == 0 or rng.randrange(PPM) >= loss_ppm:
                break
            at_us, wait_us = self.moved_by(at_us + wait_us, 0), 2 * wait_us
        return moved_us, at_us + self.latency_us(at_us)

    def _look_for_calm(self, at_us: int) -> None:
        """Remember how long the link will be well from here on: most of what is sent is sent in such a span."""
        state, until_us = self.state(at_us), None if self._timeline is None else self._timeline.next_change_us(at_us)
        is_slow = state.status is Status.DOWN or state.bandwidth_bytes_per_s is not None or state.loss_ppm
        if not is_slow and until_us is not None:
            self._calm_from_us, self._calm_until_us = at_us, min(until_us, self._healed_at_us)
            self._calm_latency_us = self.latency_us(at_us)

    def refusal(self, at_us: int, time_out_us: int) -> tuple[int, Down] | None:
        """How an attempt to connect now fails: (when that is known, the outage), or None if it succeeds."""
        down = self.meet(at_us)
        if down is None:
            return None
        if down.cause in ROUND_TRIPS_TO_FAIL:
            return at_us + ROUND_TRIPS_TO_FAIL[down.cause] * self.latency_us(at_us), down
        return at_us + FAILS_AFTER_US.get(down.cause, time_out_us), down

    def resets(self, from_us: int, until_us: int) -> Down | None:
        """The first outage that resets a connection which lives from `from_us` until `until_us`."""
        for down in self.downs_after(from_us):
            if down.start_us >= until_us:
                return None
            if down.cause in RESETTING:
                return down
        return None


def scripted(phases: Iterable[Phase], end_us: int, *, link: str = "uplink") -> LinkTimeline:
    """A timeline made by hand, of spans one behind the other, cut at `end_us`. Raises `RecordingError`."""
    return record_phases(phases, end_us, link, Provenance(title="scripted")).timeline(link)


def _downs(timeline: LinkTimeline, healed_at_us: int) -> Iterable[Down]:
    """Neighbouring segments that are down with one cause, as one span."""
    held: Down | None = None
    for segment in timeline.segments():
        state = segment.state
        if state.status is not Status.DOWN or segment.start_us >= healed_at_us:
            continue
        cause = state.cause or Cause.TIMEOUT
        end_us = min(segment.end_us, healed_at_us)
        if held is not None and held.end_us == segment.start_us and held.cause is cause:
            held = held._replace(end_us=end_us)
            continue
        if held is not None:
            yield held
        held = Down(segment.start_us, end_us, cause)
    if held is not None:
        yield held


def _mishaps(timeline: LinkTimeline, downs: Iterable[Down], healed_at_us: int) -> Mishaps:
    return Mishaps(
        (close for close in timeline.closes if close.at_us < healed_at_us),
        (write for write in timeline.unknown_writes if write.sent_us < healed_at_us),
        [(down.start_us, down.end_us) for down in downs],
    )


def _start(down: Down) -> int:
    return down.start_us


def _end(down: Down) -> int:
    return down.end_us


def _ceil(number: int, by: int) -> int:
    return -(-number // by)
