"""One store, one gateway: an advisory lock, released by the kernel when the process ends, however it ends.

The lock's file also says how the store was left, so that the next gateway notices what is gone: a store that was `open`
has a write-ahead log, one that was `closed` needs none, and one whose salvage has begun (`damaged`) is not yet whole.
"""

import fcntl
import os
from enum import StrEnum
from pathlib import Path

from edge.store.errors import StoreLocked, StoreUnusable
from sensors.files import sync_path

_STATE_BYTES_MAX = 16


class Left(StrEnum):
    """How a store was left; `UNKNOWN` by an older version, or for the first time."""

    UNKNOWN = ""
    OPEN = "open"
    CLOSED = "closed"
    DAMAGED = "damaged"


class StoreLock:
    """Holds `PATH.lock` from construction to `release`. Raises `StoreLocked` or `StoreUnusable`."""

    def __init__(self, store_path: Path) -> None:
        path = store_path.with_name(store_path.name + ".lock")
        self._folder = store_path.parent
        try:
            self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnusable(str(path), error.strerror or str(error)) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise StoreLocked(str(store_path)) from None
        said = os.pread(self._descriptor, _STATE_BYTES_MAX, 0).decode("ascii", "replace").strip()
        self.left = Left(said) if said in list(Left) else Left.UNKNOWN

    def mark(self, left: Left) -> None:
        """Say how the store is left from here on, durably. Raises `OSError`."""
        if self._descriptor is None or left is self.left:
            return
        sync_path(self._folder)  # first the name of the log, then the word that there is one
        os.pwrite(self._descriptor, left.ljust(_STATE_BYTES_MAX - 1).encode() + b"\n", 0)
        os.fsync(self._descriptor)
        self.left = left

    def release(self) -> None:
        """Let the next gateway in. The lock file stays: removing it would race with the next holder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
