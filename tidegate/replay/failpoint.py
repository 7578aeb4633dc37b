"""A crash inside a store operation: `kill -9` at any statement, inside a transaction, and in the middle of a commit.

The desk is synchronous and talks to nobody, so a process that dies at statement k leaves exactly the files as they lie
before statement k, and none of the answers of the call. That is what a `Failpoint` makes: at the k-th statement it
copies the files for the next life, and the call's answer is thrown away (`Killed`).

A commit writes pages to the write-ahead log one after another, so a process killed in its midst leaves the new log up
to some byte and the old one behind it: a torn commit is cut together in that way.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from edge.desk import STORE_FILE
from edge.store import Store

WAL_FILE = f"{STORE_FILE}-wal"
COMMIT = "COMMIT"
PAGE_BYTES = 4096
WHOLE_SHARE = 0.25  # of torn commits: all of it is written, and nobody was told


class Killed(Exception):
    """The process died within a call of the desk: nothing that the call answered exists."""


class Failpoint:
    """Armed: waits for the `operation`-th statement (from 1) that the desk gives to the store."""

    def __init__(self, operation: int, rng: Random, fired: Callable[[], None]) -> None:
        """`fired` is told once, when the process has died."""
        self._left = operation
        self._rng = rng
        self._fired = fired
        self._is_hit = False
        self._in_commit = False

    @contextmanager
    def watching(self, store: Store, following: Path) -> Iterator[None]:
        """Around one call of the desk; `following` is where the next life finds its files. Raises `Killed`."""
        left = store.path.parent

        def heard(statement: str) -> None:
            self._left -= 1
            if self._left == 0:
                self._is_hit, self._in_commit = True, statement == COMMIT
                copy_files(left, following)

        store.trace(heard)
        try:
            yield
        finally:
            store.trace(None)
            if self._is_hit:
                if self._in_commit:
                    self._tear(left, following)
                self._fired()
                raise Killed

    def _tear(self, left: Path, following: Path) -> None:
        """Let a part of the commit be in the write-ahead log."""
        if (left / STORE_FILE).read_bytes() != (following / STORE_FILE).read_bytes():
            return  # it went on to a checkpoint, which overwrites pages: dead before it is as good
        before, after = (folder / WAL_FILE for folder in (following, left))
        old, new = (file.read_bytes() if file.exists() else b"" for file in (before, after))
        same = _same(old, new)
        cut = len(new) if self._rng.random() < WHOLE_SHARE else self._rng.randint(same, len(new))
        before.write_bytes(new[:cut] + old[cut:])


def _same(old: bytes, new: bytes) -> int:
    """Up to where, within a page, two files are the same."""
    starts = range(0, min(len(old), len(new)), PAGE_BYTES)
    changed = (at for at in starts if old[at : at + PAGE_BYTES] != new[at : at + PAGE_BYTES])
    return next(changed, min(len(old), len(new)))


def copy_files(left: Path, following: Path) -> None:
    """The files of a store as they lie now, write-ahead log included, into a folder that is made."""
    following.mkdir()
    for name in (STORE_FILE, WAL_FILE):
        if (left / name).exists():
            shutil.copyfile(left / name, following / name)
