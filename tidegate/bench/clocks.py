"""The clocks of a measurement: wall seconds, CPU seconds of this process, and a wait."""

import resource

from sensors.clock import SystemClock
from tidegate.edge_access import wait_s as wait_s

_clock = SystemClock()


def wall_s() -> float:
    """Seconds of a clock that only goes forward."""
    return _clock.monotonic_ms() / 1000


def own_cpu_s() -> float:
    """CPU seconds of this process so far, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
