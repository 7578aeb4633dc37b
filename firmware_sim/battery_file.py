"""The batteries of a fleet on disk: what is in each cell survives a restart of the process, as real charge does.

One JSON file beside the flash, replaced as a whole: a kill leaves the old state or the new one. While the process is
down, the devices are off and draw nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from firmware_sim.flash import replace_file

Snapshots = dict[str, dict[str, Any]]


class BatteryFileError(ValueError):
    """The file holds something else. Who must act: the operator; nothing was changed in it."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: expected the batteries of an earlier run, found: {problem}; delete it for new ones")
        self.path = path


def load_batteries(path: Path) -> Snapshots:
    """Read each device's last snapshot; none if there is no file yet. Raises `BatteryFileError`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Snapshots)
    except FileNotFoundError:
        return {}
    except msgspec.DecodeError as error:
        raise BatteryFileError(path, str(error)) from None


def save_batteries(path: Path, snapshots: Mapping[str, Mapping[str, Any]]) -> None:
    """Replace the file; durable on return."""
    replace_file(path, msgspec.json.encode(snapshots))
