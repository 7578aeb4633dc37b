"""The front as a process: it serves, a dead one is replaced, and none outlives its gateway."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from random import Random

import httpx
import pytest

from edge.config import ApiSettings
from edge.dashboard.documents import Now
from edge.desk import Desk
from edge.front.process import FrontProcess
from edge.front.serve import listen
from edge.front.settings import FrontSettings
from tests.edge.dashboard.kit import back_on, desk_of_five, status, well

PATIENCE_S = 40.0


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = desk_of_five(tmp_path)
    yield opened
    opened.close()


def _children() -> set[int]:
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


def _started(desk: Desk, folder: Path) -> tuple[socket.socket, int, asyncio.Task[None]]:
    """The socket that a gateway listens on, its port, and the front's keeper."""
    server_socket = listen("127.0.0.1", 0)
    port = server_socket.getsockname()[1]
    settings = FrontSettings(ApiSettings(port=port), folder, desk.history.sizes_s)
    return (
        server_socket,
        port,
        asyncio.create_task(FrontProcess(settings, server_socket, back_on(desk, well), Random(1)).run()),
    )


def test_a_front_serves_is_replaced_when_it_dies_and_ends_with_its_gateway(desk: Desk, tmp_path: Path) -> None:
    async def run() -> None:
        before = _children()
        server_socket, port, front = _started(desk, tmp_path)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
            assert (await client.get("/readyz")).json() == {"status": "ok"}
            assert Now.model_validate_json((await client.get("/api/v1/now")).content).status == status()
            assert (await client.get("/api/v1/devices")).json()["total"] == 5
            (first,) = _children() - before
            os.kill(first, signal.SIGTERM)  # told to the whole group when a service is stopped: its gateway ends it
            assert (await client.get("/livez")).status_code == 200
            os.kill(first, signal.SIGKILL)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
            assert (await client.get("/livez")).status_code == 200
            (second,) = _children() - before
            assert second != first
            async with client.stream("GET", "/api/v1/live") as live:
                assert live.status_code == 200
                front.cancel()
                done, _ = await asyncio.wait({front}, timeout=PATIENCE_S)
                assert done
        assert _children() == before
        server_socket.close()

    asyncio.run(run())


def test_a_front_that_is_starting_does_not_hold_the_address_of_a_gateway_that_is_gone(
    desk: Desk, tmp_path: Path
) -> None:
    async def run() -> None:
        before = _children()
        server_socket, port, front = _started(desk, tmp_path)
        while not _children() - before:  # noqa: ASYNC110  # until it was started; it takes a second to be awake
            await asyncio.sleep(0)
        server_socket.close()  # as the end of the process would
        listen("127.0.0.1", port).close()
        front.cancel()
        await asyncio.wait({front})
        assert _children() == before

    asyncio.run(run())
