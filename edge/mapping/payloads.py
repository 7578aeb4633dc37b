"""From the payload of a foreign message to what was measured, as its rule says.

Promises: whatever the bytes are, `read` returns at least one measurement with at least one value, or raises
`PayloadError` with a sentence that names the selector and what was found there.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from edge.mapping.rules import MappingRule, PayloadKind, TimeUnit, ValueRule, ValueType
from edge.mapping.select import ABSENT, Selector, parse_selector
from sensors.reading import Value
from sensors.senml import TAKEN_AT_MS_MAX, TEXT_BYTES_MAX, PayloadError, decode_anonymous

NUMBER_MAX = 1.7e308  # what a float64 can hold; JSON allows whole numbers of any length
NUMBER_BYTES_MAX = 64  # of a bare number; a float64 needs 24
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_TRUE = {"true", "on", "1", "yes", "open", "online"}
_FALSE = {"false", "off", "0", "no", "closed", "offline"}
_PER_MS = {TimeUnit.S: 0.001, TimeUnit.MS: 1.0, TimeUnit.US: 1000.0, TimeUnit.NS: 1_000_000.0}
SHOWN_CHARS = 32  # of what was found, in an error


class Measured(NamedTuple):
    """What was measured at one instant. `synced`: the time is the device's own; else it is when the message came."""

    taken_at_ms: int
    synced: bool
    values: tuple[Value, ...]


Read = Callable[[bytes, int], list[Measured]]
"""Reads a payload that came at a time (milliseconds since 1970). Raises `PayloadError`."""


def reader(rule: MappingRule) -> Read:
    """How to read the payloads of a rule."""
    if rule.payload is PayloadKind.SENML:
        return _read_senml
    if rule.payload is PayloadKind.NUMBER:
        return _BareReader(rule.value[0]).read
    return _JsonReader(rule).read


def _read_senml(payload: bytes, received_at_ms: int) -> list[Measured]:
    return [Measured(*each) for each in decode_anonymous(payload, received_at_ms=received_at_ms)]


class _BareReader:
    def __init__(self, rule: ValueRule) -> None:
        self._rule = rule

    def read(self, payload: bytes, received_at_ms: int) -> list[Measured]:
        limit = TEXT_BYTES_MAX if self._rule.type is ValueType.TEXT else NUMBER_BYTES_MAX
        if len(payload) > limit:
            raise PayloadError(f"{len(payload)} bytes: expected a bare {self._rule.type} of at most {limit}")
        try:
            text = payload.decode().strip(" \t\r\n")
        except UnicodeDecodeError:
            raise PayloadError(f"not UTF-8: expected a bare {self._rule.type}") from None
        return [Measured(received_at_ms, synced=False, values=(convert(self._rule, text, "the payload"),))]


class _JsonReader:
    def __init__(self, rule: MappingRule) -> None:
        self._values = [(each, parse_selector(each.select)) for each in rule.value if each.select is not None]
        self._time = parse_selector(rule.time) if rule.time is not None else None
        self._time_unit = rule.time_unit

    def read(self, payload: bytes, received_at_ms: int) -> list[Measured]:
        try:
            document = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise PayloadError(f"not JSON: {error}") from None
        values = tuple(
            convert(rule, content, selector.text)
            for rule, selector in self._values
            if (content := selector.find(document)) is not ABSENT and content is not None
        )
        if not values:
            looked = ", ".join(selector.text for _, selector in self._values[:4])
            raise PayloadError(f"none of the values is there: looked for {looked}")
        taken = self._taken_at(document, self._time) if self._time is not None else None
        if taken is None:
            return [Measured(received_at_ms, synced=False, values=values)]
        return [Measured(taken, synced=True, values=values)]

    def _taken_at(self, document: object, selector: Selector) -> int | None:
        content = selector.find(document)
        if content is ABSENT or content is None:
            return None
        taken_at_ms = _time_ms(content, self._time_unit)
        if taken_at_ms is None:
            raise PayloadError(f"time {selector.text} is {_shown(content)}: expected a time in {self._time_unit}")
        return taken_at_ms


def convert(rule: ValueRule, content: object, where: str) -> Value:
    """What was found as the value that the rule wants. Raises `PayloadError`."""
    wanted: float | bool | str | None
    if rule.type is ValueType.NUMBER:
        number = _number(content)
        wanted = None if number is None else number * rule.scale + rule.offset
        if wanted is not None and not math.isfinite(wanted):
            wanted = None
    elif rule.type is ValueType.BOOLEAN:
        wanted = _boolean(content)
    else:
        wanted = content if isinstance(content, str) and _is_text(content) else None
    if wanted is None:
        raise PayloadError(f"{where} is {_shown(content)}: expected a {rule.type} for {rule.name!r}")
    return Value(rule.name, wanted, rule.unit)


def _is_text(content: str) -> bool:
    return len(content) <= TEXT_BYTES_MAX and len(content.encode("utf-8", "surrogatepass")) <= TEXT_BYTES_MAX


def _number(content: object) -> float | None:
    if isinstance(content, bool):
        return None
    if isinstance(content, (int, float)):
        return float(content) if abs(content) <= NUMBER_MAX else None
    if isinstance(content, str) and len(content) <= NUMBER_BYTES_MAX and _NUMBER.match(content):
        return float(content)
    return None


def _boolean(content: object) -> bool | None:
    if isinstance(content, int):
        return bool(content) if content in (0, 1) else None
    if not isinstance(content, str) or len(content) > NUMBER_BYTES_MAX:
        return None
    word = content.lower()
    return word in _TRUE if word in _TRUE | _FALSE else None


def _time_ms(content: object, unit: TimeUnit) -> int | None:
    """Milliseconds since 1970, or None for what is no time that InfluxDB can hold."""
    if unit is TimeUnit.ISO:
        if not isinstance(content, str):
            return None
        try:
            when = datetime.fromisoformat(content)
        except ValueError:
            return None
        aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)  # a device that names no zone means UTC
        milliseconds = aware.timestamp() * 1000
    else:
        number = _number(content)
        if number is None:
            return None
        milliseconds = number / _PER_MS[unit]
    return round(milliseconds) if -TAKEN_AT_MS_MAX <= milliseconds <= TAKEN_AT_MS_MAX else None


def _shown(content: object) -> str:
    if isinstance(content, (dict, list)):
        return "an object" if isinstance(content, dict) else "a list"
    text = ascii(content)
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "..."
