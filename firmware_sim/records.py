"""What a reading is in flash: its values as MessagePack in a record's body, and how it becomes a reading again."""

import msgspec

from firmware_sim.outbox import Record
from sensors.reading import Reading, Value
from sensors.senml import RELATIVE_BELOW_S

_AGE_MS_MAX = (RELATIVE_BELOW_S - 1) * 1000

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[bool, tuple[Value, ...]])


def encode_body(values: tuple[Value, ...], *, synced: bool) -> bytes:
    """The body of a record."""
    return _encoder.encode((synced, values))


def as_measured(device: str, record: Record) -> Reading:
    """The reading as it was measured."""
    synced, values = _decoder.decode(record.body)
    return Reading(device, record.boot, record.seq, record.at_ms, values, synced)


def as_sent(device: str, record: Record, correction_ms: int | None, sent_at_ms: int) -> Reading:
    """The reading as it is sent: an unsynced time becomes wall time as soon as its boot's correction is known."""
    synced, values = _decoder.decode(record.body)
    at_ms = record.at_ms
    if not synced and correction_ms is not None:
        at_ms, synced = at_ms + correction_ms, True
    elif not synced:  # an age that a restart or a worn clock made absurd is still a reading
        at_ms = min(max(at_ms, sent_at_ms - _AGE_MS_MAX), sent_at_ms)
    return Reading(device, record.boot, record.seq, at_ms, values, synced)
