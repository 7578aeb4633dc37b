"""Builds recordings of one link: collects what happened in any order and puts it into the order the format asks for.

Promises: `build` returns a valid `Recording` or raises `RecordingError`; nothing is invented, every default of the
format stays a default. All times are microseconds since the recording's start.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.outages.events import (
    Anchor,
    AnyEvent,
    Cause,
    End,
    Link,
    LinkKind,
    Quantities,
    Series,
    Status,
    Transition,
)
from edge.outages.recording import EVENTS_MAX, Recording, make_header
from edge.outages.rules import HEADER_LINE, RecordingError

SECOND_US = 1_000_000
MS_US = 1_000
SERIES_VALUES = 60
"""A minute at 1 Hz per line: a reader of the file sees it grow every minute, and the line stays readable."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Whose data this is; goes into the recording's header. Some licences (ODbL) ask for it."""

    title: str = ""
    source: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Began:
    """Best estimate of when a change began, and its bounds."""

    estimate_us: int
    earliest_us: int
    latest_us: int


class RecordingBuilder:
    """Collects the events of one link."""

    def __init__(self, link: str, kind: LinkKind, *, anchor: Anchor | None = None) -> None:
        self.link = link
        self._kind = kind
        self._anchor = anchor
        self._events: list[AnyEvent] = []

    def add(self, event: AnyEvent) -> None:
        """Take any event as it is. Raises `RecordingError` if a recording cannot hold so many."""
        if len(self._events) == EVENTS_MAX - 1:  # and its end
            raise RecordingError(HEADER_LINE + EVENTS_MAX, "event", f"at most {EVENTS_MAX} events in one recording")
        self._events.append(event)

    def up(self, at_us: int, began: Began | None = None) -> None:
        """The link works from here on."""
        self._change(Status.UP, None, at_us, began)

    def down(self, at_us: int, cause: Cause, began: Began | None = None) -> None:
        """The link does not work from here on."""
        self._change(Status.DOWN, cause, at_us, began)

    def degraded(self, at_us: int, cause: Cause) -> None:
        """The link works badly from here on."""
        self._change(Status.DEGRADED, cause, at_us, None)

    def series(self, quantity: Quantities, start_us: int, step_us: int, values: Sequence[int]) -> None:
        """Values at equal steps from `start_us` on, cut into lines of a readable length."""
        for first in range(0, len(values), SERIES_VALUES):
            part = tuple(values[first : first + SERIES_VALUES])
            end_us = start_us + (first + len(part)) * step_us
            self.add(Series(end_us, self.link, quantity, step_us, part))

    def build(self, end_us: int, provenance: Provenance) -> Recording:
        """The recording. Raises `RecordingError`."""
        header = make_header(
            [Link(self.link, self._kind)],
            anchor=self._anchor,
            title=provenance.title,
            source=provenance.source,
            licence=provenance.licence,
        )
        return Recording(header, (*sorted(self._events, key=lambda event: event.at_us), End(end_us)))

    def _change(self, status: Status, cause: Cause | None, at_us: int, began: Began | None) -> None:
        if began is None or (began.estimate_us, began.earliest_us, began.latest_us) == (at_us, at_us, at_us):
            self.add(Transition(at_us, self.link, status, cause))
            return
        exact = began.earliest_us == began.estimate_us, began.latest_us == began.estimate_us
        self.add(
            Transition(
                at_us,
                self.link,
                status,
                cause,
                began_us=began.estimate_us,
                began_min_us=None if exact[0] else began.earliest_us,
                began_max_us=None if exact[1] else began.latest_us,
            )
        )
