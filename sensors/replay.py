"""Recorded data as a signal: a column of a CSV file, resampled, looped, and run at any speed.

Reading refuses what it cannot understand with an error that names file, line and what was expected. The file's first
line holds the columns' names. A file whose rows have one field more than its first line (as R writes row names) has an
unnamed column in front; so does one whose first name is empty.
"""

import csv
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from sensors.signals import MS_PER_S, SignalError, require_positive

ROWS_MAX = 10_000_000  # a row a second for four months, about 600 MB of memory
_ONE_MS = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_T = TypeVar("_T")


class RecordingError(ValueError):
    """A recording cannot be used; the message names file, line and what was expected. For whoever gave the file."""

    def __init__(self, file: str, line: int, expected: str, found: object) -> None:
        self.file = file
        self.line = line
        self.expected = expected
        self.found = found
        super().__init__(f"{file}:{line}: expected {expected}, found {found!r}")


class MissingColumnError(RecordingError):
    """The recording has no column of that name; the message lists those that it has."""

    def __init__(self, file: str, column: str, columns: Sequence[str]) -> None:
        self.column = column
        super().__init__(file, 1, f"a column {column!r}", list(columns))


class BadFieldError(RecordingError):
    """A field is not the number or time that it must be."""

    def __init__(self, file: str, line: int, column: str, expected: str, found: str) -> None:
        self.column = column
        super().__init__(file, line, f"{expected} in column {column!r}", found)


class UnsortedTimeError(RecordingError):
    """A row is not later than the one before it."""

    def __init__(self, file: str, line: int, column: str, found: str) -> None:
        self.column = column
        super().__init__(file, line, f"a later time than the row before in column {column!r}", found)


class TimeFormat(StrEnum):
    """How a time column is written: ISO 8601 text, or a number of seconds or milliseconds since 1970."""

    ISO = "iso"
    SECONDS = "s"
    MILLISECONDS = "ms"


class Interpolation(StrEnum):
    """What a replay says between two rows: a straight line, or the previous row (for states and counts)."""

    LINEAR = "linear"
    PREVIOUS = "previous"


@dataclass(frozen=True, slots=True)
class Recording:
    """Values at ascending times in ms since 1970; at least two of them."""

    times_ms: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.times_ms) < 2 or len(self.times_ms) != len(self.values):
            found = (len(self.times_ms), len(self.values))
            raise SignalError("Recording", "times_ms", "at least two times and as many values", found)
        if any(later <= earlier for earlier, later in pairwise(self.times_ms)):
            raise SignalError("Recording", "times_ms", "times in ascending order", "an earlier or equal time")

    @property
    def span_ms(self) -> int:
        """From the first row to the last."""
        return self.times_ms[-1] - self.times_ms[0]

    @property
    def typical_step_ms(self) -> int:
        """The median distance of two rows."""
        steps = sorted(later - earlier for earlier, later in pairwise(self.times_ms))
        return steps[len(steps) // 2]


def read_recording(
    path: Path,
    column: str,
    *,
    time_column: str,
    time_format: TimeFormat = TimeFormat.ISO,
    utc_offset_s: int = 0,
) -> Recording:
    """Return one column of the CSV file at `path`.

    ISO times without a zone are local times at `utc_offset_s`. Raises `RecordingError`: `MissingColumnError`,
    `BadFieldError` (with the line), `UnsortedTimeError`, or itself for a file that is not such a table.
    """
    file = str(path)
    zone = timezone(timedelta(seconds=utc_offset_s))
    times_ms: list[int] = []
    values: list[float] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for line, (time_text, value_text) in _fields(file, stream, (time_column, column)):
                at_ms = _checked(file, line, time_column, "a time", time_text, lambda t: _time_ms(t, time_format, zone))
                if times_ms and at_ms <= times_ms[-1]:
                    raise UnsortedTimeError(file, line, time_column, time_text)
                times_ms.append(at_ms)
                values.append(_checked(file, line, column, "a finite number", value_text, _finite))
                if len(times_ms) > ROWS_MAX:
                    raise RecordingError(file, line, f"at most {ROWS_MAX} rows", "more")
    except OSError as error:
        raise RecordingError(file, 0, "a readable file", error.strerror) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(file, len(times_ms) + 2, "CSV text in UTF-8", str(error)) from error
    if len(times_ms) < 2:
        raise RecordingError(file, len(times_ms) + 1, "at least two rows below the columns' names", len(times_ms))
    return Recording(tuple(times_ms), tuple(values))


def _fields(file: str, stream: Iterable[str], columns: tuple[str, str]) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yield the line number and the two wanted fields of each row that is not blank."""
    rows = csv.reader(stream, strict=True)
    names = next(rows, None)
    if names is None:
        raise RecordingError(file, 1, "a line of column names", "an empty file")
    for column in columns:
        if column not in names:
            raise MissingColumnError(file, column, names)
    places = [names.index(column) for column in columns]
    width: int | None = None
    for row in rows:
        if not row:
            continue
        if width is None:
            width = len(row)
            # R writes row names without a name for their column: every row is then one longer than the first line.
            unnamed = 1 if width == len(names) + 1 else 0
            places = [place + unnamed for place in places]
            if width != len(names) + unnamed:
                raise RecordingError(file, rows.line_num, f"{len(names)} fields", len(row))
        if len(row) != width:
            raise RecordingError(file, rows.line_num, f"{width} fields", len(row))
        yield rows.line_num, (row[places[0]], row[places[1]])


def _checked(file: str, line: int, column: str, expected: str, text: str, parse: Callable[[str], _T]) -> _T:
    try:
        return parse(text)
    except (ValueError, OverflowError) as error:
        raise BadFieldError(file, line, column, expected, text) from error


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _time_ms(text: str, time_format: TimeFormat, zone: timezone) -> int:
    if time_format is TimeFormat.SECONDS:
        return round(_finite(text) * MS_PER_S)
    if time_format is TimeFormat.MILLISECONDS:
        return round(_finite(text))
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return (moment - _EPOCH) // _ONE_MS


@dataclass(frozen=True, slots=True)
class Replay:
    """A recording as a signal.

    At `start_ms` it is `offset_ms` into the recording, and from there time runs `time_scale` times as fast as it was
    recorded. With `loop` the recording repeats; from its last row to its first it takes one typical step. Without, it
    holds its first value before and its last value after.
    """

    recording: Recording
    start_ms: int
    offset_ms: int = 0
    time_scale: float = 1.0
    loop: bool = True
    interpolation: Interpolation = Interpolation.LINEAR
    _round_ms: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require_positive(self, time_scale=self.time_scale)
        object.__setattr__(self, "_round_ms", self.recording.span_ms + self.recording.typical_step_ms)

    def value(self, at_ms: int) -> float:
        """Return the recorded quantity at `at_ms`."""
        recording = self.recording
        into_ms = (at_ms - self.start_ms) * self.time_scale + self.offset_ms
        if self.loop:
            into_ms %= self._round_ms
        elif not 0 <= into_ms < recording.span_ms:
            return recording.values[0 if into_ms < 0 else -1]
        there_ms = recording.times_ms[0] + into_ms
        index = bisect_right(recording.times_ms, there_ms) - 1
        if self.interpolation is Interpolation.PREVIOUS:
            return recording.values[index]
        wraps = index + 1 == len(recording.times_ms)
        next_ms = recording.times_ms[0] + self._round_ms if wraps else recording.times_ms[index + 1]
        next_value = recording.values[0 if wraps else index + 1]
        part = (there_ms - recording.times_ms[index]) / (next_ms - recording.times_ms[index])
        return recording.values[index] + (next_value - recording.values[index]) * part
