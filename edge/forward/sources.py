"""The logs that a destination is served from, behind one interface: readings, rollups of one size, notices.

Promises: `encode` gives the same bytes for the same rows, for ever; a row that fails its checksum is never among the
rows of a `Page`.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from edge.store import LogEntry, Store
from edge.store.notices import Notice, Notices
from edge.store.rows import StoredRow
from edge.store.windows import RollupEntry, WindowTables, rollup_head_cursor

Row = LogEntry | RollupEntry | Notice
EncodedRow = TypeVar("EncodedRow", contravariant=True)
READINGS = "readings"


class DamagedRow(NamedTuple):
    """A row that fails its checksum, as far as it can be read."""

    id: int
    content: bytes
    reading: StoredRow | None = None


class SourcePage(NamedTuple):
    """Rows in order of their ids, and the damaged one that ended the page, if one did."""

    rows: Sequence[Row]
    damaged: DamagedRow | None


class Source(Protocol):
    """One log. `name` is its name in the store; ids run from 1 to `head()` without holes."""

    name: str

    def head(self) -> int: ...  # noqa: D102
    def read(self, first: int, last: int, limit: int) -> SourcePage: ...  # noqa: D102
    def encode(self, rows: Iterable[Row]) -> bytes: ...  # noqa: D102
    def topic(self, row: Row, /) -> bytes: ...  # noqa: D102


class Encoder(Protocol[EncodedRow]):
    """Turns rows of one log into what a destination is sent."""

    def encode(self, rows: Iterable[EncodedRow], /) -> bytes: ...  # noqa: D102


class ReadingSource:
    """The log of readings."""

    name = READINGS

    def __init__(self, store: Store, encoder: Encoder[LogEntry], sieve_cursor: str | None = None) -> None:
        """`sieve_cursor`: what lies above this cursor is not yet judged (`edge.forward.sieve`), and not to be sent."""
        self._store = store
        self._encoder = encoder
        self._sieve_cursor = sieve_cursor

    def head(self) -> int:
        """The highest id that may be sent."""
        ready = self._store.ready_through
        return ready if self._sieve_cursor is None else min(ready, self._store.cursor(self._sieve_cursor))

    def read(self, first: int, last: int, limit: int) -> SourcePage:
        """Rows with ids `first` to `last`."""
        page = self._store.read(first - 1, min(limit, last - first + 1))
        entries = [entry for entry in page.entries if entry.id <= last]
        if page.damaged is None or page.damaged[0] > last:
            return SourcePage(entries, None)
        row = page.damaged
        return SourcePage(entries, DamagedRow(row[0], repr(row[:7]).encode() + row[7], row))

    def encode(self, rows: Iterable[Row]) -> bytes:
        """The rows as lines."""
        return self._encoder.encode(row for row in rows if isinstance(row, LogEntry))

    def topic(self, row: Row) -> bytes:
        """Whose the row is."""
        return _device(self._store, row.device_key) if isinstance(row, LogEntry) else b""


class RollupSource:
    """The rollups of one window size."""

    def __init__(self, store: Store, encoder: Encoder[RollupEntry], size_s: int) -> None:
        self.name = f"rollups/{size_s}"
        self._store = store
        self._tables = WindowTables(store)
        self._encoder = encoder
        self._size_s = size_s
        self._head_cursor = rollup_head_cursor(size_s)

    def head(self) -> int:
        """The highest id."""
        return self._store.cursor(self._head_cursor)

    def read(self, first: int, last: int, limit: int) -> SourcePage:
        """Rows with ids `first` to `last`."""
        page = self._tables.read(self._size_s, first, last, limit)
        row = page.damaged
        return SourcePage(page.entries, None if row is None else DamagedRow(row[1], repr(row[:4]).encode() + row[4]))

    def encode(self, rows: Iterable[Row]) -> bytes:
        """The rows as lines."""
        return self._encoder.encode(row for row in rows if isinstance(row, RollupEntry))

    def topic(self, row: Row) -> bytes:
        """Whose the row is."""
        return _device(self._store, row.device_key) if isinstance(row, RollupEntry) else b""


class NoticeSource:
    """The notices."""

    name = "notices"

    def __init__(self, notices: Notices, encoder: Encoder[Notice]) -> None:
        self._notices = notices
        self._encoder = encoder

    def head(self) -> int:
        """The highest id."""
        return self._notices.head()

    def read(self, first: int, last: int, limit: int) -> SourcePage:
        """Rows with ids `first` to `last`."""
        page = self._notices.read(first, last, limit)
        row = page.damaged
        return SourcePage(page.entries, None if row is None else DamagedRow(row[0], row[1]))

    def encode(self, rows: Iterable[Row]) -> bytes:
        """The rows as lines."""
        return self._encoder.encode(row for row in rows if isinstance(row, Notice))

    def topic(self, _row: Row, /) -> bytes:
        """Notices are the gateway's own."""
        return b""


def _device(store: Store, device_key: int) -> bytes:
    return "/".join(store.device_name(device_key)).encode()
