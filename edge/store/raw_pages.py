"""Records of tables, found page by page in a store's file, whatever has become of the tree above them.

SQLite finds a row by the pages above it: one bad page there, or in the list of tables on page 1, hides thousands of
rows that are whole. Here every page is looked at by itself, in the database and in its write-ahead log, and every leaf
of a table gives what it has.

Promises: nothing is written; garbage gives nothing and raises nothing; memory stays flat. Not promised is that a record
is of today: pages that were given up may still have rows that were deleted, and an old state of a page comes behind a
newer one. So the caller says what it takes a record for, and takes the first of each. What a transaction wrote that did
not end in a commit is not looked at.

The format: https://www.sqlite.org/fileformat2.html, sections 1.3 (header), 1.6 (pages), 2.1 (records), 4 (log).
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from os import SEEK_END
from pathlib import Path
from typing import IO, Any, NamedTuple

SIZE_DEFAULT = 4096  # of a page, where no header says it: SQLite's own default
_SIZES = frozenset(1 << power for power in range(9, 17))
_TABLE_LEAF = 0x0D
RECORD_BYTES_MAX = 16 * 1024 * 1024  # a length that garbage states is not believed
_HEAD_BYTES_MAX = 64  # of a record: its columns' types, of a few bytes each
_HEADER, _LOG_HEADER, _FRAME_HEADER = 100, 32, 24
_LOG_MAGIC = (0x377F0682, 0x377F0683)
_BLOB = 12  # and above: bytes
_INT_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_CONSTANTS = {8: 0, 9: 1}
_log_header = struct.Struct(">8I")
_frame_header = struct.Struct(">6I")
_U16, _U32 = struct.Struct(">H"), struct.Struct(">I")


class Shape(NamedTuple):
    """Which records are meant: the type of each column behind the first, which is the row's id (`INTEGER PRIMARY KEY`).

    `wants` is asked by the id before the record is read.
    """

    columns: Sequence[type[int] | type[bytes]]
    wants: Callable[[int], bool]


class _Garbage(Exception):
    """What was to be read is not there, or cannot be."""


def records(path: Path, *shapes: Shape) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """(which shape, (id, column, ...)) of every record of one of the shapes; texts are bytes.

    The file or its log may be missing, and pages may be unreadable; a file that cannot be opened raises `OSError`.
    """
    with _Pages(path) as pages:
        for number, page in pages.all():
            yield from _records_on(pages, number, page, shapes)


class _Pages:
    """The pages of a database, and those that its write-ahead log has instead."""

    def __init__(self, path: Path) -> None:
        with ExitStack() as stack:
            self._file = _opened(path, stack)
            self._log = _opened(path.with_name(path.name + "-wal"), stack)
            self.size, self.usable = self._sizes()
            self._frames = list(self._committed_frames())
            self._newest = dict(self._frames)
            self._open = stack.pop_all()

    def __enter__(self) -> "_Pages":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def all(self) -> Iterator[tuple[int, bytes]]:
        """(number, page): those of the log first, the newest first; then the database's own."""
        for number, offset in reversed(self._frames):
            yield number, self._read(self._log, offset)
        length = 0 if self._file is None else self._file.seek(0, SEEK_END)
        for number in range(1, length // self.size + 1):
            yield number, self._read(self._file, (number - 1) * self.size)

    def newest(self, number: int) -> bytes:
        """One page as it is now."""
        offset = self._newest.get(number)
        if offset is None:
            return self._read(self._file, (number - 1) * self.size) if number else b""
        return self._read(self._log, offset)

    def _read(self, file: IO[bytes] | None, offset: int) -> bytes:
        """A whole page, or nothing."""
        page = _read(file, offset, self.size)
        return page if len(page) == self.size else b""

    def _sizes(self) -> tuple[int, int]:
        """Of a page, and of what of it is used."""
        header = _read(self._file, 0, _HEADER)
        if len(header) == _HEADER and header.startswith(b"SQLite format 3\0"):
            size = _U16.unpack_from(header, 16)[0]
            size = 65536 if size == 1 else size
            if size in _SIZES and size - header[20] >= 480:
                return size, size - header[20]
        size = self._log_head()[2]
        return (size, size) if size in _SIZES else (SIZE_DEFAULT, SIZE_DEFAULT)

    def _log_head(self) -> tuple[int, ...]:
        head = _read(self._log, 0, _LOG_HEADER)
        return _log_header.unpack(head) if len(head) == _LOG_HEADER else (0,) * 8

    def _committed_frames(self) -> Iterator[tuple[int, int]]:
        """(page, where in the log) of the log's generation, up to the last commit.

        Beyond a frame that fails its checksum too, where SQLite stops: each record is for its reader to believe.
        """
        magic, _, _, _, *salts = self._log_head()[:6]
        if magic not in _LOG_MAGIC:
            return
        waiting: list[tuple[int, int]] = []
        offset = _LOG_HEADER
        while len(head := _read(self._log, offset, _FRAME_HEADER)) == _FRAME_HEADER:
            number, commits, *rest = _frame_header.unpack(head)
            if rest[:2] != salts:
                return
            waiting.append((number, offset + _FRAME_HEADER))
            if commits:
                yield from waiting
                waiting.clear()
            offset += _FRAME_HEADER + self.size


def _opened(path: Path, stack: ExitStack) -> IO[bytes] | None:
    return stack.enter_context(path.open("rb")) if path.exists() else None


def _read(file: IO[bytes] | None, offset: int, size: int) -> bytes:
    """What is there, or nothing: a medium that wears out fails in places."""
    if file is None:
        return b""
    try:
        file.seek(offset)
        return file.read(size)
    except OSError:
        return b""


def _records_on(
    pages: _Pages, number: int, page: bytes, shapes: Sequence[Shape]
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    head = _HEADER if number == 1 else 0
    if not page or page[head] != _TABLE_LEAF:
        return
    count = _U16.unpack_from(page, head + 3)[0]
    for at in range(head + 8, min(head + 8 + 2 * count, len(page) - 1), 2):
        try:
            found = _record_at(pages, page, _U16.unpack_from(page, at)[0], shapes)
        except (_Garbage, IndexError, struct.error):
            continue
        if found is not None:
            yield found


def _record_at(pages: _Pages, page: bytes, at: int, shapes: Sequence[Shape]) -> tuple[int, tuple[Any, ...]] | None:
    size, at = _varint(page, at)
    row_id, at = _varint(page, at)
    row_id -= (row_id >> 63) << 64  # two's complement
    head_size, place = _varint(page, at)
    if head_size > _HEAD_BYTES_MAX or size > RECORD_BYTES_MAX:
        return None
    kinds: list[int] = []
    while place < at + head_size:
        kind, place = _varint(page, place)
        kinds.append(kind)
    if head_size + sum(map(_size, kinds)) != size:
        return None
    for which, shape in enumerate(shapes):
        if _has_shape(kinds, shape) and shape.wants(row_id):
            payload = _payload(pages, page, at, size)
            return which, (row_id, *_columns(payload, head_size, kinds[1:]))
    return None


def _size(kind: int) -> int:
    """The bytes of a column; what is none of ours counts as none."""
    return (kind - _BLOB) // 2 if kind >= _BLOB else _INT_BYTES.get(kind, 0)  # a blob is even, a text one more


def _has_shape(kinds: list[int], shape: Shape) -> bool:
    if len(kinds) != 1 + len(shape.columns) or kinds[0] != 0:  # an id is stored as NULL
        return False
    return all(
        kind >= _BLOB if wanted is bytes else kind in _INT_BYTES or kind in _CONSTANTS
        for kind, wanted in zip(kinds[1:], shape.columns, strict=True)
    )


def _payload(pages: _Pages, page: bytes, at: int, size: int) -> bytes:
    """The bytes of a record; what has no room on its page is on a chain of others."""
    usable = pages.usable
    most, least = usable - 35, (usable - 12) * 32 // 255 - 23
    if size <= most:
        local = size
    else:
        local = least + (size - least) % (usable - 4)
        local = local if local <= most else least
    parts, left = [page[at : at + local]], size - local
    following = _U32.unpack_from(page, at + local)[0] if left else 0
    while left > 0:
        link = pages.newest(following)
        if not link:
            raise _Garbage
        parts.append(link[4 : min(usable, 4 + left)])
        left -= len(parts[-1])
        following = _U32.unpack_from(link)[0]
    return b"".join(parts)


def _columns(payload: bytes, at: int, kinds: list[int]) -> Iterator[int | bytes]:
    for kind in kinds:
        raw = payload[at : at + _size(kind)]
        at += len(raw)
        if kind in _CONSTANTS:
            yield _CONSTANTS[kind]
        else:
            yield raw if kind >= _BLOB else int.from_bytes(raw, signed=True)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and where the next begins."""
    value = 0
    for place in range(at, at + 8):
        byte = data[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    return value << 8 | data[at + 8], at + 9
