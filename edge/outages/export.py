"""From what the store keeps to a recording: a window of it, from 0, with the state that each link was in at its start.

Promises: the result is a valid `Recording`; cutting invents nothing: a link's state at the start of the window is given
only if it is known there, and what began before the window begins with it. Pure.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, dropwhile, takewhile

import msgspec

from edge.outages.events import Anchor, AnyEvent, End, Gap, Link, Sample, Transition, UnknownWrite
from edge.outages.recorder import RecordedOutage
from edge.outages.recording import Recording, make_header

SOURCE = "recorded by a Tidegate gateway"
PLAUSIBLE_MS = 1_704_067_200_000
"""2024-01-01: a clock that says less was never set, and ties a recording to nothing."""
_US_PER_MS = 1000


class NothingRecorded(Exception):
    """There are no events in the window that was asked for. Who must act: the caller, by asking for another one."""

    def __init__(self) -> None:
        super().__init__("nothing is recorded in this window")


@dataclass(frozen=True, slots=True)
class Archive:
    """All that a store keeps of links: events and outages in order, and when it was last known to be recording."""

    links: tuple[Link, ...]
    events: tuple[AnyEvent, ...]
    outages: tuple[RecordedOutage, ...]
    alive_us: int
    alive_wall_ms: int

    @property
    def start_us(self) -> int:
        """Where the events begin."""
        return self.events[0].at_us if self.events else self.alive_us

    def unix_us(self, at_us: int) -> int | None:
        """Wall-clock time (UTC microseconds) of an instant of the recorder's clock, or None if it was never set."""
        if self.alive_wall_ms < PLAUSIBLE_MS:
            return None
        return max(0, self.alive_wall_ms * _US_PER_MS + at_us - self.alive_us)


def to_recording(archive: Archive, *, since_us: int | None = None, title: str = "") -> Recording:
    """The recording from `since_us` on (None: all). Raises `NothingRecorded`, and `RecordingError` for the title."""
    zero_us = archive.start_us if since_us is None else max(since_us, archive.start_us)
    if not archive.events or zero_us >= archive.alive_us:
        raise NothingRecorded
    before = takewhile(lambda event: event.at_us < zero_us, archive.events)
    inside = list(dropwhile(lambda event: event.at_us < zero_us, archive.events))
    known = [] if inside and isinstance(inside[0], Gap) and inside[0].since_us <= zero_us else _state(before)
    unix_us = archive.unix_us(archive.alive_us)
    anchor = Anchor(archive.alive_us - zero_us, unix_us) if unix_us is not None else None
    header = make_header(archive.links, anchor=anchor, title=title, source=SOURCE)
    events = [_shifted(event, zero_us) for event in chain(known, inside)]
    return Recording(header, (*events, End(archive.alive_us - zero_us)))


def _state(events: Iterable[AnyEvent]) -> Iterator[AnyEvent]:
    """The last transition of each link, and the values that hold, behind the last gap."""
    transitions: dict[str, Transition] = {}
    values: dict[str, dict[str, int | None]] = {}
    for event in events:
        if isinstance(event, Gap):
            transitions.clear()
            values.clear()
        elif isinstance(event, Transition):
            transitions[event.link] = event
        elif isinstance(event, Sample):
            values.setdefault(event.link, {}).update(event.values())
    yield from (Transition(0, last.link, last.status, last.cause, last.http_status) for last in transitions.values())
    yield from (
        msgspec.convert({"event": "sample", "at_us": 0, "link": link, **of}, Sample) for link, of in values.items()
    )


def _shifted(event: AnyEvent, by_us: int) -> AnyEvent:
    """The event on a clock that starts at `by_us`; no time lies before 0."""

    def moved(at_us: int | None) -> int | None:
        return None if at_us is None else max(0, at_us - by_us)

    fields: dict[str, int | None] = {"at_us": moved(event.at_us)}
    if isinstance(event, Transition):
        fields["began_us"] = moved(event.began_us)
        fields["began_min_us"] = moved(event.began_min_us)
        fields["began_max_us"] = moved(event.began_max_us)
    elif isinstance(event, Gap):
        fields["since_us"] = moved(event.since_us)
    elif isinstance(event, UnknownWrite):
        fields["sent_us"] = moved(event.sent_us)
    shifted: AnyEvent = msgspec.structs.replace(event, **fields)
    return shifted
