"""Cuts recordings and joins them: what every edit of a recording is made of.

Promises: `cut` keeps what the links did in its window, to the microsecond, and invents nothing: a link whose state is
not known at the cut stays unknown there. A change belongs to the window in which it *began*; one that was noticed later
counts as noticed at the window's end. `join` puts recordings behind each other: no state leaks from one into the next.
So the parts of a recording, joined again, have its timelines. Pure; results are valid, or `RecordingError` is raised.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import msgspec

from edge.outages.events import (
    Anchor,
    AnyEvent,
    Close,
    End,
    Gap,
    Sample,
    Series,
    Transition,
    UnknownWrite,
)
from edge.outages.recording import Recording
from edge.outages.timeline import FIELD_OF_QUANTITY, LinkState


class JoinError(ValueError):
    """Links of one name are of two kinds. Who must act: the caller, by renaming one of them."""

    def __init__(self, names: str) -> None:
        super().__init__(f"links: expected one kind for each name, found two for {names}")


def cut(recording: Recording, from_us: int, until_us: int) -> Recording:
    """The window [from_us, until_us) as a recording of its own, from 0."""
    is_whole = until_us >= recording.end_us
    until_us = min(until_us, recording.end_us)
    resampled = {key for key, series in _straddling(recording, from_us, until_us) if _has_ties(recording, key, series)}
    states = {link: recording.timeline(link).at(from_us) for link in recording.link_names}
    kept: list[AnyEvent] = []
    for event in recording.events:
        kept += _clipped(event, from_us, until_us, resampled, is_whole=is_whole)
    for link, quantity in sorted(resampled):
        kept += _samples(recording, link, quantity, from_us, until_us)
    kept.sort(key=lambda event: event.at_us)
    points = [event for event in kept if isinstance(event, Gap) and event.since_us == event.at_us == from_us]
    rest = [event for event in kept if event not in points]  # a gap at the cut is before what is known there
    events = (
        *(_moved(event, -from_us) for event in points),
        *chain.from_iterable(opening_lines(link, state) for link, state in states.items()),
        *(_moved(event, -from_us) for event in rest),
        End(until_us - from_us),
    )
    return Recording(msgspec.structs.replace(recording.header, anchor=_anchor(recording, from_us)), events)


def join(parts: Sequence[Recording]) -> Recording:
    """The recordings behind each other, on the first one's clock; links of one name are one link."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2  # halves, so that a recording a thousand times over is copied ten times, not a thousand
    return _join_two(join(parts[:middle]), join(parts[middle:]))


def opening_lines(link: str, state: LinkState, at_us: int = 0) -> Iterator[AnyEvent]:
    """The lines that put a link into a state; nothing for what is not known."""
    if state.status is not None:
        yield Transition(at_us, link, state.status, state.cause, state.http_status)
    values = {name: getattr(state, field) for name, field in FIELD_OF_QUANTITY.items()}
    known = {name: value for name, value in values.items() if value is not None}
    if known:
        yield Sample(at_us, link, **known)


# -- joining


def _join_two(before: Recording, after: Recording) -> Recording:
    links = {link.name: link for link in (*after.header.links, *before.header.links)}
    if any(links[link.name] != link for link in after.header.links):
        raise JoinError(", ".join(link.name for link in after.header.links if links[link.name] != link))
    seam_us = before.end_us
    first = cut(before, 0, seam_us)
    ordered = dict.fromkeys(link.name for link in (*before.header.links, *after.header.links))
    header = msgspec.structs.replace(first.header, links=tuple(links[name] for name in ordered))
    second = [_moved(event, seam_us) for event in after.events]
    events = chain(first.events[:-1], _seam(before, after), second)
    return Recording(header, tuple(events))


def _seam(before: Recording, after: Recording) -> Iterator[AnyEvent]:
    """What makes the second recording begin in its own state: unknown, where it does not say otherwise."""
    seam_us, first = before.end_us, after.events[0]
    if isinstance(first, Gap) and first.since_us == 0:
        return
    ends = {link: _state_at_end(before, link) for link in before.link_names}
    begins = {
        link: after.timeline(link).at(0) if link in after.link_names else LinkState() for link in before.link_names
    }
    if any(state.status is not None and begins[link].status is None for link, state in ends.items()):
        yield Gap(seam_us, seam_us)
        return
    for link, state in ends.items():
        gone = {
            name: None
            for name, field in FIELD_OF_QUANTITY.items()
            if getattr(state, field) is not None and getattr(begins[link], field) is None
        }
        if gone:
            yield msgspec.convert({"event": "sample", "at_us": seam_us, "link": link, **gone}, Sample)


def _state_at_end(recording: Recording, link: str) -> LinkState:
    segments = recording.timeline(link).segments()
    return segments[-1].state if segments else LinkState()


# -- cutting


def _clipped(
    event: AnyEvent, from_us: int, until_us: int, resampled: set[tuple[str, str]], *, is_whole: bool
) -> Iterator[AnyEvent]:
    """What of an event lies in the window, still on the recording's clock; the state at its start is said elsewhere."""
    if isinstance(event, Transition):
        if from_us < event.began < until_us:
            yield _noticed_by(event, from_us, until_us)
    elif isinstance(event, Gap):
        is_point = event.since_us == event.at_us == from_us
        if event.since_us < until_us and (event.at_us > from_us or is_point):
            yield Gap(min(event.at_us, until_us), max(event.since_us, from_us))
    elif isinstance(event, Series):
        if (event.link, event.quantity) not in resampled:
            yield from _clipped_series(event, from_us, until_us)
    elif isinstance(event, Sample):
        if from_us < event.at_us < until_us:
            yield from _without(event, {quantity for link, quantity in resampled if link == event.link})
    elif isinstance(event, (Close, UnknownWrite)) and (
        from_us <= event.at_us < until_us or (is_whole and event.at_us == until_us)
    ):
        yield event


def _noticed_by(event: Transition, from_us: int, until_us: int) -> Transition:
    earliest_us, latest_us = event.began_bounds_us
    at_us = min(event.at_us, until_us)
    bounds = max(earliest_us, from_us), min(latest_us, at_us)
    if at_us == event.at_us and bounds == event.began_bounds_us:
        return event
    return msgspec.structs.replace(
        event, at_us=at_us, began_us=event.began, began_min_us=bounds[0], began_max_us=bounds[1]
    )


def _clipped_series(event: Series, from_us: int, until_us: int) -> Iterator[Series]:
    """The steps within the window: whole ones as they are, one that the window cuts by itself."""
    if event.start_us >= from_us and event.at_us <= until_us:
        yield event
        return
    whole: list[int] = []
    for index, value in enumerate(event.values):
        start_us = max(event.start_us + index * event.step_us, from_us)
        end_us = min(event.start_us + (index + 1) * event.step_us, until_us)
        if end_us - start_us == event.step_us:
            whole.append(value)
            continue
        if whole:
            yield msgspec.structs.replace(event, at_us=start_us, values=tuple(whole))
            whole = []
        if end_us > start_us:
            yield msgspec.structs.replace(event, at_us=end_us, step_us=end_us - start_us, values=(value,))
    if whole:
        yield msgspec.structs.replace(event, at_us=event.at_us, values=tuple(whole))


def _straddling(recording: Recording, from_us: int, until_us: int) -> Iterator[tuple[tuple[str, str], Series]]:
    for event in recording.events:
        if isinstance(event, Series) and event.start_us < event.at_us:
            for edge_us in (from_us, until_us):
                if event.start_us < edge_us < event.at_us:
                    yield (event.link, event.quantity), event


def _has_ties(recording: Recording, key: tuple[str, str], cut_series: Series) -> bool:
    """Whether another line speaks of the same quantity within the span: then order decides, and cutting changes it."""
    link, quantity = key
    start_us, end_us = cut_series.start_us, cut_series.at_us
    for event in recording.events:
        if event is cut_series or getattr(event, "link", None) != link:
            continue
        if isinstance(event, Series) and event.quantity == quantity and event.start_us < end_us:
            if event.at_us > start_us:
                return True
        elif isinstance(event, Sample) and quantity in event.values() and start_us <= event.at_us <= end_us:
            return True
    return False


def _samples(recording: Recording, link: str, quantity: str, from_us: int, until_us: int) -> Iterator[Sample]:
    """The quantity's course in the window, a line for each change."""
    field = FIELD_OF_QUANTITY[quantity]
    before: int | None = getattr(recording.timeline(link).at(from_us), field)
    for segment in recording.timeline(link).segments():
        value = getattr(segment.state, field)
        if from_us < segment.start_us < until_us and value != before:
            yield Sample(segment.start_us, link, **{quantity: value})
            before = value


def _without(event: Sample, quantities: Iterable[str]) -> Iterator[Sample]:
    dropped = dict.fromkeys(quantities, msgspec.UNSET)
    sample: Sample = msgspec.structs.replace(event, **dropped) if dropped else event
    if sample.values():
        yield sample


def _moved(event: AnyEvent, by_us: int) -> AnyEvent:
    """The event on a clock that is `by_us` ahead; no time lies before 0."""
    names = ("at_us", "began_us", "began_min_us", "began_max_us", "since_us", "sent_us")
    times = {name: at_us for name in names if (at_us := getattr(event, name, None)) is not None}
    return msgspec.structs.replace(event, **{name: max(0, at_us + by_us) for name, at_us in times.items()})


def _anchor(recording: Recording, from_us: int) -> Anchor | None:
    """The tie to the wall clock, on a clock that starts at `from_us`."""
    anchor = recording.header.anchor
    if anchor is None:
        return None
    if anchor.monotonic_us >= from_us:
        return Anchor(anchor.monotonic_us - from_us, anchor.unix_us)
    return Anchor(0, anchor.unix_us + from_us - anchor.monotonic_us)
