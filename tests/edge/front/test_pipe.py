"""The pipe between gateway and front: the same answers as without it, and no failure that reaches the gateway."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import structlog
from fastapi import APIRouter, Request
from structlog.testing import capture_logs

from edge.access.requires import principal_of
from edge.access.roles import Kind, Scope
from edge.dashboard.questions import (
    CHANGED,
    COMMANDS,
    COMMANDS_VERSION,
    COUNT,
    DEVICE,
    ENTRIES,
    NAMES,
    QUESTIONS,
    RING,
    ROWS,
    STATUS,
    STORE,
    UPDATE,
    VERSION,
    Question,
)
from edge.desk import Desk
from edge.front.answering import Answering
from edge.front.back import LocalBack
from edge.front.frames import (
    FRAME_BYTES_MAX,
    LENGTH,
    Ask,
    Forwarded,
    FrameTooLong,
    GatewayAway,
    LogLine,
    Who,
    framed_bytes,
    length_of,
)
from edge.front.logs import ship_logs
from edge.front.pipe import ASKS_MAX, PipedBack
from edge.problems import Problem
from edge.status import GatewayStatus
from edge.store import StoreFailed
from tests.edge.dashboard.kit import back_on, desk_of_five, status, well
from tests.edge.kit import T0_MS

ASKED = (
    (STATUS, ()), (COUNT, ()), (VERSION, ()), (ENTRIES, (1, True)), (ENTRIES, (1, False)), (ROWS, ([1, 2],)),
    (DEVICE, (1,)), (DEVICE, (99,)), (CHANGED, (0,)), (UPDATE, (1, 0)), (UPDATE, (1, 10**9)), (COMMANDS, (1, 5)),
    (COMMANDS_VERSION, ()), (STORE, (T0_MS,)), (NAMES, (1,)), (RING, (1, "temperature", None)),
)  # fmt: skip
OPERATOR = Who(Kind.SESSION, "ada", frozenset({Scope.READ, Scope.OPERATE}))
Asking = Callable[[PipedBack], Awaitable[None]]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = desk_of_five(tmp_path)
    yield opened
    opened.close()


def _router() -> APIRouter:
    router = APIRouter()

    @router.put("/who")
    async def who(request: Request) -> dict[str, str | None]:
        found = principal_of(request)
        return {"name": found.name, "may": str(sorted(found.scopes)), "body": (await request.body()).decode()}

    @router.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    @router.get("/problem")
    async def problem() -> None:
        raise Problem(409, "not now")  # type: ignore[arg-type]

    return router


def _over_a_pipe(back: LocalBack, ask: Asking) -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        answering = asyncio.create_task(Answering(back, *await asyncio.open_connection(sock=ours)).run())
        piped = PipedBack(*await asyncio.open_connection(sock=theirs))
        piping = asyncio.create_task(piped.run())
        try:
            await ask(piped)
        finally:
            piped.writer.close()
            await asyncio.wait({answering, piping})
            with suppress(ConnectionError):
                await piped.writer.wait_closed()
            answering.result()

    asyncio.run(run())


def _request(path: str, method: str = "GET", body: bytes = b"") -> Forwarded:
    return Forwarded(0, method, path, b"", [], body, "10.0.0.1", OPERATOR)


def test_every_question_has_the_same_answer_on_both_sides(desk: Desk) -> None:
    assert {question.name for question, _ in ASKED} == set(QUESTIONS)
    back = back_on(desk, well)

    async def ask(piped: PipedBack) -> None:
        for question, arguments in ASKED:
            wanted: Question[object] = question
            assert await piped.ask(wanted, *arguments) == await back.ask(wanted, *arguments), wanted.name

    _over_a_pipe(back, ask)


def test_a_request_is_run_with_the_rights_that_the_front_found(desk: Desk) -> None:
    async def ask(piped: PipedBack) -> None:
        answered = await piped.forward(_request("/who", "PUT", b"words"))
        assert answered.status == 200
        assert (
            answered.body
            == b'{"name":"ada","may":"[<Scope.OPERATE: \'operate\'>, <Scope.READ: \'read\'>]","body":"words"}'
        )
        refused = await piped.forward(_request("/problem"))
        assert (refused.status, dict(refused.headers)[b"content-type"]) == (409, b"application/problem+json")

    _over_a_pipe(back_on(desk, well, _router()), ask)


def test_an_answer_that_fails_is_told_as_such_and_the_next_one_comes(desk: Desk) -> None:
    async def broken() -> GatewayStatus:
        raise ZeroDivisionError

    async def ask(piped: PipedBack) -> None:
        with capture_logs() as logs:
            answered = await piped.forward(_request("/broken"))
            with pytest.raises(GatewayAway, match="could not answer"):
                await piped.ask(STATUS)
        assert (answered.status, dict(answered.headers)[b"content-type"]) == (500, b"application/problem+json")
        assert [line["log_level"] for line in logs] == ["error", "error"]
        assert await piped.ask(COUNT) == 5

    _over_a_pipe(back_on(desk, broken, _router()), ask)


def test_what_the_store_says_gets_through_and_an_unknown_question_is_none(desk: Desk) -> None:
    async def failing() -> GatewayStatus:
        raise StoreFailed("the disk is gone")

    async def ask(piped: PipedBack) -> None:
        with pytest.raises(GatewayAway, match="the disk is gone"):
            await piped.ask(STATUS)
        told = await piped._exchange(lambda number: Ask(number, "reopen", ()))
        assert told.number == 2
        assert b"no such question" in repr(told).encode()

    _over_a_pipe(back_on(desk, failing), ask)


def test_no_more_questions_than_allowed_stand_before_the_store(desk: Desk) -> None:
    most = under_way = 0
    let_on = asyncio.Event()

    async def slow() -> GatewayStatus:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        if most == ASKS_MAX:
            let_on.set()
        await let_on.wait()
        under_way -= 1
        return status()

    async def ask(piped: PipedBack) -> None:
        await asyncio.gather(*(piped.ask(STATUS) for _ in range(3 * ASKS_MAX)))
        assert most == ASKS_MAX

    _over_a_pipe(back_on(desk, slow), ask)


@pytest.mark.parametrize("bytes_", [b"\xff\xff\xff\xff", framed_bytes(b"\x00"), framed_bytes(b"\x93\xa3ask\x01")])
def test_a_front_that_makes_no_sense_ends_its_pipe_and_nothing_else(desk: Desk, bytes_: bytes) -> None:
    async def ask(piped: PipedBack) -> None:
        piped.writer.write(bytes_)
        with pytest.raises(GatewayAway):
            await piped.ask(COUNT)

    _over_a_pipe(back_on(desk, well), ask)


def test_who_waits_for_a_gateway_that_goes_is_told(desk: Desk) -> None:
    begun = asyncio.Event()

    async def never() -> GatewayStatus:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def ask(piped: PipedBack) -> None:
        waiting = asyncio.create_task(piped.ask(STATUS))
        await begun.wait()
        piped.writer.write_eof()  # the gateway's end ends, and closes
        piped.reader.feed_eof()
        with pytest.raises(GatewayAway, match="gone"):
            await waiting
        with pytest.raises(GatewayAway, match="gone"):
            await piped.ask(STATUS)

    _over_a_pipe(back_on(desk, never), ask)


def test_the_front_logs_into_the_gateways_log(desk: Desk) -> None:
    async def ask(piped: PipedBack) -> None:
        root = logging.getLogger()
        before, kept = structlog.get_config(), (list(root.handlers), root.level)
        told: list[LogLine] = []
        ship_logs(told.append)
        try:
            structlog.get_logger("gateway").warning("logged in", account="ada", scopes={"read"}, at=Path("x"))
            logging.getLogger("uvicorn.error").warning("a %s from below", "word")
            structlog.get_logger("gateway").error("failed", exc_info=ZeroDivisionError("once"))
            await asyncio.sleep(0)
        finally:
            structlog.configure(**before)
            root.handlers[:], root.level = kept
            logging.captureWarnings(capture=False)
        with capture_logs() as logs:
            for line in told:
                piped.tell(line)
            await piped.ask(COUNT)
        assert logs[0] == {
            "event": "logged in", "log_level": "warning", "account": "ada", "scopes": ["read"], "at": "x",
        }  # fmt: skip
        assert logs[1]["event"] == "a word from below"
        assert "ZeroDivisionError: once" in logs[2]["exception"]

    _over_a_pipe(back_on(desk, well), ask)


def test_a_frame_has_a_limit() -> None:
    with pytest.raises(FrameTooLong):
        length_of(LENGTH.pack(FRAME_BYTES_MAX + 1))
    assert length_of(LENGTH.pack(FRAME_BYTES_MAX)) == FRAME_BYTES_MAX
