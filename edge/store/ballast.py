"""A file beside the store that only holds space: on a full disk SQLite can neither delete nor checkpoint without some.

    made when the store is opened -> deleted at the first "disk full" -> made again when there is room for it twice

Promises: what the ballast occupies is never counted as free for readings, also not while it is released, so that the
space it gives back serves the drain and nothing else; making it never takes the last of a volume.
"""

import os
from contextlib import suppress
from pathlib import Path

BALLAST_SHARE = 100  # one part in so many of what the store may take
BALLAST_BYTES_MIN = 4 * 1024**2  # a drain's write-ahead log until its first checkpoint
VOLUME_SHARE = 8  # at most one part in so many of the volume: on a tiny one the readings need the room
ROOM_FACTOR = 2  # free space, in ballasts, at which it is made: less, and it would be let go again at once


class Ballast:
    """The ballast of one store; `size_bytes` is what it takes, `released` how often it was let go since the start."""

    def __init__(self, store_path: Path, disk_bytes_max: int) -> None:
        self._path = store_path.with_name(store_path.name + ".ballast")
        volume = os.statvfs(store_path.parent)
        wanted = max(disk_bytes_max // BALLAST_SHARE, BALLAST_BYTES_MIN)
        self.size_bytes = min(wanted, volume.f_blocks * volume.f_frsize // VOLUME_SHARE)
        self.released = 0
        self.is_held = self._is_there()

    @property
    def owed_bytes(self) -> int:
        """What of the volume's free space is to be left for it."""
        return 0 if self.is_held else self.size_bytes

    def make(self, free_bytes: int) -> bool:
        """Make it, if it is not there and there is room; whether it was made."""
        if self.is_held or free_bytes < ROOM_FACTOR * self.size_bytes:
            return False
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self.size_bytes)
            finally:
                os.close(descriptor)
        except OSError:  # somebody else was faster to take the room; a later look tries again
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            return False
        self.is_held = True
        return True

    def release(self) -> bool:
        """Give the space back to the volume; whether there was any."""
        if not self.is_held:
            return False
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        self.is_held = self._is_there()
        self.released += not self.is_held
        return not self.is_held

    def _is_there(self) -> bool:
        try:
            file = self._path.stat()
        except OSError:
            return False
        return file.st_blocks * 512 >= self.size_bytes
