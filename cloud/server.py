"""Running the cloud: socket, uvicorn, signals, slow clients, retention. The only module here that reads the clock.

Promises: `serve` returns after SIGTERM (or raises on cancellation) with every accepted write durable, the port free and
the database closed. A client that sends its request head, or reads its answer, too slowly is cut off.
"""

import asyncio
import errno
import logging
import signal
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from cloud.api import create_app
from cloud.config import CloudConfig
from cloud.points import CloudStoreError
from cloud.service import CloudService
from sensors.clock import SystemClock

HEAD_S: Final = 10.0  # to send a request's head, or the rest of a body nobody waits for; F41 asks for 15 s
ANSWER_STALL_S: Final = 30.0  # without the client reading 48 KiB of its answer: a 5 kB/s link needs 10 s
KEEP_ALIVE_S: Final = 15  # longer than a gateway's pause between batches, so that it keeps its connection
GRACEFUL_S: Final = 5  # for running requests at shutdown
CONNECTIONS_MAX: Final = 200  # a small site's gateways ten times over; beyond it uvicorn answers 503
HEAD_BYTES_MAX: Final = 16_384
RETENTION_EVERY_S: Final = 60.0  # how late an expired point may disappear

_log = logging.getLogger("tidegate.cloud")


class CannotListenError(Exception):
    """The address cannot be listened on."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {reason}")
        self.host = host
        self.port = port
        self.reason = reason


class PortInUse(CannotListenError):
    """Another process listens on this port."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port, "the port is in use; stop the other process or choose another port")


async def serve(config: CloudConfig, ready: Callable[[], None] | None = None) -> None:
    """Serve until SIGTERM or cancellation; `ready` is called once requests are answered.

    Raises PortInUse, CannotListenError, TokenUnreadableError and StoreUnusableError before anything is served.
    """
    token = config.read_token()
    listener = _listen(config.host, config.port)
    try:
        service = CloudService(config, token, SystemClock().wall_ns)
        try:
            await _serve(service, listener, ready)
        finally:
            service.close()
    finally:
        listener.close()


async def _serve(service: CloudService, listener: socket.socket, ready: Callable[[], None] | None) -> None:
    server = _Server(
        uvicorn.Config(
            create_app(service),
            http=SlowClientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACEFUL_S,
            limit_concurrency=CONNECTIONS_MAX,
            h11_max_incomplete_event_size=HEAD_BYTES_MAX,
        ),
        ready,
    )
    retention = asyncio.create_task(_expire(service))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        with _on_sigterm(server.stop):
            await asyncio.shield(running)
    finally:
        # Cancelled or not: let uvicorn end its requests, which its own limits bound.
        server.stop()
        await asyncio.wait([running])
        retention.cancel()
        with suppress(asyncio.CancelledError):
            await retention


async def _expire(service: CloudService) -> None:
    while True:
        try:
            while await service.run(service.store.drop_expired, service.clock_ns()):
                pass
        except (CloudStoreError, sqlite3.Error) as error:
            _log.warning("retention: old points stay for now, next try in %s s: %s", RETENTION_EVERY_S, error)
        await asyncio.sleep(RETENTION_EVERY_S)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers (they would end the whole process), and with a call when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._ready = ready

    def stop(self) -> None:
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._ready is not None:
            self._ready()


class SlowClientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with deadlines: it alone lets an unfinished request head, or an unread answer, stay for ever.

    A body that a route waits for is under cloud.bodies' own deadline.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Give a new connection HEAD_S to send its first request's head."""
        super().connection_made(transport)
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        """Start the deadline when bytes come that no route waits for; a request in work ends it."""
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn says "never None", and starts with None
        if cycle is not None and not cycle.response_complete:
            self._end_head_timer()
        else:
            self._start_head_timer()

    def on_response_complete(self) -> None:
        """Start the deadline when a piece of a body or of a next request is left that may never be finished."""
        super().on_response_complete()
        unfinished = self.conn.their_state is h11.SEND_BODY or self.conn.trailing_data[0]
        if unfinished and self.cycle.response_complete and not self.transport.is_closing():
            self._start_head_timer()

    def pause_writing(self) -> None:
        """Give the client ANSWER_STALL_S to read on."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(ANSWER_STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads: end its deadline."""
        super().resume_writing()
        self._end_write_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the deadlines with the connection."""
        self._end_head_timer()
        self._end_write_timer()
        super().connection_lost(exc)

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self.transport.abort)

    def _end_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


@contextmanager
def _on_sigterm(stop: Callable[[], None]) -> Iterator[None]:
    """Turn SIGTERM into `stop`, where signals can be had at all (the main thread)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListenError(
            host, port, f"{error.strerror or error}; expected an address of this machine"
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
        listener.setblocking(False)  # noqa: FBT003 (the standard library's own signature)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(host, port) from error
        raise CannotListenError(
            host, port, f"{error.strerror or error}; expected an address of this machine"
        ) from error
    return listener
