"""Toxics: faults on the connections of a proxy, with Toxiproxy's names, attributes and units, checked on the way in.

Names, attributes and meanings are those of Toxiproxy 2 (its README, section "Toxics"), so its users and clients feel at
home; a kilobyte is 1000 bytes, as in its bandwidth toxic. Ours is `lose_answers`: the request reaches the server, the
answer does not come back and the connection is reset. Promises: a `Toxic` that exists is valid; `parse_toxic` raises
`ToxicError` naming the field and what was expected.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from tidegate.outage.decoded import field_and_expectation

BYTES_PER_KB = 1_000
_LIMIT = 2**31 - 1
"""Milliseconds, kilobytes and bytes up to 2**31: 24 days, 2 TB/s, 2 GB; larger figures are typing errors."""

Count = Annotated[int, msgspec.Meta(ge=0, le=_LIMIT)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=_LIMIT)]


class ToxicError(ValueError):
    """A toxic is not what its type asks for. Carries `field` and `expected`."""

    def __init__(self, field: str, expected: str) -> None:
        self.field = field
        self.expected = expected
        super().__init__(f"{field}: expected {expected}")


class Stream(StrEnum):
    """Direction of the bytes: `upstream` from client to server, `downstream` back."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Delay of all data by `latency` +/- `jitter` milliseconds."""

    latency: Count
    jitter: Count = 0


class Bandwidth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most `rate` kilobytes per second on each connection."""

    rate: Positive

    @property
    def rate_bytes_per_s(self) -> int:
        """The rate in bytes per second."""
        return self.rate * BYTES_PER_KB


class SlowClose(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The end of a stream is passed on `delay` milliseconds late."""

    delay: Count


class Timeout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Data is dropped; the connection closes after `timeout` milliseconds, or never when that is 0."""

    timeout: Count


class ResetPeer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The connection is reset after `timeout` milliseconds, or at once."""

    timeout: Count = 0


class Slicer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Data is cut into slices of `average_size` +/- `size_variation` bytes, `delay` microseconds apart."""

    average_size: Positive
    size_variation: Count = 0
    delay: Count = 0


class LimitData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The connection closes after `bytes` bytes."""

    bytes: Count


class LoseAnswers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first answer byte resets the connection instead of reaching the client."""


Attributes = Latency | Bandwidth | SlowClose | Timeout | ResetPeer | Slicer | LimitData | LoseAnswers
TOXIC_TYPES: Mapping[str, type[Attributes]] = {
    "latency": Latency,
    "bandwidth": Bandwidth,
    "slow_close": SlowClose,
    "timeout": Timeout,
    "reset_peer": ResetPeer,
    "slicer": Slicer,
    "limit_data": LimitData,
    "lose_answers": LoseAnswers,
}
_NAME_OF_TYPE = {attributes: name for name, attributes in TOXIC_TYPES.items()}


class Toxic(msgspec.Struct, frozen=True):
    """One fault: what it does, to which stream, and to which share of the connections."""

    name: str
    attributes: Attributes
    stream: Stream = Stream.DOWNSTREAM
    toxicity: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.toxicity <= 1.0:
            raise ToxicError("toxicity", f"a probability from 0 to 1, found {self.toxicity}")
        if isinstance(self.attributes, LoseAnswers) and self.stream is not Stream.DOWNSTREAM:
            raise ToxicError("stream", "downstream for lose_answers: answers come from the server")

    @property
    def type(self) -> str:
        """Toxiproxy's name of the fault."""
        return _NAME_OF_TYPE[type(self.attributes)]

    def as_json(self) -> dict[str, Any]:
        """The toxic as Toxiproxy's API shows it."""
        return {
            "name": self.name,
            "type": self.type,
            "stream": self.stream.value,
            "toxicity": self.toxicity,
            "attributes": msgspec.to_builtins(self.attributes),
        }


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    type: str
    name: str = ""
    stream: Stream = Stream.DOWNSTREAM
    toxicity: float = 1.0
    attributes: dict[str, Any] = {}


class _Update(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    toxicity: float | None = None
    attributes: dict[str, Any] = {}


def parse_toxic(body: object) -> Toxic:
    """A toxic from JSON as Toxiproxy writes it; the name defaults to `<type>_<stream>`. Raises `ToxicError`."""
    try:
        parsed = msgspec.convert(body, type=_Body)
    except msgspec.ValidationError as error:
        raise _named(error, _Body, "toxic") from error
    attributes = parse_attributes(parsed.type, parsed.attributes)
    return Toxic(parsed.name or f"{parsed.type}_{parsed.stream}", attributes, parsed.stream, parsed.toxicity)


def parse_update(toxic: Toxic, body: object) -> Toxic:
    """The toxic with another toxicity or other attributes, from JSON; what is not named stays. Raises `ToxicError`."""
    try:
        update = msgspec.convert(body, type=_Update)
    except msgspec.ValidationError as error:
        raise _named(error, _Update, "toxic") from error
    attributes = parse_attributes(toxic.type, toxic.as_json()["attributes"] | update.attributes)
    toxicity = toxic.toxicity if update.toxicity is None else update.toxicity
    return Toxic(toxic.name, attributes, toxic.stream, toxicity)


def parse_attributes(toxic_type: str, attributes: Mapping[str, Any]) -> Attributes:
    """The checked attributes of one type of toxic. Raises `ToxicError`."""
    kind = TOXIC_TYPES.get(toxic_type)
    if kind is None:
        raise ToxicError("type", f"one of {', '.join(TOXIC_TYPES)}, found {toxic_type!r}")
    try:
        parsed: Attributes = msgspec.convert(dict(attributes), type=kind)
    except msgspec.ValidationError as error:
        raise _named(error, kind, "attributes") from error
    if isinstance(parsed, Slicer) and parsed.size_variation >= parsed.average_size:
        raise ToxicError("size_variation", f"less than average_size {parsed.average_size}")
    return parsed


def _named(error: msgspec.ValidationError, kind: type[msgspec.Struct], whole: str) -> ToxicError:
    field, expected = field_and_expectation(error, kind.__struct_fields__, list(Stream))
    return ToxicError(field or whole, expected)
