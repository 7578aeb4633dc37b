"""The payloads of `{root}/{site}/{device}/alert`: what a device says, and what a gateway says of that device.

Both use one topic, told apart by `source`. A device's message is one alert that it raises or clears, numbered by boot
and seq (a count of its own, from 0 since that boot) so that a repeat is recognised; it is not retained. A gateway's
message is retained and whole: every alert of that device that is active, so that whoever subscribes late knows how
things stand, and those that were cleared since the broker last acknowledged one.
"""

from enum import StrEnum
from typing import Final, Literal

import msgspec

from sensors.messages import MessageError
from sensors.reading import BOOT_MAX, SEQ_MAX
from sensors.topics import TopicError, check_level

GATEWAY: Final = "gateway"
"""The `source` of what a gateway publishes: no gateway takes it in."""
TEXT_MAX = 200  # characters of a message for people: one line on a phone


class Severity(StrEnum):
    """How bad it is, from least to worst."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class DeviceAlert(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a device says. `since_ms` is its own time; the gateway notes when it heard of it."""

    alert: str
    state: Literal["raised", "cleared"]
    boot: int
    seq: int
    severity: Severity = Severity.WARNING
    message: str = ""
    since_ms: int | None = None


class TopicAlert(msgspec.Struct, frozen=True, omit_defaults=True):
    """One alert as a gateway publishes it. Times are the gateway's, but `since_ms`, which is the device's."""

    id: int
    rule: str
    severity: Severity
    message: str
    since_ms: int
    raised_ms: int
    value: str | None = None
    unit: str | None = None
    number: float | None = None
    threshold: float | None = None
    cleared_ms: int | None = None
    acknowledged_ms: int | None = None
    acknowledged_by: str | None = None


class DeviceAlerts(msgspec.Struct, frozen=True):
    """What a gateway says of a device. `active` is cut to the worst; `active_count` counts all of them."""

    gateway: str
    active_count: int
    active: tuple[TopicAlert, ...]
    cleared: tuple[TopicAlert, ...]
    source: Literal["gateway"] = GATEWAY


class _Head(msgspec.Struct, frozen=True):
    source: str = "device"


_head_decoder = msgspec.json.Decoder(_Head)
_device_decoder = msgspec.json.Decoder(DeviceAlert)
_gateway_decoder = msgspec.json.Decoder(DeviceAlerts)
_encoder = msgspec.json.Encoder()


def encode_alert(message: DeviceAlert | DeviceAlerts) -> bytes:
    """The message as JSON."""
    return _encoder.encode(message)


def decode_device_alerts(payload: bytes) -> DeviceAlerts:
    """What a gateway says of a device. Raises `MessageError`."""
    try:
        return _gateway_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"alert: {error}") from None


def decode_device_alert(payload: bytes) -> DeviceAlert | None:
    """What a device says; None if it was a gateway that spoke. Raises `MessageError`."""
    try:
        if _head_decoder.decode(payload).source == GATEWAY:
            return None
        alert = _device_decoder.decode(payload)
        check_level(alert.alert, "alert.alert")
    except (msgspec.DecodeError, UnicodeDecodeError, TopicError) as error:
        raise MessageError(f"alert: {error}") from None
    if not (0 <= alert.boot <= BOOT_MAX and 0 <= alert.seq <= SEQ_MAX):
        raise MessageError(f"alert: boot {alert.boot}, seq {alert.seq}: expected 0 to 2^48-1")
    if alert.since_ms is not None and not 0 <= alert.since_ms < 2**53:
        raise MessageError(f"alert.since_ms {alert.since_ms}: expected milliseconds since 1970")
    if len(alert.message) > TEXT_MAX or not alert.message.isprintable():
        raise MessageError(f"alert.message: expected at most {TEXT_MAX} printable characters")
    return alert
