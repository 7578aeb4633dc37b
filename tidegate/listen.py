"""`tidegate edge listen`: what devices publish, decoded, as it arrives at the gateway's broker.

A listener beside the gateway, for the person at the cabinet: it has a session of its own that ends with it, listens at
QoS 0 and acknowledges nothing, so the gateway and its promises do not notice it. That is also why aiomqtt is good here
and not in the gateway (docs/decisions/0001-mqtt-client.md).
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiomqtt
import typer

from edge.config import MqttSettings
from edge.side_client import side_client
from sensors.alerts import decode_device_alert, decode_device_alerts
from sensors.clock import SystemClock
from sensors.commands import decode_command, decode_command_ack
from sensors.firmware import decode_ask, decode_chunk
from sensors.messages import MessageError, State, decode_ack, decode_resend, decode_state
from sensors.reading import Reading
from sensors.senml import PayloadError, decode
from sensors.topics import Kind, Topic, TopicError, parse_topic
from tidegate.errors import FrontDoorError

PAYLOAD_SHOWN_BYTES = 60  # of a message that is not understood


class BrokerAway(FrontDoorError):
    """The broker cannot be reached, or hung up (exit code 1)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One message: when it came, what it is called, and what it says or why it is not understood."""

    at_ms: int
    name: str
    kind: str
    text: str
    content: Any

    def as_line(self) -> str:
        """For people."""
        time = datetime.fromtimestamp(self.at_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
        return _printable(f"{time}  {self.name}  {self.kind:<8} {self.text}")

    def as_json(self) -> str:
        """For machines, on one line."""
        return json.dumps({"at_ms": self.at_ms, "name": self.name, "kind": self.kind, "content": self.content})


def _printable(text: str) -> str:
    """What devices call themselves and say may hold control or direction characters: these are shown, not obeyed."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def describe(topic: str, payload: bytes, root: str, at_ms: int) -> list[Seen]:
    """What a message says: one entry a reading."""
    try:
        where = parse_topic(topic, root)
        return _describe(where, payload, at_ms)
    except (TopicError, PayloadError, MessageError) as error:
        content = {"error": str(error), "payload": payload[:PAYLOAD_SHOWN_BYTES].hex()}
        return [Seen(at_ms, topic, "?", f"{error}: {payload[:PAYLOAD_SHOWN_BYTES]!a}", content)]


def _describe(where: Topic, payload: bytes, at_ms: int) -> list[Seen]:
    name = f"{where.site}/{where.device}"
    match where.kind:
        case Kind.READING:
            readings = decode(payload, device=where.device, received_at_ms=at_ms)
            return [Seen(at_ms, name, where.kind, _reading_text(each), _reading_content(each)) for each in readings]
        case Kind.STATE:
            state = decode_state(payload)
            return [Seen(at_ms, name, where.kind, _state_text(state), json.loads(payload))]
        case Kind.ACK:
            acks = decode_ack(payload).acks
            text = ", ".join(f"boot {boot} through seq {seq}" for boot, seq in acks)
            return [Seen(at_ms, name, where.kind, text, json.loads(payload))]
        case Kind.RESEND:
            ranges = decode_resend(payload).ranges
            text = ", ".join(f"boot {boot} seqs {first} to {last}" for boot, first, last in ranges)
            return [Seen(at_ms, name, where.kind, text, json.loads(payload))]
        case Kind.ALERT:
            return [Seen(at_ms, name, where.kind, _alert_text(payload), json.loads(payload))]
        case Kind.CMD:
            command = decode_command(payload)
            text = f"{command.id} {command.name} {json.dumps(command.args)}, for {command.ttl_s} s"
            return [Seen(at_ms, name, where.kind, text, json.loads(payload))]
        case Kind.CMD_ACK:
            done = decode_command_ack(payload)
            return [Seen(at_ms, name, where.kind, f"{done.id} {done.result} {done.detail}", json.loads(payload))]
        case Kind.FW_ASK:
            ask = decode_ask(payload)
            text = f"image {ask.image}, {ask.count} chunks from {ask.first} on"
            return [Seen(at_ms, name, where.kind, text, json.loads(payload))]
        case Kind.FW_CHUNK:
            chunk = decode_chunk(payload)
            content = {"image": chunk.image, "number": chunk.number, "bytes": len(chunk.data)}
            text = f"image {chunk.image}, chunk {chunk.number}, {len(chunk.data)} bytes"
            return [Seen(at_ms, name, where.kind, text, content)]
    raise TopicError(f"kind {where.kind} is not shown")


def _alert_text(payload: bytes) -> str:
    said = decode_device_alert(payload)
    if said is not None:
        return f"{said.state} {said.alert} ({said.severity}) {said.message}".rstrip()
    told = decode_device_alerts(payload)
    active = [f"{each.rule} ({each.severity}) {each.message}" for each in told.active]
    cleared = [f"cleared {each.rule}" for each in told.cleared]
    return "; ".join([f"{told.active_count} active, says {told.gateway}", *active, *cleared])


def _reading_text(reading: Reading) -> str:
    values = "  ".join(
        f"{value.name} {value.value!r}{f' {value.unit}' if value.unit else ''}" for value in reading.values
    )
    return f"boot {reading.boot} seq {reading.seq}  {values}"


def _reading_content(reading: Reading) -> dict[str, Any]:
    values = [{"name": value.name, "value": value.value, "unit": value.unit} for value in reading.values]
    identity = {"boot": reading.boot, "seq": reading.seq, "taken_at_ms": reading.taken_at_ms}
    return {**identity, "synced": reading.synced, "values": values}


def _state_text(state: State) -> str:
    parts = ["online" if state.online else "offline"]
    parts += [f"boot {state.boot}"] if state.boot is not None else []
    parts += [f"lost boot {lost.boot} seqs {lost.first} to {lost.last} ({lost.reason})" for lost in state.lost]
    return ", ".join(parts)


def print_messages(settings: MqttSettings, site: str, device: str, count: int | None, *, as_json: bool) -> None:
    """Print what arrives, until interrupted or `count` messages came. Raises `BrokerAway`."""
    asyncio.run(_print_messages(settings, site, device, count, as_json=as_json))


async def _print_messages(settings: MqttSettings, site: str, device: str, count: int | None, *, as_json: bool) -> None:
    clock, seen = SystemClock(), 0
    async for topic, payload in listen(settings, site, device):
        for each in describe(topic, payload, settings.topic_root, clock.wall_ms()):
            typer.echo(each.as_json() if as_json else each.as_line())
        seen += 1
        if seen == count:
            return


async def listen(settings: MqttSettings, site: str, device: str) -> AsyncIterator[tuple[str, bytes]]:
    """(topic, payload) of everything under the gateway's root, of one site or device if named (`+` for all).

    Raises `BrokerAway`.
    """
    client = side_client(settings, f"tidegate-listen-{uuid.uuid4().hex[:8]}")
    try:
        async with client:
            await client.subscribe(f"{settings.topic_root}/{site}/{device}/#", qos=0)
            async for message in client.messages:
                yield str(message.topic), bytes(message.payload)
    except aiomqtt.MqttError as error:
        raise BrokerAway(f"broker {settings.host}:{settings.port}: {error}") from None
