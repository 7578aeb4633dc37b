"""Packed files: gzip when the name ends in `.gz`, Zstandard when it ends in `.zst`, plain otherwise.

Promises: reading is bounded, whatever the file says of itself: `Bounded` gives out at most so many unpacked bytes, a
line is read in pieces of a stated length, and a Zstandard frame that asks for a window above `WINDOW_LOG_MAX` is
refused. What is written has no name and no time in it, so equal contents give equal files. Zstandard comes with Python
3.14, before that with the extra `zstd`; where it is missing, `PackingError` says so.
"""

import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Protocol

GZIP, ZSTD = ".gz", ".zst"
WINDOW_LOG_MAX = 27
"""128 MB of memory for a reader, the most that the `zstd` tool takes, too, unless it is told otherwise."""
ZSTD_LEVEL = 6
"""A day with 1 Hz bandwidth takes 0.1 s and a tenth less room than with the default 3; 19 takes 15 times as long."""


class PackingError(ValueError):
    """A packed file cannot be read or written. Carries `expected`."""

    def __init__(self, expected: str) -> None:
        self.expected = expected
        super().__init__(f"file: expected {expected}")


class Readable(Protocol):
    """What a file is read by."""

    def read(self, size: int, /) -> bytes: ...  # noqa: D102
    def readline(self, size: int, /) -> bytes: ...  # noqa: D102


class Bounded:
    """A file that gives out at most `bytes_max`. Raises `PackingError` at the first byte more."""

    def __init__(self, file: Readable, bytes_max: int) -> None:
        self._file = file
        self._bytes_max = bytes_max
        self._left = bytes_max

    def read(self) -> bytes:
        """All of it."""
        return self._taken(self._file.read(self._left + 1))

    def readline(self, bytes_max: int) -> bytes:
        """The next line, or so much of it."""
        return self._taken(self._file.readline(min(bytes_max, self._left + 1)))

    def _taken(self, data: bytes) -> bytes:
        if len(data) > self._left:
            raise PackingError(f"at most {self._bytes_max} bytes unpacked")
        self._left -= len(data)
        return data


@contextmanager
def unpacked(path: Path, bytes_max: int) -> Iterator[Bounded]:
    """The contents of a file, unpacked as its name says. Raises `OSError`, and at any read `PackingError`."""
    if path.name.endswith(GZIP):
        errors: tuple[type[Exception], ...] = (gzip.BadGzipFile, EOFError, zlib.error)
        with _one_error("gzip", errors), gzip.open(path, "rb") as file:
            yield Bounded(file, bytes_max)
    elif path.name.endswith(ZSTD):
        zstd = _zstd()
        options = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX}
        with _one_error("Zstandard", (zstd.ZstdError, EOFError)), zstd.open(path, "rb", options=options) as file:
            yield Bounded(file, bytes_max)
    else:
        with path.open("rb") as file:
            yield Bounded(file, bytes_max)


def packed(data: bytes, name: str) -> bytes:
    """The contents of a file of this name. Raises `PackingError`."""
    if name.endswith(GZIP):
        return gzip.compress(data, mtime=0)
    if name.endswith(ZSTD):
        compressed: bytes = _zstd().compress(data, ZSTD_LEVEL)
        return compressed
    return data


@contextmanager
def _one_error(kind: str, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    try:
        yield
    except errors as error:
        raise PackingError(f"a whole {kind} file, as the name says") from error


def _zstd() -> ModuleType:
    try:
        return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    except ImportError:
        raise PackingError("Zstandard for a name that ends in .zst: pip install 'tidegate[zstd]'") from None
