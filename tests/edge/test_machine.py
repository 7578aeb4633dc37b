"""The machine as the gateway sees it: plausible, not known where a system does not tell, and seldom asked."""

import os
import socket
from pathlib import Path

from edge.machine import KEEP_MS, KernelClock, Machine, MachineWatch, kernel_clock
from edge.status import machine_status

PROC = {
    "self/status": "Name:\tpython\nVmRSS:\t   2048 kB\nThreads:\t3\n",
    "meminfo": "MemTotal:  1000000 kB\nMemAvailable:  250000 kB\nHugePages_Total:   0\n",
    "uptime": "93784.21 180000.00\n",
}


def _no_clock() -> None:
    return None


def _proc(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_this_machine_is_plausible(tmp_path: Path) -> None:
    seen = MachineWatch(tmp_path).look(0)
    assert seen.disk_bytes is not None
    assert seen.disk_free_bytes is not None
    assert 0 < seen.disk_free_bytes <= seen.disk_bytes
    assert seen.memory_bytes is not None
    assert seen.resident_bytes is not None
    assert 1_000_000 < seen.resident_bytes < seen.memory_bytes
    assert seen.processors
    assert seen.processors <= (os.cpu_count() or 1)
    assert seen.cpu_percent is None, "there is nothing yet to compare with"


def test_the_files_of_proc_are_read_in_bytes_and_seconds(tmp_path: Path) -> None:
    seen = MachineWatch(tmp_path, _no_clock, _proc(tmp_path / "proc", PROC)).look(0)
    assert (seen.resident_bytes, seen.memory_bytes, seen.memory_available_bytes) == (
        2048 * 1024,
        1_000_000 * 1024,
        250_000 * 1024,
    )
    assert (seen.up_s, seen.open_files, seen.clock) == (93_784, None, None)


def test_what_the_system_does_not_tell_is_none_and_nothing_is_raised(tmp_path: Path) -> None:
    nonsense = _proc(tmp_path / "proc", {"self/status": "VmRSS:\tmany kB\n", "uptime": "long\n"})
    seen = MachineWatch(tmp_path / "gone", _no_clock, nonsense).look(0)
    unknown = ("disk_bytes", "disk_free_bytes", "resident_bytes", "memory_bytes", "up_s", "open_files")
    assert [getattr(seen, name) for name in unknown] == [None] * len(unknown)


def test_it_is_looked_at_once_a_second_and_cpu_is_between_two_looks(tmp_path: Path) -> None:
    watch = MachineWatch(tmp_path, _no_clock)
    first = watch.look(0)
    assert watch.look(KEEP_MS - 1) is first
    sum(at * at for at in range(200_000))
    second = watch.look(KEEP_MS)
    assert second is not first
    assert first.cpu_seconds is not None
    assert second.cpu_seconds is not None
    assert second.cpu_percent is not None
    assert abs(second.cpu_percent - 100 * (second.cpu_seconds - first.cpu_seconds)) <= 1.1  # seconds are rounded


def test_an_open_socket_is_an_open_file(tmp_path: Path) -> None:
    watch = MachineWatch(tmp_path)
    before = watch.look(0).open_files
    assert before is not None
    with socket.socket():
        assert watch.look(KEEP_MS).open_files == before + 1


def test_the_kernel_tells_of_its_clock_and_the_status_has_it() -> None:
    told = kernel_clock()
    assert told is None or told.error_us >= 0
    status = machine_status(Machine(up_s=5, clock=KernelClock(is_synchronised=True, offset_us=-120, error_us=4000)))
    assert status.clock is not None
    assert (status.up_s, status.clock.is_synchronised, status.clock.offset_us) == (5, True, -120)
