"""The flash chip: frames that are appended, and the media that hold them.

A frame is a header with its own CRC, the device's name and a body with a CRC of its own:

    magic 2 | kind 1 | name length 1 | body length 4 | boot 4 | seq 8 | at_ms 8 | CRC32 of these and the name 4
    | name | body | CRC32 of the body 4                                                     (little endian)

Promises: what `append` returned from is on the medium (the file medium has fsynced it). Whatever the bytes are, `scan`
ends, yields every frame that is whole, in order, and counts the rest: a flipped bit in a body costs that frame only and
still tells whose it was; one in a header costs that frame only and is counted in bytes. A torn tail is a frame that is
not whole. `replace` is atomic: after a crash the medium holds the old bytes or the new ones.

Limits: a name of up to 255 bytes (the wire contract allows 64), a body of up to `BODY_BYTES_MAX`.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple, Protocol

from sensors.files import sync_path

MAGIC = b"\xf1\xa5"
BODY_BYTES_MAX = 256 * 1024  # 64 values of 1 KB and their names: the largest reading that the wire contract allows

_HEADER = struct.Struct("<2sBBIIQq")
_CRC = struct.Struct("<I")
FRAME_OVERHEAD_BYTES = _HEADER.size + 2 * _CRC.size


class FlashError(OSError):
    """The medium refused a write. Who must act: the operator (disk full, read-only); nothing was reported as stored."""


class FrameKind(IntEnum):
    """What a frame says."""

    BOOT = 1  # the device started `boot`; the body holds its wear counter
    READING = 2  # one reading, its bytes in the body
    ACK = 3  # everything of `boot` up to `seq` is safe at the gateway
    LOST = 4  # seqs from `seq` on are gone; the body holds the last one and the reason
    CLOCK = 5  # `at_ms` added to unsynced times of `boot` makes wall time of them
    CONFIG = 6  # the device's settings, whole, in the body; the last one counts
    SLOT_ERASE = 7  # the firmware slot `seq` is empty
    SLOT_CHUNK = 8  # chunk `seq` of the firmware slot that is the first byte of the body; the rest is the chunk


_KINDS = frozenset(FrameKind)


class Frame(NamedTuple):
    """One frame. `body` is None where the body's CRC does not match."""

    kind: FrameKind
    device: str
    boot: int
    seq: int
    at_ms: int
    body: bytes | None


@dataclass(slots=True)
class ScanDamage:
    """What a scan could not read."""

    unreadable_bytes: int = 0


def encode_frame(kind: FrameKind, device: str, boot: int, seq: int, at_ms: int, body: bytes = b"") -> bytes:
    """The bytes of one frame."""
    name = device.encode()
    head = _HEADER.pack(MAGIC, kind, len(name), len(body), boot, seq, at_ms)
    crc = zlib.crc32(name, zlib.crc32(head))
    return b"".join((head, _CRC.pack(crc), name, body, _CRC.pack(zlib.crc32(body))))


def frame_bytes(device: str, body_bytes: int) -> int:
    """How many bytes a frame of this device with a body of this length takes."""
    return FRAME_OVERHEAD_BYTES + len(device.encode()) + body_bytes


def scan(data: bytes, damage: ScanDamage) -> Iterator[Frame]:
    """Every whole frame, in the order written; `damage` counts what was skipped."""
    at = 0
    while at < len(data):
        found = _frame_at(data, at)
        if found is not None:
            frame, at = found
            yield frame
            continue
        after = data.find(MAGIC, at + 1)
        after = len(data) if after < 0 else after
        damage.unreadable_bytes += after - at
        at = after


def _frame_at(data: bytes, at: int) -> tuple[Frame, int] | None:
    """The frame that starts at `at` and where it ends, or None if no frame does."""
    name_at = at + _HEADER.size + _CRC.size
    if name_at > len(data):
        return None
    magic, kind, name_bytes, body_bytes, boot, seq, at_ms = _HEADER.unpack_from(data, at)
    body_at = name_at + name_bytes
    if magic != MAGIC or body_at > len(data) or kind not in _KINDS:
        return None
    (crc,) = _CRC.unpack_from(data, at + _HEADER.size)
    name = data[name_at:body_at]
    if zlib.crc32(name, zlib.crc32(data[at : at + _HEADER.size])) != crc:
        return None
    end = body_at + body_bytes + _CRC.size
    body = data[body_at : body_at + body_bytes]
    whole = end <= len(data) and zlib.crc32(body) == _CRC.unpack_from(data, body_at + body_bytes)[0]
    frame = Frame(FrameKind(kind), name.decode(), boot, seq, at_ms, body if whole else None)
    if whole:
        return frame, end
    # The length is under the header's CRC and can be trusted, unless the frame was torn off and others follow it.
    after = data.find(MAGIC, body_at)
    return frame, end if after < 0 or after >= end else after


class Medium(Protocol):
    """Where the bytes of a flash are."""

    def read(self) -> bytes:
        """Everything that is there."""

    def append(self, data: bytes) -> None:
        """Add at the end; durable on return. Raises `FlashError`, and then nothing of `data` counts as stored."""

    def replace(self, data: bytes) -> None:
        """Hold `data` instead of what was there, atomically; durable on return. Raises `FlashError`."""


class MemoryMedium:
    """A medium that lasts as long as the object: for replays, and for fleets that may forget."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    def read(self) -> bytes:
        """Everything that is there."""
        return bytes(self.data)

    def append(self, data: bytes) -> None:
        """Add at the end."""
        self.data += data

    def replace(self, data: bytes) -> None:
        """Hold `data` instead of what was there."""
        self.data[:] = data


class NoMedium:
    """A medium that forgets: for runs in virtual time, in which no process dies and no flash is read back."""

    def read(self) -> bytes:
        """Nothing."""
        return b""

    def append(self, data: bytes) -> None:
        """Forget."""

    def replace(self, data: bytes) -> None:
        """Forget."""


class FileMedium:
    """A medium in one file, fsynced by every `append`; `replace` writes beside it and renames."""

    def __init__(self, path: Path) -> None:
        self._path = path
        existed = path.exists()
        self._file = path.open("ab", buffering=0)
        if not existed:
            sync_path(self._path.parent)

    def read(self) -> bytes:
        """Everything that is there."""
        return self._path.read_bytes()

    def append(self, data: bytes) -> None:
        """Add at the end and fsync. Raises `FlashError`; the bytes of a failed write are cut off again."""
        size = os.fstat(self._file.fileno()).st_size
        try:
            _write_all(self._file.fileno(), data)
            os.fsync(self._file.fileno())
        except OSError as error:
            os.ftruncate(self._file.fileno(), size)
            raise FlashError(error.errno, f"flash file {self._path}: {error.strerror}") from error

    def replace(self, data: bytes) -> None:
        """See `replace_file`. Raises `FlashError`."""
        try:
            replace_file(self._path, data)
        except OSError as error:
            raise FlashError(error.errno, f"flash file {self._path}.new: {error.strerror}") from error
        self._file.close()
        self._file = self._path.open("ab", buffering=0)

    def close(self) -> None:
        """Close the file; nothing is pending."""
        self._file.close()


def replace_file(path: Path, data: bytes) -> None:
    """Write a new file, fsync it, rename it over the old one, fsync the folder: a kill leaves the one or the other."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb", buffering=0) as file:
        _write_all(file.fileno(), data)
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_path(path.parent)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
