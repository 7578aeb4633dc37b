"""The outbox: readings wait in the device's flash until the gateway itself has acknowledged them.

`Flash` is one chip file shared by any number of devices; `Outbox` is one device's part of it. A file and an fsync per
device would cost 10,000 devices 10,000 fsyncs a tick; a shared log costs one. What is appended is durable when
`commit` (or the job of `begin_commit`) has returned, and nothing may be sent or reported before that.

Promises:
- A record leaves only by `ack` (boot, highest contiguous seq), or, when the device's part is full and its policy is
  `drop-oldest`, by eviction. An eviction, and a record whose CRC fails, are in `lost` until an `ack` passes them.
- Records come back in the order (boot, seq), whatever happened to the file: a torn tail and corrupt frames are skipped.
- A boot number is never used twice, also when the flash is damaged or new, as long as `first_boot` grows.
- `bytes_used` never exceeds `bytes_max`; the file is compacted when garbage outweighs what is live.
- `bytes_written` is the wear of this device's part, over all boots: every frame, also those a compaction rewrites.

Limits: `LOST_RANGES_MAX` ranges are remembered; beyond that, the oldest evicted ones count as acked.
"""

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from firmware_sim.flash import Frame, FrameKind, Medium, ScanDamage, encode_frame, frame_bytes, scan
from sensors.messages import LostRange, LostReason

OUTBOX_BYTES_MIN = 4096  # one erase sector, the smallest part of a real NOR flash
LOST_RANGES_MAX = 256  # four state messages; an eviction run is one range per boot, so this is 256 lost boots
COMPACT_ABOVE_BYTES = 1 << 20  # below a megabyte a rewrite saves nothing worth an fsync
LOOK_EVERY_BYTES = (
    1 << 18
)  # what is live is summed over all devices: at each commit it cost 10,000 of them 40 % of a core

_LOST_BODY = struct.Struct("<QB")
_REASONS: tuple[LostReason, ...] = ("evicted", "corrupt", "acked")  # their places are in the flash: only add at the end
_BOOT_BODY = struct.Struct("<Q")


class FullPolicy(StrEnum):
    """What to do when the next reading does not fit."""

    DROP_OLDEST = "drop-oldest"
    STOP_SAMPLING = "stop-sampling"


class OutboxFullError(Exception):
    """The reading does not fit and the policy forbids dropping older ones (or it is larger than the whole outbox)."""

    def __init__(self, device: str, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(f"outbox of {device!r} is full: {needed_bytes} bytes needed, {free_bytes} free")
        self.device, self.needed_bytes, self.free_bytes = device, needed_bytes, free_bytes


class Key(NamedTuple):
    """The place of a record in the order of the outbox."""

    boot: int
    seq: int


class Record(NamedTuple):
    """One reading as it lies in flash; `at_ms` is the device's own time."""

    boot: int
    seq: int
    at_ms: int
    body: bytes

    @property
    def key(self) -> Key:
        """Its place in the order."""
        return Key(self.boot, self.seq)


class Flash:
    """A chip that many devices share: loads what is there, gathers what is new, commits it in one append."""

    def __init__(self, medium: Medium) -> None:
        """Read the medium. Damage is counted in `unreadable_bytes`, never raised."""
        self._medium = medium
        self._outboxes: dict[str, Outbox] = {}
        self._pending: list[bytes] = []
        self._dirty = False
        self._look_at_bytes = COMPACT_ABOVE_BYTES
        data = medium.read()
        damage = ScanDamage()
        for frame in scan(data, damage):
            self._part(frame.device).load(frame)
        for part in self._outboxes.values():
            part.finish_load()
        self.unreadable_bytes = damage.unreadable_bytes
        self.medium_bytes = len(data)
        self._trusted = bool(data) and not damage.unreadable_bytes

    def outbox(
        self, device: str, *, bytes_max: int, policy: FullPolicy = FullPolicy.DROP_OLDEST, first_boot: int = 1
    ) -> "Outbox":
        """This device's part. `first_boot` names the next boot if the flash is new or damaged and it is the greater.

        Raises `ValueError` if `bytes_max` is under `OUTBOX_BYTES_MIN`.
        """
        if bytes_max < OUTBOX_BYTES_MIN:
            raise ValueError(f"outbox bytes_max is {bytes_max}: expected at least {OUTBOX_BYTES_MIN}")
        trusted = self._trusted and device in self._outboxes
        part = self._part(device)
        part.bytes_max, part.policy = bytes_max, policy
        part.boot_floor = 0 if trusted else first_boot
        return part

    @property
    def dirty(self) -> bool:
        """Whether anything waits that must be durable. A lost `ack` only costs a duplicate, so it can wait."""
        return self._dirty

    def commit(self) -> None:
        """Make durable all that was appended. Raises `FlashError`."""
        self.begin_commit()()

    def begin_commit(self) -> Callable[[], None]:
        """Take what waits; the returned job writes it and may run in another thread, one job at a time."""
        data, self._pending, self._dirty = b"".join(self._pending), [], False
        if self._is_mostly_garbage(self.medium_bytes + len(data)):
            live = b"".join(frame for part in self._outboxes.values() for frame in part.frames())
            self.medium_bytes = len(live)
            return lambda: self._medium.replace(live)
        self.medium_bytes += len(data)
        return (lambda: self._medium.append(data)) if data else (lambda: None)

    def write(self, frame: bytes, *, urgent: bool) -> None:
        """Add a frame to what the next commit makes durable."""
        self._pending.append(frame)
        self._dirty = self._dirty or urgent

    def _is_mostly_garbage(self, medium_bytes: int) -> bool:
        if medium_bytes <= self._look_at_bytes:
            return False
        wanted_bytes = COMPACT_ABOVE_BYTES + 2 * self._live_bytes()
        if medium_bytes > wanted_bytes:
            self._look_at_bytes = COMPACT_ABOVE_BYTES
            return True
        self._look_at_bytes = medium_bytes + LOOK_EVERY_BYTES
        return False

    def _live_bytes(self) -> int:
        return sum(part.live_bytes for part in self._outboxes.values())

    def _part(self, device: str) -> "Outbox":
        if device not in self._outboxes:
            self._outboxes[device] = Outbox(self, device)
        return self._outboxes[device]


class Outbox:
    """One device's part of a flash. Made by `Flash.outbox`."""

    def __init__(self, flash: Flash, device: str) -> None:
        self.device = device
        self.bytes_max = OUTBOX_BYTES_MIN
        self.policy = FullPolicy.DROP_OLDEST
        self.boot_floor = 0
        self.boot = 0
        self.next_seq = 0
        self.newest_at_ms: int | None = None
        self.bytes_used = 0
        self.bytes_written = 0
        self._flash = flash
        self._records: list[Record] = []
        self._lost: list[LostRange] = []
        self._floors: dict[int, int] = {}
        self._clocks: dict[int, int] = {}
        self._damaged: list[tuple[int, int]] = []
        self.config: bytes | None = None
        self.slot_bytes = 0
        self._slots: tuple[dict[int, bytes], ...] = ({}, {})

    def __len__(self) -> int:
        return len(self._records)

    @property
    def lost(self) -> tuple[LostRange, ...]:
        """What is gone for good and not yet passed by an `ack`, in order."""
        return tuple(self._lost)

    def start_boot(self, at_ms: int) -> int:
        """Count one restart: the new boot number; seqs start again from 0."""
        self.boot = max(self.boot + 1, self.boot_floor)
        self.next_seq = 0
        self._write(FrameKind.BOOT, self.boot, 0, at_ms, _BOOT_BODY.pack(self.bytes_written), urgent=True)
        return self.boot

    def append(self, at_ms: int, body: bytes) -> Record:
        """Store the next reading of this boot and return it, evicting the oldest if the policy says so.

        Raises `OutboxFullError`; then no seq was used.
        """
        needed = frame_bytes(self.device, len(body))
        if needed > self.bytes_max or (self.policy is FullPolicy.STOP_SAMPLING and needed > self.free_bytes):
            raise OutboxFullError(self.device, needed, self.free_bytes)
        self._evict(needed)
        record = Record(self.boot, self.next_seq, at_ms, body)
        self.next_seq += 1
        self._records.append(record)
        self.bytes_used += needed
        self.newest_at_ms = at_ms
        self._write(FrameKind.READING, *record, urgent=True)
        return record

    def fits(self, body_bytes: int) -> bool:
        """Whether a reading of this size would fit into the empty outbox."""
        return frame_bytes(self.device, body_bytes) <= self.bytes_max

    def pass_on(self, at_ms: int, body_bytes: int) -> Key:
        """Count a reading that is stored and acknowledged at the same instant, of which no byte has to be kept."""
        key = Key(self.boot, self.next_seq)
        self.next_seq += 1
        self.newest_at_ms = at_ms
        self._floors[self.boot] = key.seq
        written = 2 * frame_bytes(self.device, 0) + body_bytes  # the reading's frame, and the acknowledgement's
        self.bytes_written += written
        self._flash.medium_bytes += written
        return key

    @property
    def oldest(self) -> Key | None:
        """The place of the oldest record held."""
        return self._records[0].key if self._records else None

    @property
    def free_bytes(self) -> int:
        """Bytes until the policy decides."""
        return self.bytes_max - self.bytes_used

    def ack(self, boot: int, seq: int) -> int:
        """The gateway holds everything of `boot` up to `seq`: free it. Returns how many records that freed.

        What this boot has not measured yet cannot be acknowledged: the answer to another life of this device.
        """
        seq = min(seq, self.next_seq - 1) if boot == self.boot else seq
        if boot > self.boot or seq <= self._floors.get(boot, -1):
            return 0
        return self._settle(boot, seq)

    def note_clock(self, correction_ms: int) -> None:
        """Remember what must be added to this boot's unsynced times to make wall time of them."""
        self._clocks[self.boot] = correction_ms
        self._write(FrameKind.CLOCK, self.boot, 0, correction_ms, b"", urgent=False)

    def clock_correction_ms(self, boot: int) -> int | None:
        """What `note_clock` was told in that boot, or None."""
        return self._clocks.get(boot)

    def after(self, key: Key | None, limit: int) -> list[Record]:
        """Up to `limit` records of one boot that follow `key` in the order; from the oldest without a key."""
        if not self._records or (key is not None and _key(self._records[-1]) <= key):
            return []
        start = 0 if key is None else bisect_right(self._records, (key.boot, key.seq), key=_key)
        found = self._records[start : start + limit]
        return [record for record in found if record.boot == found[0].boot]

    @property
    def live_bytes(self) -> int:
        """What `frames` would take: of an idle device its boot, its clock and its acknowledgement: not nothing."""
        empty = frame_bytes(self.device, 0)
        live = empty + _BOOT_BODY.size + self.bytes_used + (len(self._clocks) + len(self._floors)) * empty
        if self._lost:
            live += len(self._lost) * (empty + _LOST_BODY.size)
        if self.config is not None:
            live += empty + len(self.config)
        if self.slot_bytes:
            live += self.slot_bytes + sum(map(len, self._slots)) * (empty + 1)
        return live

    def records(self) -> Iterator[Record]:
        """Everything held, in order."""
        return iter(self._records)

    def between(self, boot: int, first: int, last: int) -> list[Record]:
        """The records held of these seqs, both ends included, in order."""
        start = bisect_left(self._records, (boot, first), key=_key)
        return self._records[start : bisect_right(self._records, (boot, last), key=_key)]

    def missing(self, boot: int, first: int, last: int) -> list[LostRange]:
        """Those of these seqs that were measured and are not held, with the reason, as ranges in order."""
        if boot > self.boot:  # from a life of which this flash knows nothing
            return [LostRange(boot, first, last, "corrupt")]
        last = min(last, self.next_seq - 1) if boot == self.boot else last
        gaps = _gaps(first, last, [(record.seq, record.seq) for record in self.between(boot, first, last)])
        known = [lost for lost in self._lost if lost.boot == boot]
        answer = []
        for low, high in gaps:
            parts = [
                (max(low, k.first), min(high, k.last), k.reason) for k in known if k.first <= high and k.last >= low
            ]
            rest = _gaps(low, high, [(part[0], part[1]) for part in parts])
            answer += sorted(parts + [(at, to, "acked") for at, to in rest])
        return [LostRange(boot, at, to, reason) for at, to, reason in answer]

    def put_config(self, config: bytes) -> None:
        """Keep the device's settings instead of those before."""
        self.config = config
        self._write(FrameKind.CONFIG, self.boot, 0, self.newest_at_ms or 0, config, urgent=True)

    def slot(self, slot: int) -> Mapping[int, bytes]:
        """The chunks in a firmware slot, by number."""
        return self._slots[slot]

    def erase_slot(self, slot: int) -> None:
        """Empty a firmware slot."""
        self._clear_slot(slot)
        self._write(FrameKind.SLOT_ERASE, self.boot, slot, self.newest_at_ms or 0, b"", urgent=False)

    def write_chunk(self, slot: int, number: int, data: bytes) -> None:
        """Keep one chunk of a firmware image. It can wait for the next commit: what is lost is asked for again."""
        self._fill_slot(slot, number, data)
        body = bytes((slot,)) + data
        self._write(FrameKind.SLOT_CHUNK, self.boot, number, self.newest_at_ms or 0, body, urgent=False)

    def frames(self) -> Iterator[bytes]:
        """All that is live, as frames: what a compacted flash holds of this device. Counts as wear."""
        at_ms = self.newest_at_ms or 0
        live = [encode_frame(FrameKind.BOOT, self.device, self.boot, 0, at_ms, _BOOT_BODY.pack(self.bytes_written))]
        if self._floors.keys() | self._clocks.keys() != {self.boot}:
            self._forget_past_boots()
        live += [encode_frame(FrameKind.CLOCK, self.device, boot, 0, by_ms) for boot, by_ms in self._clocks.items()]
        live += [encode_frame(FrameKind.ACK, self.device, boot, seq, at_ms) for boot, seq in self._floors.items()]
        live += [self._lost_frame(lost) for lost in self._lost]
        live += [encode_frame(FrameKind.READING, self.device, *record) for record in self._records]
        if self.config is not None:
            live.append(encode_frame(FrameKind.CONFIG, self.device, self.boot, 0, at_ms, self.config))
        live += [
            encode_frame(FrameKind.SLOT_CHUNK, self.device, self.boot, number, at_ms, bytes((slot,)) + data)
            for slot, chunks in enumerate(self._slots)
            for number, data in chunks.items()
        ]
        self.bytes_written += sum(map(len, live))
        yield from live

    def _forget_past_boots(self) -> None:
        """Of a boot of which nothing is held or lost, nothing will be asked again."""
        boots = {self.boot} | {record.boot for record in self._records} | {lost.boot for lost in self._lost}
        self._floors = {boot: seq for boot, seq in self._floors.items() if boot in boots}
        self._clocks = {boot: correction for boot, correction in self._clocks.items() if boot in boots}

    def _evict(self, needed: int) -> None:
        while self.free_bytes < needed:
            oldest = self._records.pop(0)
            self.bytes_used -= frame_bytes(self.device, len(oldest.body))
            lost = self._add_lost(oldest.boot, oldest.seq, oldest.seq, "evicted")
            self._flash_write(self._lost_frame(lost), urgent=True)

    def _add_lost(self, boot: int, first: int, last: int, reason: LostReason) -> LostRange:
        """Remember a loss, joined to a range that it continues. Returns the range that now holds it."""
        at = bisect_right(self._lost, (boot, first), key=lambda lost: (lost.boot, lost.first))
        before = self._lost[at - 1] if at else None
        if before and (before.boot, before.reason) == (boot, reason) and before.last + 1 >= first:
            lost = LostRange(boot, before.first, max(before.last, last), reason)
            self._lost[at - 1] = lost
        else:
            lost = LostRange(boot, first, last, reason)
            self._lost.insert(at, lost)
            if len(self._lost) > LOST_RANGES_MAX:
                self._forget_oldest_eviction()
        return lost

    def _forget_oldest_eviction(self) -> None:
        """Evictions go oldest first, so nothing before one is held: counting it as acked frees nothing else."""
        oldest = next((lost for lost in self._lost if lost.reason == "evicted"), None)
        if oldest is not None:
            self._settle(oldest.boot, oldest.last)

    def _settle(self, boot: int, seq: int) -> int:
        self._floors[boot] = seq
        self._write(FrameKind.ACK, boot, seq, self.newest_at_ms or 0, b"", urgent=False)
        return self._free(boot, seq)

    def _free(self, boot: int, seq: int) -> int:
        start = bisect_left(self._records, (boot, 0), key=_key)
        end = bisect_right(self._records, (boot, seq), key=_key)
        self.bytes_used -= sum(frame_bytes(self.device, len(record.body)) for record in self._records[start:end])
        del self._records[start:end]
        self._lost = [
            LostRange(lost.boot, max(lost.first, seq + 1), lost.last, lost.reason) if lost.boot == boot else lost
            for lost in self._lost
            if lost.boot != boot or lost.last > seq
        ]
        return end - start

    def _write(self, kind: FrameKind, boot: int, seq: int, at_ms: int, body: bytes, *, urgent: bool) -> None:
        self._flash_write(encode_frame(kind, self.device, boot, seq, at_ms, body), urgent=urgent)

    def _flash_write(self, frame: bytes, *, urgent: bool) -> None:
        self.bytes_written += len(frame)
        self._flash.write(frame, urgent=urgent)

    def _lost_frame(self, lost: LostRange) -> bytes:
        body = _LOST_BODY.pack(lost.last, _REASONS.index(lost.reason))
        return encode_frame(FrameKind.LOST, self.device, lost.boot, lost.first, self.newest_at_ms or 0, body)

    def load(self, frame: Frame) -> None:
        """Take in one frame of the medium, in the order written."""
        self.boot = max(self.boot, frame.boot)
        if frame.kind in {FrameKind.READING, FrameKind.BOOT}:
            self.newest_at_ms = max(frame.at_ms, self.newest_at_ms or frame.at_ms)
        match frame.kind:
            case FrameKind.BOOT if frame.body is not None:
                (self.bytes_written,) = _BOOT_BODY.unpack(frame.body)
            case FrameKind.READING if frame.body is not None:
                self._records.append(Record(frame.boot, frame.seq, frame.at_ms, frame.body))
            case FrameKind.ACK:
                self._floors[frame.boot] = max(frame.seq, self._floors.get(frame.boot, -1))
            case FrameKind.CLOCK:
                self._clocks[frame.boot] = frame.at_ms
            case FrameKind.LOST if frame.body is not None:
                last, reason = _LOST_BODY.unpack(frame.body)
                self._add_lost(frame.boot, frame.seq, last, _REASONS[reason])
            case FrameKind.READING:
                self._damaged.append((frame.boot, frame.seq))
            case _:
                self._load_settings(frame)
        self.bytes_written += frame_bytes(self.device, len(frame.body or b""))

    def _load_settings(self, frame: Frame) -> None:
        match frame.kind:
            case FrameKind.CONFIG if frame.body is not None:
                self.config = frame.body
            case FrameKind.SLOT_ERASE:
                self._clear_slot(frame.seq % len(self._slots))
            case FrameKind.SLOT_CHUNK if frame.body:
                self._fill_slot(frame.body[0] % len(self._slots), frame.seq, frame.body[1:])

    def _clear_slot(self, slot: int) -> None:
        self.slot_bytes -= sum(map(len, self._slots[slot].values()))
        self._slots[slot].clear()

    def _fill_slot(self, slot: int, number: int, data: bytes) -> None:
        self.slot_bytes += len(data) - len(self._slots[slot].get(number, b""))
        self._slots[slot][number] = data

    def finish_load(self) -> None:
        """Settle what the frames say together: drop what was evicted or acked, and name what damage took."""
        self._records = sorted({record.key: record for record in self._records}.values())
        for lost in self._lost:
            start = bisect_left(self._records, (lost.boot, lost.first), key=_key)
            del self._records[start : bisect_right(self._records, (lost.boot, lost.last), key=_key)]
        self.bytes_used = sum(frame_bytes(self.device, len(record.body)) for record in self._records)
        ends: dict[int, int] = {}
        for boot, seq in self._damaged + [record.key for record in self._records]:
            ends[boot] = max(seq, ends.get(boot, 0))
        for boot, end in ends.items():
            present = [(record.seq, record.seq) for record in self._records if record.boot == boot]
            present += [(lost.first, lost.last) for lost in self._lost if lost.boot == boot]
            for first, last in _gaps(0, end, sorted(present)):
                self._add_lost(boot, first, last, "corrupt")
        self._damaged.clear()
        for boot, seq in self._floors.items():
            self._free(boot, seq)


def _key(record: Record) -> tuple[int, int]:
    return record.boot, record.seq


def _gaps(first: int, last: int, present: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The ranges of `first` to `last` that no range of `present` (sorted) covers."""
    gaps = []
    for low, high in present:
        if low > first:
            gaps.append((first, min(low - 1, last)))
        first = max(first, high + 1)
    if first <= last:
        gaps.append((first, last))
    return gaps
