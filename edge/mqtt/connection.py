"""One MQTT connection of the gateway: it acknowledges only when it is told to.

Promises: a PUBACK is sent only for a packet id that was passed to `acknowledge`, in that order, and on the connection
that the message came on (ids are used again); what can be waiting is bounded by the receive maximum (MQTT 5) or by the
broker's in-flight window (3.1.1); no message ends the connection; a broker that is silent, or that answers pings and
nothing that was published, is left. A connection that ends is not mended: the shell makes another one, and what was not
acknowledged on this one comes again on that.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress

from edge.causes import CLOSED, PROTOCOL, REFUSED, RESET, TIMEOUT, TLS, cause_of
from edge.config import MqttSettings
from edge.message import Message
from edge.mqtt.codec import (
    CONNACK,
    DISCONNECT,
    PINGREQ_PACKET,
    PINGRESP,
    PUBACK,
    SUBACK,
    ConnAck,
    codec_for,
    disconnect,
    puback_id,
    pubacks,
)
from edge.mqtt.framing import PUBLISH, Framer, FramingError, parse_publish

PINGS_PER_KEEPALIVE = 2  # so that one lost ping is no lost connection
SILENCE_KEEPALIVES = 1.5  # without a byte for so many keepalive intervals, the broker counts as gone
UNANSWERED_KEEPALIVES = 2  # without one PUBACK for so many, while it owes some, it has lost what this connection is
INFLIGHT_MAX = 1024  # downlinks that wait for the broker's PUBACK: beyond it they are said again later
ALERT_S = 2.0  # how long a broker may take to say what it has against our certificate, beyond which nobody asks
SUBSCRIBE_ID = 65_535
"""Packet id of the one SUBSCRIBE; downlinks use the ids below it."""

Deliver = Callable[["MqttConnection", Sequence[Message]], None]
"""Takes messages, with the connection on which they may be acknowledged."""


class ConnectionLost(Exception):
    """The connection could not be made, or ended. `cause` is one of `edge.causes`."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class MqttConnection(asyncio.Protocol):
    """An established connection; made by `connect`."""

    def __init__(self, settings: MqttSettings, deliver: Deliver) -> None:
        self._settings = settings
        self._deliver = deliver
        self._codec = codec_for(settings.protocol)
        self._framer = Framer(settings.message_bytes_max)
        loop = asyncio.get_running_loop()
        self._connack: asyncio.Future[ConnAck] = loop.create_future()
        self._suback: asyncio.Future[list[str]] = loop.create_future()
        self._lost: asyncio.Future[ConnectionLost] = loop.create_future()
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._heard_at_s = loop.time()
        self._next_id = 0
        self._inflight: dict[int, Callable[[], None] | None] = {}  # packet id -> who is told of its PUBACK
        self._inflight_max = INFLIGHT_MAX
        self._answered_at_s = loop.time()  # or when it began to owe a PUBACK
        self.session_present = False
        self.heard_bytes = 0
        self.round_trip_s: float | None = None
        self._pinged_at_s: float | None = None
        self._ping_at_s = loop.time()
        self._is_paused = False

    # -- for the gateway

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Send the PUBACKs of these messages. Call only after the commit that holds them."""
        if self._transport is not None and not self._lost.done():
            self._transport.write(pubacks(packet_ids))

    def publish(
        self,
        topic: str,
        payload: bytes,
        expiry_s: int | None = None,
        *,
        retain: bool = False,
        acknowledged: Callable[[], None] | None = None,
    ) -> bool:
        """Publish at QoS 1; False if too many wait for the broker's PUBACK, or the connection is gone.

        `acknowledged` is called when the broker has it. What waits when the connection ends is not sent again: what is
        not answered is said anew at a later contact.
        """
        if self._transport is None or self._lost.done() or len(self._inflight) >= self._inflight_max:
            return False
        while True:
            self._next_id = self._next_id % (SUBSCRIBE_ID - 1) + 1
            if self._next_id not in self._inflight:
                break
        if not self._inflight:
            self._answered_at_s = self._loop.time()
        self._inflight[self._next_id] = acknowledged
        packet = self._codec.publish(topic, payload, self._next_id, retain=retain, expiry_s=expiry_s)
        self._transport.write(packet)
        return True

    def pause(self) -> None:
        """Read no further: what the broker sends stays in its hands. Harmless while paused already."""
        if self._transport is not None and not self._lost.done():
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._is_paused and self._transport is not None and not self._lost.done():
            self._is_paused = False
            self._heard_at_s = self._answered_at_s = self._loop.time()  # the silence was ours
            self._transport.resume_reading()

    @property
    def heard_at_s(self) -> float:
        """When the broker was last heard, on the event loop's clock."""
        return self._heard_at_s

    async def lost(self) -> ConnectionLost:
        """Wait until the connection has ended; why."""
        return await asyncio.shield(self._lost)

    async def close(self) -> None:
        """Say DISCONNECT and close. The session stays at the broker."""
        if self._transport is not None and not self._lost.done():
            self._transport.write(disconnect())
            self._end(CLOSED, "closed by the gateway")
        await self.lost()

    async def establish(self, filters: Sequence[str]) -> None:
        """CONNECT and SUBSCRIBE. Raises `ConnectionLost`, `FramingError`, or `OSError` from reading the password."""
        assert self._transport is not None  # noqa: S101  # create_connection has called connection_made
        self._transport.write(self._codec.connect(self._settings, self._settings.read_password()))
        connack = await self._connack
        if connack.refusal is not None:
            raise ConnectionLost(REFUSED, f"the broker refuses the connection: {connack.refusal}")
        self.session_present = connack.session_present
        self._inflight_max = min(INFLIGHT_MAX, connack.inflight_max)
        self._transport.write(self._codec.subscribe(SUBSCRIBE_ID, filters))
        refused = await self._suback
        if refused:
            raise ConnectionLost(REFUSED, f"the broker refuses the subscription: {', '.join(refused)}")
        self._ping_at_s = self._loop.time()
        self._ping()

    # -- for the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # what TCP and TLS give
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes from the broker: all messages in them are delivered in one call."""
        self._heard_at_s = self._loop.time()
        self.heard_bytes += len(data)
        messages: list[Message] = []
        has_properties = self._codec.has_properties
        try:
            for first, body in self._framer.feed(data):
                if first >> 4 == PUBLISH:
                    messages.append(parse_publish(first, body, has_properties=has_properties))
                else:
                    self._take(first, body)
        except FramingError as error:
            self._end(PROTOCOL, str(error))
        if messages:
            self._deliver(self, messages)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        if exc is None:
            self._end(CLOSED, "the broker closed the connection")
        else:
            self._end(cause_of(exc), f"the connection broke: {exc}")

    def _take(self, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == PUBACK:
            self._answered_at_s = self._heard_at_s
            acknowledged = self._inflight.pop(puback_id(body), None)
            if acknowledged is not None:
                acknowledged()
        elif kind == PINGRESP and self._pinged_at_s is not None:
            self.round_trip_s, self._pinged_at_s = self._heard_at_s - self._pinged_at_s, None
        elif kind == CONNACK and not self._connack.done():
            self._connack.set_result(self._codec.read_connack(first, body))
        elif kind == SUBACK and not self._suback.done():
            self._suback.set_result(self._codec.read_suback(first, body))
        elif kind == DISCONNECT:
            self._end(CLOSED, f"the broker hangs up: {self._codec.read_disconnect(first, body)}")

    def _ping(self) -> None:
        if self._transport is None or self._lost.done():
            return
        keepalive_s, now_s = self._settings.keepalive_s, self._loop.time()
        late_s = now_s - self._ping_at_s  # nothing was read in this time: a process that does not run hears nobody
        if not self._is_paused and (why := self._why_leave(now_s - late_s)) is not None:
            self._end(TIMEOUT, why)
            return
        self._transport.write(PINGREQ_PACKET)
        self._pinged_at_s = now_s
        self._ping_at_s = now_s + keepalive_s / PINGS_PER_KEEPALIVE
        self._loop.call_at(self._ping_at_s, self._ping)

    def _why_leave(self, now_s: float) -> str | None:
        """What the broker fails to do; None: all is well."""
        keepalive_s = self._settings.keepalive_s
        if now_s - self._heard_at_s > SILENCE_KEEPALIVES * keepalive_s:
            return f"the broker has been silent for {SILENCE_KEEPALIVES * keepalive_s:.0f} s"
        if self._inflight and now_s - self._answered_at_s > UNANSWERED_KEEPALIVES * keepalive_s:
            return f"the broker has not answered what was published for {UNANSWERED_KEEPALIVES * keepalive_s:.0f} s"
        return None

    def _end(self, cause: str, message: str) -> None:
        if self._lost.done():
            return
        error = ConnectionLost(cause, message)
        self._lost.set_result(error)
        for waiting in (self._connack, self._suback):
            if not waiting.done():
                waiting.set_exception(error)
                waiting.exception()  # seen, even where nobody waits
        if self._transport is not None:
            if cause == CLOSED:
                self._transport.close()
            else:
                self._transport.abort()


async def connect(settings: MqttSettings, filters: Sequence[str], deliver: Deliver) -> MqttConnection:
    """Connect, subscribe at QoS 1, and hand messages to `deliver` in the event loop from then on.

    Raises `ConnectionLost`.
    """
    connection: MqttConnection | None = None
    try:
        async with asyncio.timeout(settings.connect_timeout_s):
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: MqttConnection(settings, deliver), settings.host, settings.port, ssl=_tls(settings)
            )
            await connection.establish(filters)
    except ConnectionLost as error:
        await _abandon(connection)
        refusal = await _refusal_by_tls(settings) if error.cause in (RESET, CLOSED) else None
        raise refusal or error from None
    except (OSError, TimeoutError, FramingError) as error:
        await _abandon(connection)
        cause = PROTOCOL if isinstance(error, FramingError) else cause_of(error)
        why = str(error) or f"no answer within {settings.connect_timeout_s:g} s"
        raise ConnectionLost(cause, f"cannot connect to {settings.host}:{settings.port}: {why}") from error
    except asyncio.CancelledError:
        await _abandon(connection)
        raise
    return connection


def _tls(settings: MqttSettings) -> ssl.SSLContext | None:
    return settings.tls.context() if settings.tls is not None else None


async def _refusal_by_tls(settings: MqttSettings) -> ConnectionLost | None:
    """What the broker has against our certificate, if that is why it hung up.

    In TLS 1.3 it says so when the client is talking already; closing on what it has not read resets the connection,
    and the reset overtakes the alert. So this comes again, and only listens.
    """
    context = _tls(settings)
    if context is None:
        return None
    try:
        async with asyncio.timeout(ALERT_S):
            reader, writer = await asyncio.open_connection(settings.host, settings.port, ssl=context)
            try:
                await reader.read(1)
            finally:
                writer.transport.abort()
    except ssl.SSLError as error:
        return ConnectionLost(TLS, f"{settings.host}:{settings.port} refuses our certificate: {error}")
    except (OSError, TimeoutError):
        return None
    return None


async def _abandon(connection: MqttConnection | None) -> None:
    if connection is not None:
        with suppress(asyncio.CancelledError):
            await connection.close()
