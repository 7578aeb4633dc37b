"""One proxied connection: the asyncio shell that moves bytes as its two pipes decide.

Promises: no decision is made here; at most `READ_BYTES` more than a pipe's limit are held, and reading stops while the
far side does not take what was written (back-pressure). Whatever happens, both sockets are closed when `run` returns.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

from tidegate.outage.pipe import Finish, Finished, Pipe, Send
from tidegate.outage.toxics import Stream

READ_BYTES = 64 * 1024
"""One read; larger ones are no faster on loopback."""
CLOSE_LINGER_S = 2.0
"""How long an orderly close may take to flush to a peer that does not read; then it is aborted."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def monotonic_us() -> int:
    """The event loop's clock in microseconds."""
    return int(asyncio.get_running_loop().time() * 1_000_000)


@dataclass(slots=True)
class Counters:
    """What went through a proxy since it started. `stalls`: how often bytes had to wait for a link that was silent."""

    connections: int = 0
    turned_away: int = 0
    resets: int = 0
    answers_lost: int = 0
    stalls: int = 0
    upstream_errors: int = 0
    bytes_moved: dict[Stream, int] = field(default_factory=lambda: dict.fromkeys(Stream, 0))


class _ConnectionEnded(Exception):
    def __init__(self, how: Finish) -> None:
        self.how = how


class Pump:
    """Moves one direction: reads, asks its pipe, writes."""

    def __init__(self, pipe: Pipe, source: Side, sink: Side, counters: Counters) -> None:
        self.pipe = pipe
        self._source = source[0]
        self._sink = sink[1]
        self._counters = counters
        self._chunks: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._is_stalled = False

    def wake(self) -> None:
        """Something changed: ask the pipe again."""
        self._wake.set()

    async def read(self) -> None:
        """Take bytes in until the sender ends."""
        while True:
            while not self.pipe.has_room:
                self._room.clear()
                await self._room.wait()
            try:
                chunk = await self._source.read(READ_BYTES)
            except OSError:
                self.pipe.offer_end(monotonic_us(), reset=True)
                break
            if not chunk:
                self.pipe.offer_end(monotonic_us())
                break
            if self.pipe.offer(len(chunk), monotonic_us()):
                self._chunks.append(chunk)
            self._wake.set()
        self._wake.set()

    async def write(self) -> None:
        """Do what the pipe decides until it ends the stream; raises `_ConnectionEnded` when it ends the connection."""
        while True:
            self._wake.clear()
            decision = self.pipe.poll(monotonic_us())
            if isinstance(decision, Send):
                await self._send(decision.size)
            elif isinstance(decision, Finished):
                if decision.how is not Finish.HALF_CLOSE:
                    self._counters.answers_lost += decision.lost_answer
                    raise _ConnectionEnded(decision.how)
                self._half_close()
                return
            else:
                if self.pipe.shape.stalled and self._chunks and not self._is_stalled:
                    self._is_stalled = True
                    self._counters.stalls += 1
                await self._wait(decision.until_us)

    def _half_close(self) -> None:
        """Raises `_ConnectionEnded` if the other end is gone already: then there is nobody to tell."""
        try:
            if self._sink.can_write_eof():
                self._sink.write_eof()
        except OSError as error:
            raise _ConnectionEnded(Finish.RESET) from error

    async def _send(self, size: int) -> None:
        self._is_stalled = False
        chunk = self._chunks.popleft()
        if len(chunk) > size:
            self._chunks.appendleft(chunk[size:])
            chunk = chunk[:size]
        self._sink.write(chunk)
        self._counters.bytes_moved[self.pipe.stream] += size
        self._room.set()
        try:
            await self._sink.drain()
        except OSError as error:
            raise _ConnectionEnded(Finish.RESET) from error

    async def _wait(self, until_us: int | None) -> None:
        if until_us is None:
            await self._wake.wait()
            return
        delay_s = max(0, until_us - monotonic_us()) / 1_000_000
        timer = asyncio.get_running_loop().call_later(delay_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()


class Connection:
    """A client's connection and, once it is let through, the one to the server behind the proxy."""

    def __init__(self, number: int, client: Side, counters: Counters) -> None:
        self.number = number
        self.admitted = False
        self._client = client
        self._server: Side | None = None
        self._counters = counters
        self._forced: Finish | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self.pumps: tuple[Pump, ...] = ()

    def start(self, conduct: Callable[["Connection"], Awaitable[None]], done: Callable[["Connection"], None]) -> None:
        """Run `conduct` as a task of its own; then close everything and call `done`."""
        self._task = asyncio.create_task(self._run(conduct))
        # A task that is cancelled before its first step never reaches its own closing.
        self._task.add_done_callback(lambda _: self._abort())
        self._task.add_done_callback(lambda _: done(self))

    def end(self, how: Finish) -> None:
        """End the connection from outside."""
        self._forced = self._forced or how
        if self._closing:
            self._abort()
        elif self._task is not None:
            self._task.cancel()

    async def ended(self) -> None:
        """Wait until both sockets are closed."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def relay(self, server: Side, pipes: tuple[Pipe, Pipe]) -> None:
        """Move bytes both ways until both directions have ended. Raises `_ConnectionEnded` in a group."""
        self._server = server
        up, down = pipes
        self.pumps = (
            Pump(up, self._client, server, self._counters),
            Pump(down, server, self._client, self._counters),
        )
        async with asyncio.TaskGroup() as group:
            for pump in self.pumps:
                group.create_task(pump.read())
                group.create_task(pump.write())

    async def answer(self, text: bytes) -> None:
        """Wait for a request's first bytes, answer this text, and drop the rest."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_LINGER_S):
                if await self._client[0].read(READ_BYTES):
                    self._client[1].write(text)
                    self._client[1].write_eof()
                while await self._client[0].read(READ_BYTES):
                    pass

    def refuse(self, how: Finish) -> NoReturn:
        """End from inside, without ever having reached the server."""
        self._counters.turned_away += 1
        raise _ConnectionEnded(how)

    async def _run(self, conduct: Callable[["Connection"], Awaitable[None]]) -> None:
        how = Finish.CLOSE
        try:
            await conduct(self)
        except _ConnectionEnded as ended:
            how = ended.how
        except BaseExceptionGroup as group:
            ended_group, rest = group.split(_ConnectionEnded)
            if ended_group is None or rest is not None:
                raise
            how = _first(ended_group).how
        except asyncio.CancelledError:
            how = self._forced or Finish.RESET
        self._counters.resets += how is Finish.RESET
        await self._close(how)

    def _writers(self) -> list[asyncio.StreamWriter]:
        return [side[1] for side in (self._client, self._server) if side is not None]

    def _abort(self) -> None:
        for writer in self._writers():
            writer.transport.abort()

    async def _close(self, how: Finish) -> None:
        self._closing = True
        for writer in self._writers():
            _start_close(writer, how)
        for writer in self._writers():
            try:
                async with asyncio.timeout(CLOSE_LINGER_S):
                    await writer.wait_closed()
            except (OSError, TimeoutError):
                writer.transport.abort()


def _start_close(writer: asyncio.StreamWriter, how: Finish) -> None:
    if how is Finish.RESET:
        with suppress(OSError):
            # With a linger time of zero the kernel sends RST instead of FIN (socket(7), SO_LINGER).
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        writer.transport.abort()
    else:
        writer.close()


def _first(group: BaseExceptionGroup[_ConnectionEnded]) -> _ConnectionEnded:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
