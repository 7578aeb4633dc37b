"""Edits as people write them on a command line: times, rates and shares with units, and NAME=VALUE pairs.

Promises: pure; `EditError` names the option, its field, what was expected and what was found.
"""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

import msgspec

from edge.outages.events import PPM, Cause, HttpStatus, LinkName, Quantities, Status
from tidegate.outage.edit import EditError, Insertion, Removal, Setting, Span

EVENTS = ("transition", "close", "unknown_write", "gap", "sample", "series")
_TIME_UNITS_US = {"ms": 1_000, "s": 1_000_000, "": 1_000_000, "min": 60_000_000, "h": 3_600_000_000}
_TIME_UNITS_US["d"] = 24 * _TIME_UNITS_US["h"]
_RATE_UNITS = {"B/s": 1, "": 1, "kB/s": 1_000, "MB/s": 1_000_000}
_SHARE_UNITS = {"%": PPM // 100}
_NUMBER = re.compile(r"(\d{1,12}(?:\.\d{1,6})?) ?([A-Za-z/%]*)")


def parse_time(text: str, field: str) -> int:
    """`250ms`, `90s`, `1.5h`, `2d`, or plain seconds, as microseconds. Raises `EditError`."""
    return _quantity(text, field, _TIME_UNITS_US, "a time such as 250ms, 90s, 5min, 1.5h or 2d")


def parse_rate(text: str, field: str) -> int:
    """`20kB/s`, `1.5MB/s`, or plain bytes per second. Raises `EditError`."""
    return _quantity(text, field, _RATE_UNITS, "a rate such as 500B/s, 20kB/s or 1.5MB/s")


def parse_loss(text: str, field: str) -> int:
    """`2.5%` as parts per million. Raises `EditError`."""
    loss_ppm = _quantity(text, field, _SHARE_UNITS, "a share such as 2.5%")
    if loss_ppm > PPM:
        raise EditError(field, f"a share up to 100%, found {text}")
    return loss_ppm


def parse_link(text: str, field: str) -> str:
    """The name of a link. Raises `EditError`."""
    try:
        return msgspec.convert(text, LinkName)
    except msgspec.ValidationError:
        expected = "a letter and up to 31 more of a-z0-9_-, or two such with a / between them"
        raise EditError(field, f"{expected}, found {text!r}") from None


def parse_removal(text: str) -> Removal:
    """An outage's id, or `event=close,link=uplink,from=60s,until=90s`. Raises `EditError`."""
    if "=" not in text:
        return Removal(outage=text)
    pairs = _pairs(text, "--remove", ("event", "link", "from", "until"))
    event = pairs.get("event")
    if event not in EVENTS:
        raise EditError("--remove event", f"one of {', '.join(EVENTS)}, found {event}")
    return Removal(
        event=event, link=pairs.get("link"), span=parse_span(pairs.get("from"), pairs.get("until"), "--remove ")
    )


def parse_insertion(text: str) -> Insertion:
    """`at=60s,for=30s,status=down,cause=timeout,link=uplink`; status, cause and link have defaults."""
    pairs = _pairs(text, "--insert", ("at", "for", "link", "status", "cause", "http_status"))
    if not {"at", "for"} <= pairs.keys():
        raise EditError("--insert", f"at=TIME,for=TIME and more, found {text!r}")
    status, http_status = pairs.get("status", Status.DOWN), pairs.get("http_status")
    cause = pairs.get("cause", Cause.TIMEOUT if status == Status.DOWN else Cause.SLOW)
    if status not in (Status.DOWN, Status.DEGRADED):
        raise EditError("--insert status", f"{Status.DOWN} or {Status.DEGRADED}, found {status}")
    if cause not in set(Cause):
        raise EditError("--insert cause", f"one of {', '.join(Cause)}, found {cause}")
    if (cause == Cause.HTTP) != (http_status is not None):
        raise EditError("--insert http_status", "a status such as 503 with cause http, and only there")
    at_us, for_us = parse_time(pairs["at"], "--insert at"), parse_time(pairs["for"], "--insert for")
    if for_us == 0:
        raise EditError("--insert for", "a time over 0")
    return Insertion(at_us, for_us, pairs.get("link"), Status(status), Cause(cause), _http_status(http_status))


def parse_setting(text: str) -> Setting:
    """`latency=200ms,bandwidth=20kB/s,loss=2%,link=uplink,from=60s,until=90s`; at least one value."""
    pairs = _pairs(text, "--set", ("latency", "bandwidth", "loss", "link", "from", "until"))
    values: dict[Quantities, int] = {}
    if "latency" in pairs:
        values[Quantities.LATENCY] = parse_time(pairs["latency"], "--set latency")
    if "bandwidth" in pairs:
        values[Quantities.CAPACITY] = parse_rate(pairs["bandwidth"], "--set bandwidth")
    if "loss" in pairs:
        values[Quantities.LOSS] = parse_loss(pairs["loss"], "--set loss")
    if not values:
        raise EditError("--set", f"at least one of latency, bandwidth, loss, found {text!r}")
    return Setting(values, pairs.get("link"), parse_span(pairs.get("from"), pairs.get("until"), "--set "))


def parse_rename(text: str) -> tuple[str, str]:
    """`OLD=NEW`. Raises `EditError`."""
    old, separator, new = text.partition("=")
    if not (old and separator and new):
        raise EditError("--rename", f"OLD=NEW, found {text!r}")
    return old, parse_link(new, "--rename")


def parse_span(from_text: str | None, until_text: str | None, field: str) -> Span:
    """From one time, until another; what is not said is the start and the end. Raises `EditError`."""
    from_us = 0 if from_text is None else parse_time(from_text, f"{field}from")
    return Span(from_us, None if until_text is None else parse_time(until_text, f"{field}until"))


def _http_status(text: str | None) -> int | None:
    try:
        return None if text is None else msgspec.convert(text, HttpStatus, strict=False)
    except msgspec.ValidationError:
        raise EditError("--insert http_status", f"a status from 100 to 599, found {text!r}") from None


def _pairs(text: str, field: str, known: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in text.split(","):
        name, separator, value = (word.strip() for word in part.partition("="))
        if not separator or not value or name not in known or name in pairs:
            raise EditError(field, f"NAME=VALUE of {', '.join(known)}, each once, found {part.strip()!r}")
        pairs[name] = value
    return pairs


def _quantity(text: str, field: str, units: Mapping[str, int], expected: str) -> int:
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match[2] not in units:
        raise EditError(field, f"{expected}, found {text!r}")
    return int(Fraction(match[1]) * units[match[2]])
