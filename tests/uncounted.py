"""Child processes in which coverage counts no lines, for tests whose children meet none that others do not meet in
their own process: counting makes a simulation twice as slow, and each start half a second longer.

`uncounted_call` is the same for a function in the test's own process.

`COUNTED_ALONE PROGRAM ARGUMENTS...` is `python -m PROGRAM ARGUMENTS...` that is counted, and nothing that it starts.
"""

import _thread
import functools
import os
import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, ParamSpec, TypeVar

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
    """The same function, in which no lines are counted.

    It runs in a thread that coverage does not know: were coverage stopped and started again, it would count no more
    lines of the functions that are under way, either.
    """

    @functools.wraps(call)
    def quiet(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        answer: Future[Answer] = Future()

        def work() -> None:
            try:
                answer.set_result(call(*args, **kwargs))
            except Exception as error:  # noqa: BLE001  # it is raised where the answer is waited for
                answer.set_exception(error)

        _thread.start_new_thread(work, ())
        return answer.result()

    return quiet
