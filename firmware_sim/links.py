"""Which connection carries which device, and the topics between them.

Per device: one MQTT client each, with the device's name as client id and its last will on `state`. Shared: one client
for all, subscribed to what is said to the site's devices; messages for devices that are not of this fleet are ignored.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from random import Random

from firmware_sim.build import FleetError
from firmware_sim.config import FleetConfig, TlsConfig
from firmware_sim.device_spec import Publish
from firmware_sim.mqtt import Connection, Endpoint, Message
from sensors.messages import State, encode
from sensors.topics import TO_DEVICES, Kind, TopicError, build_topic, parse_topic


class Links:
    """The fleet's connections. Devices are numbered as in the list of names."""

    def __init__(
        self,
        config: FleetConfig,
        names: list[str],
        on_link: Callable[[int, bool], None],
        on_message: Callable[[int, Kind, bytes], None],
        rng: Random,
    ) -> None:
        self._config = config
        self._names = names
        self._numbers = {name: n for n, name in enumerate(names)}
        self._on_link = on_link
        self._on_message = on_message
        self._endpoint = _endpoint(config)
        self._shared = config.mqtt.connections == "shared"
        self._topics: dict[tuple[int, Kind], str] = {}  # checked and put together once
        count = 1 if self._shared else len(names)
        self._connections = [self._connection(n, Random(rng.random())) for n in range(count)]  # noqa: S311 - jitter
        self._powered = [False] * len(names)

    @property
    def up_count(self) -> int:
        """Connections that are up."""
        return sum(connection.up for connection in self._connections)

    @property
    def connects(self) -> int:
        """Successful connects so far."""
        return sum(connection.connects for connection in self._connections)

    @property
    def last_failure(self) -> str | None:
        """What kept a connection from coming up last, if anything did."""
        return next((connection.last_failure for connection in self._connections if connection.last_failure), None)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the connections up inside; disconnect cleanly behind it, also when cancelled."""
        tasks = [asyncio.create_task(connection.run()) for connection in self._connections]
        try:
            yield
        finally:
            for connection in self._connections:
                connection.disconnect()
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def publish(self, n: int, message: Publish, on_answer: Callable[[int, int, bool], None] | None) -> None:
        """Publish for device `n`; `on_answer(n, token, delivered)` hears of messages that carry a token."""
        token = message.token
        heard = None
        if token is not None and on_answer is not None:
            heard = _bind(on_answer, n, token)
        topic = self._topic(n, message.kind)
        self._at(n).publish(Message(topic, message.payload, message.retain, heard))

    async def settle(self, timeout_s: float) -> None:
        """Wait until the brokers have answered everything on the connections that are up."""
        await asyncio.gather(*(each.settle(timeout_s) for each in self._connections if each.up))

    def set_power(self, n: int, *, on: bool) -> None:
        """A device without power drops its own connection without a word; the broker says its will."""
        if on == self._powered[n]:
            return
        self._powered[n] = on
        if not self._shared:
            self._connections[n].set_enabled(on)

    def _connection(self, n: int, rng: Random) -> Connection:
        site, root = self._config.site, self._config.mqtt.topic_root
        prefix = self._config.mqtt.client_id
        if self._shared:
            topics = tuple(f"{root}/{site}/+/{kind}" for kind in TO_DEVICES)
            return Connection(
                self._endpoint, f"{prefix}-{site}", will=None, topics=topics, on_link=self._all_linked,
                on_message=self._arrived, rng=rng,
            )  # fmt: skip
        return Connection(
            self._endpoint,
            f"{prefix}-{site}-{self._names[n]}",
            will=Message(self._topic(n, Kind.STATE), encode(State(online=False)), retain=True),
            topics=tuple(self._topic(n, kind) for kind in TO_DEVICES),
            on_link=lambda up: self._on_link(n, up),
            on_message=self._arrived,
            rng=rng,
        )

    def _all_linked(self, up: bool) -> None:
        for n in range(len(self._names)):
            self._on_link(n, up)

    def _arrived(self, topic: str, payload: bytes) -> None:
        try:
            parsed = parse_topic(topic, self._config.mqtt.topic_root)
        except TopicError:
            return  # a wildcard subscription hears what others publish
        n = self._numbers.get(parsed.device)
        if n is not None and parsed.site == self._config.site and parsed.kind in TO_DEVICES:
            self._on_message(n, parsed.kind, payload)

    def _at(self, n: int) -> Connection:
        return self._connections[0 if self._shared else n]

    def _topic(self, n: int, kind: Kind) -> str:
        topic = self._topics.get((n, kind))
        if topic is None:
            topic = build_topic(self._config.site, self._names[n], kind, self._config.mqtt.topic_root)
            self._topics[n, kind] = topic
        return topic


def _bind(on_answer: Callable[[int, int, bool], None], n: int, token: int) -> Callable[[bool], None]:
    return lambda delivered: on_answer(n, token, delivered)


def _endpoint(config: FleetConfig) -> Endpoint:
    mqtt = config.mqtt
    return Endpoint(
        host=mqtt.host,
        port=mqtt.port,
        mqtt5=mqtt.protocol == "5",
        username=mqtt.username,
        password=None if mqtt.password is None else mqtt.password.get_secret_value(),
        tls=None if mqtt.tls is None else _tls_context(mqtt.tls),
        keepalive_s=mqtt.keepalive_s,
        session_expiry_s=mqtt.session_expiry_s,
    )


def _tls_context(tls: TlsConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except OSError as error:  # ssl.SSLError is one
        raise FleetError("mqtt.tls", f"expected readable PEM files, found {error}") from error
    context.sslsocket_class = _TidySocket
    return context


class _TidySocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho 2.2 leaves that socket to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise
