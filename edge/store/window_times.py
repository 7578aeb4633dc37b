"""When each window that has a row is due: in memory, so that neither this nor what is due is asked of the file.

Promises: `due` and `next_ms` answer as the table would, if every row that is written and deleted is told; what is
remembered beside the windows themselves is bounded by their number.
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=tuple[int, ...])
STALE_MAX = 1024  # entries of windows that have moved on may lie about, beside as many as there are windows


class WindowTimes(Generic[Key]):
    """All windows, by key: their times, and whether they are dirty."""

    def __init__(self, windows: Iterable[tuple[Key, int, bool]]) -> None:
        """`windows`: key, `next_ms` and `dirty` of each row."""
        self._windows = {key: (next_ms, dirty) for key, next_ms, dirty in windows}
        self._gather()
        self.latest_ms = max((next_ms for next_ms, _ in self._windows.values()), default=0)
        """No window's time is beyond it."""

    def _gather(self) -> None:
        self._soonest = [(next_ms, key) for key, (next_ms, _) in self._windows.items()]
        heapify(self._soonest)

    def __len__(self) -> int:
        return len(self._windows)

    def __contains__(self, key: Key) -> bool:
        return key in self._windows

    def put(self, key: Key, next_ms: int, dirty: bool) -> None:
        """A row was written."""
        before = self._windows.get(key)
        self._windows[key] = (next_ms, dirty)
        if before is not None and before[0] == next_ms:
            return
        heappush(self._soonest, (next_ms, key))
        if next_ms > self.latest_ms:
            self.latest_ms = next_ms
        if len(self._soonest) > 2 * len(self._windows) + STALE_MAX:
            self._gather()

    def forget(self, key: Key) -> None:
        """A row was deleted."""
        self._windows.pop(key, None)

    def next_ms(self) -> int | None:
        """The earliest time of any window; None if there is no window."""
        soonest, windows = self._soonest, self._windows
        while soonest:
            next_ms, key = soonest[0]
            if key in windows and windows[key][0] == next_ms:
                return next_ms
            heappop(soonest)
        return None

    def due(self, now_ms: int, limit: int) -> list[tuple[Key, bool]]:
        """(key, dirty) of at most `limit` windows whose time has come, in the order of their times and keys."""
        soonest = self._soonest
        found: list[tuple[int, Key]] = []
        while soonest and soonest[0][0] <= now_ms and len(found) < limit:
            entry = heappop(soonest)
            if self._holds(entry) and entry not in found[-1:]:  # a window that came back to a time stands there twice
                found.append(entry)
        for entry in found:
            heappush(soonest, entry)
        return [(key, self._windows[key][1]) for _, key in found]

    def _holds(self, entry: tuple[int, Key]) -> bool:
        """Whether it is still the time of that window."""
        window = self._windows.get(entry[1])
        return window is not None and window[0] == entry[0]
