"""Maintenance mode: an operator's word that somebody works on this gateway, for a while.

Promises: it ends by itself, at the latest after `MINUTES_MAX`, by monotonic time, and with a restart; while it is on,
every page says so. What is allowed only then (a drill) asks `active`. Values only.
"""

from typing import NamedTuple

MINUTES = 60
MINUTES_MAX = 24 * 60  # what is forgotten on a Friday is over on Saturday
_MINUTE_MS = 60_000


class Active(NamedTuple):
    """Who began it, and from when to when; milliseconds since 1970."""

    by: str
    since_ms: int
    until_ms: int


class Maintenance:
    """Off, until somebody begins it. For one thread."""

    def __init__(self) -> None:
        self._active: Active | None = None
        self._ends_ms = 0

    def begin(self, by: str, minutes: int, now_ms: int, wall_ms: int) -> Active:
        """Begin it, or begin it anew. `now_ms` is monotonic; `minutes` 1 to `MINUTES_MAX`."""
        if not 1 <= minutes <= MINUTES_MAX:
            raise ValueError(f"minutes: expected 1 to {MINUTES_MAX}, found {minutes}")
        self._ends_ms = now_ms + minutes * _MINUTE_MS
        self._active = Active(by, wall_ms, wall_ms + minutes * _MINUTE_MS)
        return self._active

    def end(self) -> None:
        """End it."""
        self._active = None

    def active(self, now_ms: int) -> Active | None:
        """What holds now; None: it is off. `now_ms` is monotonic."""
        if self._active is not None and now_ms >= self._ends_ms:
            self._active = None
        return self._active
