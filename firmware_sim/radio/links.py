"""Link processes: does this transfer arrive, and how late? Perfect, Bernoulli, Gilbert-Elliott, or a trace of a real
link.

All answer `LinkModel`. `transfer` moves the process on (one call is one frame); `is_up` only looks. Randomness is
injected. Nothing here knows a radio: a process stands for everything that RSSI and noise do not explain
(interference, a gateway that reboots, a backhaul outage).
"""

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from firmware_sim.radio.errors import RadioSettingError, require

TraceState = Literal["up", "degraded", "down"]
MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class LinkFate:
    """What became of one transfer. `latency_ms` of a lost one is how long it was under way for nothing."""

    delivered: bool
    latency_ms: int


class LinkModel(Protocol):
    """A link over time."""

    def transfer(self, now_ms: int, size_bytes: int) -> LinkFate:
        """Send `size_bytes` at `now_ms`; moves the process on by one transfer."""

    def is_up(self, now_ms: int) -> bool:
        """Say whether a transfer at `now_ms` has any chance; changes nothing."""


@dataclass(frozen=True, slots=True)
class PerfectLink:
    """Loses nothing; takes `latency_ms`."""

    latency_ms: int = 0

    def transfer(self, now_ms: int, size_bytes: int) -> LinkFate:  # noqa: ARG002 (the protocol's shape)
        """Deliver."""
        return LinkFate(delivered=True, latency_ms=self.latency_ms)

    def is_up(self, now_ms: int) -> bool:  # noqa: ARG002 (the protocol's shape)
        """Return True."""
        return True


class BernoulliLink:
    """Loses each transfer with the same probability, independently of the others."""

    def __init__(self, loss: float, rng: random.Random, latency_ms: int = 0) -> None:
        require(0 <= loss <= 1, "loss", loss, "a probability of 0 to 1")
        self.loss = loss
        self._rng = rng
        self._latency_ms = latency_ms

    def transfer(self, now_ms: int, size_bytes: int) -> LinkFate:  # noqa: ARG002 (the protocol's shape)
        """Draw one independent fate."""
        return LinkFate(self._rng.random() >= self.loss, self._latency_ms)

    def is_up(self, now_ms: int) -> bool:  # noqa: ARG002 (the protocol's shape)
        """Return True unless everything is lost."""
        return self.loss < 1


class GilbertElliottLink:
    """Bursty loss: a good and a bad state, stepped once per transfer.

    `p` is the chance good -> bad, `r` bad -> good; a transfer passes with chance `k` in the good and `h` in the bad
    state.
    Source: E. N. Gilbert, "Capacity of a burst-noise channel", Bell System Technical Journal 39, 1960 (h, k = 1);
    E. O. Elliott, BSTJ 42, 1963 (k); notation of Hasslinger and Hohlfeld, MMB 2008. Starts in the stationary mix.
    """

    def __init__(
        self, p: float, r: float, rng: random.Random, *, h: float = 0.0, k: float = 1.0, latency_ms: int = 0
    ) -> None:
        for name, value in (("p", p), ("r", r), ("h", h), ("k", k)):
            require(0 <= value <= 1, name, value, "a probability of 0 to 1")
        require(p + r > 0, "p + r", p + r, "more than 0, or the state never changes")
        self.p, self.r, self.h, self.k = p, r, h, k
        self._rng = rng
        self._latency_ms = latency_ms
        self._bad = rng.random() < p / (p + r)

    @property
    def loss(self) -> float:
        """Long-run loss: p/(p+r) (1-h) + r/(p+r) (1-k)."""
        return (self.p * (1 - self.h) + self.r * (1 - self.k)) / (self.p + self.r)

    @property
    def mean_burst(self) -> float:
        """Mean stay in the bad state in transfers, 1/r: the mean run of losses if h = 0 and k = 1."""
        return 1 / self.r if self.r else float("inf")

    @property
    def lag1_correlation(self) -> float:
        """Correlation of the losses of neighbouring transfers.

        For h = 0, k = 1 it is 1 - p - r. In general the state's correlation is scaled by the share of the loss variance
        that the state explains: (1-p-r) pi_g pi_b (k-h)^2 / (L (1-L)). Zero where the loss does not vary.
        """
        bad = self.p / (self.p + self.r)
        variance = self.loss * (1 - self.loss)
        if variance <= 0:
            return 0.0
        return (1 - self.p - self.r) * bad * (1 - bad) * (self.k - self.h) ** 2 / variance

    def passes(self) -> bool:
        """Step the process by one transfer and say whether it passes."""
        rng = self._rng.random
        self._bad = rng() >= self.r if self._bad else rng() < self.p
        chance = self.h if self._bad else self.k
        return chance >= 1 or (chance > 0 and rng() < chance)

    def transfer(self, now_ms: int, size_bytes: int) -> LinkFate:  # noqa: ARG002 (the protocol's shape)
        """Step by one transfer."""
        return LinkFate(self.passes(), self._latency_ms)

    def is_up(self, now_ms: int) -> bool:  # noqa: ARG002 (the protocol's shape)
        """Return False only in a bad state that lets nothing through."""
        return (self.h if self._bad else self.k) > 0


@dataclass(frozen=True, slots=True)
class TraceSegment:
    """A link from `from_ms` until the next segment: its state, and how a transfer fares in it.

    `bandwidth_bytes_per_s` of None means that size costs no time. A `down` segment delivers nothing whatever else it
    says.
    """

    from_ms: int
    state: TraceState
    latency_ms: int = 0
    loss: float = 0.0
    bandwidth_bytes_per_s: float | None = None


class TraceLink:
    """A link that does what a recording did.

    A transfer runs through the segments it meets: each byte takes the time its segment's bandwidth gives, so a slow
    segment that turns fast ends the transfer early, and one that meets a `down` segment is lost there. Loss and
    latency are those of the segment where it starts. Before the first segment and, unless `loop_ms` is set, after the
    last, the nearest segment holds. With `loop_ms` the trace starts over every `loop_ms`, counted from its first
    segment.
    """

    def __init__(self, segments: Sequence[TraceSegment], rng: random.Random, *, loop_ms: int | None = None) -> None:
        require(len(segments) > 0, "segments", segments, "at least one segment")
        for segment in segments:
            _check(segment)
        self._starts = [segment.from_ms for segment in segments]
        ordered = all(a < b for a, b in zip(self._starts, self._starts[1:], strict=False))
        require(ordered, "segments", self._starts, "from_ms rising from segment to segment")
        span_ms = self._starts[-1] - self._starts[0]
        require(loop_ms is None or loop_ms > span_ms, "loop_ms", loop_ms, f"more than the trace's {span_ms} ms")
        self._segments = tuple(segments)
        self._loop_ms = loop_ms
        self._rng = rng

    def segment_at(self, now_ms: int) -> TraceSegment:
        """Return the segment that holds at an instant."""
        return self._segments[self._index(now_ms)]

    def is_up(self, now_ms: int) -> bool:
        """Say whether the segment is not `down`."""
        return self.segment_at(now_ms).state != "down"

    def transfer(self, now_ms: int, size_bytes: int) -> LinkFate:
        """Send through the trace. Draws one random number in a lossy segment, none in a clean one."""
        first = self.segment_at(now_ms)
        if first.state == "down":
            return LinkFate(delivered=False, latency_ms=first.latency_ms)
        lost = first.loss > 0 and self._rng.random() < first.loss
        carried, under_way_ms = self._carry(now_ms, size_bytes)
        return LinkFate(carried and not lost, first.latency_ms + under_way_ms)

    def _carry(self, now_ms: int, size_bytes: int) -> tuple[bool, int]:
        """Return whether the bytes get through before a `down` segment, and the time on the wire (rounded up)."""
        at_ms, left = float(now_ms), float(size_bytes)
        while True:
            segment, end_ms = self._segments[self._index(int(at_ms))], self._next_change_ms(int(at_ms))
            rate = segment.bandwidth_bytes_per_s
            if segment.state == "down":
                return False, int(at_ms) - now_ms
            if rate is None or end_ms is None or left * MS_PER_S <= rate * (end_ms - at_ms):
                wire_ms = 0.0 if rate is None else left * MS_PER_S / rate
                return True, int(-(-(at_ms + wire_ms - now_ms) // 1))
            left -= rate * (end_ms - at_ms) / MS_PER_S
            at_ms = end_ms

    def _index(self, now_ms: int) -> int:
        return max(bisect_right(self._starts, self._folded(now_ms)) - 1, 0)

    def _folded(self, now_ms: int) -> int:
        start = self._starts[0]
        return now_ms if self._loop_ms is None else start + (now_ms - start) % self._loop_ms

    def _next_change_ms(self, now_ms: int) -> int | None:
        """Return when the next segment starts, or None if the present one holds for ever."""
        folded = self._folded(now_ms)
        later = bisect_right(self._starts, folded)
        if later < len(self._starts):
            return now_ms + self._starts[later] - folded
        if self._loop_ms is None:
            return None
        return now_ms + self._starts[0] + self._loop_ms - folded


def _check(segment: TraceSegment) -> None:
    if segment.state not in ("up", "degraded", "down"):
        raise RadioSettingError("state", segment.state, "up, degraded or down")
    require(0 <= segment.loss <= 1, "loss", segment.loss, "a probability of 0 to 1")
    require(segment.latency_ms >= 0, "latency_ms", segment.latency_ms, "0 or more")
    rate = segment.bandwidth_bytes_per_s
    require(rate is None or rate > 0, "bandwidth_bytes_per_s", rate, "more than 0, or None for no limit")
