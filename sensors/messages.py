"""The small messages beside readings: the device's `state`, the gateway's `ack` and `resend`.

All are JSON objects; unknown members are ignored so that either side can be newer than the other. A message that does
not decode raises `MessageError`, which says what was expected.
"""

from typing import Literal, TypeVar

import msgspec

from sensors.reading import BOOT_MAX, SEQ_MAX

RANGES_MAX = 64  # of one resend or state message: about 2 KB, what a small device can hold; the rest follows later


LostReason = Literal["evicted", "corrupt", "acked"]
"""Why a device no longer holds a reading: pushed out of a full flash, damaged there, or freed by an earlier `ack`."""


class MessageError(ValueError):
    """A control message that is not what the wire contract says."""


class LostRange(msgspec.Struct, frozen=True, array_like=True):
    """Seqs `first` to `last` of one boot that the device no longer holds, and why."""

    boot: int
    first: int
    last: int
    reason: LostReason


UpdatePhase = Literal["downloading", "trial", "confirmed", "failed", "rolled-back"]
"""How far an update is: fetching chunks; the new image runs for the first times; it stays; it was given up, before the
new image ever ran or after it did not do."""


class UpdateState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest update that a device was told to make; `done` of `chunks` are in its flash."""

    version: str
    phase: UpdatePhase
    done: int = 0
    chunks: int = 0
    detail: str = ""


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a device says of itself: retained, and its last will says `online: false`.

    `lost` answers a `resend` for readings that are gone for good, so that the ledger can say why they are missing and
    the acknowledgement can pass over them.
    """

    online: bool
    boot: int | None = None
    firmware: str | None = None
    battery_mv: int | None = None
    lost: tuple[LostRange, ...] = ()
    update: UpdateState | None = None


class Ack(msgspec.Struct, frozen=True):
    """Per boot, the highest seq up to which the gateway holds every reading durably: `acks` is [[boot, seq], ...]."""

    acks: tuple[tuple[int, int], ...]


class Resend(msgspec.Struct, frozen=True):
    """Readings that the gateway misses: `ranges` is [[boot, first, last], ...], both ends included."""

    ranges: tuple[tuple[int, int, int], ...]


Message = TypeVar("Message", State, Ack, Resend)

_state_decoder = msgspec.json.Decoder(State)
_ack_decoder = msgspec.json.Decoder(Ack)
_resend_decoder = msgspec.json.Decoder(Resend)
_encoder = msgspec.json.Encoder()


def encode(message: State | Ack | Resend) -> bytes:
    """The message as JSON."""
    return _encoder.encode(message)


def decode_state(payload: bytes) -> State:
    """Raises `MessageError`."""
    state = _decode(_state_decoder, payload, "state")
    if len(state.lost) > RANGES_MAX:
        raise MessageError(f"state.lost has {len(state.lost)} ranges: expected at most {RANGES_MAX}")
    for lost in state.lost:
        _check_range("state.lost", lost.boot, lost.first, lost.last)
    return state


def decode_ack(payload: bytes) -> Ack:
    """Raises `MessageError`."""
    ack = _decode(_ack_decoder, payload, "ack")
    for boot, seq in ack.acks:
        _check_range("ack.acks", boot, seq, seq)
    return ack


def decode_resend(payload: bytes) -> Resend:
    """Raises `MessageError`."""
    resend = _decode(_resend_decoder, payload, "resend")
    for boot, first, last in resend.ranges:
        _check_range("resend.ranges", boot, first, last)
    return resend


def _decode(decoder: msgspec.json.Decoder[Message], payload: bytes, what: str) -> Message:
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"{what}: {error}") from None


def _check_range(what: str, boot: int, first: int, last: int) -> None:
    if not (0 <= boot <= BOOT_MAX and 0 <= first <= last <= SEQ_MAX):
        raise MessageError(f"{what}: boot {boot}, seqs {first} to {last}: expected 0 <= first <= last <= 2^48-1")
