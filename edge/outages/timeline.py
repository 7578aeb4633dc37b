"""The pure view of one link of a recording: what state it was in at any instant, its segments, and its outages.

Promises: states change when they *began* (best estimate), not when they were seen; before the first transition, within
a gap, after a gap until the next transition, and from the recording's end on, the status is None: not known, which is
not down. Segments cover the recording without holes or overlap, and neighbours differ. An outage is a span of status
down; it ends when the link is up or degraded again, or where knowledge ends (a gap, the end of the recording).
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from itertools import chain

from edge.outages.events import AnyEvent, Cause, Close, End, Gap, Sample, Series, Status, Transition, UnknownWrite

_RTT_HALVES = 2
"""Without a one-way measurement the latency is taken as half the round trip: the link is assumed symmetric."""


@dataclass(frozen=True, slots=True)
class LinkState:
    """What a link was like; None means not known. Loss in parts per million, `capacity` is what the link can carry."""

    status: Status | None = None
    cause: Cause | None = None
    http_status: int | None = None
    one_way_us: int | None = None
    rtt_us: int | None = None
    throughput_bytes_per_s: int | None = None
    bandwidth_bytes_per_s: int | None = None
    loss_ppm: int | None = None

    @property
    def latency_us(self) -> int | None:
        """One-way latency: as measured, else half the round trip, else None."""
        if self.one_way_us is not None:
            return self.one_way_us
        return None if self.rtt_us is None else self.rtt_us // _RTT_HALVES


UNKNOWN = LinkState()
FIELD_OF_QUANTITY = {
    "latency_us": "one_way_us",
    "rtt_us": "rtt_us",
    "throughput_bytes_per_s": "throughput_bytes_per_s",
    "capacity_bytes_per_s": "bandwidth_bytes_per_s",
    "loss_ppm": "loss_ppm",
}


@dataclass(frozen=True, slots=True)
class Segment:
    """A span [start_us, end_us) in which the state does not change."""

    start_us: int
    end_us: int
    state: LinkState


class OutageEnd(StrEnum):
    """Why an outage has the end it has."""

    RECOVERED = "recovered"
    GAP = "gap"
    RECORDING_END = "recording_end"


@dataclass(frozen=True, slots=True)
class Outage:
    """One outage of one link; the bounds say how far the estimates of start and end can be off."""

    id: str
    link: str
    start_us: int
    start_bounds_us: tuple[int, int]
    seen_us: int
    end_us: int
    end_bounds_us: tuple[int, int]
    ended: OutageEnd
    cause: Cause
    http_status: int | None

    @property
    def duration_us(self) -> int:
        """Best estimate of how long it lasted."""
        return self.end_us - self.start_us

    @property
    def duration_bounds_us(self) -> tuple[int, int]:
        """Shortest and longest duration that the bounds allow."""
        shortest = max(0, self.end_bounds_us[0] - self.start_bounds_us[1])
        return shortest, self.end_bounds_us[1] - self.start_bounds_us[0]


@dataclass(frozen=True, slots=True)
class _Change:
    """From `at_us` on, these fields have these values; a `forget` first makes everything unknown."""

    at_us: int
    values: dict[str, object]
    forget: bool = False


class LinkTimeline:
    """What one link did, for consumers. Built once from a recording's events; reading it changes nothing."""

    def __init__(self, link: str, events: Iterable[AnyEvent]) -> None:
        self.link = link
        mine = tuple(event for event in events if getattr(event, "link", link) == link)
        self.end_us = mine[-1].at_us
        self._outages = tuple(_find_outages(link, mine))
        self._mine = mine

    @cached_property
    def _segments(self) -> tuple[Segment, ...]:
        return tuple(_merged(_fold(self._mine, self.end_us)))  # not for those who only want the outages

    @cached_property
    def _starts_us(self) -> list[int]:
        return [segment.start_us for segment in self._segments]

    @property
    def closes(self) -> tuple[Close, ...]:
        """How single connections ended, in order."""
        return tuple(event for event in self._mine if isinstance(event, Close))

    @property
    def unknown_writes(self) -> tuple[UnknownWrite, ...]:
        """Writes whose outcome nobody knows, in the order in which they were given up."""
        return tuple(event for event in self._mine if isinstance(event, UnknownWrite))

    def at(self, monotonic_us: int) -> LinkState:
        """The state at an instant; `UNKNOWN` outside the recording."""
        if not 0 <= monotonic_us < self.end_us:
            return UNKNOWN
        return self._segments[bisect_right(self._starts_us, monotonic_us) - 1].state

    def next_change_us(self, after_us: int) -> int | None:
        """The first instant after `after_us` at which the state is another one, or None when it stays as it is."""
        if after_us >= self.end_us:
            return None
        index = bisect_right(self._starts_us, after_us)
        return self._starts_us[index] if index < len(self._starts_us) else self.end_us

    def segments(self) -> tuple[Segment, ...]:
        """All segments in order, from 0 to the end of the recording."""
        return self._segments

    def outages(self) -> tuple[Outage, ...]:
        """All outages in order. Their ids are stable for one recording: link name and number, from 1."""
        return self._outages


def state_at(link: str, events: Iterable[AnyEvent], at_us: int) -> LinkState:
    """What `LinkTimeline(link, events).at(at_us)` says of an instant before the end, without the way there."""
    last: list[_Change] = []
    for event in events:
        if getattr(event, "link", link) == link:
            last += _last_change(event, at_us)
    state = UNKNOWN
    for change in sorted(last, key=lambda change: change.at_us):
        state = _apply(UNKNOWN if change.forget else state, change.values)
    return state


def _last_change(event: AnyEvent, at_us: int) -> list[_Change]:
    """Of the values of a series, the last one until then: those before it are over."""
    if isinstance(event, Series):
        index = min((at_us - event.start_us) // event.step_us, len(event.values) - 1)
        field = FIELD_OF_QUANTITY[event.quantity]
        return [_Change(event.start_us + index * event.step_us, {field: event.values[index]})] if index >= 0 else []
    return [change for change in _changes(event) if change.at_us <= at_us]


def _fold(events: Iterable[AnyEvent], end_us: int) -> Iterator[Segment]:
    """Sweep over all changes in time order and yield the segments between them."""
    changes = sorted(chain.from_iterable(_changes(event) for event in events), key=lambda change: change.at_us)
    state, start_us = UNKNOWN, 0
    for change in changes:
        after = _apply(UNKNOWN if change.forget else state, change.values)
        at_us = min(change.at_us, end_us)
        if after != state and at_us > start_us:
            yield Segment(start_us, at_us, state)
            start_us = at_us
        state = after
    if end_us > start_us:
        yield Segment(start_us, end_us, state)


def _merged(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Join neighbours that are alike: two changes at one instant can cancel each other."""
    held: Segment | None = None
    for segment in segments:
        if held is not None and held.state == segment.state:
            held = replace(held, end_us=segment.end_us)
            continue
        if held is not None:
            yield held
        held = segment
    if held is not None:
        yield held


def _apply(state: LinkState, values: dict[str, object]) -> LinkState:
    return replace(state, **values)  # type: ignore[arg-type]  # field names and types come from _changes alone


def _changes(event: AnyEvent) -> Iterator[_Change]:
    if isinstance(event, Transition):
        yield _Change(event.began, {"status": event.status, "cause": event.cause, "http_status": event.http_status})
    elif isinstance(event, Gap):
        yield _Change(event.since_us, {}, forget=True)
    elif isinstance(event, Sample):
        yield _Change(event.at_us, {FIELD_OF_QUANTITY[name]: value for name, value in event.values().items()})
    elif isinstance(event, Series):
        field = FIELD_OF_QUANTITY[event.quantity]
        for index, value in enumerate(event.values):
            yield _Change(event.start_us + index * event.step_us, {field: value})


def _find_outages(link: str, events: Iterable[AnyEvent]) -> Iterator[Outage]:
    opened: Transition | None = None
    number = 0
    for event in events:
        if opened is None:
            opened = event if isinstance(event, Transition) and event.status is Status.DOWN else None
            continue
        ending = _ending(event)
        if ending is not None:
            number += 1
            yield _outage(f"{link}-{number}", opened, ending)
            opened = None


def _ending(event: AnyEvent) -> tuple[OutageEnd, int, tuple[int, int]] | None:
    """How, when and within which bounds this event ends an outage that is under way, if it does."""
    if isinstance(event, Transition) and event.status is not Status.DOWN:
        return OutageEnd.RECOVERED, event.began, event.began_bounds_us
    if isinstance(event, Gap):
        return OutageEnd.GAP, event.since_us, (event.since_us, event.since_us)
    if isinstance(event, End):
        return OutageEnd.RECORDING_END, event.at_us, (event.at_us, event.at_us)
    return None


def _outage(outage_id: str, opened: Transition, ending: tuple[OutageEnd, int, tuple[int, int]]) -> Outage:
    ended, end_us, end_bounds_us = ending
    if opened.cause is None:
        raise AssertionError("a recording's rules give every down transition a cause")
    return Outage(
        id=outage_id,
        link=opened.link,
        start_us=opened.began,
        start_bounds_us=opened.began_bounds_us,
        seen_us=opened.at_us,
        end_us=end_us,
        end_bounds_us=end_bounds_us,
        ended=ended,
        cause=opened.cause,
        http_status=opened.http_status,
    )
