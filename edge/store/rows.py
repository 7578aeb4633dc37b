"""One reading as one row of the log, under a checksum.

SQLite does not notice a flipped bit in a value (53 of 60 passed its integrity check), so every row carries a CRC32 over
all that it means. A row whose checksum fails is given to quarantine, never to the cloud.
"""

import struct
import zlib

import msgspec

from sensors.reading import Reading, Value

FLAG_UNSYNCED = 1
"""The device had no wall clock; `taken_at_ms` was reckoned from the age it stated."""

FLAG_TIME_REPLACED = 2
"""The device's time was impossible; `taken_at_ms` is when the gateway received it."""

FLAG_BEFORE_CLOCK = 4
"""It came before the gateway's own clock was set; see `edge.own_clock`."""

CLOCK_SET_MS = 1_577_836_800_000
"""2020-01-01: a gateway whose clock says less has not been told the time; boards without one start in 1970 or 2000."""

_head = struct.Struct("<qqqqqqq")
_body_encoder = msgspec.msgpack.Encoder()
_body_decoder = msgspec.msgpack.Decoder(tuple[Value, ...])

StoredRow = tuple[int, int, int, int, int, int, int, bytes, int]
"""id, device_key, boot, seq, taken_at_ms, received_at_ms, flags, body, crc: the columns in order."""


class RowCorrupt(Exception):
    """A row whose checksum does not fit. Its reading is lost here; the ledger and quarantine say so."""

    def __init__(self, row_id: int) -> None:
        super().__init__(f"row {row_id} of the log fails its checksum")
        self.row_id = row_id


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """One reading in the log, with its place and when the gateway received it."""

    id: int
    device_key: int
    received_at_ms: int
    reading: Reading


def pack(entry: LogEntry, *, before_clock: bool = False) -> StoredRow:
    """The row of one reading. `before_clock`: it came before the gateway's own clock was set."""
    row_id, device_key, received_at_ms, reading = entry.id, entry.device_key, entry.received_at_ms, entry.reading
    flags = (0 if reading.synced else FLAG_UNSYNCED) | (FLAG_TIME_REPLACED if reading.time_replaced else 0)
    if before_clock or received_at_ms < CLOCK_SET_MS:
        flags |= FLAG_BEFORE_CLOCK
    body = _body_encoder.encode(reading.values)
    boot, seq, taken_at_ms = reading.boot, reading.seq, reading.taken_at_ms
    crc = zlib.crc32(_head.pack(row_id, device_key, boot, seq, taken_at_ms, received_at_ms, flags) + body)
    return row_id, device_key, boot, seq, taken_at_ms, received_at_ms, flags, body, crc


def unpack(row: StoredRow, device: str) -> LogEntry:
    """The reading of one row. Raises `RowCorrupt`."""
    row_id, device_key, boot, seq, taken_at_ms, received_at_ms, flags, body, crc = row
    if crc != zlib.crc32(_head.pack(row_id, device_key, boot, seq, taken_at_ms, received_at_ms, flags) + body):
        raise RowCorrupt(row_id)
    values = _body_decoder.decode(body)
    if not flags:
        return LogEntry(row_id, device_key, received_at_ms, Reading(device, boot, seq, taken_at_ms, values))
    synced, replaced = flags & FLAG_UNSYNCED == 0, flags & FLAG_TIME_REPLACED != 0
    reading = Reading(device, boot, seq, taken_at_ms, values, synced, replaced)
    return LogEntry(row_id, device_key, received_at_ms, reading)
