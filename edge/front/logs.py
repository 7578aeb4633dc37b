"""What the front logs goes to the gateway's log, so that there is one log with one level and one form.

Promise: nothing that is logged here is lost on the way but by the end of the pipe; a value that the pipe does not know
is written down as text. Lines may come from any thread.
"""

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from edge.front.frames import LogLine

Tell = Callable[[LogLine], None]
_Plain = str | int | float | bool | None


def ship_logs(tell: Tell) -> None:
    """Send all log lines of this process to `tell`, in the running event loop."""
    loop = asyncio.get_running_loop()

    def soon(line: LogLine) -> None:
        loop.call_soon_threadsafe(tell, line)

    def ship(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        level, name, words = event.pop("level"), event.pop("logger", "gateway"), event.pop("event")
        number = logging.getLevelNamesMapping()[level.upper()]
        soon(LogLine(name, number, str(words), {key: _plain(value) for key, value in event.items()}))
        raise structlog.DropEvent

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.format_exc_info,
            ship,
        ],
        cache_logger_on_first_use=False,
    )
    handler = _Handler(soon)
    logging.getLogger().handlers[:] = [handler]
    logging.getLogger().setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


class _Handler(logging.Handler):
    """Of what libraries log."""

    def __init__(self, soon: Tell) -> None:
        super().__init__()
        self._soon = soon

    def emit(self, record: logging.LogRecord) -> None:
        self._soon(LogLine(record.name, record.levelno, self.format(record), {}))


def _plain(value: Any) -> _Plain | list[str]:
    if isinstance(value, (list, tuple, set, frozenset)):
        return [str(each) for each in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
