"""The front's end of the pipe to its gateway.

Promises: questions are answered out of order, each by its number; at most `ASKS_MAX` are under way, the rest wait here
and not before the store's thread; when the gateway is gone, everything that waits for it is told so.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from edge.dashboard.questions import Answer, Argument, Question
from edge.front.frames import Answer as Told
from edge.front.frames import (
    Answered,
    Ask,
    Forwarded,
    FrameTooLong,
    FromFront,
    FromGateway,
    GatewayAway,
    framed,
    from_gateway,
    length_of,
)

ASKS_MAX = 4  # steps of 3 ms each: what a commit may have to wait behind; and enough to keep a page filled


@dataclass
class PipedBack:
    """The gateway, in another process. `run` it beside whoever asks."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _waiting: dict[int, asyncio.Future[FromGateway]] = field(default_factory=dict)
    _last: int = 0
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ASKS_MAX))
    _gone: bool = False

    async def run(self) -> None:
        """Hand out answers until the gateway is gone."""
        try:
            while (body := await read_frame(self.reader)) is not None:
                told = from_gateway(body)
                future = self._waiting.pop(told.number, None)
                if future is not None and not future.done():
                    future.set_result(told)
        finally:
            self._gone = True
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(GatewayAway("the gateway's process is gone"))

    async def ask(self, question: Question[Answer], *arguments: Argument) -> Answer:
        """See `Asked.ask`."""
        told = await self._exchange(lambda number: Ask(number, question.name, arguments))
        if not isinstance(told, Told) or told.error is not None:
            raise GatewayAway(told.error if isinstance(told, Told) and told.error else "an answer to something else")
        return question.decode(told.body)

    async def forward(self, request: Forwarded) -> Answered:
        """See `Back.forward`."""
        told = await self._exchange(lambda number: msgspec.structs.replace(request, number=number))
        if not isinstance(told, Answered):
            raise GatewayAway("an answer to something else")
        return told

    def tell(self, document: FromFront) -> None:
        """Something that wants no answer."""
        if not self._gone:
            self.writer.write(framed(document))

    async def _exchange(self, asked: Callable[[int], FromFront]) -> FromGateway:
        async with self._turn:
            if self._gone:
                raise GatewayAway("the gateway's process is gone")
            self._last += 1
            number = self._last
            future: asyncio.Future[FromGateway] = asyncio.get_running_loop().create_future()
            self._waiting[number] = future
            try:
                self.writer.write(framed(asked(number)))
                await self.writer.drain()
                return await future
            except ConnectionError:
                raise GatewayAway("the gateway's process is gone") from None
            finally:
                self._waiting.pop(number, None)


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next frame; None when the far side has ended, or makes no sense."""
    try:
        return await reader.readexactly(length_of(await reader.readexactly(4)))
    except (asyncio.IncompleteReadError, ConnectionError, FrameTooLong):
        return None
