"""From a stream of bytes to MQTT control packets, and the one packet that matters most: PUBLISH.

Promises: memory is bounded by the largest message that is allowed, however large the packet claims to be: of a larger
one the head is kept (so that it can be acknowledged and put in quarantine) and the rest is skipped; a topic that is not
UTF-8 is handed on as bytes. Only a stream that is not MQTT at all raises (`FramingError`).
"""

from collections.abc import Iterator

from edge.message import Message

PUBLISH = 3
LENGTH_BYTES_MAX = 4  # MQTT's variable byte integer
TOPIC_ROOM_BYTES = 65_535 + 2 + 2 + 4  # of a PUBLISH before its payload, without properties
QOS_MASK = 0x06
RETAIN_FLAG = 0x01
DUP_FLAG = 0x08


class FramingError(Exception):
    """The bytes are not MQTT: the connection cannot go on."""


class Framer:
    """Cuts the stream into (first byte, body). `body_bytes_max` bounds what is kept of one packet."""

    def __init__(self, message_bytes_max: int) -> None:
        self._body_bytes_max = message_bytes_max + TOPIC_ROOM_BYTES
        self._chunks: list[bytes] = []
        self._missing = 0
        self._skip = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The packets that are complete with these bytes. Raises `FramingError`; then the stream is at its end."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        self._chunks.append(data)
        self._missing -= len(data)
        if self._missing > 0:
            return
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        at, have, body_bytes_max = 0, len(data), self._body_bytes_max
        kept = 2  # where the packet that is not whole ends, as far as is known; any has two bytes
        while have - at > 1:
            length, start = data[at + 1], at + 2
            if length >= 0x80:
                length, start = _length(data, at + 1)
            end = start + length
            kept = end if length <= body_bytes_max else start + body_bytes_max
            if have < kept:
                break
            yield data[at], data[start:kept]
            if end > have:  # over-long: the head is kept, and what has not come yet is skipped
                self._skip = end - have
                end = have
            at, kept = end, end + 2
        self._chunks = [data[at:]]
        self._missing = kept - have


def _length(data: bytes, at: int) -> tuple[int, int]:
    """(a packet's length, where its body starts); where the length is not whole yet, as if one byte were missing."""
    try:
        return _variable_integer(data, at)
    except IndexError:
        return 0, len(data) + 1


def parse_publish(first: int, body: bytes, *, has_properties: bool) -> Message:
    """The message of a PUBLISH packet. Raises `FramingError` if the packet is shorter than its own lengths say."""
    try:
        topic_end = 2 + (body[0] << 8 | body[1])
        topic_raw = body[2:topic_end]
        at = topic_end
        packet_id = None
        if first & QOS_MASK:
            packet_id = body[at] << 8 | body[at + 1]
            at += 2
        if has_properties:
            if body[at]:
                properties, at = _variable_integer(body, at)
                at += properties
            else:
                at += 1
    except IndexError:
        raise FramingError("a PUBLISH packet ends before its topic does") from None
    topic: str | bytes
    try:
        topic = topic_raw.decode()
    except UnicodeDecodeError:
        topic = topic_raw
    return Message(topic, body[at:], bool(first & RETAIN_FLAG), packet_id, bool(first & DUP_FLAG))


def _variable_integer(body: bytes, at: int) -> tuple[int, int]:
    """(value, where it ends). Raises `IndexError` where the body ends first."""
    value = 0
    for size in range(LENGTH_BYTES_MAX):
        digit = body[at + size]
        value |= (digit & 0x7F) << (7 * size)
        if digit < 0x80:
            return value, at + size + 1
    raise FramingError("a packet has a length of over four bytes")
