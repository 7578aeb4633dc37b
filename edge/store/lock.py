"""One store, one gateway: an advisory lock, released by the kernel when the process ends, however it ends."""

import fcntl
import os
from pathlib import Path

from edge.store.errors import StoreLocked, StoreUnusable


class StoreLock:
    """Holds `PATH.lock` from construction to `release`. Raises `StoreLocked` or `StoreUnusable`."""

    def __init__(self, store_path: Path) -> None:
        path = store_path.with_name(store_path.name + ".lock")
        try:
            self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnusable(str(path), error.strerror or str(error)) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise StoreLocked(str(store_path)) from None

    def release(self) -> None:
        """Let the next gateway in. The lock file stays: removing it would race with the next holder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
