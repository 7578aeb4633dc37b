"""The device's way to the broker: paho-mqtt on the asyncio loop, QoS 1, a persistent session, our own reconnect.

Promises:
- MQTT 5 by default (3.1.1 by configuration, for brokers such as amqtt), clean start off, a session that outlives
  outages. Only a PUBACK with reason 0 is a delivery: "no matching subscribers" (16) is none. MQTT 3.1.1 cannot say so.
- At most as many messages on the way as the broker allows (its receive maximum, at most `INFLIGHT_MAX`); the rest wait
  here, bounded by the windows of the devices. paho keeps what was on the way over a reconnect and sends it again.
- A broker that answers pings but, for two keep-alives, nothing of what is on the way has lost this session (a failed
  broker's half-alive connection): it is left, and what was on the way goes again over the next connection.
- Reconnects after uniform(0, min(60 s, 1 s * 2^n)), n reset by 60 s of health: paho's own loop has no jitter.
- No thread per connection. Only opening a connection (DNS, TCP, TLS) blocks, and does so in the executor's few threads,
  which is also what keeps a thousand devices from knocking at once.

Callbacks (`on_link`, `on_message`, `on_answer`) run on the event loop.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, cast

from paho.mqtt.client import (
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
    MQTTv5,
    MQTTv311,
)
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

INFLIGHT_MAX = 1000  # a shared connection fills it at each round trip, and a busy machine makes only some a second
INFLIGHT_311 = 20  # MQTT 3.1.1 has no receive maximum to ask for: mosquitto's default
BACKOFF_BASE_S = 1.0  # durability.md, "Backoff everywhere"
BACKOFF_CAP_S = 60.0
HEALTHY_AFTER_S = 60.0
CONNECT_TIMEOUT_S = 5.0
WILL_DELAY_S = 5  # a reconnect within it is no outage worth telling
UNANSWERED_KEEPALIVES = 2  # a dead link is noticed by its pings within 1.5
_MISC_DIVISOR = 4  # look at the keep-alive four times per keep-alive: a dead link is noticed within 1.5 of them

_QOS = 1


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the broker is and how to speak to it."""

    host: str
    port: int
    mqtt5: bool = True
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    keepalive_s: int = 60
    session_expiry_s: int = 7 * 24 * 3600  # longer than any planned outage of the gateway


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish at QoS 1; `on_answer` hears whether the broker took it."""

    topic: str
    payload: bytes
    retain: bool = False
    on_answer: Callable[[bool], None] | None = None


class Connection:
    """One MQTT connection that heals itself."""

    def __init__(
        self,
        endpoint: Endpoint,
        client_id: str,
        *,
        will: Message | None,
        topics: tuple[str, ...],
        on_link: Callable[[bool], None],
        on_message: Callable[[str, bytes], None],
        rng: Random,
    ) -> None:
        self.up = False
        self.connects = 0
        self.last_failure: str | None = None
        self._endpoint = endpoint
        self._topics = topics
        self._on_link = on_link
        self._on_message_to = on_message
        self._rng = rng
        self._waiting: deque[Message] = deque()
        self._flying: dict[int, Message] = {}
        self._answered_at_s = 0.0  # when something was last answered, or was put on an empty way
        self._inflight_max = INFLIGHT_MAX if endpoint.mqtt5 else INFLIGHT_311
        self._closed = asyncio.Event()
        self._enabled = asyncio.Event()
        self._enabled.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._client = self._new_client(client_id, will)
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()

    async def run(self) -> None:
        """Connect, stay, reconnect; until cancelled. Leaves no socket and no reader behind."""
        attempt = 0
        try:
            while True:
                await self._enabled.wait()
                opened_s = self._loop.time()
                if await self._open() and self._enabled.is_set():
                    await self._stay()
                else:
                    self._drop()
                healthy = self._loop.time() - opened_s >= HEALTHY_AFTER_S
                attempt = 0 if healthy else attempt + 1
                ceiling_s = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** min(attempt - 1, 6))
                await asyncio.sleep(self._rng.uniform(0.0, ceiling_s) if attempt else 0.0)
        finally:
            self._drop()

    def publish(self, message: Message) -> None:
        """Send, in order, as soon as the window allows. With the link down it waits for the next connection."""
        self._idle.clear()
        self._waiting.append(message)
        self._feed()

    async def settle(self, timeout_s: float) -> bool:
        """Wait until the broker has answered everything published; False if that took too long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def disconnect(self) -> None:
        """Say goodbye: the broker then does not say the last will."""
        if self.up:
            self._client.disconnect()
            self._client.loop_write()

    def set_enabled(self, enabled: bool) -> None:
        """Off: drop the connection without a goodbye and stay away; on: come back."""
        if enabled:
            self._enabled.set()
        else:
            self._enabled.clear()
            self._drop()

    def _drop(self) -> None:
        """Close without a goodbye, as a device does that loses its power: the broker says the last will."""
        sock = self._client.socket()
        if sock is not None:
            with contextlib.suppress(OSError):  # it may be gone already
                cast(socket.socket, sock).shutdown(socket.SHUT_RDWR)
        while self._client.socket() is not None:
            self._client.loop_read()  # until paho has seen the end and closed its side
        self._set_up(up=False)

    # --- connecting ---

    def _new_client(self, client_id: str, will: Message | None) -> Client:
        endpoint = self._endpoint
        clean: dict[str, Any] = {} if endpoint.mqtt5 else {"clean_session": False}
        protocol = MQTTv5 if endpoint.mqtt5 else MQTTv311
        client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol, **clean)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(0)  # the window is `_feed`'s; for one of its own, paho walks a list per PUBACK
        if endpoint.username is not None:
            client.username_pw_set(endpoint.username, endpoint.password)
        if endpoint.tls is not None:
            client.tls_set_context(endpoint.tls)
        if will is not None:
            client.will_set(will.topic, will.payload, _QOS, will.retain, self._will_properties())
        client.on_connect, client.on_disconnect = self._connected, self._disconnected
        client.on_subscribe = self._subscribed
        client.on_message, client.on_publish = self._received, self._published
        client.on_socket_open, client.on_socket_close = self._socket_opened, self._socket_closed
        client.on_socket_register_write = self._want_write
        client.on_socket_unregister_write = self._want_no_write
        return client

    def _will_properties(self) -> Properties | None:
        if not self._endpoint.mqtt5:
            return None
        properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
        properties.WillDelayInterval = WILL_DELAY_S
        return properties

    def _connect(self) -> None:
        """Blocks until the socket is open (TLS included) and CONNECT is queued. Raises `OSError`."""
        endpoint = self._endpoint
        if not endpoint.mqtt5:
            self._client.connect(endpoint.host, endpoint.port, endpoint.keepalive_s)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = endpoint.session_expiry_s
        properties.ReceiveMaximum = INFLIGHT_MAX
        self._client.connect(
            endpoint.host, endpoint.port, endpoint.keepalive_s, clean_start=False, properties=properties
        )

    async def _open(self) -> bool:
        self._closed.clear()
        opening = self._loop.run_in_executor(None, self._connect)
        try:
            await asyncio.shield(opening)
        except (OSError, UnicodeError) as error:  # refused, unreachable, DNS, TLS; a host that is no name
            self.last_failure = str(error)
            return False
        except asyncio.CancelledError:
            with contextlib.suppress(OSError, UnicodeError):  # the thread cannot be stopped; it ends by its time-out
                await opening
            raise
        return True

    async def _stay(self) -> None:
        """Until the connection is gone: keep it alive, and leave a broker that does not do its part."""
        opened_s = self._loop.time()
        every_s = self._endpoint.keepalive_s / _MISC_DIVISOR
        wait_s = min(every_s, CONNECT_TIMEOUT_S)
        while not self._closed.is_set():
            try:
                async with asyncio.timeout(wait_s):  # wait_for of Python 3.11 may swallow a cancellation
                    await self._closed.wait()
            except TimeoutError:
                if self.up:
                    self._client.loop_misc()
                    wait_s = every_s
                why = self._why_leave(opened_s)
                if why is not None:
                    self._drop()
                    self.last_failure = why

    def _why_leave(self, opened_s: float) -> str | None:
        """What the broker fails to do on this connection; None: all is well, or it is closed already."""
        if self._closed.is_set():
            return None
        if not self.up:
            return "no CONNACK" if self._loop.time() - opened_s >= CONNECT_TIMEOUT_S else None
        unanswered_s = self._loop.time() - self._answered_at_s
        if self._flying and unanswered_s >= UNANSWERED_KEEPALIVES * self._endpoint.keepalive_s:
            return "no answer to what was published"
        return None

    # --- paho's callbacks ---

    def _connected(
        self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self.last_failure = str(reason)
            return  # the broker closes the connection behind a refusal
        self.connects += 1
        if self._endpoint.mqtt5:
            self._inflight_max = min(INFLIGHT_MAX, getattr(properties, "ReceiveMaximum", INFLIGHT_MAX))
        if self._topics:
            client.subscribe([(topic, _QOS) for topic in self._topics])
        self._loop.call_soon(self._go_up)  # paho first sends again what was on the way, behind this callback

    def _go_up(self) -> None:
        if self._client.is_connected():
            self._answered_at_s = self._loop.time()
            self._set_up(up=True)
            self._feed()

    def _subscribed(
        self, _client: Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self.last_failure = f"subscription refused: {refused[0]}"

    def _disconnected(
        self, _client: Client, _data: object, _flags: DisconnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self.last_failure = str(reason)
        self._set_up(up=False)
        self._closed.set()

    def _received(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # not one of ours, and no reason to lose the connection (durability.md, finding 10)
        self._on_message_to(topic, bytes(message.payload))

    def _published(self, _client: Client, _data: object, mid: int, reason: ReasonCode, _properties: object) -> None:
        message = self._flying.pop(mid, None)
        self._answered_at_s = self._loop.time()
        if message is not None and message.on_answer is not None:
            message.on_answer(reason.value == 0)
        if not self._flying and not self._waiting:
            self._idle.set()
        # paho takes the answered message off its own list only after this callback
        self._loop.call_soon(self._feed)

    def _feed(self) -> None:
        while self.up and self._waiting and len(self._flying) < self._inflight_max:
            message = self._waiting.popleft()
            if not self._flying:
                self._answered_at_s = self._loop.time()
            info = self._client.publish(message.topic, message.payload, _QOS, message.retain)
            self._flying[info.mid] = message

    def _set_up(self, *, up: bool) -> None:
        if up != self.up:
            self.up = up
            self._on_link(up)

    # --- the socket on the loop; opening happens in an executor thread ---

    def _on_loop(self, job: Callable[[], object]) -> None:
        if threading.get_ident() == self._thread_id:
            job()
        else:
            self._loop.call_soon_threadsafe(job)

    def _socket_opened(self, _client: Client, _data: object, sock: Any) -> None:
        # Small packets both ways: with Nagle's algorithm a window of 20 moves 500 messages a second, no more.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._on_loop(lambda: self._loop.add_reader(sock, self._readable))

    def _socket_closed(self, _client: Client, _data: object, sock: Any) -> None:
        fd = sock.fileno()
        if fd >= 0:
            self._on_loop(lambda: (self._loop.remove_reader(fd), self._loop.remove_writer(fd)))

    def _want_write(self, _client: Client, _data: object, sock: Any) -> None:
        self._on_loop(lambda: self._loop.add_writer(sock, self._client.loop_write))

    def _want_no_write(self, _client: Client, _data: object, sock: Any) -> None:
        self._on_loop(lambda: self._loop.remove_writer(sock))

    def _readable(self) -> None:
        while self._client.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            sock = self._client.socket()
            if not isinstance(sock, ssl.SSLSocket) or not sock.pending():  # TLS may hold bytes that select cannot see
                return
