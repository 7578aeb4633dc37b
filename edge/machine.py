"""The machine that the gateway runs on, as far as it matters to it: disk, CPU, memory, descriptors, and the clock.

Promises: a look takes about a millisecond (a few small files of /proc and system calls, no process is started), is
taken at most once in `KEEP_MS` however often it is asked for, and says None for what this system does not tell. The
clock is what the kernel knows of it: a time daemon (chrony, ntpd, systemd-timesyncd) tells it whether the clock is in
step, how far it is off, and how far it may be off at the most.
"""

import ctypes
import os
import resource
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

KEEP_MS = 1000  # the pages look once a second
PROC = Path("/proc")
_KIB = 1024
_NS_PER_US = 1000
_STA_NANO = 0x2000  # the kernel tells the offset in nanoseconds
_TIME_ERROR = 5  # what adjtimex returns while nobody keeps the clock


@dataclass(frozen=True, slots=True)
class KernelClock:
    """What the kernel knows of its clock. `offset_us`: still to be corrected; `error_us`: the most that it is off."""

    is_synchronised: bool
    offset_us: int
    error_us: int


@dataclass(frozen=True, slots=True)
class Machine:
    """One look. `cpu_percent` is of one processor, between the last two looks; `load` the mean over a minute."""

    disk_bytes: int | None = None
    disk_free_bytes: int | None = None
    cpu_seconds: float | None = None
    cpu_percent: float | None = None
    load: float | None = None
    processors: int | None = None
    resident_bytes: int | None = None
    memory_bytes: int | None = None
    memory_available_bytes: int | None = None
    open_files: int | None = None
    open_files_max: int | None = None
    up_s: int | None = None
    clock: KernelClock | None = None


class MachineWatch:
    """Looks at the machine; `folder` is where the store is. For one thread."""

    def __init__(self, folder: Path, clock: Callable[[], KernelClock | None] | None = None, proc: Path = PROC) -> None:
        self._folder = folder
        self._clock = clock if clock is not None else kernel_clock
        self._proc = proc
        self._seen = Machine()
        self._seen_ms: int | None = None

    def look(self, now_ms: int) -> Machine:
        """The machine now, or as it was less than `KEEP_MS` ago. `now_ms` is monotonic."""
        before, before_ms = self._seen, self._seen_ms
        if before_ms is not None and now_ms - before_ms < KEEP_MS:
            return before
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu_seconds = usage.ru_utime + usage.ru_stime
        percent = None
        if before_ms is not None and before.cpu_seconds is not None:
            percent = round(100_000 * (cpu_seconds - before.cpu_seconds) / (now_ms - before_ms), 1)
        disk = _disk(self._folder)
        memory = self._table("meminfo")
        self._seen_ms = now_ms
        self._seen = Machine(
            disk_bytes=None if disk is None else disk[0],
            disk_free_bytes=None if disk is None else disk[1],
            cpu_seconds=round(cpu_seconds, 2),
            cpu_percent=percent,
            load=round(os.getloadavg()[0], 2),
            processors=len(os.sched_getaffinity(0)),
            resident_bytes=self._table("self/status").get("VmRSS"),
            memory_bytes=memory.get("MemTotal"),
            memory_available_bytes=memory.get("MemAvailable"),
            open_files=self._open_files(),
            open_files_max=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            up_s=self._up_s(),
            clock=self._clock(),
        )
        return self._seen

    def _table(self, name: str) -> dict[str, int]:
        """A file of lines like `VmRSS:  1234 kB`, in bytes."""
        found: dict[str, int] = {}
        for line in self._text(name).splitlines():
            key, _, rest = line.partition(":")
            words = rest.split()
            if len(words) == 2 and words[1] == "kB" and words[0].isdecimal():
                found[key] = int(words[0]) * _KIB
        return found

    def _up_s(self) -> int | None:
        first = self._text("uptime").partition(" ")[0]
        try:
            return int(float(first))
        except ValueError:
            return None

    def _open_files(self) -> int | None:
        try:
            return sum(1 for _ in (self._proc / "self" / "fd").iterdir()) - 1  # the one that lists them is gone again
        except OSError:
            return None

    def _text(self, name: str) -> str:
        try:
            return (self._proc / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def _disk(folder: Path) -> tuple[int, int] | None:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.total, usage.free


class _Timex(ctypes.Structure):
    """`struct timex` of Linux: https://man7.org/linux/man-pages/man2/adjtimex.2.html."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),  # more than any architecture's remainder
    )


def kernel_clock() -> KernelClock | None:
    """What the kernel knows of its clock; it is only read. None where it cannot be asked."""
    timex = _Timex()  # modes 0: nothing is set
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    offset_us = timex.offset // _NS_PER_US if timex.status & _STA_NANO else timex.offset
    return KernelClock(state != _TIME_ERROR, offset_us, timex.maxerror)
