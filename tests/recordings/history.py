"""Thirty days of a site, made up of what happens to sites: the uplink and the gateway's link to its broker."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from edge.outages.events import (
    Anchor,
    AnyEvent,
    Cause,
    Close,
    End,
    Ending,
    Gap,
    Link,
    LinkKind,
    Sample,
    Status,
    Transition,
    UnknownWrite,
)
from edge.outages.recording import Recording, make_header
from tidegate.outage.builder import MS_US, SECOND_US

DAYS = 30
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
STARTS_UNIX_US = 1_772_323_200 * SECOND_US  # 2026-03-01T00:00:00Z
UPLINK, BROKER = "uplink", "devices"
SEEN_AFTER_US = 1_500 * MS_US  # two attempts in a row
QUIET = {"rtt_us": 42 * MS_US, "capacity_bytes_per_s": 1_200_000, "loss_ppm": 0}
EVENING = {"rtt_us": 900 * MS_US, "capacity_bytes_per_s": 20_000, "loss_ppm": 40_000}


@dataclass(frozen=True, slots=True)
class Span:
    """A span in which a link was not well; times in seconds since the first midnight."""

    link: str
    from_s: float
    length_s: float
    cause: Cause
    http_status: int | None = None
    degraded: bool = False


def site_history() -> Recording:
    """The recording, the same each time."""
    links = [Link(UPLINK, LinkKind.UPLINK), Link(BROKER, LinkKind.DEVICE)]
    anchor = Anchor(0, STARTS_UNIX_US)
    header = make_header(links, anchor=anchor, title="thirty days of a site", source="synthetic")
    events = sorted(_events(Random("site history")), key=lambda event: event.at_us)
    return Recording(header, (*events, End(DAYS * DAY_S * SECOND_US)))


def _events(rng: Random) -> Iterator[AnyEvent]:
    for link in (UPLINK, BROKER):
        yield Transition(0, link, Status.UP)
    yield Sample(0, UPLINK, **QUIET)
    yield Sample(0, BROKER, rtt_us=1_200)
    for span in (*_nights(rng), *_troubles(), *_flapping(rng)):
        yield from _span(span)
    yield from _evenings()
    yield from _connections()
    # The gateway is without power on day 16; what its links did then, nobody knows.
    since_us, until_us = _us(_at(16, 9, 30)), _us(_at(16, 9, 42))
    yield Gap(until_us, since_us)
    for link in (UPLINK, BROKER):
        yield Transition(until_us + SECOND_US, link, Status.UP)


def _nights(rng: Random) -> Iterator[Span]:
    """The router restarts at ten past three."""
    for day in range(DAYS):
        yield Span(UPLINK, _at(day, 3, 10) + rng.uniform(0, 20), rng.uniform(75, 115), Cause.UNREACHABLE)


def _troubles() -> Iterator[Span]:
    yield Span(UPLINK, _at(4, 10, 2), 42 * MINUTE_S, Cause.DNS)
    yield Span(UPLINK, _at(7, 16, 20), 9.4 * HOUR_S, Cause.TIMEOUT)  # the fibre is cut
    yield Span(UPLINK, _at(11, 22, 0), 25 * MINUTE_S, Cause.HTTP, 503)
    yield Span(UPLINK, _at(11, 22, 30), 4 * MINUTE_S, Cause.HTTP, 429)
    yield Span(UPLINK, _at(13, 0, 0), 2.1 * HOUR_S, Cause.TLS)  # the certificate has expired
    yield Span(BROKER, _at(15, 14, 0), 40, Cause.REFUSED)
    yield Span(UPLINK, _at(28, 11, 0), 6 * MINUTE_S, Cause.REFUSED)


def _flapping(rng: Random) -> Iterator[Span]:
    """A modem that is about to fail."""
    at_s = float(_at(22, 13, 0))
    for _ in range(14):
        length_s = rng.uniform(2, 20)
        yield Span(UPLINK, at_s, length_s, Cause.RESET)
        at_s += length_s + rng.uniform(20, 90)


def _evenings() -> Iterator[AnyEvent]:
    """Everybody in the street looks at films."""
    for day in (18, 19, 20):
        yield from _span(Span(UPLINK, _at(day, 19, 0), 3 * HOUR_S, Cause.SLOW, degraded=True))
        yield Sample(_us(_at(day, 19, 0)), UPLINK, **EVENING)
        yield Sample(_us(_at(day, 22, 0)), UPLINK, **QUIET)


def _connections() -> Iterator[AnyEvent]:
    """A router that forgets connections, and writes of which nobody heard."""
    for hour in (8, 12, 17):
        sent_us = _us(_at(25, hour, 0))
        yield UnknownWrite(sent_us + 30 * SECOND_US, UPLINK, sent_us, 4_800)
        yield Close(sent_us + 30 * SECOND_US, UPLINK, Ending.STALL)
    yield Close(_us(_at(26, 8, 0)), BROKER, Ending.RST)
    yield Close(_us(_at(26, 9, 0)), UPLINK, Ending.FIN)


def _span(span: Span) -> Iterator[AnyEvent]:
    status = Status.DEGRADED if span.degraded else Status.DOWN
    from_us, until_us = _us(span.from_s), _us(span.from_s + span.length_s)
    seen_us = from_us + min(SEEN_AFTER_US, until_us - from_us)
    yield Transition(seen_us, span.link, status, span.cause, span.http_status, from_us)
    yield Transition(until_us, span.link, Status.UP)


def _at(day: int, hour: int, minute: int) -> int:
    return day * DAY_S + hour * HOUR_S + minute * MINUTE_S


def _us(seconds: float) -> int:
    return round(seconds * SECOND_US)
