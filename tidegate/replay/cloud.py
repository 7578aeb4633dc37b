"""A cloud that behaves like InfluxDB's v2 write API, well or badly.

Promises: it reads line protocol with the embedded cloud's own parser and stores by InfluxDB's rules (`replay.points`);
without rules it answers as InfluxDB does: 204, 400 for what is not line protocol (nothing stored), 413 over its limit,
422 for points that conflict (the good ones stored). `Rule`s make it misbehave in spans of time, by chance or always.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from cloud.lineprotocol import Point, Series, parse_lines
from edge.outages.events import PPM, Cause
from sensors.reading import Identity
from tidegate.replay.points import Observer, Points
from tidegate.replay.world import World

BODY_BYTES_MAX = 50_000_000  # InfluxDB Cloud's limit of one write, uncompressed
NS_PER_MS = 1_000_000
HEADERS = {"x-influxdb-build": "OSS"}  # of every answer: one without any header was cut off on its way


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with a status of one's own; `stores` says whether the points are stored all the same."""

    status: int
    retry_after_s: int | None = None
    stores: bool = False


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """Store, and let the answer be lost: the connection is reset, or falls silent (`Cause.TIMEOUT`)."""

    how: Cause = Cause.RESET


@dataclass(frozen=True, slots=True)
class ResetInBody:
    """Reset the connection when half of the body is there; nothing is stored."""


Act = Answer | LoseAnswer | ResetInBody


@dataclass(frozen=True, slots=True)
class Rule:
    """Within [from_us, until_us), with a chance of `ppm` in a million a request, and at most `times` times: `act`."""

    from_us: int
    until_us: int
    act: Act
    ppm: int = PPM
    times: int | None = None


@dataclass(frozen=True, slots=True)
class Poison:
    """Readings that this cloud refuses for ever, with 400 (nothing of their batch is stored) or 422 (the rest is)."""

    readings: frozenset[Identity]
    status: int = 400


class Reply(NamedTuple):
    """An HTTP answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    text: str


class Cloud:
    """The cloud of one world."""

    def __init__(
        self,
        world: World,
        observer: Observer,
        *,
        rules: Sequence[Rule] = (),
        poison: Poison | None = None,
        body_bytes_max: int = BODY_BYTES_MAX,
    ) -> None:
        self.points = Points(observer)
        self.acts = 0  # how often a rule applied
        self._series: dict[str, Series] = {}
        self.lane = ""  # the gateway's, of the request that is being stored: for the witness
        self._world = world
        self._rng = world.rng("cloud")
        self._rules = [(rule, [rule.times]) for rule in rules]
        self._poison = poison
        self._body_bytes_max = body_bytes_max

    def choose(self) -> Act | None:
        """What a rule has this request meet; None for the plain truth. Ask once a request, when it begins."""
        for rule, left in self._rules:
            if not rule.from_us <= self._world.now_us < rule.until_us or left[0] == 0:
                continue
            if self._rng.randrange(PPM) < rule.ppm:
                left[0] = None if left[0] is None else left[0] - 1
                self.acts += 1
                return rule.act
        return None

    def write(self, body: bytes, act: Act | None, lane: str = "") -> Reply:
        """A whole request arrived; `act` is what `choose` said of it."""
        self.lane = lane
        if isinstance(act, Answer):
            if act.stores:
                self._store(body)
            later = {} if act.retry_after_s is None else {"retry-after": str(act.retry_after_s)}
            return Reply(act.status, HEADERS | later, _error("scripted", f"status {act.status}"))
        return self._store(body)

    def _store(self, body: bytes) -> Reply:
        if len(body) > self._body_bytes_max:
            return Reply(413, HEADERS, _error("request too large", f"the limit is {self._body_bytes_max} bytes"))
        parsed = parse_lines(body, precision="ns", now_ns=self._world.wall_ms * NS_PER_MS, series=self._series)
        if parsed.errors:
            return Reply(400, HEADERS, _error("invalid", "\n".join(parsed.errors)))
        points, refused = parsed.points, ""
        if self._poison is not None:
            good = [point for point in points if identity_of(point) not in self._poison.readings]
            if len(good) < len(points):
                refused = f"partial write: unacceptable dropped={len(points) - len(good)}"
                if self._poison.status == 400:
                    return Reply(400, HEADERS, _error("invalid", refused))
                points = good
        report = self.points.write(points)
        if report.dropped:
            refused = f"partial write: {report.reason} dropped={report.dropped}"
        if refused:
            return Reply(422, HEADERS, _error("unprocessable entity", refused))
        return Reply(204, HEADERS, "")


def identity_of(point: Point) -> Identity | None:
    """Whose reading a point is, by the gateway's line format; None where it says none."""
    device = next((value for name, value in point.series.tags if name == "device"), None)
    boot, seq = point.fields.get("boot"), point.fields.get("seq")
    if device is None or not isinstance(boot, int) or not isinstance(seq, int):
        return None
    return Identity(device, boot, seq)


def _error(code: str, message: str) -> str:
    return msgspec.json.encode({"code": code, "message": message}).decode()
