"""The store's log of notices: ready lines of line protocol that go to the cloud before everything else.

Promises: ids rise by one and are never used twice; every row carries a CRC32; a notice is deleted only once it is
delivered. Methods that write are called inside `Store.transaction`.
"""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

from edge.store.store import Store

NOTICES_HEAD_CURSOR = "notices/head"
LATE_NOTICE = "_late"
LINK_NOTICE = "_link"
"""Ends of the measurements of the gateway's own notices: news, and no alerts."""
NoticeRow = tuple[int, bytes, int]
"""id, line, crc: the columns in order."""


class Notice(NamedTuple):
    """One line, with its place in the log."""

    id: int
    line: bytes

    @property
    def is_alert(self) -> bool:
        """Whether it cannot wait."""
        measurement = self.line.partition(b",")[0].decode()
        return not measurement.endswith((LATE_NOTICE, LINK_NOTICE))


class NoticePage(NamedTuple):
    """Notices in order, and the damaged row that ended the page, if one did."""

    entries: list[Notice]
    damaged: NoticeRow | None


class Notices:
    """The notices of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def append(self, line: str) -> None:
        """Append one line, without its line feed."""
        self.append_all([line])

    def append_all(self, lines: Sequence[str]) -> None:
        """Append lines, without their line feeds."""
        first = self.head() + 1
        rows = [(row_id, raw, _crc(row_id, raw)) for row_id, raw in enumerate(map(str.encode, lines), first)]
        self._store.run_many("INSERT INTO notices VALUES (?, ?, ?)", rows)
        self._store.set_cursor(NOTICES_HEAD_CURSOR, first + len(rows) - 1)

    def head(self) -> int:
        """The highest id ever given out."""
        return self._store.cursor(NOTICES_HEAD_CURSOR)

    def read(self, first: int, last: int, limit: int) -> NoticePage:
        """Notices with ids `first` to `last`, oldest first, up to the first damaged row."""
        rows = self._store.run(
            "SELECT * FROM notices WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?", (first, last, limit)
        )
        entries: list[Notice] = []
        for row in rows:
            row_id, line, crc = row
            if crc != _crc(row_id, line):
                return NoticePage(entries, row)
            entries.append(Notice(row_id, line))
        return NoticePage(entries, None)

    def delete_through(self, position: int, limit: int) -> int:
        """Delete at most `limit` notices up to `position`, oldest first; how many went."""
        sql = "DELETE FROM notices WHERE id IN (SELECT id FROM notices WHERE id <= ? ORDER BY id LIMIT ?)"
        return self._store.change(sql, (position, limit))


def _crc(row_id: int, line: bytes) -> int:
    return zlib.crc32(line, row_id & 0xFFFFFFFF)
