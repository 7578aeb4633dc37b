"""Builds the shim (tests/crash/power_loss/shim.c) and drives it; what it does stands at its top.

The code that works on the watched disk runs in a process that was started with the shim (`run_under_shim`); it calls
`begin`, `fail`, `count` and `telling`. `recover` builds, from a shadow, the folder that a power cut would have left.
"""

import ctypes
import functools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.uncounted import uncounted

SOURCE = Path(__file__).parent / "power_loss" / "shim.c"
ROOT = Path(__file__).parents[2]
SECTOR_BYTES = 512  # what a disk writes whole or not at all


@functools.cache
def _compiled() -> Path | str:
    """The shared library, or why there is none."""
    compiler = shutil.which("cc")
    if compiler is None:
        return "no C compiler (Debian: apt install gcc libc6-dev)"
    library = Path(tempfile.mkdtemp(prefix="tidegate-shim-")) / "shim.so"
    command = [
        compiler,
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-shared",
        "-fPIC",
        "-o",
        str(library),
        str(SOURCE),
        "-ldl",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return library if done.returncode == 0 else f"the C compiler does not compile the shim: {done.stderr[:300]}"


def run_under_shim(module: str, *arguments: object, timeout_s: float = 500) -> dict[str, Any]:
    """`python -m MODULE ARGUMENTS...` with the shim loaded; the JSON that it prints. Skips without a compiler."""
    library = _compiled()
    if isinstance(library, str):
        pytest.skip(library)
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=uncounted(LD_PRELOAD=str(library)),
        timeout=timeout_s,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def fast_folder() -> Path | None:
    """Where an fsync costs nothing, for runs by the hundred; None: the usual temporary folder."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else None


# -- inside the process that has the shim


def _shim() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def begin(folder: Path, shadow: Path | None = None) -> None:
    """Watch `folder`; with a shadow, keep what a power cut would leave."""
    _shim().shim_begin(str(folder).encode(), str(shadow or "").encode())


def fail(k: int, error: int, *, sticky: bool = False) -> None:
    """The k-th operation from now fails with this errno; k = 0: nothing fails."""
    _shim().shim_fail(ctypes.c_long(k), error, int(sticky))


def count() -> int:
    """Operations since the last `fail`."""
    return int(_shim().shim_count())


@contextmanager
def telling(heard: Callable[[], None]) -> Iterator[None]:
    """Call `heard` before each operation. It may read the watched files; what it raises is printed and no more."""
    function = ctypes.CFUNCTYPE(None)(heard)
    _shim().shim_tell(function)
    try:
        yield
    finally:
        _shim().shim_tell(None)


# -- after the power cut


def recover(folder: Path, shadow: Path, into: Path, torn: random.Random | None) -> None:
    """What is on the disk afterwards. `torn`: with any subset of the sectors that were written and not synced."""
    for line in (shadow / "names").read_text().splitlines():
        number, name = line.split(" ", 1)
        kept = shadow / number
        content = bytearray(kept.read_bytes() if kept.exists() else b"")
        written = folder / name
        if torn is not None and written.exists():
            _land(content, written.read_bytes(), torn)
        (into / name).write_bytes(content)


def _land(content: bytearray, written: bytes, rng: random.Random) -> None:
    if len(written) > len(content) and rng.random() < 0.5:
        content.extend(bytes(len(written) - len(content)))
    for at in range(0, min(len(content), len(written)), SECTOR_BYTES):
        end = min(at + SECTOR_BYTES, len(content), len(written))
        if content[at:end] != written[at:end] and rng.random() < 0.5:
            content[at:end] = written[at:end]
