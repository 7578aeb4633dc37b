"""Files of line protocol in a folder, appended to and rotated: what a destination of the kind `file` writes.

    FOLDER/readings-000041-20260131T120000Z.lp.gz    closed, if `compress`
    FOLDER/readings-000042-20260201T120000Z.lp       the one that is appended to: the highest number

Promises: `append` returns once every byte is synced; if it raises, what it wrote of the body is taken out again, or, at
the latest, by the next `open`, as far as it is no whole line; so a file never holds half a line, whatever was killed
(a body sent again after an unknown fate may be there twice: the same lines, with the same identity). At most
`keep_files` files are kept: the oldest go. A file is closed at `rotate_bytes`, or when it is `rotate_ms` old.
Synchronous; for one thread, and one process: a second one is refused by a lock on the folder.
"""

import fcntl
import gzip
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

PREFIX = "readings"
_NAME = re.compile(PREFIX + r"-(\d{6,})-(\d{8}T\d{6}Z)\.lp(\.gz)?\Z")
_STAMP = "%Y%m%dT%H%M%SZ"
TAIL_BYTES = 1024 * 1024  # read at once while looking for the last whole line
GZIP_LEVEL = 6  # a closed file is compressed once and kept for long


@dataclass(frozen=True, slots=True)
class FileRules:
    """Where the files are, and when one is closed and the oldest deleted."""

    folder: Path
    rotate_bytes: int
    rotate_ms: int
    keep_files: int
    compress: bool = False


@dataclass(slots=True)
class _Open:
    """The file that is appended to. `size_bytes`: of what is written and synced; `opened_ms`: the wall clock's."""

    file: int
    path: Path
    number: int
    size_bytes: int
    opened_ms: int


class LineFiles:
    """The files of one folder. Opened by the first `append`, and again by the next one after an error."""

    def __init__(self, rules: FileRules) -> None:
        self._rules = rules
        self._lock: int | None = None
        self._open: _Open | None = None

    def append(self, body: bytes, wall_ms: int) -> None:
        """Append whole lines and sync them. Raises `OSError`: then nothing of them counts as written."""
        last = self._open or self._resume(wall_ms)
        if last.size_bytes and (
            last.size_bytes + len(body) > self._rules.rotate_bytes
            or not 0 <= wall_ms - last.opened_ms < self._rules.rotate_ms
        ):
            last = self._rotate(last, wall_ms)
        try:
            _write(last.file, body)
            os.fsync(last.file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(last.file, last.size_bytes)
            self._close_file()  # after a failed fsync nobody knows what the file holds: read it again
            raise
        last.size_bytes += len(body)

    def close(self) -> None:
        """Close the file and let another process have the folder."""
        self._close_file()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- files

    def _resume(self, wall_ms: int) -> _Open:
        folder = self._rules.folder
        folder.mkdir(parents=True, exist_ok=True)
        self._take_lock(folder)
        for left in folder.glob(f"{PREFIX}-*.tmp"):
            left.unlink()
        found = self._files()
        plain = [each for each in found if each[1].suffix == ".lp"]
        if plain and plain[-1] == found[-1]:
            last = _continue(*plain.pop(), wall_ms)
            self._open = last
        else:
            last = self._start(found[-1][0] + 1 if found else 1, wall_ms)
        for _, path in plain:
            self._archive(path)
        return last

    def _take_lock(self, folder: Path) -> None:
        if self._lock is not None:
            return
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
        self._lock = lock

    def _start(self, number: int, wall_ms: int) -> _Open:
        stamp = datetime.fromtimestamp(wall_ms / 1000, UTC).strftime(_STAMP)
        path = self._rules.folder / f"{PREFIX}-{number:06d}-{stamp}.lp"
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o640)
        self._open = _Open(file, path, number, 0, wall_ms)
        self._sync_folder()
        return self._open

    def _rotate(self, last: _Open, wall_ms: int) -> _Open:
        self._close_file()
        new = self._start(last.number + 1, wall_ms)
        self._archive(last.path)
        for _, path in self._files()[: -self._rules.keep_files]:
            path.unlink()
        return new

    def _archive(self, path: Path) -> None:
        """Compress a closed file, if that is wanted; killed half-way, the next `open` does it again."""
        if not self._rules.compress:
            return
        building, whole = path.with_name(path.name + ".tmp"), path.with_name(path.name + ".gz")
        with path.open("rb") as source, building.open("wb") as target:
            with gzip.GzipFile(path.name, "wb", GZIP_LEVEL, target, mtime=0) as packed:
                shutil.copyfileobj(source, packed)
            target.flush()
            os.fsync(target.fileno())
        building.rename(whole)
        self._sync_folder()
        path.unlink()

    def _files(self) -> list[tuple[int, Path]]:
        named = ((_NAME.match(path.name), path) for path in self._rules.folder.iterdir())
        return sorted((int(match[1]), path) for match, path in named if match is not None)

    def _sync_folder(self) -> None:
        if self._lock is not None:  # it is a descriptor of the folder
            os.fsync(self._lock)

    def _close_file(self) -> None:
        last, self._open = self._open, None
        if last is not None:
            os.close(last.file)


def _continue(number: int, path: Path, wall_ms: int) -> _Open:
    file = os.open(path, os.O_RDWR | os.O_APPEND)
    try:
        size_bytes = _whole_lines(file)
        os.ftruncate(file, size_bytes)
        os.fsync(file)
    except OSError:
        os.close(file)
        raise
    stamp = path.stem.rpartition("-")[2]
    opened_ms = round(datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC).timestamp() * 1000)
    return _Open(file, path, number, size_bytes, min(opened_ms, wall_ms))  # a stamp from the future: of a wrong clock


def _write(file: int, body: bytes) -> None:
    left = memoryview(body)
    while left:
        left = left[os.write(file, left) :]


def _whole_lines(file: int) -> int:
    """How many bytes of a file are whole lines.

    What follows the last line feed is torn; so is everything from a NUL on, which is what some file systems leave of
    blocks that were not written before a power cut.
    """
    for at, tail in _tails(file, os.fstat(file).st_size):
        end = tail.partition(b"\0")[0].rfind(b"\n")
        if end >= 0:
            return at + end + 1
    return 0


def _tails(file: int, size: int) -> Iterator[tuple[int, bytes]]:
    while size > 0:
        at = max(0, size - TAIL_BYTES)
        yield at, os.pread(file, size - at, at)
        size = at
