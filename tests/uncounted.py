"""Child processes in which coverage counts no lines, for tests whose children meet none that others do not meet in
their own process: counting makes a simulation twice as slow, and each start half a second longer.
"""

import os


def uncounted(**more: str) -> dict[str, str]:
    """The environment for such a child, with `more` in it."""
    kept = {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}
    return kept | more
