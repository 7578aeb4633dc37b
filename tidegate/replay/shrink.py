"""Makes a recording that fails small: delta debugging over its events, then over its length.

`ddmin` is that of A. Zeller and R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE Transactions
on Software Engineering 28(2), 2002: the result is 1-minimal, no single event can be taken away without the failure
going with it (unless the tries ran out). Then the recording is cut off as early behind its last event as it can be.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edge.outages.events import AnyEvent, End
from edge.outages.recording import Recording
from edge.outages.rules import RecordingError

TRIES_MAX = 1_000
CUT_US = 1_000_000  # how exactly the end is found

Fails = Callable[[Recording], bool]
Item = TypeVar("Item")


class NothingToShrink(ValueError):
    """The recording does not fail as it is."""

    def __init__(self) -> None:
        super().__init__("the recording does not fail: expected one whose replay breaks a promise")


class _OutOfTries(Exception):
    """Enough."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest failing recording that was found, in so many tries; `is_minimal`: the tries sufficed."""

    recording: Recording
    tries: int
    is_minimal: bool


class _Search:
    def __init__(self, recording: Recording, fails: Fails, tries_max: int) -> None:
        self.best = recording
        self.tries = 0
        self._fails = fails
        self._tries_max = tries_max

    def still_fails(self, events: Sequence[AnyEvent], end_us: int) -> bool:
        """Whether this part does; events that make no recording do not."""
        if self.tries == self._tries_max:
            raise _OutOfTries
        try:
            candidate = Recording(self.best.header, (*events, End(end_us)))
        except RecordingError:
            return False
        self.tries += 1
        if not self._fails(candidate):
            return False
        self.best = candidate
        return True


def shrink(recording: Recording, fails: Fails, *, tries_max: int = TRIES_MAX) -> Shrunk:
    """The smallest part of a recording for which `fails` still says yes. Raises `NothingToShrink`.

    `fails` must give the same answer each time: replays with a seed do.
    """
    search = _Search(recording, fails, tries_max)
    end_us = recording.end_us
    if not search.still_fails(recording.events[:-1], end_us):
        raise NothingToShrink
    try:
        events = ddmin(recording.events[:-1], lambda part: search.still_fails(part, end_us))
        _cut(search, events, end_us)
    except _OutOfTries:
        return Shrunk(search.best, search.tries, is_minimal=False)
    return Shrunk(search.best, search.tries, is_minimal=True)


def ddmin(items: Sequence[Item], fails: Callable[[Sequence[Item]], bool]) -> tuple[Item, ...]:
    """A part of the items that fails and of which no single item can be spared. All of them must fail."""
    kept = tuple(items)
    if kept and fails(()):
        return ()
    pieces = 2
    while len(kept) > 1:
        size = -(-len(kept) // pieces)
        starts = range(0, len(kept), size)
        less = next((kept[:at] + kept[at + size :] for at in starts if fails(kept[:at] + kept[at + size :])), None)
        if less is not None:
            kept, pieces = less, max(2, pieces - 1)
        elif size == 1:
            break
        else:
            pieces = min(len(kept), 2 * pieces)
    return kept


def _cut(search: _Search, events: Sequence[AnyEvent], end_us: int) -> None:
    """The earliest end, to a second, by bisection."""
    low_us = events[-1].at_us if events else 0
    if search.still_fails(events, low_us):
        return
    while end_us - low_us > CUT_US:
        middle_us = (low_us + end_us) // 2
        if search.still_fails(events, middle_us):
            end_us = middle_us
        else:
            low_us = middle_us
