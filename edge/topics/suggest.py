"""A mapping rule to start from, for a message that no rule takes: what an operator would write first, as TOML.

Promises: what is suggested passes the check of `[[mapping]]`, and takes the message that it was made from; or there is
no suggestion (None). Which level of the topic names the device is a guess, and says so. Pure.
"""

import json
import re
from collections.abc import Iterator
from itertools import islice

import msgspec

from edge.mapping.rules import MappingRule, PayloadKind, ValueType
from sensors.senml import PayloadError, check_name

DEVICE_LEVEL_WORDS = frozenset(
    {"state", "status", "sensor", "sensors", "value", "values", "data", "telemetry", "json", "tele", "up"}
)
"""Last levels that say what a message is, not whose: the level before names the device."""
DEPTH_MAX = 3  # of nested objects that are looked into: further down, a person has to choose
VALUES_SUGGESTED = 12  # the first ones; a rule of fifty lines is deleted, not edited
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_TIME_KEYS = frozenset({"ts", "time", "timestamp", "date", "datetime"})


def suggest(topic: str, payload: bytes) -> str | None:
    """The `[[mapping]]` table for such messages, or None if they are nothing that a rule could read."""
    values = _values(payload)
    if values is None or not topic or any(char in topic for char in "+#{}"):
        return None
    kind, found = values
    filter_text, device, value_name = _split(topic)
    rule = {"name": topic[:64], "topic": filter_text, "payload": str(kind), "site": "site"}
    if device is not None:
        rule["device"] = device
    tables = found or [{"name": _name(value_name)}]
    if kind is PayloadKind.SENML:
        tables = []
    try:
        MappingRule.model_validate({**rule, "value": tables})
    except ValueError:
        return None
    return _toml(rule, tables)


def _values(payload: bytes) -> tuple[PayloadKind, list[dict[str, str]]] | None:
    """What kind of payload it is, and where its values are; no places for one that is a value itself."""
    try:
        content = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if isinstance(content, bool) or content is None:
        return None
    if isinstance(content, int | float):
        return PayloadKind.NUMBER, []
    if isinstance(content, list) and content and all(isinstance(each, dict) and "n" in each for each in content):
        return PayloadKind.SENML, []
    if not isinstance(content, dict):
        return None
    found = {leaf["name"]: leaf for leaf in islice(_leaves(content, "$", DEPTH_MAX), VALUES_SUGGESTED)}
    return (PayloadKind.JSON, list(found.values())) if found else None


def _leaves(content: dict[str, object], path: str, depth: int) -> Iterator[dict[str, str]]:
    for key, value in content.items():
        place = f"{path}.{key}" if _PLAIN_KEY.match(key) else f"{path}[{_quoted(key)}]"
        if isinstance(value, dict) and depth > 1:
            yield from _leaves(value, place, depth - 1)
        elif isinstance(value, bool):
            yield {"name": _name(place), "select": place, "type": str(ValueType.BOOLEAN)}
        elif isinstance(value, int | float) and key.lower() not in _TIME_KEYS:
            yield {"name": _name(place), "select": place}


def _quoted(key: str) -> str:
    return "'" + key.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _name(place: str) -> str:
    """A name of our own alphabet for a place in the payload or a level."""
    text = re.sub(r"[^A-Za-z0-9]+", "_", place.removeprefix("$.")).strip("_").lower() or "value"
    try:
        return check_name(text[:32])
    except (ValueError, PayloadError):
        return check_name(f"v_{text}"[:32])


def _split(topic: str) -> tuple[str, str | None, str]:
    """(filter, device if it is no level of the topic, name of a bare value): the level that looks like the device's."""
    levels = topic.split("/")
    at = len(levels) - 1
    if len(levels) > 1 and levels[at].lower() in DEVICE_LEVEL_WORDS:
        at -= 1
    value_name = levels[-1]
    if not levels[at]:
        return topic, "device", value_name
    return "/".join([*levels[:at], "{device}", *levels[at + 1 :]]), None, value_name


def _string(text: str) -> str:
    """A basic string of TOML: as in JSON, but without pairs of surrogates, and DEL is escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(rule: dict[str, str], values: list[dict[str, str]]) -> str:
    lines = ["[[mapping]]", *(f"{key} = {_string(value)}" for key, value in rule.items())]
    for value in values:
        lines += ["", "[[mapping.value]]", *(f"{key} = {_string(text)}" for key, text in value.items())]
    return "\n".join(lines) + "\n"
