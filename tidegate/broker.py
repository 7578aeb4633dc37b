"""The embedded MQTT broker (amqtt): for the demo and for trying things out, **not for keeping data**.

What it is: MQTT 3.1.1 over TCP, on this machine by default, with one user. What it is not: durable. Everything it holds
is in memory; after a lost connection it does not deliver unacknowledged QoS 1 messages again; anonymous clients lose
their session. Tidegate's promise does not rest on it (a device keeps a reading until the gateway's own `ack`), but a
production site runs Mosquitto or another real broker: see deploy/mosquitto.conf.

Promises: no default password; anonymous clients only where the configuration says so; a taken port is `TakenError`;
when `serve` is cancelled or returns, the port is free and no task is left.
"""

import asyncio
import hmac
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

import structlog
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig as AmqttConfig
from amqtt.contexts import ListenerConfig
from amqtt.errors import BrokerError
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from tidegate.errors import TakenError

DEFAULT_PORT: Final = 1883  # IANA's number for MQTT without TLS
CONNECTIONS_MAX: Final = 256  # a demo has some dozens; a bound, so that a broken client cannot take every descriptor
SESSION_EXPIRY_S: Final = 3600  # memory only: an hour outlives any demo, and forgotten clients do not pile up
_SHUTDOWN_S: Final = 5  # amqtt waits for every connection to close; one that never said CONNECT would hold it for ever
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_ALLOW_ALL: Final = "amqtt.plugins.authentication.AnonymousAuthPlugin"

log = structlog.stdlib.get_logger(__name__)


class BrokerConfig(BaseModel):
    """What the embedded broker is told. Either a user name with a password, or `allow_anonymous`."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on; keep it on this machine")
    port: int = Field(default=DEFAULT_PORT, ge=0, le=65535, description="TCP port; 0 takes any free one")
    username: str = Field(default="tidegate", min_length=1, max_length=64, description="the one user's name")
    password: SecretStr | None = Field(default=None, description="the one user's password; there is no default")
    allow_anonymous: bool = Field(default=False, description="let clients in without name and password")
    connections_max: int = Field(default=CONNECTIONS_MAX, ge=1, le=65536, description="connections at once")
    session_expiry_s: int = Field(
        default=SESSION_EXPIRY_S, ge=1, le=604_800, description="seconds that an absent client's session is kept"
    )

    @model_validator(mode="after")
    def _some_way_in(self) -> Self:
        given = self.password is not None and bool(self.password.get_secret_value())
        if given == self.allow_anonymous:
            found = "both" if given else "neither"
            raise ValueError(
                f"expected either password (or password_file, or TIDEGATE_BROKER__PASSWORD) or allow_anonymous = true,"
                f" found {found}"
            )
        return self


class OneUser(BaseAuthPlugin):  # type: ignore[misc]  # amqtt is not typed
    """amqtt's plugin for exactly one user; the comparison takes the same time wherever the password differs."""

    @dataclass
    class Config:
        """What amqtt hands to the plugin."""

        username: str
        password: str

    async def authenticate(self, *, session: Session) -> bool | None:
        """True for the user with the right password, False for anybody else."""
        username = hmac.compare_digest((session.username or "").encode(), self.config.username.encode())
        password = hmac.compare_digest((session.password or "").encode(), self.config.password.encode())
        return username and password


class _TidyBroker(Broker):  # type: ignore[misc]  # amqtt is not typed
    """amqtt's broker, which lets go of every connection that it no longer serves.

    amqtt forgets connections that never said CONNECT: this one closes them too when it is shut down. And on a
    connection that amqtt 0.12 failed on (it is enough that another client subscribes while this one is being
    connected), pings are answered and nothing else, for ever: this one closes it, so that the client comes again.
    """

    def __init__(self, config: AmqttConfig) -> None:
        super().__init__(config)
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Serve one connection, know of it while it lasts, and close it behind that."""
        task = asyncio.current_task()
        if task is not None:
            self._connections[task] = writer
            task.add_done_callback(self._connections.pop)
        try:
            await super().stream_connected(reader, writer, listener_name)
        except RuntimeError as error:  # amqtt catches its own errors, this one is its mistake
            log.warning("a connection failed in the broker and is closed; its client comes again", error=repr(error))
        finally:
            writer.close()

    async def shutdown(self) -> None:
        """Shut down as amqtt does, but end every connection first."""
        left = dict(self._connections)
        for writer in left.values():
            writer.transport.abort()  # its task reads the end of the stream, and ends
        await asyncio.gather(*left, return_exceptions=True)
        await super().shutdown()


async def serve(config: BrokerConfig, ready: Callable[[int], None] | None = None) -> None:
    """Serve until cancelled. `ready` is called once with the port, when clients can connect. Raises TakenError."""
    async with running(config) as port:
        if config.host not in _LOOPBACK:
            log.warning("the embedded broker is not meant for a network; use Mosquitto there", host=config.host)
        log.info("demo broker is ready; it keeps nothing on disk", host=config.host, port=port)
        if ready is not None:
            ready(port)
        await asyncio.Event().wait()


@asynccontextmanager
async def running(config: BrokerConfig) -> AsyncIterator[int]:
    """The broker as a context; gives the port it listens on. Raises TakenError."""
    broker = _TidyBroker(_amqtt_config(config))
    try:
        await broker.start()
    except BrokerError as error:
        raise TakenError(_why_not_started(config, error)) from error
    try:
        yield _port_of(broker)
    finally:
        try:
            await asyncio.wait_for(broker.shutdown(), _SHUTDOWN_S)
        except TimeoutError:
            log.warning("some clients did not let go; their connections are dropped")


def _amqtt_config(config: BrokerConfig) -> AmqttConfig:
    host = f"[{config.host}]" if ":" in config.host else config.host
    listener = ListenerConfig(bind=f"{host}:{config.port}", max_connections=config.connections_max)
    if config.password is None:
        plugin: dict[str, dict[str, object]] = {_ALLOW_ALL: {"allow_anonymous": True}}
    else:
        user = {"username": config.username, "password": config.password.get_secret_value()}
        plugin = {f"{__name__}.{OneUser.__name__}": dict(user)}
    return AmqttConfig(listeners={"default": listener}, plugins=plugin, session_expiry_interval=config.session_expiry_s)


def _why_not_started(config: BrokerConfig, error: BrokerError) -> str:
    cause = error.__cause__
    why = os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else str(error)
    return (
        f"{config.host}:{config.port}: cannot listen there ({why}); stop the program that uses it,"
        " or set another host or port"
    )


def _port_of(broker: Broker) -> int:
    """The real port, which differs from the configured one when that is 0. amqtt has no public way to ask."""
    sockets = broker._servers["default"].instance.sockets  # noqa: SLF001
    return int(sockets[0].getsockname()[1])
