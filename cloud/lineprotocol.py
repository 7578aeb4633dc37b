"""Line protocol to points: a strict parser that answers as InfluxDB does.

Promises: a line that InfluxDB's own parser refuses is refused here, for a single mistake in the same words; what it
accepts is accepted, save for a few corner cases that are named in docs/cloud.md (we are stricter there, never laxer).
The grammar is InfluxDB's "line protocol" reference; its corners (a backslash escapes only before a delimiter, a newline
inside quotes belongs to the string) follow InfluxDB 1.6, and tests/cloud/test_influxdb_agrees.py asks that server.

Synchronous, no I/O. Times are integer nanoseconds since 1970 (`time_ns`).
"""

import math
import re
from collections.abc import Mapping
from typing import Final

import msgspec

PRECISION_NS: Final[Mapping[str, int]] = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
TIME_NS_MIN: Final = -(2**63) + 2  # InfluxDB keeps the outermost int64 values for itself
TIME_NS_MAX: Final = 2**63 - 2
KEY_BYTES_MAX: Final = 65535  # InfluxDB's limit on measurement, tags and one field name together
KEY_SEPARATOR_BYTES: Final = (
    4  # what InfluxDB's storage puts between series and field name; it counts towards the limit
)
INT_MIN, INT_MAX, UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1

_BLANK: Final = " \t\x00"  # what InfluxDB skips between the parts of a line
_KEY_END = re.compile(r"(?<!\\)[, ]")
_TAG_KEY_END = re.compile(r"(?<!\\)[=, ]")
_FIELD_KEY = re.compile(r"((?:[^=, \\]|\\.)*)=", re.DOTALL)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_TOKEN = re.compile(r"[^, ]*")
_LINE_MARK = re.compile(r'\\.?|[ ="\n,]', re.DOTALL)
_UNESCAPE_NAME = re.compile(r"\\([, ])")
_UNESCAPE_TAG = re.compile(r"\\([,= ])")
_UNESCAPE_STRING = re.compile(r'\\(["\\])')
_INT = re.compile(r"(-?[0-9]+)i")
_UINT = re.compile(r"([0-9]+)u")
_FLOAT = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PLAIN_FLOAT = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_PLAIN_NUMBER = r"[^=,]+=(?:[0-9]{1,18}i|-?[0-9]{1,18}(?:\.[0-9]{1,18})?)"
_PLAIN_NUMBERS = re.compile(f"{_PLAIN_NUMBER}(?:,{_PLAIN_NUMBER})*")
_FLOAT_LIKE = re.compile(r"-?(?:[0-9.]|[eE][+-]?)+")
_TIMESTAMP = re.compile(r"-?[0-9]*")
_TRUE: Final = ("t", "T", "true", "True", "TRUE")
_FALSE: Final = ("f", "F", "false", "False", "FALSE")
_BOOLEANS: Final[Mapping[str, bool]] = {word: word in _TRUE for word in _TRUE + _FALSE}


class UInt(int):
    """An unsigned 64-bit field value (`42u`): its own type in InfluxDB, never mixed with a signed integer."""


FieldValue = float | int | str | bool | UInt


class Series(msgspec.Struct, frozen=True):
    """What a point belongs to: the measurement and its tags, sorted by name, each name once."""

    measurement: str
    tags: tuple[tuple[str, str], ...]


class Point(msgspec.Struct, frozen=True):
    """One line: a series, its fields (at least one), and the time in nanoseconds since 1970."""

    series: Series
    fields: dict[str, FieldValue]
    time_ns: int


class ParsedLines(msgspec.Struct, frozen=True):
    """The points of one body in the order written, and one message for each line refused."""

    points: list[Point]
    errors: list[str]


class LineError(ValueError):
    """One line is not line protocol; `reason` is InfluxDB's wording."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PrecisionError(ValueError):
    """The precision is not one of ns, us, ms and s."""

    def __init__(self, precision: str) -> None:
        super().__init__("invalid precision; valid precision units are ns, us, ms, and s")
        self.precision = precision


def parse_lines(body: bytes, *, precision: str, now_ns: int, series: dict[str, Series] | None = None) -> ParsedLines:
    """Parse a whole body. A line without a timestamp gets `now_ns`, cut to the precision.

    `series`: what is remembered from body to body of the series in them; a caller with many small bodies keeps it.
    Bad lines never hide good ones: every line is looked at. Raises PrecisionError.
    """
    if precision not in PRECISION_NS:
        raise PrecisionError(precision)
    # Bytes that are not UTF-8 become lone surrogates, so that only the lines that hold them are refused.
    text = body.decode("utf-8", "surrogateescape")
    parser = _Parser(PRECISION_NS[precision], now_ns, {} if series is None else series)
    points: list[Point] = []
    errors: list[str] = []
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        point = parser.parse_plain(text[start:end])
        if point is None:
            end = _line_end(text, start, end)
            line = text[start:end].lstrip(_BLANK)
            try:
                point = parser.parse(line) if line and line[0] != "#" else None
            except LineError as refused:
                shown = line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                errors.append(f"unable to parse '{shown}': {refused.reason}")
        if point is not None:
            points.append(point)
        start = end + 1
    return ParsedLines(points, errors)


def field_type(value: FieldValue) -> str:
    """InfluxDB's name for the type of a field value: float, integer, unsigned, string or boolean."""
    return TYPE_NAMES[type(value)]


TYPE_NAMES: Final[Mapping[type, str]] = {
    float: "float",
    int: "integer",
    UInt: "unsigned",
    str: "string",
    bool: "boolean",
}


def _line_end(text: str, start: int, newline: int) -> int:
    """Find the newline that ends the line at `start`; `newline` is the first one.

    A newline behind a backslash or in a quoted field value is part of the line; a quote counts only in a field value
    (more `=` than `,` so far).
    """
    if text.find('"', start, newline) < 0 and text.find("\\", start, newline) < 0:
        return newline
    quoted = in_fields = False
    equals = commas = 0
    for found in _LINE_MARK.finditer(text, start):
        mark = found.group()
        if mark == "\n" and not quoted:
            return found.start()
        if mark == " ":
            in_fields = True
        elif mark == '"' and in_fields and equals > commas:
            quoted = not quoted
        elif in_fields and not quoted:
            equals += mark == "="
            commas += mark == ","
    return len(text)


class _Parser:
    """One body's parser: it remembers the series it has seen, because bodies repeat them."""

    def __init__(self, unit_ns: int, now_ns: int, series: dict[str, Series]) -> None:
        self._unit_ns = unit_ns
        self._now_ns = now_ns - now_ns % unit_ns
        self._series = series

    def parse_plain(self, line: str) -> Point | None:
        """Parse the common shape (no escapes, no spaces in strings, a series seen before); None means: ask `parse`."""
        parts = line.split(" ")
        if len(parts) != 3 or "\\" in line or parts[1][:1] in _BLANK or not line.isascii():
            return None
        key, fields_text, stamp = parts
        series = self._series.get(key)
        # 19 digits hold every nanosecond in range.
        if series is None or not (stamp.isdecimal() and len(stamp) <= 19) or len(fields_text) > KEY_BYTES_MAX // 16:
            return None
        time_ns = int(stamp) * self._unit_ns
        if time_ns > TIME_NS_MAX:
            return None
        fields = _plain_numbers(fields_text) if _PLAIN_NUMBERS.fullmatch(fields_text) else _plain_fields(fields_text)
        return Point(series, fields, time_ns) if fields else None

    def parse(self, line: str) -> Point:
        """Parse any line by the whole grammar. Raises LineError."""
        if not line.isascii() and any("\ud800" <= char <= "\udfff" for char in line):
            raise LineError("invalid UTF-8")
        series, key_end = _read_series(line)
        if len(self._series) < _SERIES_REMEMBERED and key_end <= KEY_BYTES_MAX // 16:
            series = self._series.setdefault(line[:key_end], series)
        fields, fields_end = _read_fields(line, key_end)
        time_ns = self._read_time(line, fields_end)
        return Point(series, fields, time_ns)

    def _read_time(self, line: str, position: int) -> int:
        position = _skip_blank(line, position)
        found = _TIMESTAMP.match(line, position)
        digits = found.group() if found else ""
        end = position + len(digits)
        if end < len(line) and line[end] != " ":
            raise LineError("bad timestamp")
        if not digits:
            return self._now_ns
        stamp = _parse_int(digits, "Int", INT_MIN, INT_MAX)
        time_ns = stamp * self._unit_ns
        if not TIME_NS_MIN <= time_ns <= TIME_NS_MAX:
            raise LineError(f"time outside range {TIME_NS_MIN} - {TIME_NS_MAX}")
        if line[end:].strip(" "):
            raise LineError("point is invalid")
        return time_ns


_SERIES_REMEMBERED: Final = 20_000  # a body's worth; more would only cost memory


def _plain_numbers(text: str) -> dict[str, FieldValue]:
    """Read fields that `_PLAIN_NUMBERS` matches: what nearly all lines have."""
    parts = text.replace("=", ",").split(",")
    return {
        name: int(number[:-1]) if number[-1] == "i" else float(number)
        for name, number in zip(parts[::2], parts[1::2], strict=True)
    }


def _plain_fields(text: str) -> dict[str, FieldValue] | None:
    """Read fields that need no error message and no unescaping; None means "look closer"."""
    fields: dict[str, FieldValue] = {}
    for item in text.split(","):
        name, _, content = item.partition("=")
        if not name or not content:
            return None
        if len(content) <= 24 and _PLAIN_FLOAT.fullmatch(content):
            fields[name] = float(content)
            continue
        value = _plain_value(content)
        if value is None:
            return None
        fields[name] = value
    return fields


def _plain_value(text: str) -> FieldValue | None:
    """Read a value, not a plain float, that needs no error message and no unescaping; None means "look closer"."""
    last = text[-1]
    if last == "i":
        digits = text[:-1]
        return int(digits) if digits.isdecimal() and len(digits) <= 18 else None
    if last == '"':
        inner = text[1:-1]
        return inner if text[0] == '"' and len(text) >= 2 and '"' not in inner else None
    return _BOOLEANS.get(text)


def _skip_blank(line: str, position: int) -> int:
    while position < len(line) and line[position] in _BLANK:
        position += 1
    return position


def _read_series(line: str) -> tuple[Series, int]:
    """Read measurement and tags; return them with the index of the space that ends them."""
    if line[0] == ",":
        raise LineError("missing measurement")
    found = _KEY_END.search(line, 1)
    if found is None:
        raise LineError("missing fields")
    measurement = _UNESCAPE_NAME.sub(r"\1", line[: found.start()])
    position = found.start()
    tags: dict[str, str] = {}
    repeated = False
    while line[position] == ",":
        raw_name, raw_value, position = _read_tag(line, position + 1)
        name = _UNESCAPE_TAG.sub(r"\1", raw_name)
        repeated = repeated or name in tags
        tags[name] = _UNESCAPE_TAG.sub(r"\1", raw_value)
    if repeated:
        raise LineError("duplicate tags")
    size = len(line[:position].encode())
    if size > KEY_BYTES_MAX:
        raise LineError(f"max key length exceeded: {size} > {KEY_BYTES_MAX}")
    return Series(measurement, tuple(sorted(tags.items()))), position


def _read_tag(line: str, start: int) -> tuple[str, str, int]:
    """Read one `name=value`; return both still escaped, and the index of the comma or space behind them."""
    if start >= len(line) or line[start] in " ,=":
        raise LineError("missing tag key")
    found = _TAG_KEY_END.search(line, start + 1)
    if found is None or found.group() != "=":
        raise LineError("missing tag value")
    value_start = found.end()
    if value_start >= len(line) or line[value_start] in " ,":
        raise LineError("missing tag value")
    end = _TAG_KEY_END.search(line, value_start + 1)
    if end is None:
        raise LineError("missing fields")
    if end.group() == "=":
        raise LineError("invalid tag format")
    return line[start : found.start()], line[value_start : end.start()], end.start()


def _read_fields(line: str, key_end: int) -> tuple[dict[str, FieldValue], int]:
    """Read the fields; return them with the index behind the last one. A name given twice keeps its last value."""
    key_bytes = len(line[:key_end].encode())
    position = _skip_blank(line, key_end)
    fields: dict[str, FieldValue] = {}
    while True:
        found = _FIELD_KEY.match(line, position)
        if found is None:
            raise LineError("invalid field format")
        raw_name = found.group(1)
        if not raw_name:
            raise LineError("missing field key")
        size = key_bytes + KEY_SEPARATOR_BYTES + len(raw_name.encode())
        if size > KEY_BYTES_MAX:
            raise LineError(f"max key length exceeded: {size} > {KEY_BYTES_MAX}")
        value, position = _read_value(line, found.end())
        fields[_UNESCAPE_TAG.sub(r"\1", raw_name)] = value
        if position >= len(line) or line[position] == " ":
            return fields, position
        if line[position] != ",":
            raise LineError("invalid field format")
        position += 1


def _read_value(line: str, start: int) -> tuple[FieldValue, int]:
    first = line[start : start + 1]
    if first in ("", ",", " "):
        raise LineError("missing field value")
    if first == '"':
        found = _STRING.match(line, start)
        if found is None:
            raise LineError("unbalanced quotes")
        return _UNESCAPE_STRING.sub(r"\1", found.group(1)), found.end()
    token = _TOKEN.match(line, start)
    text = token.group() if token else ""
    if first in "0123456789.-Nn":
        return _read_number(text), start + len(text)
    if text not in _BOOLEANS:
        raise LineError("invalid boolean")
    return _BOOLEANS[text], start + len(text)


def _read_number(text: str) -> FieldValue:
    if found := _INT.fullmatch(text):
        return _parse_int(found.group(1), "Int", INT_MIN, INT_MAX, f"unable to parse integer {found.group(1)}: ")
    if found := _UINT.fullmatch(text):
        return UInt(_parse_int(found.group(1), "Uint", 0, UINT_MAX, f"unable to parse unsigned {found.group(1)}: "))
    if _FLOAT.fullmatch(text):
        value = float(text)
        if math.isinf(value):
            raise LineError("invalid float")
        return value
    scientific = "e" in text.lower() and text.count(".") <= 1
    raise LineError("invalid float" if scientific and _FLOAT_LIKE.fullmatch(text) else "invalid number")


def _parse_int(digits: str, kind: str, lowest: int, highest: int, prefix: str = "") -> int:
    """Read an integer within its range; the messages are those of Go's strconv, which InfluxDB hands through."""
    if digits == "-":
        raise LineError(f'{prefix}strconv.Parse{kind}: parsing "{digits}": invalid syntax')
    # Python refuses to read very long digit strings; leading zeros apart, 20 digits hold every 64-bit number.
    sign, magnitude = digits[: digits.startswith("-")], digits.lstrip("-").lstrip("0") or "0"
    value = int(sign + magnitude) if len(magnitude) <= 20 else highest + 1
    if not lowest <= value <= highest:
        raise LineError(f'{prefix}strconv.Parse{kind}: parsing "{digits}": value out of range')
    return value
