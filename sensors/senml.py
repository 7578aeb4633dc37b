"""SenML (RFC 8428) in JSON and CBOR, with the identity of each reading: the one place where bytes become readings.

A native message is one SenML pack. The first record of each reading carries `seq` (and `boot`, which holds until
another is given) beside SenML's own labels; the records that follow without a `seq` are further values of the same
reading. `boot` and `seq` are labels of ours: other SenML readers skip labels that they do not know (section 4.4).

    [{"boot":3,"seq":17,"bt":1422886740.0,"n":"temperature","u":"Cel","v":23.7},{"n":"humidity","u":"%RH","v":26.2},
     {"seq":18,"bt":1422886800.0,"n":"temperature","u":"Cel","v":23.7}]

A device without a wall clock sends times relative to now, as section 4.5.3 has it: a value under 2^28 is seconds from
the moment of sending, so -12.5 was measured 12.5 s ago. Names are sent without `bn`: the topic names the device.

Promises: decoding what was encoded gives the same readings; whatever the bytes are, `decode` returns readings or
raises `PayloadError` with a sentence that names the record and what was expected. Nothing that InfluxDB could not hold
(NaN, infinity, no name) comes out.
"""

import io
import math
import re
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache

import cbor2
import msgspec

from sensors.reading import BOOT_MAX, SEQ_MAX, Reading, Value, column

VALUES_MAX = 64  # values of one reading: four times the largest multi-sensor node in the catalogue
READINGS_MAX = 1024  # readings of one message: a day at one per 85 s, in one pack
NAME_BYTES_MAX = 64
UNIT_BYTES_MAX = 16
TEXT_BYTES_MAX = 1024  # one string value; InfluxDB allows 64 KB, a gateway's disk should not
VOCABULARY_MAX = 4096  # names and units whose check is remembered: a fleet uses some dozens
RELATIVE_BELOW_S = 2**28  # RFC 8428, section 4.5.3: times under this are relative to now
TAKEN_AT_MS_MAX = 9_223_372_036_000  # 2262-04-11: the last that InfluxDB's signed nanoseconds can hold
SENML_VERSION_MAX = 10  # RFC 8428, section 4.1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*\Z")  # RFC 8428, section 4.5.1
_UNIT = re.compile(r"[!-\[\]-~]+\Z")  # printable ASCII without space and backslash
_CBOR_ARRAYS = range(0x80, 0xA0)  # first bytes of a CBOR array (major type 4)
_CBOR_LABELS = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs",
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}  # fmt: skip
_CBOR_NUMBERS = {label: number for number, label in _CBOR_LABELS.items()}


class PayloadError(ValueError):
    """Bytes that are not readings. The message goes to quarantine; who must act: whoever made the device."""


class Encoding(StrEnum):
    """How a SenML pack is written."""

    JSON = "json"
    CBOR = "cbor"


class _Record(msgspec.Struct, omit_defaults=True, gc=False):
    """One SenML record as it stands on the wire; unknown labels are skipped."""

    boot: int | None = None
    seq: int | None = None
    bver: int | None = None
    bn: str | None = None
    bt: float | None = None
    bu: str | None = None
    bv: float | None = None
    n: str | None = None
    u: str | None = None
    v: float | None = None
    vs: str | None = None
    vb: bool | None = None
    t: float | None = None


_json_decoder = msgspec.json.Decoder(list[_Record])
_json_encoder = msgspec.json.Encoder()


def encode(readings: Sequence[Reading], *, sent_at_ms: int, encoding: Encoding = Encoding.JSON) -> bytes:
    """One message that holds these readings, all of one device.

    `sent_at_ms` is the device's own clock now: readings that are not `synced` are written as an age against it.
    """
    records: list[_Record] = []
    boot: int | None = None
    for reading in readings:
        taken_ms = reading.taken_at_ms if reading.synced else reading.taken_at_ms - sent_at_ms
        head = _Record(seq=reading.seq, bt=taken_ms / 1000)
        if reading.boot != boot:
            head.boot = boot = reading.boot
        for at, value in enumerate(reading.values):
            record = head if at == 0 else _Record()
            _put_value(record, value)
            records.append(record)
    if encoding is Encoding.JSON:
        return _json_encoder.encode(records)
    plain = msgspec.to_builtins(records)
    return cbor2.dumps(
        [{_CBOR_NUMBERS.get(label, label): field for label, field in record.items()} for record in plain]
    )


def decode(payload: bytes, *, device: str, received_at_ms: int) -> list[Reading]:
    """The readings of one message of `device`, in the order in which they stand. JSON and CBOR tell themselves apart.

    Raises `PayloadError`.
    """
    records = _records(payload)
    if not records:
        raise PayloadError("the pack is empty: expected at least one record")
    if (b"_" in payload and b'_"' in payload) or payload[0] in _CBOR_ARRAYS:  # one byte is found the quicker
        _refuse_must_understand(payload)
    readings = _group(records, device, received_at_ms)
    if len(readings) > READINGS_MAX:
        raise PayloadError(f"the pack holds {len(readings)} readings: expected at most {READINGS_MAX}")
    return readings


def decode_anonymous(payload: bytes, *, received_at_ms: int) -> list[tuple[int, bool, tuple[Value, ...]]]:
    """The values of a SenML pack that knows no boot and seq, by time: (taken_at_ms, synced, values), in order.

    `synced` is false where the pack gives no time, or an age. A base name that the whole pack shares names the device
    and is left out of the values' names, except where a record has no other name.
    Raises `PayloadError`.
    """
    records = _records(payload)
    if not records:
        raise PayloadError("the pack is empty: expected at least one record")
    _refuse_must_understand(payload)
    base_names = {record.bn for record in records if record.bn is not None}
    base = _Record(bn="", bt=0.0, bv=0.0)
    readings: dict[tuple[int, bool], list[Value]] = {}
    for at, record in enumerate(records):
        _move_base(base, record, at)
        if record.v is None and record.vs is None and record.vb is None:
            continue  # a record that only sets the base, or holds what we do not keep (data, a sum)
        named = base if len(base_names) > 1 or not record.n else _Record(bn="", bu=base.bu, bv=base.bv)
        values = readings.setdefault(_taken_at(base, record, at, received_at_ms), [])
        values.append(_value(named, record, "", at))
        if len(values) > VALUES_MAX:
            raise PayloadError(f"record {at}: one time has more than {VALUES_MAX} values")
    if not readings or len(readings) > READINGS_MAX:
        raise PayloadError(f"the pack holds {len(readings)} readings: expected 1 to {READINGS_MAX}")
    for values in readings.values():
        if len({column(value) for value in values}) < len(values):
            raise PayloadError("one time gives one name twice: expected each name and unit once")
    return [(taken_at_ms, synced, tuple(values)) for (taken_at_ms, synced), values in readings.items()]


def check_name(name: str) -> str:
    """Return a value's name if SenML allows it. Raises `PayloadError`."""
    if len(name) > NAME_BYTES_MAX or not _NAME.match(name):
        raise PayloadError(f"name {name[:24]!r}: expected 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 - : . / _")
    return name


def check_unit(unit: str) -> str:
    """Return a unit if SenML allows it. Raises `PayloadError`."""
    if len(unit) > UNIT_BYTES_MAX or not _UNIT.match(unit):
        raise PayloadError(f"unit {unit[:24]!r}: expected 1 to {UNIT_BYTES_MAX} printable ASCII characters")
    return unit


def _put_value(record: _Record, value: Value) -> None:
    record.n, record.u = value.name, value.unit
    if isinstance(value.value, bool):
        record.vb = value.value
    elif isinstance(value.value, str):
        record.vs = value.value
    else:
        record.v = float(value.value)


def _records(payload: bytes) -> list[_Record]:
    if not payload:
        raise PayloadError("the payload is empty: expected a SenML pack")
    try:
        if payload[0] in _CBOR_ARRAYS:
            return msgspec.convert(_cbor_maps(payload), list[_Record])
        return _json_decoder.decode(payload)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError(f"not a SenML pack: {error}") from None


def _cbor_maps(payload: bytes) -> list[dict[str, object]]:
    stream = io.BytesIO(payload)
    try:
        pack = cbor2.CBORDecoder(stream).decode()
    except (cbor2.CBORDecodeError, ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise PayloadError(f"not CBOR: {error}") from None
    if not isinstance(pack, list) or not all(isinstance(record, dict) for record in pack):
        raise PayloadError("not a SenML pack: expected an array of maps")
    return [
        {
            str(_CBOR_LABELS.get(label, label) if isinstance(label, int) else label): field
            for label, field in record.items()
        }
        for record in pack
    ]


def _refuse_must_understand(payload: bytes) -> None:
    """A label that ends in `_` must be understood or the pack refused (RFC 8428, section 4.4); we know none."""
    maps = _cbor_maps(payload) if payload[0] in _CBOR_ARRAYS else msgspec.json.decode(payload)
    for at, record in enumerate(maps):
        for label in record:
            if label.endswith("_"):
                raise PayloadError(f"record {at}: label {label!r} must be understood, and is not")


def _group(records: list[_Record], device: str, received_at_ms: int) -> list[Reading]:
    """Resolve the base labels and gather the records of each reading."""
    base = _Record(bn="", bt=0.0, bv=0.0)
    readings: list[Reading] = []
    boot: int | None = None
    head: tuple[int, int, int, bool] | None = None
    values: list[Value] = []
    for at, record in enumerate(records):
        _move_base(base, record, at)
        if record.boot is not None:
            boot = record.boot
        if record.seq is not None:
            if head is not None:
                readings.append(_reading(device, head, values))
            head, values = _head(base, record, boot, received_at_ms, at), []
        elif head is None:
            raise PayloadError(f"record {at}: seq is missing: expected boot and seq in the first record")
        elif _taken_at(base, record, at, received_at_ms)[0] != head[2]:
            raise PayloadError(f"record {at}: its time differs within the reading of seq {head[1]}")
        values.append(_value(base, record, device, at))
        if len(values) > VALUES_MAX:
            raise PayloadError(f"record {at}: the reading of seq {head[1]} has more than {VALUES_MAX} values")
    if head is not None:
        readings.append(_reading(device, head, values))
    return readings


def _head(base: _Record, record: _Record, boot: int | None, received_at_ms: int, at: int) -> tuple[int, int, int, bool]:
    """(boot, seq, taken_at_ms, synced) of the record that begins a reading."""
    taken_at_ms, synced = _taken_at(base, record, at, received_at_ms)
    return _checked(boot, "boot", BOOT_MAX, at), _checked(record.seq, "seq", SEQ_MAX, at), taken_at_ms, synced


def _reading(device: str, head: tuple[int, int, int, bool], values: list[Value]) -> Reading:
    boot, seq, taken_at_ms, synced = head
    if len(values) > 1 and len({column(value) for value in values}) < len(values):
        raise PayloadError(f"the reading of seq {seq} gives one name twice: expected each name and unit once")
    return Reading(device, boot, seq, taken_at_ms, tuple(values), synced)


def _move_base(base: _Record, record: _Record, at: int) -> None:
    if record.bver is not None and not 0 < record.bver <= SENML_VERSION_MAX:
        raise PayloadError(f"record {at}: bver is {record.bver}: expected 1 to {SENML_VERSION_MAX}")
    if record.bn is not None:
        base.bn = record.bn
    if record.bt is not None:
        base.bt = record.bt
    if record.bu is not None:
        base.bu = record.bu
    if record.bv is not None:
        base.bv = record.bv


def _checked(number: int | None, label: str, maximum: int, at: int) -> int:
    if number is None or not 0 <= number <= maximum:
        raise PayloadError(f"record {at}: {label} is {number}: expected 0 to {maximum}")
    return number


def _taken_at(base: _Record, record: _Record, at: int, received_at_ms: int) -> tuple[int, bool]:
    """(milliseconds since 1970, whether the device's wall clock says so)."""
    seconds = (base.bt or 0.0) + (record.t or 0.0)
    if not -RELATIVE_BELOW_S < seconds <= TAKEN_AT_MS_MAX / 1000:  # false for NaN, too
        raise PayloadError(f"record {at}: time {seconds} is out of range: expected seconds since 1970, or an age")
    if seconds < RELATIVE_BELOW_S:
        return received_at_ms + round(seconds * 1000), False
    return round(seconds * 1000), True


def _value(base: _Record, record: _Record, device: str, at: int) -> Value:
    unit = record.u if record.u is not None else base.bu
    number = record.v
    if number is not None and record.vs is None and record.vb is None and not base.bn:  # what nearly all are
        label, number = _label(record.n, unit), number + (base.bv or 0.0)
        if label is not None and math.isfinite(number):
            return Value(label[0], number, label[1])
    if unit is not None and not _is_unit(unit):
        raise PayloadError(
            f"record {at}: unit {unit[:24]!r}: expected 1 to {UNIT_BYTES_MAX} printable ASCII characters"
        )
    if (record.v is not None) + (record.vs is not None) + (record.vb is not None) != 1:
        given = [label for label in ("v", "vs", "vb") if getattr(record, label) is not None]
        raise PayloadError(f"record {at}: has {' and '.join(given) or 'no value'}: expected exactly one of v, vs, vb")
    name = _name(base, record, device, at)
    if record.v is not None:
        number = record.v + (base.bv or 0.0)
        if not math.isfinite(number):
            raise PayloadError(f"record {at}: {name!r} is {number}: expected a finite number")
        return Value(name, number, unit)
    if record.vs is not None:
        if len(record.vs.encode("utf-8", "surrogatepass")) > TEXT_BYTES_MAX:
            raise PayloadError(f"record {at}: {name!r} has a text of over {TEXT_BYTES_MAX} bytes")
        return Value(name, record.vs, unit)
    return Value(name, bool(record.vb), unit)


@lru_cache(maxsize=VOCABULARY_MAX)
def _label(name: str | None, unit: str | None) -> tuple[str, str | None] | None:
    """Name and unit, if both may stand there: of equal ones always the same objects, which are soon found again."""
    if name is None or not _is_name(name) or not (unit is None or _is_unit(unit)):
        return None
    return name, unit


@lru_cache(maxsize=VOCABULARY_MAX)
def _is_name(name: str) -> bool:
    return len(name) <= NAME_BYTES_MAX and _NAME.match(name) is not None


@lru_cache(maxsize=VOCABULARY_MAX)
def _is_unit(unit: str) -> bool:
    return len(unit) <= UNIT_BYTES_MAX and _UNIT.match(unit) is not None


def _name(base: _Record, record: _Record, device: str, at: int) -> str:
    """The value's name within the device: a base name may repeat the device's, and may not name another's."""
    name = base.bn + (record.n or "") if base.bn else record.n or ""
    if base.bn and name.startswith(device) and name[len(device) : len(device) + 1] in {":", "/", "."}:
        name = name[len(device) + 1 :]
    if not _is_name(name):
        raise PayloadError(f"record {at}: name {name[:24]!r}: expected 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 - : . / _")
    return name
