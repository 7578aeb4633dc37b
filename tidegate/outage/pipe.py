"""What happens to the bytes of one direction of one connection: the sans-IO core of the fault proxy.

A pipe holds sizes, never bytes: its shell offers what arrived (`offer`), asks what to do now (`poll`) and does it.
Promises: bytes leave in the order they came, none is invented; at most `PIPE_BYTES_MAX` plus one read wait inside when
the shell asks `has_room` first; `poll` says until when waiting is certain, so a shell never has to poll in a loop;
toxics and the link's shape can change at any time. Time is `now_us`, randomness the injected generator.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from edge.outages.events import PPM
from tidegate.outage.toxics import (
    Bandwidth,
    Latency,
    LimitData,
    LoseAnswers,
    ResetPeer,
    Slicer,
    SlowClose,
    Stream,
    Timeout,
    Toxic,
)

MS_US = 1_000
SECOND_US = 1_000_000
PIPE_BYTES_MAX = 1024 * 1024
"""Bytes in flight per direction: 100 ms at 10 MB/s. A longer or faster link is throttled by it, as by a TCP window."""
QUANTUM_US = 50 * MS_US
"""A paced stream is written in slices of 50 ms, so that a change of bandwidth is felt at once."""
CREDIT_US = 20 * MS_US
"""A pacer that was woken late may catch up this much; event loops wake about 1 ms late, a busy machine 10 ms."""
RETRANSMIT_US = 200 * MS_US
"""Linux's smallest retransmission time-out (TCP_RTO_MIN): what one lost segment costs at least, doubling each time."""
RETRANSMITS_MAX = 6
"""200 ms doubled six times is 12.6 s in all; longer silences are outages and stand in the recording as such."""
SEGMENT_BYTES = 1448
"""Payload of a TCP segment on an Ethernet path, with time stamps."""


class Finish(StrEnum):
    """How a connection ends: one direction has ended, both close, or a reset."""

    HALF_CLOSE = "half_close"
    CLOSE = "close"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Send:
    """Write the next `size` bytes now."""

    size: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until_us` (None: before something changes)."""

    until_us: int | None


@dataclass(frozen=True, slots=True)
class Finished:
    """The stream or the connection ends now; `lost_answer` says that `lose_answers` did it."""

    how: Finish
    lost_answer: bool = False


Decision = Send | Wait | Finished


@dataclass(frozen=True, slots=True)
class LinkShape:
    """What the link itself does to bytes, the same in both directions."""

    stalled: bool = False
    latency_us: int = 0
    loss_ppm: int = 0
    lose_answers: bool = False


class Pacer:
    """Spaces bytes so that a rate is kept; shared by all connections when it stands for the link itself."""

    def __init__(self, rate_bytes_per_s: int | None = None) -> None:
        self.rate_bytes_per_s = rate_bytes_per_s
        self._free_us = 0

    def free_us(self) -> int:
        """When the next byte may leave."""
        return 0 if self.rate_bytes_per_s is None else self._free_us

    def grant(self, size: int) -> int:
        """How many of these bytes may leave together; at least 1."""
        if self.rate_bytes_per_s is None:
            return size
        return min(size, max(1, self.rate_bytes_per_s * QUANTUM_US // SECOND_US))

    def spend(self, size: int, now_us: int) -> None:
        """Bytes leave now."""
        if self.rate_bytes_per_s is not None:
            start_us = max(self._free_us, now_us - CREDIT_US)
            self._free_us = start_us + size * SECOND_US // self.rate_bytes_per_s


@dataclass(slots=True)
class _Active:
    """A toxic on this connection, since when, and what it has counted."""

    toxic: Toxic
    since_us: int
    applies: bool
    pacer: Pacer
    sent_bytes: int = 0

    def due(self) -> tuple[int, Finish] | None:
        """When and how this toxic ends the connection by itself."""
        attributes = self.toxic.attributes
        if isinstance(attributes, ResetPeer):
            return self.since_us + attributes.timeout * MS_US, Finish.RESET
        if isinstance(attributes, Timeout) and attributes.timeout > 0:
            return self.since_us + attributes.timeout * MS_US, Finish.CLOSE
        return None


@dataclass(slots=True)
class _Waiting:
    """Bytes that may leave from `ready_us` on."""

    size: int
    ready_us: int


@dataclass(slots=True)
class Pipe:
    """One direction of one connection."""

    stream: Stream
    rng: Random
    link_pacer: Pacer
    shape: LinkShape = LinkShape()
    frozen: bool = False
    _active: dict[str, _Active] = field(default_factory=dict)
    _queue: deque[_Waiting] = field(default_factory=deque)
    _queued_bytes: int = 0
    _last_ready_us: int = 0
    _ending: tuple[int, Finish] | None = None
    _answer_lost: bool = False

    @property
    def has_room(self) -> bool:
        """Whether more bytes should be read."""
        return self._queued_bytes < PIPE_BYTES_MAX

    def set_toxics(self, toxics: Iterable[Toxic], now_us: int) -> None:
        """Replace the toxics; one that stays keeps what it counted. Toxicity is drawn once per connection."""
        kept: dict[str, _Active] = {}
        for toxic in toxics:
            if toxic.stream is not self.stream:
                continue
            active = self._active.get(toxic.name)
            if active is None or active.toxic != toxic:
                rate = toxic.attributes.rate_bytes_per_s if isinstance(toxic.attributes, Bandwidth) else None
                active = _Active(toxic, now_us, self.rng.random() < toxic.toxicity, Pacer(rate))
            kept[toxic.name] = active
        self._active = kept

    def offer(self, size: int, now_us: int) -> bool:
        """Bytes arrived. False: they are dropped, and the shell must forget them."""
        if self._ending is not None or self._answer_lost:
            return False
        if self._loses_answers():
            self._answer_lost = True
            return False
        if any(isinstance(active.toxic.attributes, Timeout) for active in self._applied()):
            return False
        ready_us = max(self._last_ready_us, now_us + self._delay_us(size))
        slices, gap_us = self._slices(size)
        for number, part in enumerate(slices):
            self._queue.append(_Waiting(part, ready_us + number * gap_us))
        self._last_ready_us = self._queue[-1].ready_us
        self._queued_bytes += size
        return True

    def offer_end(self, now_us: int, *, reset: bool = False) -> None:
        """The sender closed its side, or reset the connection; it is passed on behind the bytes before it."""
        if self._ending is None:
            delays_ms = [a.toxic.attributes.delay for a in self._applied() if isinstance(a.toxic.attributes, SlowClose)]
            ready_us = max(self._last_ready_us, now_us) + sum(delays_ms) * MS_US
            self._ending = (ready_us, Finish.RESET if reset else Finish.HALF_CLOSE)

    def poll(self, now_us: int) -> Decision:
        """What to do now. After `Send` the bytes count as sent."""
        if self._answer_lost:
            return Finished(Finish.RESET, lost_answer=True)
        due = min((due for active in self._applied() if (due := active.due()) is not None), default=None)
        if due is not None and now_us >= due[0]:
            return Finished(due[1])
        until_us = None if due is None else due[0]
        if self.shape.stalled or self.frozen:
            return Wait(until_us)
        if any(self._limit_reached(active) for active in self._applied()):
            return Finished(Finish.CLOSE)
        if self._queue:
            return self._send(now_us, until_us)
        if self._ending is None:
            return Wait(until_us)
        ready_us, how = self._ending
        return Finished(how) if now_us >= ready_us else Wait(_earlier(ready_us, until_us))

    def _applied(self) -> list[_Active]:
        return [active for active in self._active.values() if active.applies]

    def _loses_answers(self) -> bool:
        if self.stream is not Stream.DOWNSTREAM:
            return False
        toxics = (active.toxic.attributes for active in self._applied())
        return self.shape.lose_answers or any(isinstance(attributes, LoseAnswers) for attributes in toxics)

    def _delay_us(self, size: int) -> int:
        delay_us = self.shape.latency_us + self._retransmit_us(size)
        for active in self._applied():
            attributes = active.toxic.attributes
            if isinstance(attributes, Latency):
                jitter_us = attributes.jitter * MS_US
                delay_us += max(0, attributes.latency * MS_US + self.rng.randint(-jitter_us, jitter_us))
        return delay_us

    def _retransmit_us(self, size: int) -> int:
        """A lost segment is not lost to a TCP user, it is late: one time-out for each loss in a row."""
        if self.shape.loss_ppm == 0:
            return 0
        loss = self.shape.loss_ppm / PPM
        segments = -(-size // SEGMENT_BYTES)
        losses = int(self.rng.random() > (1.0 - loss) ** segments)
        while 0 < losses < RETRANSMITS_MAX and self.rng.random() < loss:
            losses += 1
        return RETRANSMIT_US * ((1 << losses) - 1)

    def _slices(self, size: int) -> tuple[list[int], int]:
        """The sizes in which these bytes leave, and the time between them."""
        slicers = [a.toxic.attributes for a in self._applied() if isinstance(a.toxic.attributes, Slicer)]
        if not slicers:
            return [size], 0
        slicer, sizes = slicers[0], []
        while size > 0:
            variation = self.rng.randint(-slicer.size_variation, slicer.size_variation)
            sizes.append(min(size, slicer.average_size + variation))
            size -= sizes[-1]
        return sizes, slicer.delay

    def _limit_reached(self, active: _Active) -> bool:
        attributes = active.toxic.attributes
        if not isinstance(attributes, LimitData):
            return False
        return active.sent_bytes >= attributes.bytes and bool(self._queue or active.sent_bytes)

    def _send(self, now_us: int, until_us: int | None) -> Decision:
        head = self._queue[0]
        pacers = [self.link_pacer, *(active.pacer for active in self._applied())]
        ready_us = max(head.ready_us, *(pacer.free_us() for pacer in pacers))
        if now_us < ready_us:
            return Wait(_earlier(ready_us, until_us))
        size = min(pacer.grant(head.size) for pacer in pacers)
        for active in self._applied():
            if isinstance(active.toxic.attributes, LimitData):
                size = min(size, active.toxic.attributes.bytes - active.sent_bytes)
        for pacer in pacers:
            pacer.spend(size, now_us)
        for active in self._applied():
            active.sent_bytes += size
        head.size -= size
        self._queued_bytes -= size
        if head.size == 0:
            self._queue.popleft()
        return Send(size)


def _earlier(ready_us: int, until_us: int | None) -> int:
    return ready_us if until_us is None else min(ready_us, until_us)
