"""Commands by HTTP: statuses, problem documents, and who may."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from edge.access.roles import Role
from edge.api_commands import DownlinkApi
from edge.commands.book import OPEN_PER_DEVICE_MAX
from edge.desk import Desk
from edge.problems import add_problem_handlers
from sensors.clock import SystemClock
from tests.edge.access.kit import signed_in
from tests.edge.kit import SITE, message, open_desk, reading

PATH = f"/api/v1/devices/{SITE}/d1/commands"
REBOOT = {"name": "reboot"}
MANIFEST = {"version": "1.0.0", "size": 1, "sha256": "0" * 64, "chunk_bytes": 256, "device_types": ["climate"]}


class Client:
    """Asks an application, as an operator unless told otherwise."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def request(self, method: str, path: str, json: Any = None, role: Role = Role.OPERATOR) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(signed_in(self._app, role))
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                return await client.request(method, path, json=json)

        return asyncio.run(ask())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path)
    opened.take_in([message(reading(0))], 0, 0)
    yield opened
    opened.store.close()


@pytest.fixture
def client(desk: Desk) -> Client:
    async def in_store(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return call(*args, **kwargs)

    app = FastAPI()
    add_problem_handlers(app)
    app.include_router(DownlinkApi(desk, in_store, SystemClock()).router())
    return Client(app)


def test_a_command_is_accepted_found_listed_and_called_back(client: Client) -> None:
    answer = client.request("POST", PATH, json={**REBOOT, "ttl_s": 60})
    assert answer.status_code == 202
    told = answer.json()
    assert (told["state"], told["ttl_left_s"]) == ("waiting", 60)
    assert client.request("GET", f"{PATH}/{told['id']}").json()["id"] == told["id"]
    assert [each["id"] for each in client.request("GET", PATH).json()["commands"]] == [told["id"]]
    assert client.request("DELETE", f"{PATH}/{told['id']}").json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", PATH, {"name": "dance"}, 400, "unknown"),
        ("POST", PATH, {"name": "reboot", "when": 1}, 400, "unknown field `when`"),
        ("POST", PATH, {"name": "set-interval", "args": {"interval_s": 0}}, 400, "interval_s is 0"),
        ("POST", PATH, {"name": "reboot", "ttl_s": 0}, 400, "ttl_s"),
        ("POST", PATH.replace("d1", "d9"), REBOOT, 404, "no device office/d9"),
        ("POST", PATH.replace("d1", "%2B"), REBOOT, 400, "holds '+'"),
        ("GET", f"{PATH}/7-x", None, 404, "has no command 7-x"),
        ("DELETE", f"{PATH}/7-x", None, 404, "has no command 7-x"),
        ("DELETE", "/api/v1/rollouts/7", None, 404, "no rollout 7"),
        ("POST", "/api/v1/firmware/1.0.0/rollouts", {}, 404, "no image 1.0.0"),
        ("POST", "/api/v1/firmware", {"manifest": {}, "image_base64": ""}, 400, "version"),
        ("POST", "/api/v1/firmware", {"manifest": MANIFEST, "image_base64": "\u00e4"}, 400, "image_base64"),
        ("POST", "/api/v1/firmware", {"manifest": MANIFEST, "image_base64": "a"}, 400, "image_base64"),
        ("DELETE", "/api/v1/rollouts/x", None, 422, "number"),
    ],
)
def test_what_cannot_be_is_a_problem_document_that_says_why(
    client: Client, method: str, path: str, body: Any, status: int, words: str
) -> None:
    answer = client.request(method, path, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert words in answer.json()["detail"]


def test_a_full_queue_is_a_conflict(client: Client) -> None:
    for _ in range(OPEN_PER_DEVICE_MAX):
        assert client.request("POST", PATH, json=REBOOT).status_code == 202
    assert client.request("POST", PATH, json=REBOOT).status_code == 409


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", PATH),
        ("DELETE", f"{PATH}/1-x"),
        ("POST", "/api/v1/firmware"),
        ("DELETE", "/api/v1/firmware/1.0.0"),
        ("POST", "/api/v1/firmware/1.0.0/rollouts"),
        ("DELETE", "/api/v1/rollouts/1"),
    ],
)
def test_everything_that_changes_something_needs_an_operator(client: Client, method: str, path: str) -> None:
    answer = client.request(method, path, json=REBOOT, role=Role.VIEWER)
    assert answer.status_code == 403
    assert client.request("GET", PATH).json() == {"commands": []}
