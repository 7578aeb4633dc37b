"""Logs of a process: one set-up for structlog and the standard library, as lines for people or JSON lines for machines.

Promises: everything goes to the given stream (standard error), never to standard output, which belongs to results;
each line has a UTC time (`2026-01-31T12:00:00.123456Z`), a level, the logger's name and the event; JSON is one object a
line. Libraries that chat (the MQTT broker, the HTTP server, the HTTP clients) are heard from their warnings up, and in
full at `debug`; Python's own warnings are developers' matter and are heard at `debug` only.
"""

import logging
import sys
from typing import Final, TextIO

from sensors.imports import hidden
from tidegate.options import LogFormat, LogLevel

with hidden("rich"):  # a tenth of a part's start; what it would draw, tracebacks in colour, is no line of a log
    import structlog
    from structlog.typing import Processor

# The level that a library speaks from when the operator did not ask for `debug`. amqtt logs a stack trace at ERROR for
# every client that just goes away, so only what ends it is an operator's matter. `httpx` logs every request at INFO.
_QUIET: Final = {
    "amqtt": logging.CRITICAL,
    "transitions": logging.WARNING,
    "asyncio": logging.WARNING,
    "uvicorn": logging.WARNING,
    "uvicorn.access": logging.WARNING,
    "websockets": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "urllib3": logging.WARNING,
    "influxdb_client": logging.WARNING,
    "py.warnings": logging.CRITICAL,
}


def set_up(log_format: LogFormat, level: LogLevel, stream: TextIO | None = None) -> None:
    """Direct all logs of this process to `stream` (standard error by default). A second call replaces the first."""
    out = stream if stream is not None else sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(log_format, out)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.value.upper())
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(logging.NOTSET if level is LogLevel.DEBUG else quiet)
    logging.captureWarnings(capture=True)


def _renderers(log_format: LogFormat, stream: TextIO) -> list[Processor]:
    if log_format is LogFormat.JSON:
        return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(default=str)]
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain, pad_event_to=0)]
