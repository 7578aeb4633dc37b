"""A TCP proxy that makes any link behave as a recording says, or as set by hand: the asyncio shell around the core.

Promises: while the link is to refuse, nothing listens on the port (a real ECONNREFUSED) and the port stays ours; every
decision comes from `tidegate.outage.behaviour` and `tidegate.outage.pipe`; with the same seed the same connections
meet the same random choices; at most `CONNECTIONS_MAX` connections, each with bounded buffers; `stop` leaves no socket
and no task behind. Linux only: a listening socket is put to sleep by shutdown(2) and woken by listen(2).
"""

import asyncio
import errno
import http
import socket
from collections.abc import Mapping
from random import Random
from typing import Any

from edge.outages.events import Cause, Ending
from edge.outages.recording import Recording
from tidegate.outage.address import Address
from tidegate.outage.behaviour import HEALTHY, Admission, Behaviour, Existing, LinkDriver, check_speed, down_behaviour
from tidegate.outage.connection import Connection, Counters, monotonic_us
from tidegate.outage.pipe import Finish, Pacer, Pipe
from tidegate.outage.toxics import Stream, Toxic, ToxicError, parse_toxic

CONNECTIONS_MAX = 1024
"""Two sockets each stay below the usual limit of 4096 open files; connections beyond it are reset and counted."""
BACKLOG = 128
CONNECT_TIMEOUT_S = 10.0
"""How long the server behind the proxy may take to accept; then the client is reset."""
ACCEPT_PAUSE_S = 0.1
"""Pause after an accept that failed for want of file descriptors, so that others can be closed meanwhile."""
TOXICS_MAX = 64


class ProxyError(Exception):
    """A proxy cannot do what it was asked. The message names what and where."""


class PortInUseError(ProxyError):
    """The address to listen on cannot be had. Carries `address`."""

    def __init__(self, address: Address, reason: str) -> None:
        self.address = address
        super().__init__(f"listen: expected a free address, {address} is not: {reason}")


class UnknownToxicError(ProxyError):
    """No toxic has this name. Carries `name`."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"name: expected the name of a toxic of this proxy, found {name!r}")


class FaultProxy:
    """One proxied link. Use `async with`, or `start` and `stop`."""

    def __init__(
        self,
        listen: Address,
        upstream: Address,
        recording: Recording | None = None,
        *,
        link: str | None = None,
        speed: float = 1.0,
        seed: int = 0,
        name: str = "uplink",
    ) -> None:
        """Prepare; nothing is opened yet. Raises `UnknownLinkError`, `SpeedError`."""
        check_speed(speed)
        self.name = name
        self.upstream = upstream
        self.counters = Counters()
        self._listen = listen
        self._driver = None if recording is None else LinkDriver(recording, link, speed)
        self._following: asyncio.Task[None] | None = None
        self._seed = seed
        self._started_us = 0
        self._toxics: dict[str, Toxic] = {}
        self._by_hand: Behaviour | None = None
        self._recorded = HEALTHY
        self._answers_lost = 0
        self._socket: socket.socket | None = None
        self._listening = False
        self._tasks: list[asyncio.Task[None]] = []
        self._accepting: asyncio.Task[None] | None = None
        self._connections: dict[Connection, None] = {}
        self._pacers = {stream: Pacer() for stream in Stream}
        self._changed = asyncio.Event()

    async def __aenter__(self) -> "FaultProxy":
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    @property
    def address(self) -> Address:
        """Where the proxy listens; the real port once it is started."""
        return self._listen

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._listen.port

    @property
    def behaviour(self) -> Behaviour:
        """How the link behaves now: as set by hand, else as recorded, else healthy."""
        return self._recorded if self._by_hand is None else self._by_hand

    @property
    def toxics(self) -> tuple[Toxic, ...]:
        """The active toxics, in the order they were added."""
        return tuple(self._toxics.values())

    async def start(self) -> None:
        """Open the port and begin to follow the recording. Raises `PortInUseError`."""
        self._socket, self._listen = await _bind(self._listen)
        self._started_us = monotonic_us()
        if self._driver is not None:
            self.follow(self._driver)
        self._apply()

    def follow(self, driver: LinkDriver) -> None:
        """Begin to follow a recording from its start, now; the proxy has to be started."""
        if self._following is not None:
            self._following.cancel()
        self._driver, self._started_us = driver, monotonic_us()
        self._recorded = driver.behaviour(0)
        self._following = asyncio.create_task(self._follow(driver))
        self._tasks.append(self._following)

    async def stop(self) -> None:
        """Close the port, reset what is still open, and wait until all is gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._stopped_accepting()
        connections = list(self._connections)
        for connection in connections:
            connection.end(Finish.RESET)
        for connection in connections:
            await connection.ended()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def add_toxic(self, toxic: Toxic | Mapping[str, Any]) -> Toxic:
        """Add a toxic, or replace the one of its name, for present and future connections. Raises `ToxicError`."""
        added = toxic if isinstance(toxic, Toxic) else parse_toxic(dict(toxic))
        if added.name not in self._toxics and len(self._toxics) >= TOXICS_MAX:
            raise ToxicError("toxics", f"at most {TOXICS_MAX} on one proxy")
        self._toxics[added.name] = added
        self._spread_toxics()
        return added

    def remove_toxic(self, name: str) -> None:
        """Remove a toxic. Raises `UnknownToxicError`."""
        if self._toxics.pop(name, None) is None:
            raise UnknownToxicError(name)
        self._spread_toxics()

    def cut(self, cause: Cause = Cause.REFUSED, http_status: int | None = None) -> None:
        """Take the link down by hand; the recording has no say until `restore`. Raises `CauseError`."""
        self._by_hand = down_behaviour(cause, http_status)
        self._apply()

    def heal(self) -> None:
        """Make the link healthy by hand; the recording has no say until `restore`."""
        self._by_hand = HEALTHY
        self._apply()

    def restore(self) -> None:
        """Give the link back to its recording, or to health without one."""
        self._by_hand = None
        self._apply()

    def status(self) -> dict[str, Any]:
        """What the proxy does now, and its counters, for machines."""
        behaviour, counters = self.behaviour, self.counters
        return {
            "name": self.name,
            "listen": str(self._listen),
            "upstream": str(self.upstream),
            "enabled": self._by_hand is None,
            "recording": None if self._driver is None else self._recording_status(self._driver),
            "admission": behaviour.admission.value,
            "stalled": behaviour.shape.stalled,
            "latency_us": behaviour.shape.latency_us,
            "loss_ppm": behaviour.shape.loss_ppm,
            "bandwidth_bytes_per_s": behaviour.bandwidth_bytes_per_s,
            "connections_open": len(self._connections),
            "connections": counters.connections,
            "turned_away": counters.turned_away,
            "resets": counters.resets,
            "answers_lost": counters.answers_lost,
            "stalls": counters.stalls,
            "upstream_errors": counters.upstream_errors,
            "upstream_bytes": counters.bytes_moved[Stream.UPSTREAM],
            "downstream_bytes": counters.bytes_moved[Stream.DOWNSTREAM],
            "toxics": [toxic.as_json() for toxic in self.toxics],
        }

    def _recording_status(self, driver: LinkDriver) -> dict[str, Any]:
        elapsed_us = monotonic_us() - self._started_us
        state = driver.state(elapsed_us)
        return {
            "link": driver.link,
            "at_us": driver.recorded_us(elapsed_us),
            "end_us": driver.timeline.end_us,
            "status": state.status,
            "cause": state.cause,
        }

    async def _follow(self, driver: LinkDriver) -> None:
        """Change the link's behaviour whenever the recording does; afterwards the link is healthy."""
        seen_us = -1
        while True:
            elapsed_us = monotonic_us() - self._started_us
            self._recorded = driver.behaviour(elapsed_us)
            self._apply()
            if self._by_hand is None:
                self._end_open(driver.closes(seen_us, elapsed_us))
            seen_us = elapsed_us
            following_us = driver.next_change_us(elapsed_us)
            if following_us is None:
                return
            await asyncio.sleep((following_us - elapsed_us) / 1_000_000)

    def _end_open(self, endings: list[Ending]) -> None:
        for ending in endings:
            for connection in list(self._connections):
                if ending is Ending.STALL:
                    for pump in connection.pumps:
                        pump.pipe.frozen = True
                else:
                    connection.end(Finish.RESET if ending is Ending.RST else Finish.CLOSE)

    def _apply(self) -> None:
        """Bring listener, open connections and pipes in line with the behaviour."""
        behaviour = self.behaviour
        if behaviour.admission is Admission.REFUSE:
            self._stop_listening()
        else:
            self._start_listening()
        for pacer in self._pacers.values():
            pacer.rate_bytes_per_s = behaviour.bandwidth_bytes_per_s
        for connection in list(self._connections):
            if behaviour.existing is Existing.RESET and connection.admitted:
                connection.end(Finish.RESET)
            for pump in connection.pumps:
                pump.pipe.shape = behaviour.shape
                pump.wake()
        self._changed.set()
        self._changed = asyncio.Event()

    def _spread_toxics(self) -> None:
        for connection in self._connections:
            for pump in connection.pumps:
                pump.pipe.set_toxics(self.toxics, monotonic_us())
                pump.wake()

    def _start_listening(self) -> None:
        if self._socket is not None and not self._listening:
            self._socket.listen(BACKLOG)
            self._listening = True
            self._accepting = asyncio.create_task(self._accept(self._socket))

    def _stop_listening(self) -> None:
        if self._socket is not None and self._listening:
            self._listening = False
            if self._accepting is not None:
                self._accepting.cancel()
            self._socket.shutdown(socket.SHUT_RD)

    async def _stopped_accepting(self) -> None:
        self._stop_listening()
        if self._accepting is not None:
            await asyncio.wait([self._accepting])
            self._accepting = None

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError:
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            self.counters.connections += 1
            client = await asyncio.open_connection(sock=accepted)
            connection = Connection(self.counters.connections, client, self.counters)
            self._connections[connection] = None
            connection.start(self._conduct, self._forget)

    def _forget(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        is_following = self._following is not None and not self._following.done()
        if self._driver is not None and is_following and self.counters.answers_lost > self._answers_lost:
            elapsed_us = monotonic_us() - self._started_us
            self._driver.answer_was_lost(elapsed_us)
            self._recorded = self._driver.behaviour(elapsed_us)
            self._apply()
        self._answers_lost = self.counters.answers_lost

    async def _conduct(self, connection: Connection) -> None:
        """Lead one connection from the door to its end."""
        if len(self._connections) > CONNECTIONS_MAX:
            connection.refuse(Finish.RESET)
        while self.behaviour.admission is Admission.STALL:
            await self._changed.wait()
        admission = self.behaviour.admission
        if admission in (Admission.RESET, Admission.REFUSE):
            connection.refuse(Finish.RESET)
        if admission in (Admission.CLOSE, Admission.ANSWER):
            self.counters.turned_away += 1
            await connection.answer(_http_answer(self.behaviour.http_status))
            return
        connection.admitted = True
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                server = await asyncio.open_connection(self.upstream.host, self.upstream.port)
        except (OSError, TimeoutError):
            self.counters.upstream_errors += 1
            connection.refuse(Finish.RESET)
        pipes = self._pipe(Stream.UPSTREAM, connection.number), self._pipe(Stream.DOWNSTREAM, connection.number)
        await connection.relay(server, pipes)

    def _pipe(self, stream: Stream, number: int) -> Pipe:
        rng = Random(f"{self._seed}/{number}/{stream}")  # noqa: S311  (it chooses faults, not secrets)
        pipe = Pipe(stream, rng, self._pacers[stream], self.behaviour.shape)
        pipe.set_toxics(self.toxics, monotonic_us())
        return pipe


async def _bind(address: Address) -> tuple[socket.socket, Address]:
    """A bound, not yet listening socket. Raises `PortInUseError`."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, where = found[0]
        if address.port == 0:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(where)
                port = probe.getsockname()[1]
        else:
            port = address.port
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setblocking(False)  # noqa: FBT003  (the standard library takes it so)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Bound to a number of its own choosing a socket would lose the port in shutdown(2): bind to the number.
            listener.bind((where[0], port, *where[2:]))
            listener.listen(BACKLOG)
            listener.shutdown(socket.SHUT_RD)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        reason = errno.errorcode.get(error.errno or 0, "") + " " + (error.strerror or str(error))
        raise PortInUseError(address, reason.strip()) from error
    return listener, Address(address.host, port)


def _http_answer(status: int | None) -> bytes:
    """The answer of a server that is down with this status; nothing at all without one."""
    if status is None:
        return b""
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Recorded"
    return f"HTTP/1.1 {status} {phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
