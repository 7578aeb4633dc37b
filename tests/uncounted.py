"""Child processes in which coverage counts no lines, for tests whose children meet none that others do not meet in
their own process: counting makes a simulation twice as slow, and each start half a second longer.

`uncounted_call` is the same for a function in the test's own process.

`COUNTED_ALONE PROGRAM ARGUMENTS...` is `python -m PROGRAM ARGUMENTS...` that is counted, and nothing that it starts.
"""

import functools
import os
import sys
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from coverage import Coverage

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

_PROGRAM = """\
import os, runpy, sys
os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
COUNTED_ALONE: Final = (sys.executable, "-c", _PROGRAM)


def uncounted(**more: str) -> dict[str, str]:
    """The environment for such a child, with `more` in it."""
    kept = {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}
    return kept | more


def uncounted_call(call: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """The same function, during which no lines are counted."""

    @functools.wraps(call)
    def quiet(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        counting = Coverage.current()
        if counting is None:
            return call(*args, **kwargs)
        counting.stop()
        try:
            return call(*args, **kwargs)
        finally:
            counting.start()

    return quiet
