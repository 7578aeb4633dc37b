"""What all importers share: the error that names line, field and expectation, the result, and reading a trace's lines.

Promises: importers are pure (bytes in, `Imported` out); they read only times, counters and measurements, never names or
addresses, so a recording made from a trace cannot hold any; memory is bounded by `TRACE_BYTES_MAX`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edge.outages.packing import PackingError, unpacked
from edge.outages.recording import Recording

TRACE_BYTES_MAX = 512 * 1024 * 1024
"""Unpacked size. A month of `ping -D` once a second is about 250 MB; the limit keeps a packed bomb out of memory."""


class TraceError(ValueError):
    """A trace does not say what its format asks for. Carries `line` (from 1), `field` and `expected`."""

    def __init__(self, line: int, field: str, expected: str) -> None:
        self.line = line
        self.field = field
        self.expected = expected
        super().__init__(f"line {line}: {field}: expected {expected}")


_FIELD_PATH = re.compile(r" - at `\$(?:\[(?P<item>\d+)\])?\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]*)`")


def decoding_error(error: msgspec.DecodeError, line: int, whole: str, expected: str) -> TraceError:
    """What is wrong with a JSON text, by its field; `whole` is the name of all of it, for text that is no JSON.

    In a list the line is the number of the item.
    """
    text = str(error)
    path, missing = _FIELD_PATH.search(text), _MISSING.search(text)
    if path is not None and path["item"] is not None:
        line = int(path["item"]) + 1
    names = [*([path["path"]] if path is not None and path["path"] else []), *([missing["field"]] if missing else [])]
    if not names:
        return TraceError(line, whole, f"{expected} ({text})")
    said = text if path is None else text[: path.start()]
    return TraceError(line, ".".join(names), "it to be there" if missing else said.removeprefix("Expected "))


@dataclass(frozen=True, slots=True)
class Imported:
    """A recording, and what the importer counted on the way (messages, losses, repeats, ...)."""

    recording: Recording
    facts: dict[str, int] = field(default_factory=dict)


def read_trace(path: Path) -> bytes:
    """The trace's bytes, unpacked as its name says (`.gz`, `.zst`). Raises `TraceError`, `OSError`."""
    try:
        with unpacked(path, TRACE_BYTES_MAX) as file:
            return file.read()
    except PackingError as error:
        raise TraceError(1, "file", error.expected) from error


def text_lines(trace: bytes) -> Iterator[tuple[int, str]]:
    """Numbered lines (from 1) without their ends; blank lines are left out. Raises `TraceError` if not UTF-8."""
    for number, line in enumerate(trace.splitlines(), start=1):
        try:
            text = line.decode().strip()
        except UnicodeDecodeError as error:
            raise TraceError(number, "line", "UTF-8 text") from error
        if text:
            yield number, text


def whole_number(text: str, line: int, name: str) -> int:
    """A decimal integer of at least 0, or `TraceError`."""
    if not (text.isascii() and text.isdigit()):
        raise TraceError(line, name, f"a whole number of at least 0, found {text[:40]!r}")
    return int(text)
