"""The store on a disk that fails, fills up or turns read-only, and a process that dies at any operation on it.

Nothing is acknowledged after the failure, the gateway recovers without a restart, and nothing acknowledged is lost.
"""

import errno
import os
import shutil
import subprocess
import urllib.error
from pathlib import Path

import pytest

from edge.desk import STORE_FILE
from tests.crash.disk import run_under_shim
from tests.crash.kill_loop import strace_works
from tests.live.house import House, house, needs_broker, wait_until

STRUCK = {"(INJECTED)", "(DELAYED)"}  # strace's words
MIB = 1024**2
OPERATIONS_MIN = 1000  # of the three courses: fewer would mean that the shim no longer sees what SQLite does
STATES_MIN = 600  # of the files, between these
EVERY = "tests.crash.every_operation"


@pytest.mark.timeout(300)  # some thousand runs
@pytest.mark.parametrize(
    ("error", "how", "stride"),
    [("EIO", "sticky", 1), ("EIO", "once", 5), ("ENOSPC", "sticky", 7), ("EROFS", "sticky", 7)],
)
def test_whichever_operation_on_the_store_fails_nothing_acknowledged_is_lost(error: str, how: str, stride: int) -> None:
    found = run_under_shim(EVERY, error, how, stride)
    assert found["problems"] == []
    assert found["operations"] > OPERATIONS_MIN
    if how == "sticky":
        assert found["failures"] > found["runs"], "the runs did meet the failures"


def test_f5_a_kill_at_any_operation_of_a_first_start_a_migration_or_the_work_loses_nothing_acknowledged() -> None:
    found = run_under_shim(EVERY, "KILL")
    assert found["problems"] == []
    assert found["operations"] > OPERATIONS_MIN
    assert found["states"] > STATES_MIN


needs_strace = pytest.mark.skipif(not strace_works(), reason="strace is not installed, or tracing is not allowed here")


def can_mount() -> bool:
    tried = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(tried, check=False, capture_output=True).returncode == 0


needs_mount = pytest.mark.skipif(not can_mount(), reason="a private mount namespace needs root")


def on_a_small_disk(lab: House, options: str) -> None:
    """Give the gateway a data_dir that is a tmpfs of its own, in a mount namespace of its own."""
    data_dir = lab.folder / "edge"
    data_dir.mkdir(exist_ok=True)
    mount = f'mount -t tmpfs -o {options} tmpfs "$0" && exec "$@"'
    lab.gateway.wrapper = ["unshare", "-m", "sh", "-c", mount, str(data_dir)]


def is_ready(lab: House) -> bool:
    try:
        return bool(lab.get_gateway("readyz"))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 503:
            raise
        return False


@pytest.mark.live
@needs_broker
@needs_strace
@pytest.mark.parametrize(
    "inject",
    [
        "fdatasync:error=EIO:when=20..21",
        "pwrite64:error=ENOSPC:when=300..302",
        "fdatasync:delay_enter=300000:when=10..20",
    ],
)
def test_a_running_gateway_whose_disk_fails_for_a_while_recovers_by_itself(tmp_path: Path, inject: str) -> None:
    with house(tmp_path) as lab:
        wal = tmp_path / "edge" / f"{STORE_FILE}-wal"
        call = inject.partition(":")[0]
        trace = ["strace", "-f", "-D", "-qq", "-o", str(tmp_path / "trace"), "-P", str(wal)]
        lab.gateway.wrapper = [*trace, "-e", f"trace={call}", "-e", f"inject={inject}"]
        lab.start()
        pid = lab.gateway.pid
        wait_until(lambda: bool(STRUCK & set((tmp_path / "trace").read_text().split())), "strace strikes")
        if "error" in inject:
            lab.gateway.wait_for("store refuses: nothing is acknowledged until it works again")
            lab.gateway.wait_for("store works again")
        proof = lab.prove()
        assert proof.holds, proof
        assert lab.gateway.pid == pid


@pytest.mark.live
@needs_broker
@needs_mount
def test_a_full_disk_stops_the_acknowledgements_and_a_freed_one_starts_them_again(tmp_path: Path) -> None:
    with house(tmp_path) as lab:
        on_a_small_disk(lab, "size=8m")
        lab.start()
        wait_until(lambda: lab.status().ledger.delivered > 50, "it works")
        inside = Path(f"/proc/{lab.gateway.pid}/root{tmp_path}/edge")
        fill(inside / "filler")
        lab.gateway.wait_for("store refuses: nothing is acknowledged until it works again")
        wait_until(lambda: not is_ready(lab), "it says that it is not ready")
        stored = lab.status().ledger.received
        measured = len(lab.truth())
        wait_until(lambda: len(lab.truth()) > measured + 100, "the devices measure on")
        assert lab.status().ledger.received == stored
        (inside / "filler").unlink()
        lab.gateway.wait_for("store works again")
        assert is_ready(lab)
        proof = lab.prove()
        assert proof.holds, proof


@pytest.mark.live
@needs_broker
@needs_mount
def test_a_disk_that_somebody_else_fills_drains_by_the_ballast_which_is_made_again(tmp_path: Path) -> None:
    with house(tmp_path) as lab:
        on_a_small_disk(lab, "size=16m")
        lab.gateway.start()
        lab.fleet.start()
        wait_until(lambda: lab.status().ledger.held > 100, "readings wait for a cloud that is not there")
        assert lab.status().store.ballast_held
        inside = Path(f"/proc/{lab.gateway.pid}/root{tmp_path}/edge")
        subprocess.run(["fallocate", "-l", str(free_bytes(inside) - MIB), inside / "filler"], check=True)
        fill(inside / "rest")
        lab.gateway.wait_for("store refuses: nothing is acknowledged until it works again")
        lab.cloud.start()
        wait_until(lambda: lab.status().ledger.held == 0, "a full disk drains")
        assert lab.status().store.ballast_released > 0
        for name in ("filler", "rest"):
            (inside / name).unlink()
        wait_until(lambda: lab.status().store.ballast_held, "the ballast is made again")
        proof = lab.prove()
        assert proof.holds, proof


def on_an_ext4_volume(lab: House) -> Path:
    """Give the gateway a data_dir that is an ext4 of its own, in a mount namespace of its own; the image. Or skip."""
    image, data_dir = lab.folder / "disk", lab.folder / "edge"
    data_dir.mkdir(exist_ok=True)
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    mount = f'mount -o loop,errors=remount-ro {image} "$0" && exec "$@"'
    lab.gateway.wrapper = ["unshare", "-m", "sh", "-c", mount, str(data_dir)]
    for command in (["mkfs.ext4", "-q", "-F", str(image)], [*lab.gateway.wrapper, "true"]):
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed")
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"a loop-mounted ext4 is not allowed here: {done.stderr.strip()}")
    return image


def turn_read_only(image: Path) -> None:
    """Make the kernel find an error in the file system, as on a worn SD card: it allows no write from then on."""
    listed = subprocess.run(["losetup", "-j", str(image)], check=True, capture_output=True, text=True).stdout
    trigger = Path("/sys/fs/ext4") / Path(listed.partition(":")[0]).name / "trigger_fs_error"
    if not os.access(trigger, os.W_OK):
        pytest.skip(f"{trigger} cannot be written here")
    trigger.write_text("1")


@pytest.mark.live
@needs_broker
@needs_mount
def test_f11_a_volume_that_the_kernel_turns_read_only_under_load_costs_nothing(tmp_path: Path) -> None:
    with house(tmp_path) as lab:
        image = on_an_ext4_volume(lab)
        lab.start()
        wait_until(lambda: lab.status().ledger.delivered > 50, "it works")
        turn_read_only(image)
        lab.gateway.wait_for("store refuses: nothing is acknowledged until it works again")
        wait_until(lambda: not is_ready(lab), "it says that it is not ready")
        stored = lab.status().ledger.received
        measured = len(lab.truth())
        wait_until(lambda: len(lab.truth()) > measured + 100, "the devices measure on")
        assert lab.status().ledger.received == stored, "nothing is taken that cannot be kept"
        lab.gateway.end()
        repaired = subprocess.run(["e2fsck", "-fy", str(image)], check=False, capture_output=True, text=True)
        assert repaired.returncode in {0, 1}, repaired
        lab.gateway.start()
        assert lab.status().ledger.received >= stored, "what was acknowledged is there"
        proof = lab.prove()
        assert proof.holds, proof


def free_bytes(folder: Path) -> int:
    volume = os.statvfs(folder)
    return volume.f_bavail * volume.f_frsize


@pytest.mark.live
@needs_broker
@needs_mount
def test_a_gateway_on_a_read_only_volume_ends_with_3_and_one_line(tmp_path: Path) -> None:
    with house(tmp_path) as lab:
        on_a_small_disk(lab, "size=8m,ro")
        lab.gateway.launch()
        assert lab.gateway.join() == 3
        assert len(lab.gateway.stray) == 1, lab.gateway.stray
        assert os.strerror(errno.EROFS) in lab.gateway.stray[0]


def fill(path: Path) -> None:
    """Write until the disk is full, to the last byte."""
    with path.open("wb", buffering=0) as filler:
        size = 1 << 16
        while size:
            try:
                filler.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 2
