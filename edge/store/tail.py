"""The end of a log in memory: what was appended last need not be decoded again by those who follow closely.

Promises: bounded by what the rows' bodies take (`TAIL_BYTES_MAX`); holds exactly the newest rows of the log, as they
were appended, in order and without holes; after a failed transaction it is empty, and the file is asked.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

TAIL_BYTES_MAX = 768 * 1024  # of bodies: 28,000 readings of one value, which take some 10 MB as objects


class _Row(Protocol):
    @property
    def id(self) -> int: ...


Entry = TypeVar("Entry", bound=_Row)


class Tail(Generic[Entry]):
    """The newest entries, in the chunks in which they were appended."""

    def __init__(self, bytes_max: int | None = None) -> None:
        """`bytes_max`: None: `TAIL_BYTES_MAX`."""
        self._chunks: deque[tuple[Sequence[Entry], int]] = deque()  # entries, and the bytes of their bodies
        self._bytes = 0
        self._bytes_max = TAIL_BYTES_MAX if bytes_max is None else bytes_max

    def append(self, entries: Sequence[Entry], body_bytes: int) -> None:
        """Add entries that follow the last."""
        self._chunks.append((entries, body_bytes))
        self._bytes += body_bytes
        while self._bytes > self._bytes_max:
            self._bytes -= self._chunks.popleft()[1]

    def clear(self) -> None:
        """Forget all."""
        self._chunks.clear()
        self._bytes = 0

    def forget_through(self, position: int) -> None:
        """Forget what lies at or before a position: its rows may be gone."""
        while self._chunks and self._chunks[0][0][0].id <= position:
            self._bytes -= self._chunks.popleft()[1]

    def read(self, after_id: int, limit: int) -> list[Entry] | None:
        """At most `limit` entries behind a position; None if it lies before what is remembered."""
        if not self._chunks or self._chunks[0][0][0].id > after_id + 1:
            return None
        if len(self._chunks) == 1 or after_id + 1 >= self._chunks[-1][0][0].id:  # who follows closely
            entries = self._chunks[-1][0]
            skip = after_id + 1 - entries[0].id
            return list(entries[skip : skip + limit])
        found: list[Entry] = []
        # Searched, not walked: a quiet gateway commits reading by reading, and then there are 28,000 chunks.
        for at in range(bisect_right(self._chunks, after_id + 1, key=_first_id) - 1, len(self._chunks)):
            entries = self._chunks[at][0]
            skip = max(0, after_id + 1 - entries[0].id)
            if skip < len(entries):
                found += entries[skip : skip + limit - len(found)]
            if len(found) >= limit:
                break
        return found


def _first_id(chunk: tuple[Sequence[_Row], int]) -> int:
    return chunk[0][0].id
