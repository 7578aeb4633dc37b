"""What to send next: a window over the outbox, moved by the gateway's answers.

Promises:
- At most `window` messages that the gateway has not acknowledged are on the way (answers to `resend` come on top, at
  most `window` of them per turn, because the window may be full just because of what they fill).
- What the broker took and the gateway did not acknowledge within `ack_timeout_ms` is sent again, from the oldest record
  held, after a full-jitter exponential back-off: uniform(0, min(60 s, 1 s * 2^n)), n reset by progress. A message that
  the broker refused (or that nobody subscribes to) counts as not sent. One that it has not answered is not copied: the
  MQTT client keeps it, so a slow broker cannot make a queue grow.
- When everything is acknowledged it sends nothing.

`Acknowledge.BROKER` is for a plain broker without a gateway behind it: there the broker's PUBACK frees the flash, in
the order of sending.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import NamedTuple

from firmware_sim.outbox import Key, Outbox, Record
from sensors.messages import RANGES_MAX, Ack, LostRange, Resend

BACKOFF_BASE_MS = 1_000  # durability.md, "Backoff everywhere"
BACKOFF_CAP_MS = 60_000
_BACKOFF_DOUBLINGS_MAX = 6  # 1 s * 2^6 is over the cap


class Acknowledge(StrEnum):
    """Whose answer frees the device's flash."""

    GATEWAY = "gateway"
    BROKER = "broker"


@dataclass(frozen=True, slots=True)
class SenderSpec:
    """Limits of one device's sending; times in device milliseconds."""

    window: int = 4  # messages: with an answer in 100 ms, 40 packs a second, far above what a device measures
    pack: int = 32  # readings of one message: about 4 KB of JSON, what a small device can build in RAM
    ack_timeout_ms: int = 30_000
    acknowledge: Acknowledge = Acknowledge.GATEWAY


@dataclass(slots=True)
class _Flight:
    """One message on the way."""

    token: int
    boot: int
    first: int
    last: int
    delivered: bool = False


class Pack(NamedTuple):
    """Records of one boot that go into one message; `token` names it when the broker answers."""

    token: int
    records: tuple[Record, ...]
    resent: int


class Sender:
    """Decides what one device sends next."""

    def __init__(self, outbox: Outbox, spec: SenderSpec, rng: Random) -> None:
        self._outbox = outbox
        self._spec = spec
        self._rng = rng
        self._token = 0
        self.restart()

    def restart(self) -> None:
        """The device's RAM is gone: all that the flash holds counts as unsent."""
        self._flights: deque[_Flight] = deque()
        self._asked: deque[tuple[int, int, int]] = deque()
        self._cursor: Key | None = None
        self._highest: Key | None = None
        self._attempt = 0
        self._resume_at_ms: int | None = None
        self.ack_deadline_ms: int | None = None

    @property
    def next_due_ms(self) -> int | None:
        """When sending has to be looked at again without anything arriving; None for never."""
        return self._resume_at_ms if self._resume_at_ms is not None else self.ack_deadline_ms

    @property
    def idle(self) -> bool:
        """Whether nothing is on the way, asked for, or waited for."""
        return not (self._flights or self._asked) and self._resume_at_ms is None and self.ack_deadline_ms is None

    def passed(self, key: Key) -> None:
        """A record went the short way: it was sent, and is acknowledged."""
        self._token += 1
        self._cursor = self._highest = key
        self._attempt = 0

    def unsent(self) -> bool:
        """Whether there is something that `pump` would send, were the window open."""
        return bool(self._asked or self._outbox.after(self._cursor, 1))

    def pump(self, now_ms: int) -> list[Pack]:
        """The messages to send now. Call it with the link up."""
        self._expire(now_ms)
        if self._resume_at_ms is not None and now_ms < self._resume_at_ms:
            return []
        self._resume_at_ms = None
        packs = self._answer_asked()
        self._prune()
        while len(self._flights) < self._spec.window:
            records = self._outbox.after(self._cursor, self._spec.pack)
            if not records:
                break
            packs.append(self._pack(records))
            self._cursor = records[-1].key
            self._flights.append(_Flight(self._token, records[0].boot, records[0].seq, records[-1].seq))
        if packs and self.ack_deadline_ms is None:
            self.ack_deadline_ms = now_ms + self._spec.ack_timeout_ms
        return packs

    def acked(self, ack: Ack, now_ms: int) -> int:
        """The gateway holds these: free them. Returns how many records that freed."""
        oldest = self._oldest()
        freed = sum(self._outbox.ack(boot, seq) for boot, seq in ack.acks)
        self._prune()
        if self._oldest() != oldest:  # else the oldest may be what the gateway never saw: its time-out stands
            self._progress(now_ms)
        return freed

    def asked(self, resend: Resend) -> tuple[LostRange, ...]:
        """The gateway misses these: queue what is held; returns what is not, at most `RANGES_MAX` ranges."""
        lost: list[LostRange] = []
        for boot, first, last in resend.ranges[:RANGES_MAX]:
            lost += self._outbox.missing(boot, first, last)
            if len(self._asked) < RANGES_MAX and (boot, first, last) not in self._asked:
                self._asked.append((boot, first, last))
        return tuple(lost[:RANGES_MAX])

    def answered(self, token: int, *, delivered: bool, now_ms: int) -> int:
        """The broker's answer to one message. Returns how many records that freed (`Acknowledge.BROKER` only)."""
        flight = next((flight for flight in self._flights if flight.token == token), None)
        if flight is None:
            return 0
        if not delivered:
            self._rewind(now_ms)
            return 0
        flight.delivered = True
        if self._spec.acknowledge is Acknowledge.GATEWAY:
            return 0
        freed = 0
        while self._flights and self._flights[0].delivered:
            done = self._flights.popleft()
            freed += self._outbox.ack(done.boot, done.last)
        self._progress(now_ms)
        return freed

    def link_up(self, now_ms: int) -> None:
        """A new connection: what is on the way is sent again by the MQTT client, so give it its full time."""
        self._resume_at_ms = None
        if self.ack_deadline_ms is not None:
            self.ack_deadline_ms = now_ms + self._spec.ack_timeout_ms

    def _expire(self, now_ms: int) -> None:
        if self.ack_deadline_ms is None or now_ms < self.ack_deadline_ms:
            return
        if self._flights and not self._flights[0].delivered:  # the oldest; the broker answers in order
            self.ack_deadline_ms = now_ms + self._spec.ack_timeout_ms
        elif self._oldest() is not None:
            self._rewind(now_ms)
        else:
            self.ack_deadline_ms = None

    def _rewind(self, now_ms: int) -> None:
        """Start again from the oldest record held, after a back-off."""
        self._flights.clear()
        self._cursor = None
        self.ack_deadline_ms = None
        ceiling_ms = min(BACKOFF_CAP_MS, BACKOFF_BASE_MS << min(self._attempt, _BACKOFF_DOUBLINGS_MAX))
        self._attempt += 1
        self._resume_at_ms = now_ms + self._rng.randint(0, ceiling_ms)

    def _progress(self, now_ms: int) -> None:
        self._attempt = 0
        self._resume_at_ms = None
        oldest = self._oldest()
        awaiting = oldest is not None and self._cursor is not None and oldest <= self._cursor
        self.ack_deadline_ms = now_ms + self._spec.ack_timeout_ms if awaiting else None

    def _oldest(self) -> Key | None:
        return self._outbox.oldest

    def _prune(self) -> None:
        """Forget messages of which nothing is held any more."""
        if not self._flights:
            return
        held = self._outbox.between
        self._flights = deque(flight for flight in self._flights if held(flight.boot, flight.first, flight.last))

    def _answer_asked(self) -> list[Pack]:
        packs: list[Pack] = []
        while self._asked and len(packs) < self._spec.window:
            boot, first, last = self._asked.popleft()
            records = self._outbox.between(boot, first, last)
            if not records:
                continue
            chunk = records[: self._spec.pack]
            packs.append(self._pack(chunk))
            if len(chunk) < len(records):
                self._asked.appendleft((boot, chunk[-1].seq + 1, last))
        return packs

    def _pack(self, records: list[Record]) -> Pack:
        self._token += 1
        resent = sum(1 for record in records if self._highest is not None and record.key <= self._highest)
        self._highest = max(records[-1].key, self._highest or records[-1].key)
        return Pack(self._token, tuple(records), resent)
