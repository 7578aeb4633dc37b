"""The life of one process: an event loop, a clean stop on SIGTERM and SIGINT, and every error turned into one line.

Promises: a signal asks the part to stop, and a part that then ends without an error gives exit code 0; a second signal
ends the process at once (130 or 143). `explain` gives each error its exit code and one line; a traceback is for
`--log-level debug` only.
"""

import asyncio
import contextlib
import errno
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

from tidegate.errors import (
    EXIT_FAILED,
    EXIT_TAKEN,
    ConfigError,
    FrontDoorError,
    MissingPackageError,
    Problem,
    TakenError,
)

Start = Callable[[asyncio.Event], Coroutine[Any, Any, None]]

_TAKEN_ERRNOS: Final = frozenset(
    {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR}
)


def run_until_signal(start: Start) -> None:
    """Run `start(stop)` to its end; `stop` is set by the first SIGTERM or SIGINT. Raises what `start` raises."""
    asyncio.run(_run(start))


async def until_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Run `work` and cancel it when `stop` is set; for parts that end by cancellation. Raises what `work` raises."""
    task = asyncio.ensure_future(work)
    waiter = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.contextmanager
def named_by_kind(
    taken: tuple[type[Exception], ...], misconfigured: tuple[type[Exception], ...], source: str = ""
) -> Iterator[None]:
    """Turn a room's own errors into `TakenError` and `ConfigError`, with their words, also out of a task group.

    `source`: the configuration file, which the room does not know.
    """
    try:
        yield
    except taken as error:
        raise TakenError(str(error)) from error
    except misconfigured as error:
        raise ConfigError((Problem(source, "", str(error)),)) from error
    except ExceptionGroup as group:  # not `except*`: before Python 3.11.4 what that raises is a group again
        if (mine := group.subgroup(taken)) is not None:
            raise TakenError(str(_root(mine))) from group
        if (mine := group.subgroup(misconfigured)) is not None:
            raise ConfigError((Problem(source, "", str(_root(mine))),)) from group
        raise


def explain(error: BaseException) -> tuple[int, str]:
    """Exit code and one line (several for several problems) for any error that reached the top of the process."""
    if isinstance(error, BaseExceptionGroup):
        return explain(_root(error))
    if isinstance(error, FrontDoorError):
        return error.exit_code, str(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return explain(MissingPackageError(error.name.partition(".")[0]))
    if isinstance(error, OSError):
        code = EXIT_TAKEN if error.errno in _TAKEN_ERRNOS else EXIT_FAILED
        return code, f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    text = " ".join(str(error).split())
    return EXIT_FAILED, f"{type(error).__name__}: {text}" if text else type(error).__name__


def _root(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group that is no group itself: with one task group, the one that cancelled the others."""
    first = group.exceptions[0]
    return _root(first) if isinstance(first, BaseExceptionGroup) else first


async def _run(start: Start) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)  # so that a second signal does what signals do

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, on_signal)
    await start(stop)
