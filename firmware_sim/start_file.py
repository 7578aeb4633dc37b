"""When a fleet's scenario began: kept in its folder, so that a restarted fleet goes on where it would be by now.

Steps, tracks, movements, traces, sensor faults, wear and meters count from there. The file holds the instant of the
first start on the folder, in the devices' milliseconds, and is written once; without it the scenario begins anew.
"""

from pathlib import Path

from firmware_sim.flash import replace_file


class StartFileError(ValueError):
    """The file holds something else. Who must act: the operator; nothing was changed in it."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path}: expected milliseconds since 1970, of the fleet's first start; delete it to begin anew"
        )
        self.path = path


def begun_ms(path: Path, now_ms: int) -> int:
    """When it began: as the file says, else now, which the file then says. Raises `StartFileError`."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        replace_file(path, f"{now_ms}\n".encode())
        return now_ms
    except UnicodeDecodeError:
        raise StartFileError(path) from None
    if not text.isdecimal():
        raise StartFileError(path)
    return min(int(text), now_ms)  # a clock that was ahead then is not ahead now
