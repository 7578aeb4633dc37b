"""The payload of Sparkplug B: Eclipse Tahu's `sparkplug_b.proto` (Sparkplug 3.0, section 6.4), the fields that we use.

    Payload: timestamp = 1, metrics = 2, seq = 3
    Metric:  name = 1, alias = 2, timestamp = 3, datatype = 4, is_null = 7, int_value = 10, long_value = 11,
             float_value = 12, double_value = 13, boolean_value = 14, string_value = 15

Read by hand, not by the `protobuf` package: the wire format of these fields is sixty lines, and a native dependency
with generated code is not. Fields that we do not know are skipped, as protobuf has it (data sets, templates,
properties).

Promise: whatever the bytes are, `decode` returns a payload or raises `PayloadError`.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from sensors.senml import PayloadError

METRICS_MAX = 4096  # of one message; a birth of a large machine has a thousand
VARINT_BYTES_MAX = 10
_MASK64 = 2**64 - 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class DataType(IntEnum):
    """The types of metrics that become values (Sparkplug 3.0, section 6.4.16)."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATE_TIME = 13
    TEXT = 14
    UUID = 15


_SIGNED_BITS = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
_UNSIGNED_BITS = {DataType.UINT8: 8, DataType.UINT16: 16, DataType.UINT32: 32, DataType.UINT64: 64}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as it stands on the wire; `content` is None where it has none that we know."""

    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    is_null: bool = False
    content: float | bool | str | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """One message."""

    timestamp_ms: int | None = None
    seq: int | None = None
    metrics: tuple[Metric, ...] = ()


def decode(raw: bytes) -> Payload:
    """Read a payload. Raises `PayloadError`."""
    numbers: dict[int, int] = {}
    metrics: list[Metric] = []
    for field, content in _fields(raw):
        if field == 2 and isinstance(content, bytes):
            metrics.append(_metric(content))
            if len(metrics) > METRICS_MAX:
                raise PayloadError(f"Sparkplug: more than {METRICS_MAX} metrics in one message")
        elif field in {1, 3} and isinstance(content, int):
            numbers[field] = content
    return Payload(numbers.get(1), numbers.get(3), tuple(metrics))


def encode(payload: Payload) -> bytes:
    """Write a payload; whole numbers as `long_value`, other numbers as `double_value`."""
    parts = []
    if payload.timestamp_ms is not None:
        parts.append(_number(1, payload.timestamp_ms))
    parts += [_bytes(2, _encode_metric(metric)) for metric in payload.metrics]
    if payload.seq is not None:
        parts.append(_number(3, payload.seq))
    return b"".join(parts)


def typed(content: float | bool | str, datatype: int | None) -> float | bool | str | None:
    """The content as its type says: signed numbers are sent as two's complement. None where they do not fit."""
    if datatype is None:
        return content
    if datatype in _SIGNED_BITS or datatype in _UNSIGNED_BITS:
        if isinstance(content, (str, bool, float)):
            return None
        bits = _SIGNED_BITS.get(DataType(datatype)) or _UNSIGNED_BITS[DataType(datatype)]
        number = content & ((1 << bits) - 1)
        return number - (1 << bits) if datatype in _SIGNED_BITS and number >> (bits - 1) else number
    if datatype in {DataType.FLOAT, DataType.DOUBLE, DataType.DATE_TIME}:
        return None if isinstance(content, (str, bool)) else content
    if datatype == DataType.BOOLEAN:
        return content if isinstance(content, bool) else None
    if datatype in {DataType.STRING, DataType.TEXT, DataType.UUID}:
        return content if isinstance(content, str) else None
    return None


def _metric(raw: bytes) -> Metric:
    found: dict[int, int | bytes] = dict(_fields(raw))
    return Metric(
        name=_text(found.get(1)),
        alias=_whole(found.get(2)),
        timestamp_ms=_whole(found.get(3)),
        datatype=_whole(found.get(4)),
        is_null=bool(_whole(found.get(7))),
        content=_content(found),
    )


def _content(found: dict[int, int | bytes]) -> float | bool | str | None:
    for field in (10, 11):
        if isinstance(number := found.get(field), int):
            return number
    if isinstance(raw := found.get(12), bytes) and len(raw) == 4:
        return float(struct.unpack("<f", raw)[0])
    if isinstance(raw := found.get(13), bytes) and len(raw) == 8:
        return float(struct.unpack("<d", raw)[0])
    if isinstance(flag := found.get(14), int):
        return flag != 0
    return _text(found.get(15))


def _text(raw: int | bytes | None) -> str | None:
    if not isinstance(raw, bytes):
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise PayloadError("Sparkplug: a text is not UTF-8") from None


def _whole(number: int | bytes | None) -> int | None:
    return number if isinstance(number, int) else None


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, content): a number for varints, else the bytes (protobuf encoding, protobuf.dev)."""
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        wire = key & 7
        if wire == _VARINT:
            number, at = _varint(raw, at)
            yield key >> 3, number
            continue
        if wire == _BYTES:
            size, at = _varint(raw, at)
        elif wire in {_FIXED64, _FIXED32}:
            size = 8 if wire == _FIXED64 else 4
        else:
            raise PayloadError(f"Sparkplug: wire type {wire} at byte {at}: not a protobuf payload")
        if at + size > len(raw):
            raise PayloadError(f"Sparkplug: field {key >> 3} ends behind the payload")
        yield key >> 3, raw[at : at + size]
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    number = 0
    for place in range(VARINT_BYTES_MAX):
        if at + place >= len(raw):
            raise PayloadError("Sparkplug: the payload ends within a number")
        byte = raw[at + place]
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return number & _MASK64, at + place + 1
    raise PayloadError("Sparkplug: a number of more than ten bytes")


def _encode_metric(metric: Metric) -> bytes:
    parts = [] if metric.name is None else [_bytes(1, metric.name.encode())]
    for field, number in ((2, metric.alias), (3, metric.timestamp_ms), (4, metric.datatype)):
        if number is not None:
            parts.append(_number(field, number))
    if metric.is_null:
        parts.append(_number(7, 1))
    content = metric.content
    if isinstance(content, bool):
        parts.append(_number(14, int(content)))
    elif isinstance(content, int):
        parts.append(_number(11, content & _MASK64))
    elif isinstance(content, float):
        parts.append(_to_varint(13 << 3 | _FIXED64) + struct.pack("<d", content))
    elif content is not None:
        parts.append(_bytes(15, content.encode()))
    return b"".join(parts)


def _number(field: int, number: int) -> bytes:
    return _to_varint(field << 3) + _to_varint(number)


def _bytes(field: int, raw: bytes) -> bytes:
    return _to_varint(field << 3 | _BYTES) + _to_varint(len(raw)) + raw


def _to_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
