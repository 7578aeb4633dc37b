"""Edits recordings: the operations that somebody who writes a test needs, in a fixed order.

    links     keep, drop, rename
    cut       a window of it
    remove    an outage by its id, or lines of one event
    insert    a span in which a link is down or degraded
    set       latency, bandwidth or loss of a link in a span
    scale, repeat, shift

Promises: pure; the result is a valid `Recording`, whose header says that it was edited and how; what an edit does not
name stays as it was (see `tidegate.outage.splice` for what a cut does to a change that is noticed late). `EditError`
names the operation, its field and what was expected.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import msgspec

from edge.outages.events import (
    INTEGER_MAX,
    Anchor,
    AnyEvent,
    Cause,
    End,
    Gap,
    Link,
    Quantities,
    Sample,
    Series,
    Status,
    Transition,
)
from edge.outages.recording import EVENTS_MAX, Recording
from edge.outages.rules import UnknownLinkError
from tidegate.outage.splice import cut, join, state_of

_REPLACES = {
    Quantities.LATENCY: (Quantities.LATENCY, Quantities.RTT),
    Quantities.CAPACITY: (Quantities.CAPACITY,),
    Quantities.LOSS: (Quantities.LOSS,),
}
"""A round trip of before would contradict a latency that is set; everything else stands for itself."""


class EditError(ValueError):
    """An edit cannot be made. Carries `field` and `expected`."""

    def __init__(self, field: str, expected: str) -> None:
        self.field = field
        self.expected = expected
        super().__init__(f"{field}: expected {expected}")


@dataclass(frozen=True, slots=True)
class Span:
    """Microseconds of the recording; `until_us` None is its end."""

    from_us: int = 0
    until_us: int | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """An outage by its id, or all lines of one event (of one link) that are written in a span."""

    outage: str | None = None
    event: str | None = None
    link: str | None = None
    span: Span = Span()


@dataclass(frozen=True, slots=True)
class Insertion:
    """A link is down or degraded for `for_us` from `at_us` on, whatever it was."""

    at_us: int
    for_us: int
    link: str | None = None
    status: Status = Status.DOWN
    cause: Cause = Cause.TIMEOUT
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """Quantities that a link (None: every link) has in a span, whatever they were."""

    values: Mapping[Quantities, int]
    link: str | None = None
    span: Span = Span()


@dataclass(frozen=True, slots=True)
class Edit:
    """All that is done to a recording, in the order of the fields."""

    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    span: Span = Span()
    removals: tuple[Removal, ...] = ()
    insertions: tuple[Insertion, ...] = ()
    settings: tuple[Setting, ...] = ()
    scale: Fraction = Fraction(1)
    repeat: int = 1
    shift_us: int = 0
    title: str | None = None

    def names(self) -> list[str]:
        """The operations in words, as the header of the result has them."""
        said = {
            "links": self.keep or self.drop or self.rename,
            "cut": self.span != Span(),
            "remove": self.removals,
            "insert": self.insertions,
            "set": self.settings,
            "scale": self.scale != 1,
            "repeat": self.repeat > 1,
            "shift": self.shift_us,
        }
        return [name for name, is_done in said.items() if is_done]


def apply(parts: Sequence[Recording], edit: Edit) -> Recording:
    """The recordings behind each other, edited.

    Raises `EditError`, `JoinError`, `RecordingError`, `UnknownLinkError`.
    """
    recording = join(parts)
    recording = _rename(_choose(recording, edit), edit.rename)
    if edit.span != Span():
        recording = cut(recording, *_bounds(recording, edit.span, "--from, --until"))
    for removal in edit.removals:
        recording = _remove(recording, removal)
    for insertion in edit.insertions:
        recording = _insert(recording, insertion)
    for setting in edit.settings:
        recording = _set(recording, setting)
    recording = _shift(_repeat(_scale(recording, edit.scale), edit.repeat), edit.shift_us)
    names = (["join"] if len(parts) > 1 else []) + edit.names()
    header = recording.header
    if names:
        source = "; ".join(filter(None, [header.source, f"edited ({', '.join(names)})"]))
        header = msgspec.structs.replace(header, source=source)
    if edit.title is not None:
        header = msgspec.structs.replace(header, title=edit.title)
    return Recording(header, recording.events)


# -- links


def _choose(recording: Recording, edit: Edit) -> Recording:
    for name in (*edit.keep, *edit.drop):
        _check_link(recording, name)
    wanted = edit.keep or recording.link_names
    links = tuple(link for link in recording.header.links if link.name in wanted and link.name not in edit.drop)
    if not links:
        raise EditError("--keep, --drop", "at least one link to stay")
    names = {link.name for link in links}
    events = [event for event in recording.events if getattr(event, "link", None) is None or event.link in names]  # type: ignore[union-attr]
    return _with_links(recording, links, events)


def _rename(recording: Recording, names: tuple[tuple[str, str], ...]) -> Recording:
    for old, _ in names:
        _check_link(recording, old)
    new = dict(names)
    links = tuple(msgspec.structs.replace(link, name=new.get(link.name, link.name)) for link in recording.header.links)

    def renamed(event: AnyEvent) -> AnyEvent:
        link = getattr(event, "link", None)
        return event if link is None or link not in new else msgspec.structs.replace(event, link=new[link])

    return _with_links(recording, links, [renamed(event) for event in recording.events])


def _with_links(recording: Recording, links: tuple[Link, ...], events: Iterable[AnyEvent]) -> Recording:
    return Recording(msgspec.structs.replace(recording.header, links=links), tuple(events))


# -- events


def _remove(recording: Recording, removal: Removal) -> Recording:
    if removal.outage is not None:
        return Recording(recording.header, tuple(_without_outage(recording, removal.outage)))
    if removal.link is not None:
        _check_link(recording, removal.link)
    from_us, until_us = _bounds(recording, removal.span, "--remove from")

    def is_meant(event: AnyEvent) -> bool:
        of_link = removal.link is None or getattr(event, "link", removal.link) == removal.link
        return _tag(event) == removal.event and of_link and from_us <= event.at_us <= until_us

    return Recording(recording.header, tuple(event for event in recording.events if not is_meant(event)))


def _without_outage(recording: Recording, outage_id: str) -> Iterator[AnyEvent]:
    """All lines but those that say that the link is down in this outage: it stays as it was before."""
    found = {o.id: o for link in recording.link_names for o in recording.timeline(link).outages()}
    if outage_id not in found:
        raise EditError("--remove", f"event=..., or the id of an outage that `outage show` lists, found {outage_id}")
    link, number = found[outage_id].link, int(outage_id.rpartition("-")[2])
    opened, is_open = 0, False
    for event in recording.events:
        if isinstance(event, Gap) or (isinstance(event, Transition) and event.link == link):
            is_down = isinstance(event, Transition) and event.status is Status.DOWN
            opened += is_down and not is_open
            is_open = is_down
            if is_down and opened == number:
                continue
        yield event


def _insert(recording: Recording, insertion: Insertion) -> Recording:
    link = insertion.link if insertion.link is not None else recording.link_names[0]
    _check_link(recording, link)
    until_us = insertion.at_us + insertion.for_us
    if until_us > recording.end_us:
        raise EditError("--insert", f"a span that ends with the recording, at {recording.end_us / 1e6:g} s, or before")

    def down(middle: Recording) -> Recording:
        if any(isinstance(event, Gap) for event in middle.events):
            raise EditError("--insert", "a span without a gap of the recorder")
        begin = Transition(0, link, insertion.status, insertion.cause, insertion.http_status)
        others = [event for event in middle.events if not (isinstance(event, Transition) and event.link == link)]
        return Recording(middle.header, (begin, *others))

    def back(rest: Recording) -> Recording:
        """A link of which nothing is known behaves as if it were up; here that is said."""
        if not rest.events or state_of(rest, link, 0).status is not None:
            return rest
        return Recording(rest.header, (Transition(0, link, Status.UP), *rest.events))

    return _in_span(recording, insertion.at_us, until_us, down, back)


def _set(recording: Recording, setting: Setting) -> Recording:
    links = recording.link_names if setting.link is None else (setting.link,)
    for link in links:
        _check_link(recording, link)
    replaced = {name for quantity in setting.values for name in _REPLACES[quantity]}

    def changed(middle: Recording) -> Recording:
        values = {quantity.value: value for quantity, value in setting.values.items()}
        lines = [Sample(0, link, **values) for link in links]
        events: list[AnyEvent] = [*lines]
        for event in middle.events:
            events += _without(event, links, replaced)
            if isinstance(event, Gap):
                events += [msgspec.structs.replace(line, at_us=event.at_us) for line in lines]
        return Recording(middle.header, tuple(events))

    return _in_span(recording, *_bounds(recording, setting.span, "--set from"), changed)


def _without(event: AnyEvent, links: Sequence[str], quantities: Iterable[Quantities]) -> Iterator[AnyEvent]:
    if isinstance(event, Series) and event.link in links and event.quantity in quantities:
        return
    if isinstance(event, Sample) and event.link in links:
        event = msgspec.structs.replace(event, **dict.fromkeys(quantities, msgspec.UNSET))
        if not event.values():
            return
    yield event


def _in_span(
    recording: Recording,
    from_us: int,
    until_us: int,
    change: Callable[[Recording], Recording],
    after: Callable[[Recording], Recording] = lambda rest: rest,
) -> Recording:
    """The recording with a span of it changed."""
    parts = [change(cut(recording, from_us, until_us))]
    if from_us > 0:
        parts.insert(0, cut(recording, 0, from_us))
    if until_us < recording.end_us:
        parts.append(after(cut(recording, until_us, recording.end_us)))
    return Recording(recording.header, join(parts).events)


# -- time


def _scale(recording: Recording, scale: Fraction) -> Recording:
    """Every time so many times as late. A wall clock tells only the start then."""
    if scale == 1:
        return recording

    def scaled(at_us: int) -> int:
        return at_us * scale.numerator // scale.denominator

    names = ("at_us", "began_us", "began_min_us", "began_max_us", "since_us", "sent_us", "step_us")
    events: list[AnyEvent] = []
    for event in recording.events:
        times = {name: at_us for name in names if (at_us := getattr(event, name, None)) is not None}
        events.append(msgspec.structs.replace(event, **{name: scaled(at_us) for name, at_us in times.items()}))
    if events[-1].at_us > INTEGER_MAX or any(isinstance(event, Series) and event.step_us == 0 for event in events):
        raise EditError("--scale", "a factor that leaves a microsecond between values, and the end within 2^53")
    unix_us = recording.unix_us(0)
    anchor = Anchor(0, unix_us) if unix_us is not None and unix_us >= 0 else None
    return Recording(msgspec.structs.replace(recording.header, anchor=anchor), tuple(events))


def _repeat(recording: Recording, times: int) -> Recording:
    if times * len(recording.events) > EVENTS_MAX:
        raise EditError("--repeat", f"at most {EVENTS_MAX} events in the result")
    return recording if times == 1 else join([recording] * times)


def _shift(recording: Recording, by_us: int) -> Recording:
    """Later, with nothing known before; or earlier, without what lay before the start."""
    if by_us == 0:
        return recording
    if by_us < 0:
        return cut(recording, *_bounds(recording, Span(-by_us), "--shift"))
    quiet = Recording(recording.header, (End(by_us),))
    shifted = join([quiet, recording])
    anchor = recording.header.anchor
    if anchor is not None:
        anchor = Anchor(anchor.monotonic_us + by_us, anchor.unix_us)
    return Recording(msgspec.structs.replace(shifted.header, anchor=anchor), shifted.events)


def _bounds(recording: Recording, span: Span, field: str) -> tuple[int, int]:
    until_us = recording.end_us if span.until_us is None else span.until_us
    if not span.from_us < until_us <= recording.end_us:
        length = f"within the {recording.end_us / 1e6:g} s of it"
        raise EditError(field, f"a start before the end, and both {length}, found {_said(span)}")
    return span.from_us, until_us


def _said(span: Span) -> str:
    until = "the end" if span.until_us is None else f"{span.until_us / 1e6:g} s"
    return f"from {span.from_us / 1e6:g} s until {until}"


def _check_link(recording: Recording, name: str) -> None:
    if name not in recording.link_names:
        raise UnknownLinkError(name, recording.link_names)


def _tag(event: AnyEvent) -> str:
    return str(type(event).__struct_config__.tag)
