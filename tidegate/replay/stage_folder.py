"""Where a replay's gateway keeps its files: in memory, where there is such a place, since writing there costs no disk.

Promises: the folder is gone with its replay. One that was killed leaves its own behind, which takes memory until
somebody restarts the machine: the next replay removes it. A folder in use is locked, and is left alone.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108  # where a folder of our own is made
PREFIX = "tidegate-replay-"
LOCK_FILE = "in-use"
_NEW_S = 60.0  # younger ones may be about to be locked


@contextmanager
def stage_folder(parent: Path | None) -> Iterator[Path]:
    """An empty folder in `parent` (None: in memory, or among the temporary files), for as long as the block lasts."""
    if parent is None:
        parent = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else Path(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(dir=parent, prefix=PREFIX) as name:
        lock_file = Path(name) / LOCK_FILE
        with lock_file.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _remove_left_behind(parent, lock_file.stat().st_mtime)
            stage = Path(name) / "stage"
            stage.mkdir()
            yield stage


def _remove_left_behind(parent: Path, now_s: float) -> None:
    """Remove the folders of replays that were killed. `now_s`: seconds since 1970, as files have it."""
    for lock_file in parent.glob(f"{PREFIX}*/{LOCK_FILE}"):
        with suppress(OSError), lock_file.open() as lock:  # another's, or just removed by another replay
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if now_s - lock_file.stat().st_mtime > _NEW_S:
                shutil.rmtree(lock_file.parent, ignore_errors=True)
