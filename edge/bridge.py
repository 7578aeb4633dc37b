"""Sends batches to an upstream broker through aiomqtt, and tells what its acknowledgements mean.

Promises: `send` returns `Accepted` only if a PUBACK with a reason below 0x80 came for every message of the batch, and
raises nothing that a network or a broker can cause; at most `inflight_max` messages wait for theirs; nothing is kept
for a later connection (a batch of unknown fate is the forwarder's to send again); it returns within the time-outs.

What a reason means: 0x00 is accepted; 0x10, no matching subscribers, too, or, with `without_subscribers = "hold"`, is
waited with (the broker has thrown the message away); 0x90 and 0x99 (topic, payload) refuse a message, and the batch is
bisected; 0x87 pauses; 0x97 throttles; anything else from 0x80 on keeps the data, and counts as InfluxDB's 500 does.
"""

import asyncio
import logging
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import aiomqtt
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.cancellation import heed_cancellation
from edge.causes import PROTOCOL, RESET, TIMEOUT, cause_of
from edge.destination_config import BridgeDestination
from edge.exchange import Exchange
from edge.forward.messages import OutMessage, messages_of
from edge.forward.outcome import Accepted, Failed, Outcome, Paused, Refused, Throttled, TooLarge
from edge.outages.events import Ending

QOS_AT_LEAST_ONCE = 1
NO_SUBSCRIBERS = 0x10
FAILURES_FROM = 0x80
_CREDENTIALS = frozenset({0x86, 0x87, 0x8A, 0x8C})  # bad user or password, not authorised, banned, bad method
_LATER = frozenset({0x88, 0x89, 0x97, 0x9F})  # unavailable, busy, quota exceeded, connection rate exceeded
_NOT_THIS_MESSAGE = frozenset({0x90, 0x99})  # topic name invalid, payload format invalid
_TOO_LARGE = 0x95
_BAD_REQUEST, _UNAUTHORISED, _SERVER_ERROR = 400, 401, 500  # the HTTP answers that ask for the same
_quiet = logging.getLogger("edge.bridge.mqtt")
_quiet.setLevel(logging.CRITICAL)  # what it would say is in the outcome


class _Client(aiomqtt.Client):
    """Keeps the worst reason that a PUBACK gave, which aiomqtt leaves out."""

    worst = 0

    def _on_publish(
        self, client: PahoClient, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        self.worst = max(self.worst, int(reason_code.value))
        super()._on_publish(client, userdata, mid, reason_code, properties)


class _Connection(NamedTuple):
    """A connection, and the task that ends with it."""

    client: _Client
    watch: asyncio.Task[None]


class BridgeSender:
    """The connection to one upstream broker. One `send` at a time."""

    def __init__(self, settings: BridgeDestination) -> None:
        self._settings = settings
        self._connection: _Connection | None = None
        self.exchange = Exchange()
        """What the last `send` was like on the wire."""

    async def send(self, body: bytes) -> Outcome:
        """Publish the messages of a batch; what came of it."""
        self.exchange = Exchange()
        connected = await self._connect()
        if not isinstance(connected, _Connection):
            return connected
        client, watch = connected
        messages = messages_of(body)
        self.exchange = Exchange(sum(len(each.topic) + len(each.payload) for each in messages))
        client.worst = 0
        sending = asyncio.ensure_future(self._publish(client, iter(messages), len(messages)))
        done, _ = await asyncio.wait(
            {sending, watch}, timeout=self._settings.read_timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if sending in done and sending.exception() is None:
            return outcome_of(client.worst, self._settings.without_subscribers)
        sending.cancel()
        await asyncio.wait({sending})
        ended = Ending.RST if done else Ending.STALL
        self.exchange = replace(self.exchange, ended=ended, is_unknown=self.exchange.sent_bytes > 0)
        outcome = _ended(watch.exception() if watch in done else None) if done else _timed_out(self._settings)
        await self._disconnect()
        return outcome

    async def ping(self) -> Outcome:
        """Whether the broker takes a connection. One that stands is not asked: MQTT's own keep-alive looks after it."""
        self.exchange = Exchange(travelled=self._connection is None or self._connection.watch.done())
        connected = await self._connect()
        return Accepted() if isinstance(connected, _Connection) else connected

    async def aclose(self) -> None:
        """Close the connection."""
        await self._disconnect()

    async def _publish(self, client: _Client, messages: Iterator[OutMessage], count: int) -> None:
        async def one_after_the_other() -> None:
            for message in messages:
                if client.worst >= FAILURES_FROM:
                    return
                await client.publish(message.topic, message.payload, qos=QOS_AT_LEAST_ONCE, timeout=math.inf)

        await asyncio.gather(*(one_after_the_other() for _ in range(min(count, self._settings.inflight_max))))

    # -- the connection

    async def _connect(self) -> _Connection | Outcome:
        """The connection that stands, or a new one, or why there is none."""
        if self._connection is not None and not self._connection.watch.done():
            return self._connection
        await self._disconnect()
        try:
            client = self._new_client()
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await client.__aenter__()
        except aiomqtt.exceptions.MqttConnectError as error:
            return _refused_connection(_code(error), str(error))
        except aiomqtt.MqttError as error:
            cause = cause_of(error.__context__) if isinstance(error.__context__, OSError) else TIMEOUT
            return Failed(cause, str(error))
        except TimeoutError:
            return Failed(TIMEOUT, f"no connection within {self._settings.connect_timeout_s:g} s")
        except (OSError, ValueError) as error:  # a certificate or password file that cannot be read
            return Failed(cause_of(error), str(error))
        self._connection = _Connection(client, asyncio.ensure_future(_until_lost(client)))
        heed_cancellation()
        return self._connection

    def _new_client(self) -> _Client:
        settings = self._settings
        client = _Client(
            settings.host,
            settings.port,
            username=settings.username,
            password=settings.read_password(),
            identifier=settings.client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            keepalive=settings.keepalive_s,
            timeout=settings.connect_timeout_s,
            clean_start=True,
            max_inflight_messages=settings.inflight_max,
            tls_context=settings.tls.context() if settings.tls is not None else None,
            logger=_quiet,
        )
        client.pending_calls_threshold = settings.inflight_max
        return client

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.watch.cancel()
        await asyncio.wait({connection.watch})
        with suppress(aiomqtt.MqttError, TimeoutError):
            await connection.client.__aexit__(None, None, None)


async def _until_lost(client: _Client) -> None:
    """Raises `MqttError` when the connection ends."""
    async for _ in client.messages:
        pass


def outcome_of(reason: int, without_subscribers: str) -> Outcome:
    """What the worst reason of a batch's acknowledgements means: see the module."""
    words = f"PUBACK with reason {reason:#04x}"
    if reason == NO_SUBSCRIBERS and without_subscribers == "hold":
        return Throttled(None, f"{words}: nobody is subscribed upstream, and the message was thrown away")
    if reason < FAILURES_FROM:
        return Accepted()
    if reason in _NOT_THIS_MESSAGE:
        return Refused(_BAD_REQUEST, words)
    if reason == _TOO_LARGE:
        return TooLarge(words)
    if reason in _CREDENTIALS:
        return Paused(_UNAUTHORISED, words)
    if reason in _LATER:
        return Throttled(None, words)
    return Failed(PROTOCOL, words, _SERVER_ERROR)


def _refused_connection(reason: int, message: str) -> Outcome:
    if reason in _CREDENTIALS:
        return Paused(_UNAUTHORISED, message)
    if reason in _LATER:
        return Throttled(None, message)
    return Failed(PROTOCOL, message)


def _ended(error: BaseException | None) -> Outcome:
    if isinstance(error, aiomqtt.MqttCodeError) and _code(error) == _TOO_LARGE:
        return TooLarge(f"the broker closed the connection: {error}")
    return Failed(RESET, f"the connection ended: {error}")


def _timed_out(settings: BridgeDestination) -> Failed:
    return Failed(TIMEOUT, f"not every message was acknowledged within {settings.read_timeout_s:g} s")


def _code(error: aiomqtt.MqttCodeError) -> int:
    code = getattr(error.rc, "value", error.rc)
    return code if isinstance(code, int) else 0
