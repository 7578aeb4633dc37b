"""The demo as a user runs it: real processes, a real terminal, keys pressed, and its verdict."""

import json
import os
import pty
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.uncounted import COUNTED_ALONE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]
COMMAND = [*COUNTED_ALONE, "tidegate", "demo", "--api-port", "0"]
"""Its parts meet no line that tests/live and the tests of each do not meet."""


def test_it_survives_the_recorded_outage_and_says_so_as_json(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--for", "20s", "--json", "--dir", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["ok"]
    assert result["sent"] == result["acknowledged"] == result["in_cloud"] > 100
    assert result["missing"] == result["duplicates"] == result["wrong"] == 0
    assert result["outages_survived"] >= 1
    assert done.stderr == ""


@contextmanager
def terminal(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The demo in a pseudo terminal: (process, the terminal's other end)."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "110", "LINES": "45"}
    process = subprocess.Popen(
        [*COMMAND, "--dir", str(folder)], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(screen: int, words: str, limit_s: float = 60) -> str:
    """Everything shown until `words` appear."""
    shown = ""
    while words not in shown:
        ready, _, _ = select.select([screen], [], [], limit_s)
        assert ready, f"{words!r} did not appear: {shown[-2000:]}"
        try:
            shown += os.read(screen, 65536).decode(errors="replace")
        except OSError:  # how Linux says that the other end is closed
            raise AssertionError(f"ended before {words!r}: {shown[-2000:]}") from None
    return shown


def test_keys_cut_the_uplink_kill_the_gateway_and_nothing_is_lost(tmp_path: Path) -> None:
    with terminal(tmp_path / "run") as (process, screen):
        read_until(screen, "ledger")
        os.write(screen, b"o")
        read_until(screen, "DOWN")
        read_until(screen, "not yet")
        os.write(screen, b"k")
        read_until(screen, "gateway (away)")
        read_until(screen, "gateway kills   1")
        os.write(screen, b"r")
        read_until(screen, "in ")
        os.write(screen, b"q")
        shown = read_until(screen, "Nothing was lost")
        assert process.wait(timeout=30) == 0
    assert "cut by hand" in shown


def test_ctrl_c_ends_it_in_order_and_leaves_no_process(tmp_path: Path) -> None:
    with terminal(tmp_path / "run") as (process, screen):
        read_until(screen, "ledger")
        os.write(screen, b"o")
        read_until(screen, "not yet")
        process.send_signal(signal.SIGINT)
        read_until(screen, "Nothing was lost")
        assert process.wait(timeout=30) == 0
    left = subprocess.run(["pgrep", "-f", str(tmp_path / "run")], capture_output=True, text=True, check=False)
    assert left.stdout == ""
