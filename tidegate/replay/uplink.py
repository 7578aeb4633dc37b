"""The way from the gateway to the cloud: one HTTP request at a time over a link that follows a recording.

Promises: the gateway hears what its own HTTP client would tell it (`edge.influx.outcome_of` reads the answers); a
request that breaks before its last byte arrived stores nothing; one that breaks behind it has stored, and the gateway
does not know. Every request ends, at the latest by the read time-out. A `close` of the recording ends the connection,
at once or by silence, whether a request is under way on it or not; an unknown write loses the answer of one request.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from edge.causes import RESET, TIMEOUT
from edge.config import InfluxSettings
from edge.forward.outcome import Accepted, Failed, Outcome, Paused
from edge.influx import outcome_of
from edge.outages.events import Cause, Ending
from tidegate.replay.cloud import Act, Cloud, LoseAnswer, ResetInBody
from tidegate.replay.links import Link
from tidegate.replay.world import US_PER_S, World

GZIP_RATIO = 6
"""Line protocol shrinks to a sixth (measured in edge/influx.py). A fixed ratio, because builds of zlib differ in their
last bytes, and a run must be the same on every machine."""
REQUEST_HEAD_BYTES = 400
ANSWER_HEAD_BYTES = 200
DEFAULT_HTTP_STATUS = 503

Answered = Callable[[Outcome], None]


@dataclass(slots=True)
class Traffic:
    """What went over the uplink. Bytes are as sent, compressed."""

    requests: int = 0
    failed: int = 0
    unknown: int = 0  # stored, and the gateway was not told
    sent_bytes: int = 0
    accepted_bytes: int = 0
    needed_bytes: int = 0
    """Of the requests that the cloud stored, the share of the points that it did not have before."""


@dataclass(slots=True)
class _Request:
    body: bytes
    lane: str
    size_bytes: int
    act: Act | None
    answered: Answered
    give_up_us: int = 0
    stored: bool = False
    cut_off: bool = False  # its connection is gone, or silent for good
    over: bool = False


class Uplink:
    """Posts bodies to a cloud."""

    def __init__(self, world: World, link: Link, cloud: Cloud, settings: InfluxSettings) -> None:
        self.traffic = Traffic()
        self._world = world
        self._link = link
        self._cloud = cloud
        self._connect_timeout_us = round(settings.connect_timeout_s * US_PER_S)
        self._read_timeout_us = round(settings.read_timeout_s * US_PER_S)
        self._gzip_ratio = GZIP_RATIO if settings.gzip else 1
        self._rng = world.rng("uplink")
        self._connected = False
        self._silent = False  # connected, as far as this end knows
        self._flying: _Request | None = None
        for number, close in enumerate(link.mishaps.closes):
            world.at(close.at_us, partial(self._suffer, number, close.how))

    def post(self, body: bytes, answered: Answered, lane: str = "") -> None:
        """Send; `answered` is told what came of it, later. `lane`: the gateway's, for the witness."""
        size_bytes = REQUEST_HEAD_BYTES + len(body) // self._gzip_ratio
        request = _Request(body, lane, size_bytes, self._cloud.choose(), answered)
        self.traffic.requests += 1
        now_us = self._world.now_us
        if self._connected:
            self._send(request, now_us)
            return
        refusal = self._link.refusal(now_us, self._connect_timeout_us)
        if refusal is None:
            self._connected, self._silent = True, False
            self._send(request, now_us + 2 * self._link.latency_us(now_us))
            return
        at_us, down = refusal
        if down.cause is Cause.HTTP:  # somebody answers, but not InfluxDB
            status = self._link.state(now_us).http_status or DEFAULT_HTTP_STATUS
            self._world.at(at_us, lambda: self._end(request, outcome_of(status, {}, "", self._world.wall_ms)))
        else:
            self._fail_at(at_us, request, down.cause)

    def drop(self) -> None:
        """The gateway's process is gone, and its connection with it. What is under way still arrives."""
        self._connected = False
        self._flying = None

    def _suffer(self, number: int, how: Ending) -> None:
        """A connection ends as the recording has it, if there is one."""
        if not self._connected or self._silent:
            return
        self._link.mishaps.meet(number)
        self._world.note(f"uplink connection ends: {how}")
        silent = self._silent = how is Ending.STALL
        self._connected = silent
        request = self._flying
        if request is not None:
            request.cut_off = True
            self.traffic.unknown += request.stored
            self._fail_at(request.give_up_us if silent else self._world.now_us, request, TIMEOUT if silent else RESET)

    def _send(self, request: _Request, start_us: int) -> None:
        request.give_up_us = start_us + self._read_timeout_us
        self.traffic.sent_bytes += request.size_bytes
        self._flying = request
        if self._silent:
            self._fail_at(request.give_up_us, request, TIMEOUT)
            return
        _, arrives_us = self._link.carry(start_us, request.size_bytes, self._rng)
        if isinstance(request.act, ResetInBody):
            self._fail_at(min(start_us + (arrives_us - start_us) // 2, request.give_up_us), request, RESET)
        elif not self._breaks(request, start_us, arrives_us):
            self._world.at(arrives_us, lambda: self._arrived(request))

    def _arrived(self, request: _Request) -> None:
        if request.cut_off:
            return
        now_us = self._world.now_us
        before = self._cloud.points.counts()
        status, headers, text = self._cloud.write(request.body, request.act, request.lane)
        self._count_needed(request, before)
        self._world.note(f"cloud answers {status}")
        if isinstance(request.act, LoseAnswer):
            self.traffic.unknown += 1
            silent = request.act.how is not Cause.RESET
            self._fail_at(request.give_up_us if silent else now_us, request, TIMEOUT if silent else RESET)
            return
        if self._link.mishaps.takes_answer(now_us):  # nothing comes any more: the time-out tells, or the link
            back_us = request.give_up_us + 1
        else:
            _, back_us = self._link.carry(now_us, ANSWER_HEAD_BYTES + len(text), self._rng)
        if self._breaks(request, now_us, back_us):
            self.traffic.unknown += 1
            return
        request.stored = True
        self._world.at(back_us, lambda: self._hear(request, outcome_of(status, headers, text, self._world.wall_ms)))

    def _hear(self, request: _Request, outcome: Outcome) -> None:
        if not request.cut_off:
            self._end(request, outcome)

    def _count_needed(self, request: _Request, before: tuple[int, int]) -> None:
        written, changed = self._cloud.points.counts()
        stored = written - before[0]
        if stored:
            self.traffic.needed_bytes += request.size_bytes * (changed - before[1]) // stored

    def _breaks(self, request: _Request, from_us: int, until_us: int) -> bool:
        """Whether the link, or the client's patience, ends before `until_us`; then the request fails."""
        down = self._link.resets(from_us, min(until_us, request.give_up_us))
        if down is not None:
            self._fail_at(max(down.start_us, from_us), request, RESET)
        elif until_us > request.give_up_us:
            self._fail_at(request.give_up_us, request, TIMEOUT)
        else:
            return False
        return True

    def _fail_at(self, at_us: int, request: _Request, cause: str) -> None:
        outcome = Failed(str(cause), f"simulated: {cause}")
        self._world.at(at_us, lambda: self._end(request, outcome))

    def _end(self, request: _Request, outcome: Outcome) -> None:
        if request.over:
            return
        request.over = True
        if self._flying is request:
            self._flying = None
        if isinstance(outcome, Accepted):
            self.traffic.accepted_bytes += request.size_bytes
        else:
            self.traffic.failed += 1
        if isinstance(outcome, Paused) or (isinstance(outcome, Failed) and outcome.status is None):
            self._connected = False  # as edge/influx.py does
        request.answered(outcome)
