"""The packets that a gateway sends and understands, in MQTT 5 and in MQTT 3.1.1, as bytes.

MQTT 5 is read and written by the `mqtt5` package, with two guards: it may not see an incoming PUBLISH (it panics on a
topic that is not UTF-8, see docs/decisions/0001-mqtt-client.md), and a panic on any other packet ends the connection,
not the process. Of 3.1.1 the seven packets that a subscriber needs are written here.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import mqtt5

from edge.config import MqttSettings, MqttVersion
from edge.mqtt.framing import FramingError

CONNACK, PUBACK, SUBACK, PINGRESP, DISCONNECT = 2, 4, 9, 13, 14
PINGREQ_PACKET = b"\xc0\x00"
RETURN_CODES_311 = {
    1: "unacceptable protocol version",
    2: "client identifier rejected",
    3: "server unavailable",
    4: "bad user name or password",
    5: "not authorized",
}  # MQTT 3.1.1, table 3.1
INFLIGHT_MAX_311 = 20  # 3.1.1 brokers do not say; mosquitto's default, below amqtt's queue


@dataclass(frozen=True, slots=True)
class ConnAck:
    """The broker's answer to CONNECT. `refusal` is None if it took us."""

    session_present: bool
    refusal: str | None
    inflight_max: int


class Codec(Protocol):
    """One protocol version."""

    has_properties: bool
    """Whether a PUBLISH carries properties before its payload."""

    def connect(self, settings: MqttSettings, password: str | None) -> bytes:
        """CONNECT that keeps the session."""

    def read_connack(self, first: int, body: bytes) -> ConnAck:
        """Raises `FramingError`."""

    def subscribe(self, packet_id: int, filters: Sequence[str]) -> bytes:
        """SUBSCRIBE at QoS 1."""

    def read_suback(self, first: int, body: bytes) -> list[str]:
        """What the broker refuses of the subscription; empty if it granted all. Raises `FramingError`."""

    def publish(
        self, topic: str, payload: bytes, packet_id: int, *, retain: bool = False, expiry_s: int | None = None
    ) -> bytes:
        """PUBLISH at QoS 1; the broker forgets it after `expiry_s`, if the protocol has that."""

    def read_disconnect(self, first: int, body: bytes) -> str:
        """Why the broker hangs up. Raises `FramingError`."""


def puback(packet_id: int) -> bytes:
    """PUBACK with reason success: the same bytes in both versions."""
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def disconnect() -> bytes:
    """DISCONNECT with reason normal: the same bytes in both versions (the session outlives it)."""
    return b"\xe0\x00"


def puback_id(body: bytes) -> int:
    """The packet id of a PUBACK. Raises `FramingError`."""
    if len(body) < 2:
        raise FramingError("a PUBACK packet has no packet id")
    return body[0] << 8 | body[1]


def codec_for(version: MqttVersion) -> Codec:
    """The codec of a protocol version."""
    return Codec5() if version is MqttVersion.V5 else Codec311()


class Codec5:
    """MQTT 5 (OASIS Standard, 2019)."""

    has_properties = True

    def connect(self, settings: MqttSettings, password: str | None) -> bytes:
        """CONNECT with clean start off, a session expiry and a receive maximum."""
        return mqtt5.ConnectPacket(
            settings.client_id,
            username=settings.username,
            password=password.encode() if password is not None else None,
            clean_start=False,
            keep_alive=settings.keepalive_s,
            session_expiry_interval=settings.session_expiry_s,
            receive_max=settings.receive_max,
        ).write()

    def read_connack(self, first: int, body: bytes) -> ConnAck:
        """Raises `FramingError`."""
        packet = _read5(first, body)
        if not isinstance(packet, mqtt5.ConnAckPacket):
            raise FramingError("the broker did not answer CONNECT with CONNACK")
        refusal = None
        if packet.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
            refusal = packet.reason_code.name.lower().replace("_", " ")
        return ConnAck(packet.session_present, refusal, packet.receive_max)

    def subscribe(self, packet_id: int, filters: Sequence[str]) -> bytes:
        """SUBSCRIBE at QoS 1; retained messages come with their flag."""
        wanted = [
            mqtt5.TopicFilter(pattern, max_qos=mqtt5.QoS.AT_LEAST_ONCE, retain_as_published=False)
            for pattern in filters
        ]
        return mqtt5.SubscribePacket(packet_id, wanted).write()

    def read_suback(self, first: int, body: bytes) -> list[str]:
        """Raises `FramingError`."""
        packet = _read5(first, body)
        if not isinstance(packet, mqtt5.SubAckPacket):
            raise FramingError("the broker did not answer SUBSCRIBE with SUBACK")
        return [
            code.name.lower().replace("_", " ") for code in packet.reason_codes if not code.name.startswith("GRANTED")
        ]

    def publish(
        self, topic: str, payload: bytes, packet_id: int, *, retain: bool = False, expiry_s: int | None = None
    ) -> bytes:
        """PUBLISH at QoS 1, with its expiry."""
        return mqtt5.PublishPacket(
            topic,
            payload,
            qos=mqtt5.QoS.AT_LEAST_ONCE,
            packet_id=packet_id,
            retain=retain,
            message_expiry_interval=expiry_s,
        ).write()

    def read_disconnect(self, first: int, body: bytes) -> str:
        """Raises `FramingError`."""
        packet = _read5(first, body)
        if isinstance(packet, mqtt5.DisconnectPacket):
            return packet.reason_code.name.lower().replace("_", " ")
        raise FramingError("not a DISCONNECT packet")


def _read5(first: int, body: bytes) -> mqtt5.Packet:
    frame = bytes([first]) + _length(len(body)) + body
    try:
        return mqtt5.read(memoryview(frame))[0]
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise FramingError(f"packet of type {first >> 4}: {error}") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # what Rust's panics become; it has no importable name
            raise
        raise FramingError(f"packet of type {first >> 4} does not parse") from None


class Codec311:
    """MQTT 3.1.1 (OASIS Standard, 2014)."""

    has_properties = False

    def connect(self, settings: MqttSettings, password: str | None) -> bytes:
        """CONNECT with clean session off."""
        flags, payload = 0x00, _text(settings.client_id)
        if settings.username is not None:
            flags |= 0x80
            payload += _text(settings.username)
            if password is not None:
                flags |= 0x40
                payload += _text(password)
        return _packet(0x10, _text("MQTT") + struct.pack(">BBH", 4, flags, settings.keepalive_s) + payload)

    def read_connack(self, first: int, body: bytes) -> ConnAck:
        """Raises `FramingError`."""
        if first >> 4 != CONNACK or len(body) != 2:
            raise FramingError("the broker did not answer CONNECT with CONNACK")
        refusal = RETURN_CODES_311.get(body[1], f"return code {body[1]}") if body[1] else None
        return ConnAck(bool(body[0] & 1), refusal, INFLIGHT_MAX_311)

    def subscribe(self, packet_id: int, filters: Sequence[str]) -> bytes:
        """SUBSCRIBE at QoS 1."""
        return _packet(0x82, struct.pack(">H", packet_id) + b"".join(_text(pattern) + b"\x01" for pattern in filters))

    def read_suback(self, first: int, body: bytes) -> list[str]:
        """Raises `FramingError`."""
        if first >> 4 != SUBACK or len(body) < 3:
            raise FramingError("the broker did not answer SUBSCRIBE with SUBACK")
        return ["refused" for code in body[2:] if code >= 0x80]

    def publish(
        self,
        topic: str,
        payload: bytes,
        packet_id: int,
        *,
        retain: bool = False,
        expiry_s: int | None = None,  # noqa: ARG002 - 3.1.1 has none
    ) -> bytes:
        """PUBLISH at QoS 1."""
        return _packet(0x33 if retain else 0x32, _text(topic) + struct.pack(">H", packet_id) + payload)

    def read_disconnect(self, first: int, body: bytes) -> str:
        """3.1.1 brokers hang up without a word: one that sends DISCONNECT breaks the protocol, so this raises."""
        raise FramingError(f"a 3.1.1 broker may not send a packet of type {first >> 4} ({len(body)} bytes)")


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + _length(len(body)) + body


def _length(length: int) -> bytes:
    digits = bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(digits)
