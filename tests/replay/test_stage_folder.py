"""A replay's folder goes with it; what a killed one left behind goes with the next."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tidegate.replay.stage_folder import stage_folder

LATER_S = 3600

HOLDER = """
import sys, time
from pathlib import Path
from tidegate.replay.stage_folder import stage_folder
with stage_folder(Path(sys.argv[1])) as folder:
    (folder / "gateway.sqlite").write_bytes(b"x")
    print("ready", flush=True)
    sys.stdin.read()
"""


def _aged(parent: Path) -> None:
    past_s = time.time() - LATER_S
    for lock_file in parent.glob("tidegate-replay-*/in-use"):
        os.utime(lock_file, (past_s, past_s))


def _holder(parent: Path) -> subprocess.Popen[bytes]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"ready\n"
    return holder


def test_the_folder_is_empty_and_gone_afterwards(tmp_path: Path) -> None:
    with stage_folder(tmp_path) as folder:
        assert not list(folder.iterdir())
    assert not list(tmp_path.iterdir())


def test_what_a_killed_replay_left_goes_with_the_next_one(tmp_path: Path) -> None:
    with _holder(tmp_path) as holder:
        holder.send_signal(signal.SIGKILL)
    assert len(list(tmp_path.iterdir())) == 1
    with stage_folder(tmp_path):
        assert len(list(tmp_path.iterdir())) == 2, "it may be about to be locked"
    _aged(tmp_path)
    with stage_folder(tmp_path):
        assert len(list(tmp_path.iterdir())) == 1


def test_the_folder_of_a_replay_under_way_is_left_alone(tmp_path: Path) -> None:
    with _holder(tmp_path) as holder:
        _aged(tmp_path)
        with stage_folder(tmp_path):
            assert len(list(tmp_path.glob("*/stage/gateway.sqlite"))) == 1
        assert holder.stdin is not None
        holder.stdin.close()
    assert holder.returncode == 0
    assert not list(tmp_path.iterdir())
