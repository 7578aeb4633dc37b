"""Files that outlast a power cut."""

import os
from pathlib import Path


def sync_path(path: Path) -> None:
    """Make a file's content, or a folder's names, durable. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
