"""Log lines: their shape for machines and for people, and who is heard."""

import io
import json
import logging
import re
import warnings
from typing import Any

import pytest
import structlog

from tidegate.logs import set_up
from tidegate.options import LogFormat, LogLevel

pytestmark = pytest.mark.usefixtures("logging_restored")

_UTC = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")


def _json_lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_has_time_level_logger_event_and_the_values() -> None:
    stream = io.StringIO()
    set_up(LogFormat.JSON, LogLevel.INFO, stream)
    structlog.stdlib.get_logger("tidegate.x").info("it happened", rows=3)
    (line,) = _json_lines(stream)
    assert _UTC.match(line.pop("timestamp"))
    assert line == {"event": "it happened", "level": "info", "logger": "tidegate.x", "rows": 3}


def test_a_standard_library_record_looks_the_same() -> None:
    stream = io.StringIO()
    set_up(LogFormat.JSON, LogLevel.INFO, stream)
    logging.getLogger("edge.y").warning("lost %d", 4, extra={"link": "uplink"})
    (line,) = _json_lines(stream)
    assert _UTC.match(line.pop("timestamp"))
    assert line == {"event": "lost 4", "level": "warning", "logger": "edge.y", "link": "uplink"}


def test_an_error_keeps_its_traceback_inside_one_json_line() -> None:
    stream = io.StringIO()
    set_up(LogFormat.JSON, LogLevel.INFO, stream)
    try:
        raise RuntimeError("broken\nin two lines")
    except RuntimeError:
        structlog.stdlib.get_logger("z").exception("failed")
    (line,) = _json_lines(stream)
    assert line["exception"][0]["exc_type"] == "RuntimeError"


def test_what_cannot_be_json_is_written_as_text() -> None:
    stream = io.StringIO()
    set_up(LogFormat.JSON, LogLevel.INFO, stream)
    structlog.stdlib.get_logger("z").info("odd", value=object)
    assert _json_lines(stream)[0]["value"] == "<class 'object'>"


def test_a_human_line_has_no_colour_outside_a_terminal() -> None:
    stream = io.StringIO()
    set_up(LogFormat.HUMAN, LogLevel.INFO, stream)
    structlog.stdlib.get_logger("tidegate.x").info("it happened", rows=3)
    line = stream.getvalue()
    assert "\x1b" not in line
    assert re.search(r"Z \[info *\] it happened .*\[tidegate\.x\].* rows=3\n$", line)


def test_a_human_line_has_colour_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    set_up(LogFormat.HUMAN, LogLevel.INFO, stream)
    structlog.stdlib.get_logger("x").info("it happened")
    assert "\x1b[" in stream.getvalue()


def test_lines_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    set_up(LogFormat.JSON, LogLevel.WARNING, stream)
    structlog.stdlib.get_logger("x").info("quiet")
    logging.getLogger("y").info("quiet")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("name", ["amqtt.broker", "uvicorn.error", "httpx", "urllib3.connectionpool"])
def test_libraries_chat_only_at_debug(name: str) -> None:
    stream = io.StringIO()
    set_up(LogFormat.JSON, LogLevel.INFO, stream)
    logging.getLogger(name).info("chat")
    assert stream.getvalue() == ""
    set_up(LogFormat.JSON, LogLevel.DEBUG, stream)
    logging.getLogger(name).info("chat")
    assert [line["event"] for line in _json_lines(stream)] == ["chat"]


def test_a_deprecation_warning_does_not_reach_the_user() -> None:
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        set_up(LogFormat.HUMAN, LogLevel.INFO, stream)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        assert stream.getvalue() == ""
        set_up(LogFormat.HUMAN, LogLevel.DEBUG, stream)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        assert "DeprecationWarning: old" in stream.getvalue()


def test_a_second_set_up_replaces_the_first() -> None:
    first, second = io.StringIO(), io.StringIO()
    set_up(LogFormat.JSON, LogLevel.INFO, first)
    set_up(LogFormat.JSON, LogLevel.INFO, second)
    logging.getLogger("x").info("once")
    assert (first.getvalue(), len(_json_lines(second))) == ("", 1)
