"""Room for a connection per device: the process's limit of open files, raised as far as the system lets it.

A soft limit is a default (often 1,024) that a process may raise up to the hard one; only the hard one is a refusal.
"""

import resource

from firmware_sim.build import FleetError

SPARE_FILES = 128  # flash, truth, logs, name look-ups in the executor's threads, and what the interpreter has open


def make_room(connections: int) -> None:
    """Raise the soft limit, if so many connections need it. Raises `FleetError` where the hard limit forbids it."""
    needed = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        most = max(0, hard - SPARE_FILES)
        raise FleetError(
            "mqtt.connections",
            f"expected at most {most} devices with a connection each, because this user may have {hard} files open "
            f'(ulimit -Hn), found {connections}: use "shared", or raise the hard limit',
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
