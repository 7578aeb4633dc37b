"""Outage recordings as a whole: the checked value, its exact text form, its files (`.outage.jsonl`, `.gz`, `.zst`).

Promises: a `Recording` that exists is valid; `decode_recording(encode_recording(r)) == r`, and text that this module
wrote comes back byte for byte; equal recordings give equal files; errors are `RecordingError` with line, field and
expectation. Memory is bounded by `LINE_BYTES_MAX`, `EVENTS_MAX` and `FILE_BYTES_MAX`, however well a file is packed.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import msgspec

from edge.outages.events import (
    FORMAT_NAME,
    FORMAT_VERSION,
    Anchor,
    AnyEvent,
    Cause,
    Ending,
    Header,
    Link,
    LinkKind,
    Quantities,
    Status,
)
from edge.outages.packing import PackingError, packed, unpacked
from edge.outages.rules import HEADER_LINE, RecordingError, RuleBook, UnknownLinkError, check_header
from edge.outages.timeline import LinkTimeline

LINE_BYTES_MAX = 128 * 1024
"""The longest line the writer can make is a series of 3600 values of 17 digits, about 65 kB; twice that is room."""
EVENTS_MAX = 2_000_000
"""About a year of transitions and a probe every 30 s on two links; more belongs in several files."""
FILE_BYTES_MAX = 512 * 1024 * 1024
"""Unpacked: twice what 2,000,000 transitions and probes take, or half a year of bandwidth at 1 Hz."""

_encoder = msgspec.json.Encoder()
_header_decoder = msgspec.json.Decoder(Header)
_event_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_AT_PATH = re.compile(r"^(?P<expected>.*) - at `\$\.?(?P<field>[^`]*)`$", re.DOTALL)
_NAMED_FIELD = re.compile(r"field `(?P<field>[^`]*)`")
_NO_WORD = re.compile(r"Invalid (?:enum )?value (?P<found>.*)", re.DOTALL)
_WORDS: dict[str, Iterable[str]] = {
    "event": [str(kind.__struct_config__.tag) for kind in get_args(AnyEvent)],
    "format": [FORMAT_NAME],
    "status": Status,
    "cause": Cause,
    "how": Ending,
    "quantity": Quantities,
    "kind": LinkKind,
}
"""What a field of few words takes, for errors that name them."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What links did over time. Raises `RecordingError` when built from events that break the rules."""

    header: Header
    events: tuple[AnyEvent, ...]

    def __post_init__(self) -> None:
        encoder = RecordingEncoder(self.header)
        for event in self.events:
            encoder.encode(event)
        encoder.finish()

    @property
    def end_us(self) -> int:
        """Where the recording ends, in microseconds since its start."""
        return self.events[-1].at_us

    @property
    def link_names(self) -> tuple[str, ...]:
        """Names of the links, in the header's order."""
        return tuple(link.name for link in self.header.links)

    def timeline(self, link: str) -> LinkTimeline:
        """The view of one link for consumers. Raises `UnknownLinkError`."""
        if link not in self.link_names:
            raise UnknownLinkError(link, self.link_names)
        return LinkTimeline(link, self.events)

    def unix_us(self, at_us: int) -> int | None:
        """Wall-clock time (UTC microseconds) of an instant of the recording, or None without an anchor."""
        anchor = self.header.anchor
        return None if anchor is None else anchor.unix_us + at_us - anchor.monotonic_us


class RecordingEncoder:
    """Writes a recording line by line, each checked before it leaves: for a recorder that is still running."""

    def __init__(self, header: Header) -> None:
        check_header(_decode_header(_encoder.encode(header)))
        self._header = header
        self._rules = RuleBook(header)
        self._line = HEADER_LINE

    def header_line(self) -> bytes:
        """The first line of the file, with its newline."""
        return _encoder.encode(self._header) + b"\n"

    def encode(self, event: AnyEvent) -> bytes:
        """The next line, with its newline. Raises `RecordingError`."""
        self._line += 1
        text = _encoder.encode(event)
        _decode_event(text, self._line)
        self._rules.check(event)
        return text + b"\n"

    def finish(self) -> None:
        """Raise `RecordingError` unless the end event was written."""
        self._rules.finish()


def make_header(
    links: Iterable[Link], *, anchor: Anchor | None = None, title: str = "", source: str = "", licence: str = ""
) -> Header:
    """A header of the version this module writes."""
    return Header(FORMAT_VERSION, tuple(links), anchor, title, source, licence)


def encode_recording(recording: Recording) -> Iterator[bytes]:
    """The lines of a recording, each with its newline."""
    yield _encoder.encode(recording.header) + b"\n"
    for event in recording.events:
        yield _encoder.encode(event) + b"\n"


def decode_recording(lines: Iterable[bytes]) -> Recording:
    """Read a recording from its lines. Raises `RecordingError` naming line, field and what was expected."""
    numbered = enumerate(lines, start=HEADER_LINE)
    _, first = next(numbered, (HEADER_LINE, b""))
    header = _decode_header(first)
    check_header(header)
    events: list[AnyEvent] = []
    for number, line in numbered:
        if len(events) == EVENTS_MAX:
            raise RecordingError(number, "event", f"at most {EVENTS_MAX} events in one recording")
        events.append(_decode_event(line, number))
    return Recording(header, tuple(events))


def read_recording(path: Path) -> Recording:
    """Read a recording file, packed as its name says (`.gz`, `.zst`). Raises `RecordingError`, `OSError`."""
    try:
        with unpacked(path, FILE_BYTES_MAX) as file:
            return decode_recording(iter(lambda: file.readline(LINE_BYTES_MAX + 1), b""))
    except PackingError as error:
        raise RecordingError(HEADER_LINE, "file", error.expected) from error


def write_recording(path: Path, recording: Recording) -> None:
    """Write a recording file, packed as its name says (`.gz`, `.zst`). Raises `RecordingError`, `OSError`."""
    try:
        path.write_bytes(packed(b"".join(encode_recording(recording)), path.name))
    except PackingError as error:
        raise RecordingError(HEADER_LINE, "file", error.expected) from error


def _decode_header(line: bytes) -> Header:
    if b'"' + FORMAT_NAME.encode() + b'"' not in line[:LINE_BYTES_MAX]:
        raise RecordingError(HEADER_LINE, "format", f'a header line with "format":"{FORMAT_NAME}"')
    try:
        return _header_decoder.decode(_bounded(line, HEADER_LINE))
    except msgspec.DecodeError as error:
        raise _named(error, HEADER_LINE) from error


def _decode_event(line: bytes, number: int) -> AnyEvent:
    try:
        return _event_decoder.decode(_bounded(line, number))
    except msgspec.DecodeError as error:
        raise _named(error, number) from error


def _bounded(line: bytes, number: int) -> bytes:
    if len(line) > LINE_BYTES_MAX:
        raise RecordingError(number, "line", f"at most {LINE_BYTES_MAX} bytes")
    return line


def _named(error: msgspec.DecodeError, line: int) -> RecordingError:
    """Turn msgspec's message into ours: which field, and what belongs there."""
    text = str(error)
    path = _AT_PATH.match(text)
    named = _NAMED_FIELD.search(text)
    no_word = None if path is None else _NO_WORD.fullmatch(path["expected"])
    if path is not None and no_word is not None:
        words = _WORDS.get(path["field"].rpartition(".")[2], ())
        return RecordingError(line, path["field"], f"one of {', '.join(words)}, found {no_word['found']}")
    if path is not None and named is None:
        return RecordingError(line, path["field"], path["expected"].removeprefix("Expected "))
    if named is not None:
        known = "a field of this event" if "unknown" in text else "this field to be present"
        return RecordingError(line, named["field"], known)
    return RecordingError(line, "line", f"one JSON object ({text})")
