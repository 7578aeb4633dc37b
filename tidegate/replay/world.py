"""The stage of a replay: one heap of events, one clock, one log.

Promises: events happen one at a time, in the order of their time and, at one time, of their making; nothing here asks
the machine what time it is or draws from any chance but `rng`, whose streams come from the run's seed by name; the
SHA-256 of the event log names the run, and is the same for the same inputs on every machine and in every process.
A world that stops moving (endless events at one instant) raises `WorldStuck` instead of running for ever.
"""

import heapq
from collections.abc import Callable
from hashlib import sha256
from random import Random
from typing import Any

from sensors.seeds import derive_seed

EPOCH_MS = 1_767_225_600_000
"""What the wall clocks of a world say at its start: 2026-01-01T00:00:00Z, as good as any and the same for all."""
US_PER_MS = 1_000
US_PER_S = 1_000_000
STORY_LINES = 400  # of the log that are kept for telling what happened before a failure: a few kilobytes
HASHED_LINES = 4_000  # of the log are hashed at a time: half a megabyte waits
TOLD_BEFORE, TOLD_AFTER = (
    6,
    14,
)  # lines of the log around each thing that is told: what led to it, and what became of it
EVENTS_AT_ONE_INSTANT_MAX = 100_000  # ten events for each of 10,000 devices that all wake at once

Action = Callable[[], None]


class WorldStuck(RuntimeError):
    """Events make events and time does not pass. Who must act: whoever wrote the part named in the story."""

    def __init__(self, at_us: int, story: tuple[str, ...]) -> None:
        super().__init__(f"more than {EVENTS_AT_ONE_INSTANT_MAX} events at {at_us} us; the last: {'; '.join(story)}")
        self.at_us = at_us
        self.story = story


class Timer(list[Any]):
    """An event to come: [at_us, number, action], itself an entry of the heap; `cancel` makes it not come."""

    __slots__ = ()

    def cancel(self) -> None:
        """Forget it; a second call, or one after it happened, does nothing."""
        self[2] = None


class World:
    """One run's time, chance and log."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now_us = 0
        self.events = 0
        self._number = 0
        self._heap: list[Timer] = []
        self._hash = sha256()
        self._lines: list[str] = []  # the last of the log: those behind `_hashed` are not in the hash yet
        self._hashed = 0
        self._told: list[str] = []
        self._telling = 0
        self._at_this_instant = 0

    @property
    def now_ms(self) -> int:
        """Monotonic milliseconds since the start of the world."""
        return self.now_us // US_PER_MS

    @property
    def wall_ms(self) -> int:
        """True milliseconds since 1970."""
        return EPOCH_MS + self.now_us // US_PER_MS

    def rng(self, *names: str) -> Random:
        """A generator of its own for whoever bears these names: adding one leaves the others as they were."""
        return Random(derive_seed(self.seed, *names))  # noqa: S311  # chance of a simulation, repeatable on purpose

    def at(self, at_us: int, action: Action) -> Timer:
        """Let something happen at an instant; one that has passed means now, behind what is already due."""
        self._number += 1
        if at_us < self.now_us:
            at_us = self.now_us
        timer = Timer((at_us, self._number, action))
        heapq.heappush(self._heap, timer)
        return timer

    def after(self, delay_us: int, action: Action) -> Timer:
        """Let something happen `delay_us` from now."""
        return self.at(self.now_us + delay_us, action)

    def run_until(self, end_us: int) -> None:
        """Live up to and including `end_us`. Raises `WorldStuck`, and whatever an event raises."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= end_us:
            timer = pop(heap)
            at_us, _, action = timer
            if at_us > self.now_us:
                self.now_us = at_us
                self._at_this_instant = 0
            self._at_this_instant += 1
            if self._at_this_instant > EVENTS_AT_ONE_INSTANT_MAX:
                raise WorldStuck(at_us, tuple(self._lines)[-5:])
            self.events += 1
            if action is not None:
                timer[2] = None
                action()
        self.now_us = max(self.now_us, end_us)

    def note(self, what: str) -> None:
        """Write a line of the log: what happened now, in words and numbers that every machine writes alike."""
        line = f"{self.now_us} {what}"
        self._lines.append(line)
        if len(self._lines) >= HASHED_LINES + STORY_LINES:
            self._take_in()
            del self._lines[:-STORY_LINES]
            self._hashed = STORY_LINES
        if self._telling:
            self._telling -= 1
            self._told.append(line)

    def _take_in(self) -> None:
        """Let the hash have what it has not yet."""
        fresh = self._lines[self._hashed :]
        if fresh:
            self._hash.update(("\n".join(fresh) + "\n").encode())
            self._hashed = len(self._lines)

    def tell(self, what: str) -> None:
        """Make something the matter of the story, with the log around it. Not in the log itself."""
        if len(self._told) >= STORY_LINES:
            return
        before = self._lines[-TOLD_BEFORE:]
        last = self._told[-TOLD_BEFORE - TOLD_AFTER :]
        self._told += [line for line in before if line not in last]
        self._told.append(f"{self.now_us} >>> {what}")
        self._telling = TOLD_AFTER

    def story(self) -> tuple[str, ...]:
        """What was told of, or else the last lines of the log; each begins with its time in microseconds."""
        return tuple(self._told or self._lines[-STORY_LINES:])

    @property
    def hash(self) -> str:
        """The SHA-256 of the log so far, in hexadecimal."""
        self._take_in()
        return self._hash.hexdigest()
