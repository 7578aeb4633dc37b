"""The clock, as something that is handed in.

Core modules never ask what time it is: they take `now_ms`. Shells hold a `Clock` and pass its answers down, so that a
test or a replay can live a month in a second. This is the only module of the house that imports `time`.
"""

import time
from typing import Protocol

_NS_PER_MS = 1_000_000


class Clock(Protocol):
    """Two clocks in one: the wall clock, which may step, and the monotonic one, which never does."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00:00Z. May jump either way when the system clock is set."""

    def monotonic_ms(self) -> int:
        """Milliseconds since an arbitrary start. Never goes back; for ages, back-off and time-outs."""


class SystemClock:
    """The machine's own clocks."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00:00Z by the system clock."""
        return time.time_ns() // _NS_PER_MS

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01T00:00:00Z by the system clock."""
        return time.time_ns()

    def monotonic_ms(self) -> int:
        """Milliseconds of the system's monotonic clock."""
        return time.monotonic_ns() // _NS_PER_MS
