"""What all importers share: the error that names line, field and expectation, the result, and reading a trace's lines.

Promises: importers are pure (bytes in, `Imported` out); they read only times, counters and measurements, never names or
addresses, so a recording made from a trace cannot hold any; memory is bounded by `TRACE_BYTES_MAX`.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edge.outages.events import INTEGER_MAX
from edge.outages.packing import PackingError, unpacked
from edge.outages.recording import Recording
from tidegate.outage.decoded import field_and_expectation, item_number

TRACE_BYTES_MAX = 512 * 1024 * 1024
"""Unpacked size. A month of `ping -D` once a second is about 250 MB; the limit keeps a packed bomb out of memory."""


_DIGITS_MAX = 40  # of a number with zeros before it; Python itself refuses to read thousands of them


class TraceError(ValueError):
    """A trace does not say what its format asks for. Carries `line` (from 1), `field` and `expected`."""

    def __init__(self, line: int, field: str, expected: str) -> None:
        self.line = line
        self.field = field
        self.expected = expected
        super().__init__(f"line {line}: {field}: expected {expected}")


def decoding_error(error: msgspec.DecodeError, line: int, whole: str, expected: str) -> TraceError:
    """What is wrong with a JSON text, by its field; `whole` is the name of all of it, for text that is no JSON.

    In a list the line is the number of the item.
    """
    field, said = field_and_expectation(error)
    if not field:
        return TraceError(line, whole, f"{expected} ({error})")
    return TraceError(item_number(error) or line, field, said)


@dataclass(frozen=True, slots=True)
class Imported:
    """A recording, and what the importer counted on the way (messages, losses, repeats, ...)."""

    recording: Recording
    facts: dict[str, int] = field(default_factory=dict)


def read_trace(path: Path) -> bytes:
    """The trace's bytes, unpacked as its name says (`.gz`, `.zst`). Raises `TraceError`, `OSError`."""
    try:
        with unpacked(path, TRACE_BYTES_MAX) as file:
            return file.read().removeprefix(codecs.BOM_UTF8)  # which some spreadsheets write
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


def whole_number(text: str, line: int, name: str, largest: int = INTEGER_MAX) -> int:
    """A decimal integer from 0 to `largest`, or `TraceError`."""
    if not (text.isascii() and text.isdigit()):
        raise TraceError(line, name, f"a whole number of at least 0, found {text[:40]!r}")
    if len(text) > _DIGITS_MAX or int(text) > largest:
        raise TraceError(line, name, f"a whole number up to {largest}, found {text[:40]}")
    return int(text)
