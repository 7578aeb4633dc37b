"""From a stream of bytes to MQTT control packets, and the one packet that matters most: PUBLISH.

Promises: memory is bounded by the largest message that is allowed, however large the packet claims to be: of a larger
one the head is kept (so that it can be acknowledged and put in quarantine) and the rest is skipped; a topic that is not
UTF-8 is handed on as bytes. Only a stream that is not MQTT at all raises (`FramingError`).
"""

from collections.abc import Iterator
from typing import NamedTuple

PUBLISH = 3
LENGTH_BYTES_MAX = 4  # MQTT's variable byte integer
TOPIC_ROOM_BYTES = 65_535 + 2 + 2 + 4  # of a PUBLISH before its payload, without properties
QOS_MASK = 0x06
RETAIN_FLAG = 0x01
DUP_FLAG = 0x08


class FramingError(Exception):
    """The bytes are not MQTT: the connection cannot go on."""


class Received(NamedTuple):
    """One message from the broker. `packet_id` is None at QoS 0; `topic` is bytes where it was not UTF-8.

    `redelivered`: the broker sent it before, under the same packet id, and got no PUBACK (MQTT 5, section 4.4).
    """

    topic: str | bytes
    payload: bytes
    retained: bool
    packet_id: int | None
    redelivered: bool = False


class Framer:
    """Cuts the stream into (first byte, body). `body_bytes_max` bounds what is kept of one packet."""

    def __init__(self, message_bytes_max: int) -> None:
        self._body_bytes_max = message_bytes_max + TOPIC_ROOM_BYTES
        self._buffer = bytearray()
        self._skip = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The packets that are complete with these bytes. Raises `FramingError`."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        self._buffer += data
        at = 0
        try:
            while (packet := self._cut(at)) is not None:
                first, body, at = packet
                yield first, body
        finally:
            del self._buffer[:at]

    def _cut(self, at: int) -> tuple[int, bytes, int] | None:
        """The packet that starts at `at`, and where the next one starts; None if it is not whole yet."""
        buffer = self._buffer
        length, have = 0, len(buffer)
        for size in range(LENGTH_BYTES_MAX):
            if at + 1 + size >= have:
                return None
            digit = buffer[at + 1 + size]
            length |= (digit & 0x7F) << (7 * size)
            if digit < 0x80:
                break
        else:
            raise FramingError("a packet has a length of over four bytes")
        start = at + 2 + size
        end = start + length
        kept = min(end, start + self._body_bytes_max)
        if have < kept:
            return None
        if end > have and kept < end:  # over-long: keep the head, skip what has not come yet
            self._skip = end - have
            end = have
        return buffer[at], bytes(buffer[start:kept]), end


def parse_publish(first: int, body: bytes, *, has_properties: bool) -> Received:
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
            properties, at = _variable_integer(body, at)
            at += properties
    except IndexError:
        raise FramingError("a PUBLISH packet ends before its topic does") from None
    topic: str | bytes
    try:
        topic = topic_raw.decode()
    except UnicodeDecodeError:
        topic = topic_raw
    return Received(topic, body[at:], bool(first & RETAIN_FLAG), packet_id, bool(first & DUP_FLAG))


def _variable_integer(body: bytes, at: int) -> tuple[int, int]:
    """(value, where it ends). Raises `IndexError` where the body ends first."""
    value = 0
    for size in range(LENGTH_BYTES_MAX):
        digit = body[at + size]
        value |= (digit & 0x7F) << (7 * size)
        if digit < 0x80:
            return value, at + size + 1
    raise FramingError("a PUBLISH packet has a property length of over four bytes")
