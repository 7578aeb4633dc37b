"""The store's files as the operating system has them: whether they may be used, and are still those that are open.

SQLite goes on writing to a file that somebody has deleted: its commits succeed, and are gone with the process. So the
store asks after every commit, before anything is acknowledged.
"""

import os
from pathlib import Path

SIDES = ("", "-wal", "-shm")


def check_access(path: Path) -> None:
    """Raises `PermissionError` that names the file, where SQLite would only say that it cannot open something."""
    for side in SIDES:
        file = path.with_name(path.name + side)
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            raise PermissionError(f"{file} may not be read and written by this user: mend its owner or its mode")


class OpenFiles:
    """The files that a connection has open; `note` them when it does."""

    def __init__(self, path: Path) -> None:
        self._names = tuple(f"{path}{side}" for side in SIDES)
        self._known: tuple[tuple[int, int] | None, ...] = (None,) * len(SIDES)

    def note(self) -> None:
        """These are the ones."""
        self._known = tuple(map(_identity, self._names))

    def strayed(self) -> str | None:
        """The first file that was deleted or replaced since, or None."""
        for name, known in zip(self._names, self._known, strict=True):
            if known is not None and _identity(name) != known:
                return name
        return None


def _identity(name: str) -> tuple[int, int] | None:
    try:
        file = os.stat(name)  # noqa: PTH116  # after every commit: a fifth of the time of Path.stat
    except OSError:
        return None
    return file.st_dev, file.st_ino
