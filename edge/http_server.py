"""The HTTP server: uvicorn with limits that it does not have, TLS, and certificates that are looked after.

Promises: whoever has not sent a whole request (TLS handshake, request line, headers) `REQUEST_S` after connecting or
after the last answer is disconnected, however slowly bytes drip in (bodies have their own limit, `edge.problems`); at
most `WAITING_MAX` connections wait so, the one that waited longest makes room, so that a flood of half requests keeps
nobody out; a certificate that was replaced on the disk is taken up within `CERTIFICATE_EVERY_S` without a restart.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

KEEP_ALIVE_S = 5
CONCURRENCY_MAX = 64  # requests at once; an operator's browser needs six
WAITING_MAX = 48  # connections without a whole request: fewer than uvicorn's limit, so that new ones are still served
REQUEST_S = 10.0  # for headers of 200 bytes: a phone on 2G takes two seconds
SHUTDOWN_S = 2


class _Patience:
    """The connections of one server that have not sent a whole request, the one that waits longest first."""

    def __init__(self, request_s: float, waiting_max: int) -> None:
        self._request_s = request_s
        self._max = waiting_max
        self._waiting: dict[PatientProtocol, asyncio.TimerHandle] = {}

    def begin(self, one: "PatientProtocol") -> None:
        self.end(one)
        while len(self._waiting) >= self._max:
            self._reap(next(iter(self._waiting)))
        self._waiting[one] = asyncio.get_running_loop().call_later(self._request_s, self._reap, one)

    def end(self, one: "PatientProtocol") -> None:
        timer = self._waiting.pop(one, None)
        if timer is not None:
            timer.cancel()

    def _reap(self, one: "PatientProtocol") -> None:
        self.end(one)
        one.transport.abort()


class PatientProtocol(H11Protocol):
    """uvicorn's connection, with an end to patience. Made by `Server`, which sets `patience`."""

    patience: _Patience

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn does."""
        super().connection_made(transport)
        self.patience.begin(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn does."""
        self.patience.end(self)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """As uvicorn does; a new request, whose headers are whole, ends the waiting."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before and not self.cycle.response_complete:
            self.patience.end(self)

    def on_response_complete(self) -> None:
        """As uvicorn does; what is not a whole request by then begins to wait."""
        if not self.transport.is_closing():
            self.patience.begin(self)
        super().on_response_complete()


class Server(uvicorn.Server):
    """Serves an application on an open socket. Leaves signals to the process."""

    def __init__(
        self,
        app: ASGIApp,
        context: ssl.SSLContext | None = None,
        *,
        request_s: float = REQUEST_S,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        patience = _Patience(request_s, waiting_max)
        protocol = type("PatientProtocol", (PatientProtocol,), {"patience": patience})
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=SHUTDOWN_S,
                limit_concurrency=CONCURRENCY_MAX,
            )
        )
        self._context = context
        self._handshake_s = request_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does for open sockets, with an end to handshakes, too."""

        def connection() -> asyncio.Protocol:
            make: Any = self.config.http_protocol_class
            made: asyncio.Protocol = make(config=self.config, server_state=self.server_state, app_state={})
            return made

        tls: dict[str, Any] = {}
        if self._context is not None:
            tls = {"ssl": self._context, "ssl_handshake_timeout": self._handshake_s}
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(connection, sock=each, backlog=CONCURRENCY_MAX, **tls) for each in sockets or ()
        ]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install nothing."""
        yield
