"""What msgspec says of data that do not fit, in our words: which field it is, and what was expected there. Pure."""

import re
from collections.abc import Sequence

import msgspec

_AT = re.compile(r" - at `\$(?:\[(?P<item>\d+)\])?\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]*)`")
_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]*)`")
_ENUM = re.compile(r"Invalid enum value (?P<found>.*)")


def item_number(error: msgspec.DecodeError) -> int | None:
    """Of a list, the number of the item that does not fit, from 1."""
    at = _AT.search(str(error))
    return None if at is None or at["item"] is None else int(at["item"]) + 1


def field_and_expectation(
    error: msgspec.DecodeError, fields: Sequence[str] = (), words: Sequence[str] = ()
) -> tuple[str, str]:
    """The path of the field ("" if all of it is meant), and what was expected.

    `fields`: the names that there are. `words`: what the one field that takes few words takes.
    """
    text = str(error)
    at, missing, unknown, enum = (pattern.search(text) for pattern in (_AT, _MISSING, _UNKNOWN, _ENUM))
    named = missing or unknown
    path = ".".join(filter(None, [at["path"] if at else "", named["field"] if named else ""]))
    said = (text if at is None else text[: at.start()]).removeprefix("Expected ")
    if missing is not None:
        return path, "it to be there"
    if unknown is not None:
        return path, f"one of {', '.join(fields)}" if fields else "no such field"
    if enum is not None and words:
        return path, f"one of {', '.join(words)}, found {enum['found'].partition(' - at ')[0]}"
    return path, said
