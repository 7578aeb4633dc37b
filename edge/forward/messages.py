"""Batches for a destination that takes messages: which topic, which payload; and how the bridge reads them back.

A batch's body is one JSON object a line, `{"topic": ..., "payload": ...}`, one line a message. Readings are grouped by
device. As SenML they carry their identity (device by the topic, boot, seq), so that whoever receives one twice can
tell; as line protocol their identity is in the fields `boot` and `seq`. Rollups and notices have no SenML form: they
are lines of line protocol in every format.

Promises: the same rows are the same bytes, for ever (times are absolute, also those of devices without a clock);
no payload holds more than `READINGS_PER_MESSAGE` rows.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

import msgspec

from edge.forward.lines import LineEncoder
from edge.forward.rollup_lines import RollupEncoder
from edge.store.notices import Notice
from edge.store.rows import LogEntry
from edge.store.windows import RollupEntry
from sensors.senml import encode

READINGS_PER_MESSAGE = 200  # 10 to 20 KB: far below any broker's limit, and a message lost costs little to send again
_FIELD = re.compile(r"\{(?:site|device|kind)\}")
DEFAULT_TOPIC = "tidegate/up/{site}/{device}/{kind}"
GATEWAY_SITE = "gateway"
"""The site in the topics of the gateway's own notices; the device is the gateway's name."""


class PayloadFormat(StrEnum):
    """How readings are written."""

    SENML = "senml"
    LINES = "lines"


@dataclass(frozen=True, slots=True)
class MessageFormat:
    """`topic` has the fields {site}, {device} and {kind}; `gateway` stands for the device in the topics of notices."""

    gateway: str
    topic: str = DEFAULT_TOPIC
    payload: PayloadFormat = PayloadFormat.SENML

    def topic_of(self, site: str, device: str, kind: str) -> str:
        """The topic of one message."""
        fields = {"{site}": site, "{device}": device, "{kind}": kind}
        return _FIELD.sub(lambda found: fields[found[0]], self.topic)


class OutMessage(msgspec.Struct, frozen=True):
    """One message of a batch."""

    topic: str
    payload: str


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(OutMessage)


def messages_of(body: bytes) -> list[OutMessage]:
    """The messages of a batch's body."""
    return _decoder.decode_lines(body)


class _OfDevice(Protocol):
    @property
    def device_key(self) -> int: ...


Row = TypeVar("Row", bound=_OfDevice)


class ReadingMessages:
    """Readings, grouped by device."""

    def __init__(self, name_of: Callable[[int], tuple[str, str]], form: MessageFormat, lines: LineEncoder) -> None:
        self._name_of = name_of
        self._form = form
        self._lines = lines

    def encode(self, rows: Iterable[LogEntry]) -> bytes:
        """One message for so many readings of one device."""
        found = []
        for key, pack in _packs(rows):
            topic = self._form.topic_of(*self._name_of(key), "reading")
            if self._form.payload is PayloadFormat.LINES:
                payload = self._lines.encode(pack)
            else:
                readings = [msgspec.structs.replace(entry.reading, synced=True) for entry in pack]
                payload = encode(readings, sent_at_ms=0)
            found.append(OutMessage(topic, payload.decode()))
        return _encoder.encode_lines(found)


class RollupMessages:
    """Rollups, grouped by device."""

    def __init__(self, name_of: Callable[[int], tuple[str, str]], form: MessageFormat, lines: RollupEncoder) -> None:
        self._name_of = name_of
        self._form = form
        self._lines = lines

    def encode(self, rows: Iterable[RollupEntry]) -> bytes:
        """One message for so many rollups of one device."""
        return _encoder.encode_lines(
            OutMessage(self._form.topic_of(*self._name_of(key), "rollup"), self._lines.encode(pack).decode())
            for key, pack in _packs(rows)
        )


class NoticeMessages:
    """Notices."""

    def __init__(self, form: MessageFormat) -> None:
        self._topic = form.topic_of(GATEWAY_SITE, form.gateway, "notice")

    def encode(self, rows: Iterable[Notice]) -> bytes:
        """One message a notice."""
        return _encoder.encode_lines(OutMessage(self._topic, row.line.decode() + "\n") for row in rows)


def _packs(rows: Iterable[Row]) -> Iterator[tuple[int, Sequence[Row]]]:
    by_device: dict[int, list[Row]] = {}
    for row in rows:
        by_device.setdefault(row.device_key, []).append(row)
    for key, pack in by_device.items():
        for at in range(0, len(pack), READINGS_PER_MESSAGE):
            yield key, pack[at : at + READINGS_PER_MESSAGE]
