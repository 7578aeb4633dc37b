"""What gateway and front say to each other: frames over one socket pair. Core: bytes and values only.

A frame is four bytes of length and a MessagePack document. The front asks (`Ask`, `Forwarded`) and tells what it logs
(`LogLine`); the gateway answers each by its number (`Answer`, `Answered`). Promise: a frame longer than
`FRAME_BYTES_MAX` is never written, and one that claims to be is refused before it is read.
"""

import struct

import msgspec

from edge.access.roles import Kind, Scope
from edge.store import StoreError

FRAME_BYTES_MAX = 64 * 1024 * 1024  # the longest answer, a ledger report of 1,000 boots, has some 20 MB at its worst
LENGTH = struct.Struct(">I")
AWAKE = b"\x00"  # before the first frame: the front says it when it runs, and is given the listening socket with it


class GatewayAway(StoreError):
    """The gateway's process gave no answer. Nothing is known of what was asked; ask again."""


class FrameTooLong(Exception):
    """A frame over `FRAME_BYTES_MAX`."""

    def __init__(self, length: int) -> None:
        super().__init__(f"a frame of {length} bytes: expected at most {FRAME_BYTES_MAX}")


class Ask(msgspec.Struct, frozen=True, tag="ask", array_like=True):
    """A question of `edge.dashboard.questions`."""

    number: int
    name: str
    arguments: tuple[int | str | bool | list[int] | None, ...]


class Who(msgspec.Struct, frozen=True, array_like=True):
    """Who makes a request, as the front's gate found."""

    kind: Kind
    name: str | None
    scopes: frozenset[Scope]


class Forwarded(msgspec.Struct, frozen=True, tag="forwarded", array_like=True):
    """A request that is not the front's to answer."""

    number: int
    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    client: str | None
    who: Who


class LogLine(msgspec.Struct, frozen=True, tag="log", array_like=True):
    """Something for the gateway's log, which has one level and one form."""

    logger: str
    level: int
    event: str
    fields: dict[str, int | float | str | bool | list[str] | None]


class Answer(msgspec.Struct, frozen=True, tag="answer", array_like=True):
    """To an `Ask`: its bytes, or why there are none."""

    number: int
    body: bytes
    error: str | None = None


class Answered(msgspec.Struct, frozen=True, tag="answered", array_like=True):
    """To a `Forwarded`."""

    number: int
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


FromFront = Ask | Forwarded | LogLine
FromGateway = Answer | Answered
_encoder = msgspec.msgpack.Encoder()
_from_front = msgspec.msgpack.Decoder(FromFront)
_from_gateway = msgspec.msgpack.Decoder(FromGateway)


def framed(document: FromFront | FromGateway) -> bytes:
    """One frame. Raises `FrameTooLong`."""
    return framed_bytes(_encoder.encode(document))


def framed_bytes(body: bytes) -> bytes:
    """One frame of bytes. Raises `FrameTooLong`."""
    if len(body) > FRAME_BYTES_MAX:
        raise FrameTooLong(len(body))
    return LENGTH.pack(len(body)) + body


def length_of(head: bytes) -> int:
    """How long the frame is that begins so. Raises `FrameTooLong`."""
    length: int = LENGTH.unpack(head)[0]
    if length > FRAME_BYTES_MAX:
        raise FrameTooLong(length)
    return length


def from_front(body: bytes) -> FromFront:
    """What the front said. Raises `msgspec.MsgspecError`."""
    said: FromFront = _from_front.decode(body)
    return said


def from_gateway(body: bytes) -> FromGateway:
    """What the gateway said. Raises `msgspec.MsgspecError`."""
    said: FromGateway = _from_gateway.decode(body)
    return said
