"""The gateway's end of the pipe: answers what the front asks, one task a question.

Promises: nothing that the front says or does ends the gateway: what makes no sense ends the pipe, an answer that fails
is logged and told as such; at most `TASKS_MAX` are under way, more are not read; what the front logs is in this
process's log, under its level.
"""

import asyncio
import functools
from http import HTTPStatus

import msgspec
import structlog

from edge.dashboard.questions import QUESTIONS
from edge.front.back import Back
from edge.front.frames import (
    Answer,
    Answered,
    Ask,
    Forwarded,
    FrameTooLong,
    FromGateway,
    LogLine,
    framed,
    from_front,
)
from edge.front.pipe import read_frame
from edge.store import StoreError

TASKS_MAX = 8  # twice what a front that works asks at once
PROBLEM = b'{"type":"about:blank","title":"Internal Server Error","status":500,"detail":"the gateway could not answer"}'
PROBLEM_HEADERS = [(b"content-type", b"application/problem+json")]

log = structlog.get_logger("gateway")


class Answering:
    """Over one pipe."""

    def __init__(self, back: Back, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._back = back
        self._reader = reader
        self._writer = writer
        self._room = asyncio.Semaphore(TASKS_MAX)
        self._tasks: set[asyncio.Task[FromGateway]] = set()

    async def run(self) -> None:
        """Until the front has ended; what is under way then is given up, and the pipe closed."""
        try:
            while (body := await read_frame(self._reader)) is not None:
                try:
                    said = from_front(body)
                except msgspec.MsgspecError as error:
                    log.error("the dashboard's process makes no sense", error=str(error))
                    return
                if isinstance(said, LogLine):
                    structlog.get_logger(said.logger).log(said.level, said.event, **said.fields)
                    continue
                await self._room.acquire()
                task = asyncio.create_task(self._answer(said))
                self._tasks.add(task)
                task.add_done_callback(functools.partial(self._answered, said))
        finally:
            for task in self._tasks:
                task.cancel()
            self._writer.close()

    async def _answer(self, said: Ask | Forwarded) -> FromGateway:
        if isinstance(said, Forwarded):
            return await self._back.forward(said)
        question = QUESTIONS.get(said.name)
        if question is None:
            return Answer(said.number, b"", f"no such question: {said.name}")
        try:
            return Answer(said.number, question.encode(await self._back.ask(question, *said.arguments)))
        except StoreError as error:
            return Answer(said.number, b"", str(error))

    def _answered(self, said: Ask | Forwarded, task: asyncio.Task[FromGateway]) -> None:
        self._tasks.discard(task)
        self._room.release()
        if task.cancelled() or self._writer.is_closing():
            return
        error = task.exception()
        if error is not None:
            log.error("a question of the dashboard failed", exc_info=error)
        told = _failure(said) if error is not None else task.result()
        try:
            self._writer.write(framed(told))
        except FrameTooLong as too_long:
            log.error("an answer for the dashboard is too long", error=str(too_long))
            self._writer.write(framed(_failure(said)))


def _failure(said: Ask | Forwarded) -> FromGateway:
    if isinstance(said, Ask):
        return Answer(said.number, b"", "the gateway could not answer")
    return Answered(said.number, HTTPStatus.INTERNAL_SERVER_ERROR.value, PROBLEM_HEADERS, PROBLEM)
