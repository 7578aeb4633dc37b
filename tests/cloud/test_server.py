"""The running server: one-line errors at the start, clean ends, and slow clients cut off."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn
from pydantic import SecretStr
from uvicorn.server import ServerState

from cloud import server
from cloud.config import CloudConfig, TokenUnreadableError
from cloud.points import StoreUnusableError
from cloud.server import CannotListenError, PortInUse, SlowClientProtocol, serve


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def config(tmp_path: Path) -> CloudConfig:
    return CloudConfig(port=free_port(), db_path=tmp_path / "cloud.sqlite", token=SecretStr("t"))


async def while_serving(config: CloudConfig, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` beside the server, then cancel the server."""
    ready = asyncio.Event()
    running = asyncio.create_task(serve(config, ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    try:
        await work()
    finally:
        waiting.cancel()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def exchange(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()


def test_it_answers_when_ready_and_frees_port_and_file_when_cancelled(config: CloudConfig) -> None:
    answers: list[bytes] = []

    async def work() -> None:
        body = b"m x=1 1"
        head = (
            b"POST /api/v2/write?org=tidegate&bucket=tidegate HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Authorization: Token t\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        answers.append(await exchange(config.port, head + body))

    asyncio.run(while_serving(config, work))
    asyncio.run(while_serving(config, work))  # the port and the database are free again
    assert [answer.split(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 204 No Content"] * 2


def test_sigterm_ends_it_cleanly(config: CloudConfig) -> None:
    asyncio.run(serve(config, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_port_in_use_is_one_line(config: CloudConfig) -> None:
    with socket.create_server(("127.0.0.1", config.port)), pytest.raises(PortInUse) as caught:
        asyncio.run(serve(config))
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", config.port)
    assert str(caught.value).startswith(f"cannot listen on 127.0.0.1:{config.port}: the port is in use")
    assert not config.db_path.exists()


def test_an_address_of_another_machine_is_named(config: CloudConfig) -> None:
    with pytest.raises(CannotListenError, match=r"192\.0\.2\.1"):
        asyncio.run(serve(config.model_copy(update={"host": "192.0.2.1"})))


def test_an_unusable_store_frees_the_port(config: CloudConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnusableError):
        asyncio.run(serve(config.model_copy(update={"db_path": tmp_path / "file" / "x"})))
    socket.create_server(("127.0.0.1", config.port)).close()


def test_a_missing_token_file_is_named_before_the_port_is_taken(tmp_path: Path) -> None:
    config = CloudConfig(port=free_port(), db_path=tmp_path / "c", token_file=tmp_path / "none")
    with pytest.raises(TokenUnreadableError, match="token_file"):
        asyncio.run(serve(config))


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /ping HT",
        b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\nGET /pi",
        b"POST /api/v2/write HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this",
    ],
    ids=["nothing", "half a head", "half a second head", "a refused body that never ends"],
)
def test_a_request_that_is_never_finished_is_cut_off(
    config: CloudConfig, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.05)
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 3600)  # so that it is not uvicorn's own limit that ends it

    async def work() -> None:
        async with asyncio.timeout(10):
            await exchange(config.port, begun)  # returns only when the server ends the connection

    asyncio.run(while_serving(config, work))


def test_a_later_request_that_is_never_finished_is_cut_off(
    config: CloudConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.05)
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 3600)

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", config.port)
        writer.write(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GET /pi")
        async with asyncio.timeout(10):
            with suppress(ConnectionResetError):
                await reader.read()
        writer.close()

    asyncio.run(while_serving(config, work))


def test_an_answer_that_is_not_read_is_cut_off_and_one_that_is_read_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ANSWER_STALL_S", 0.01)

    class Transport(asyncio.Transport):
        aborted = asyncio.Event()

        def abort(self) -> None:
            self.aborted.set()

    async def run() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None: ...

        state = ServerState()
        protocol = SlowClientProtocol(config=uvicorn.Config(app, log_config=None), server_state=state, app_state={})
        transport = Transport()
        protocol.connection_made(transport)
        protocol.pause_writing()
        protocol.resume_writing()
        assert protocol._write_timer is None
        protocol.pause_writing()
        await transport.aborted.wait()
        protocol.connection_lost(cast(Exception, ConnectionAbortedError()))

    asyncio.run(run())


def test_expired_points_are_dropped_while_serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CloudConfig(port=free_port(), db_path=tmp_path / "c", token=SecretStr("t"))
    called = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    def drop_expired(_store: object, now_ns: int) -> int:
        assert now_ns > 1_700_000_000_000_000_000
        loops[0].call_soon_threadsafe(called.set)
        return 0

    monkeypatch.setattr("cloud.points.PointStore.drop_expired", drop_expired)

    async def work() -> None:
        await called.wait()

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        await while_serving(config, work)

    asyncio.run(run())
