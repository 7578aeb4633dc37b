"""The HTTP API's data routes: what needs the token, what is committed, and how errors look."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request
from pydantic import SecretStr

from edge import problems
from edge.api import make_app
from edge.api_data import DataApi
from edge.config import ApiSettings
from edge.desk import Desk
from edge.feedback import Downlink
from edge.ingest import Message
from edge.status import GatewayStatus
from edge.store import StoreFailed
from sensors.senml import Encoding, encode
from tests.edge.access.kit import access_service
from tests.edge.kit import SITE, T0_MS, open_desk, reading

TOKEN = "test-only"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
WHERE = f"/api/v1/readings?site={SITE}&device=d1"
BODY_MAX = 2000


class StillClock:
    """A clock that stands."""

    def wall_ms(self) -> int:
        return T0_MS

    def monotonic_ms(self) -> int:
        return 0


class Api:
    """The application over a desk, asked without a socket."""

    def __init__(self, desk: Desk, settings: ApiSettings, folder: Path) -> None:
        self.downlinks: list[Downlink] = []
        self.commits = 0

        async def in_store(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            return call(*args, **kwargs)

        async def no_status() -> GatewayStatus:
            raise NotImplementedError

        def committed(downlinks: list[Downlink]) -> None:
            self.commits += 1
            self.downlinks += downlinks

        data = DataApi(desk, in_store, StillClock(), BODY_MAX, committed)
        self._app = make_app(no_status, data.router(), access=access_service(folder, StillClock(), settings))

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, **request)

        return asyncio.run(send())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path)
    yield opened
    opened.store.close()


@pytest.fixture
def api(desk: Desk, tmp_path: Path) -> Api:
    return Api(desk, ApiSettings(token=SecretStr(TOKEN)), tmp_path)


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert (document["status"], document["type"]) == (status, "about:blank")
    return str(document["detail"])


@pytest.mark.parametrize("encoding", list(Encoding))
def test_readings_are_committed_when_the_answer_comes_and_may_come_again(
    api: Api, desk: Desk, encoding: Encoding
) -> None:
    body = encode([reading(0), reading(1)], sent_at_ms=T0_MS, encoding=encoding)
    first = api.ask("POST", WHERE, content=body, headers=BEARER)
    assert (first.status_code, first.json()) == (200, {"stored": 2, "duplicates": 0, "acks": [[1, 1]]})
    assert desk.store.head == 2
    assert (api.commits, len(api.downlinks)) == (1, 1)
    again = api.ask("POST", WHERE, content=body, headers=BEARER)
    assert again.json() == {"stored": 0, "duplicates": 2, "acks": [[1, 1]]}


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Basic test-only"}]
)
@pytest.mark.parametrize(
    "path", [WHERE, "/api/v1/quarantine/retry", "/api/v1/quarantine/purge", "/api/v1/destinations/forget"]
)
def test_what_changes_something_needs_the_token(api: Api, desk: Desk, headers: dict[str, str], path: str) -> None:
    answer = api.ask("POST", path, content=encode([reading(0)], sent_at_ms=T0_MS), headers=headers)
    assert "Bearer" in refused(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert desk.store.head == 0


def test_without_a_configured_token_nobody_may(desk: Desk, tmp_path: Path) -> None:
    open_api = Api(desk, ApiSettings(), tmp_path)
    assert "unknown" in refused(open_api.ask("POST", WHERE, headers={"Authorization": "Bearer "}), 401)
    lost = Api(desk, ApiSettings(token_file=tmp_path / "absent"), tmp_path)
    assert "token_file" in refused(lost.ask("POST", WHERE, headers=BEARER), 503)


def test_a_token_is_read_from_its_file(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    api = Api(desk, ApiSettings(token_file=tmp_path / "token"), tmp_path)
    assert api.ask("POST", WHERE, content=encode([reading(0)], sent_at_ms=T0_MS), headers=BEARER).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        (WHERE, b"", "empty"),
        (WHERE, b"[{}]", "seq is missing"),
        (WHERE, b"nonsense", "SenML"),
        ("/api/v1/readings?site=s&device=", b"[]", "device is empty"),
        ("/api/v1/readings?site=a%2Fb&device=d", b"[]", "site"),
        ("/api/v1/quarantine/retry", b"{}", "ids"),
        ("/api/v1/quarantine/retry", b'{"ids":["1"]}', "body"),
        ("/api/v1/quarantine/retry", b'{"ids":[0]}', "ids[0]"),
        ("/api/v1/quarantine/retry", json.dumps({"ids": list(range(1, 200))}).encode(), "<= 100"),
        ("/api/v1/quarantine/purge", b"{}", "either"),
        ("/api/v1/quarantine/purge", b'{"all":true,"ids":[1]}', "either"),
        ("/api/v1/quarantine/purge", b'{"al":true}', "body"),
        ("/api/v1/quarantine/purge", b'{"all":true,"reason":"r"}', "either"),
        ("/api/v1/quarantine/retry", b'{"ids":[1],"reason":"r"}', "`reason`"),
        ("/api/v1/destinations/forget", b'{"names":"x"}', "body"),
    ],
)
def test_bad_input_is_answered_with_what_was_expected_and_keeps_nothing(
    api: Api, desk: Desk, path: str, body: bytes, why: str
) -> None:
    assert why in refused(api.ask("POST", path, content=body, headers=BEARER), 400)
    assert (desk.store.head, desk.store.device_count, desk.quarantine.count(), api.commits) == (0, 0, 0, 0)


def test_a_body_that_is_too_long_is_cut_off_with_and_without_its_length(api: Api) -> None:
    async def chunks() -> Any:
        for _ in range(10):
            yield b"x" * 1000

    for content in (b"x" * (BODY_MAX + 1), chunks()):
        assert "too long" in refused(api.ask("POST", WHERE, content=content, headers=BEARER), 413)


def test_a_body_that_never_comes_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "BODY_SECONDS_MAX", 0.01)

    async def ask() -> None:
        messages = [{"type": "http.request", "body": b"x", "more_body": True}]

        async def receive() -> Any:
            if not messages:
                await asyncio.Event().wait()
            return messages.pop()

        request = Request({"type": "http", "method": "POST", "headers": []}, receive)
        with pytest.raises(problems.Problem, match="did not come"):
            await problems.read_body(request, 100)

    asyncio.run(ask())


def test_a_store_that_refuses_is_answered_with_retry_after(
    api: Api, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreFailed("disk")

    monkeypatch.setattr(desk, "take_readings", fail)
    answer = api.ask("POST", WHERE, content=b"[]", headers=BEARER)
    assert "disk" in refused(answer, 503)
    assert int(answer.headers["retry-after"]) > 0


def test_the_quarantine_is_listed_shown_retried_and_purged(api: Api, desk: Desk) -> None:
    desk.take_in([Message("x", b"\xff\x00"), Message("y", b"1"), Message("z", b"2")], 0, T0_MS)
    listed = api.ask("GET", "/api/v1/quarantine?after=1&limit=1").json()
    assert (listed["count"], [item["id"] for item in listed["items"]]) == (3, [2])
    item = api.ask("GET", "/api/v1/quarantine/1").json()
    assert (item["topic"], item["payload_base64"], item["payload_text"]) == ("x", "/wA=", None)
    assert api.ask("GET", "/api/v1/quarantine?fields=id&limit=1").json()["items"] == [{"id": 1}]
    assert "payload_base64" in refused(api.ask("GET", "/api/v1/quarantine?fields=payload"), 422)
    refused(api.ask("GET", "/api/v1/quarantine/99"), 404)
    refused(api.ask("GET", "/api/v1/quarantine/x"), 422)
    refused(api.ask("GET", "/api/v1/quarantine?limit=-1"), 422)
    newest = api.ask("GET", "/api/v1/quarantine?order=newest&before=3&limit=1").json()
    assert [each["id"] for each in newest["items"]] == [2]
    assert api.ask("GET", "/api/v1/quarantine?order=newest&reason=none").json()["items"] == []
    told = api.ask("GET", "/api/v1/quarantine/reasons").json()["reasons"]
    assert sum(each["count"] for each in told) == newest["count"]
    retried = api.ask("POST", "/api/v1/quarantine/retry", json={"ids": [1]}, headers=BEARER).json()
    assert retried["results"][0]["outcome"] == "still not understood"
    assert api.ask("POST", "/api/v1/quarantine/purge", json={"ids": [2]}, headers=BEARER).json() == {"purged": 1}
    assert api.ask("POST", "/api/v1/quarantine/purge", json={"all": True}, headers=BEARER).json() == {"purged": 2}


def test_the_ledger_is_told(api: Api) -> None:
    api.ask("POST", WHERE, content=encode([reading(0), reading(2)], sent_at_ms=T0_MS), headers=BEARER)
    told = api.ask("GET", f"/api/v1/ledger?site={SITE}&device=d1&open=true").json()
    assert told["complete"] == {"influx": False}
    assert told["accounts"][0]["missing"] == {"count": 1, "ranges": [[1, 1]]}
    assert api.ask("GET", "/api/v1/ledger?site=nowhere").json()["accounts"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"site": SITE, "device": "d1", "boot": 1, "ranges": [[0, 3]]}, 200),
        ({"site": SITE, "device": "d1", "boot": 1, "ranges": [[3, 0]]}, 400),
        ({"site": SITE, "device": "d1", "boot": 1, "ranges": [[0, 2**62]]}, 400),
        ({"site": SITE, "device": "d1", "boot": 1, "ranges": [[0, 1]] * 1001}, 400),
        ({"site": SITE, "device": "d1", "ranges": [[0, 1]]}, 400),
        ({"site": SITE, "device": "d1", "boot": 1, "ranges": [[0, 1]], "more": 1}, 400),
    ],
)
def test_a_resend_is_asked_for_with_the_token_and_whole_ranges(api: Api, body: dict[str, Any], status: int) -> None:
    assert api.ask("POST", "/api/v1/ledger/resend", json=body).status_code == 401
    answer = api.ask("POST", "/api/v1/ledger/resend", json=body, headers=BEARER)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.json() == {"again": 0, "gone": 4}
