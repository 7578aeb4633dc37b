"""The dashboard over HTTP: routes, headers, problems, and streams that end when the gateway does."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from edge.api_drill import drill_router
from edge.api_settings import settings_router
from edge.config import ApiSettings, EdgeConfig, MqttSettings
from edge.dashboard import Dashboard, service
from edge.desk import Desk
from edge.drill import Drills
from edge.front.serve import listen, serve_front
from edge.maintenance import Maintenance
from edge.status import GatewayStatus
from edge.store import StoreFailed
from edge.topics.api import topics_router
from edge.topics.watch import TopicWatch
from sensors.clock import SystemClock
from tests.edge.access.kit import access_service
from tests.edge.dashboard.kit import DOWN, HeldClock, back_on, dashboard_on, desk_of_five, files_of, status
from tests.edge.kit import T0_MS, message, reading

DOCS = Path(__file__).resolve().parents[3] / "docs" / "dashboard.md"
TOKEN = "test-only"
FILES = ("/static/app.css", "/docs", "/docs/page.js")
STOP_WITHIN_S = 1.5  # less than the server's own patience with connections that stay open


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = desk_of_five(tmp_path)
    yield opened
    opened.close()


async def _nothing_held() -> int:
    return 0


async def _nothing() -> None:
    return


@asynccontextmanager
async def _served(desk: Desk, dashboard: Dashboard, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a running server; leaving takes no longer than `STOP_WITHIN_S`."""
    server_socket = listen("127.0.0.1", 0)
    port = server_socket.getsockname()[1]
    access = access_service(folder, SystemClock(), ApiSettings(port=port, token=SecretStr(TOKEN)))
    topics = topics_router(TopicWatch(MqttSettings(), SystemClock()), EdgeConfig(), SystemClock())
    settings = settings_router(EdgeConfig(), Maintenance(), SystemClock())
    drill = drill_router(Drills(Maintenance()), (), SystemClock(), _nothing_held, _nothing)
    back = back_on(desk, dashboard.status, topics, settings, drill)
    serving = asyncio.create_task(serve_front(server_socket, access, back, dashboard), name="serving")
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            yield client
            serving.cancel()
            stopped, _ = await asyncio.wait({serving}, timeout=STOP_WITHIN_S)
            assert stopped, "the server did not stop in time"
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        await access.close()
        server_socket.close()


def _with(
    desk: Desk,
    ask: Callable[[httpx.AsyncClient], Awaitable[None]],
    dashboard: Callable[[Desk], Dashboard] = dashboard_on,
) -> None:
    async def run() -> None:
        with TemporaryDirectory() as folder:
            async with _served(desk, dashboard(desk), Path(folder)) as client:
                await ask(client)

    asyncio.run(run())


def test_every_route_answers_and_carries_the_security_headers(desk: Desk) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        for path in ("/", "/api/v1/now", "/api/v1/history", "/api/v1/devices", "/api/v1/devices/1", "/api/v1/store",
                     "/metrics", "/static/app.css", "/docs", "/docs/page.js", "/nothing/here"):  # fmt: skip
            answer = await client.get(path)
            assert answer.status_code == (404 if path == "/nothing/here" else 200), path
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == ("no-cache" if path in FILES else "no-store")

    _with(desk, ask)


def test_files_are_kept_by_their_digest_and_asked_for_again_without_it(desk: Desk) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        page, docs = (await client.get("/")).text, (await client.get("/docs")).text
        for named in re.findall(r'"(/(?:static|docs)/[^"]+)"', page + docs):
            answer = await client.get(named)
            assert answer.status_code == 200, named
            shared = "public" if named.startswith("/static/") else "private"
            assert answer.headers["cache-control"] == f"{shared}, max-age=31536000, immutable"
            seen = await client.get(named, headers={"If-None-Match": answer.headers["etag"]})
            assert (seen.status_code, seen.headers["cache-control"]) == (304, answer.headers["cache-control"])
            _, path, digest, file = named.split("/", 3)
            for other in (f"/{path}/{file}", f"/{path}/{'0' * len(digest)}/{file}"):  # an older page, still open
                again = await client.get(other)
                assert (again.content, again.headers["cache-control"]) == (answer.content, "no-cache")
        missing = await client.get(f"{named.rpartition('/')[0]}/missing.js")
        assert (missing.status_code, missing.headers["cache-control"]) == (404, "no-store")

    _with(desk, ask)


@pytest.mark.no_cover
def test_the_api_is_described_and_the_docs_have_every_path(desk: Desk) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        paths = (await client.get("/openapi.json")).json()["paths"]
        ours = {path for path in paths if path.startswith("/api/v1/") or path == "/metrics"}
        assert "/api/v1/live" in ours
        assert set(re.findall(r"^\| `(/[^`?]*)", DOCS.read_text(encoding="utf-8"), re.MULTILINE)) == ours

    _with(desk, ask)


def test_devices_are_searched_sorted_and_paged(desk: Desk) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        page = (await client.get("/api/v1/devices?sort=-held&limit=2&offset=1")).json()
        assert (page["total"], page["offset"], page["site_counts"]) == (5, 1, {"office": 5})
        assert [item["device"] for item in page["items"]] == ["d3", "d2"]
        assert page["items"][0]["held"] == 3
        found = (await client.get("/api/v1/devices", params={"q": "D4", "site": "office"})).json()
        assert [item["device"] for item in found["items"]] == ["d4"]

    _with(desk, ask)


def test_a_list_is_told_with_the_fields_that_are_asked_for(desk: Desk) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        page = (await client.get("/api/v1/devices?limit=2&fields=device,held")).json()
        assert page["items"] == [{"device": "d0", "held": 3}, {"device": "d1", "held": 3}]
        assert page["total"] == 5
        outages = (await client.get("/api/v1/topics?fields=topic&offset=5")).json()
        assert outages["topics"] == []
        for path in ("/api/v1/devices", "/api/v1/topics"):
            refused = await client.get(f"{path}?fields=topic,device,colour")
            assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
            assert "'colour'" in refused.json()["detail"]
            assert "device" in refused.json()["detail"]

    _with(desk, ask)


def test_no_probe_fails_because_the_uplink_is_down(desk: Desk) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        assert (await client.get("/api/v1/status")).json()["uplink"]["state"] == "down"
        for probe in ("/livez", "/readyz"):
            answer = await client.get(probe)
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})

    _with(desk, ask, _cut_off)


def _cut_off(desk: Desk) -> Dashboard:
    async def look() -> GatewayStatus:
        return status(uplink=DOWN, devices_link=DOWN, forward={"backlog": 9, "oldest_unsent_ms": 1})

    return Dashboard(back_on(desk, look), files_of(desk), HeldClock())


def test_head_is_answered_where_get_is_and_nothing_else_is(desk: Desk) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        head = await client.head("/api/v1/now")
        assert (head.status_code, head.content) == (200, b"")
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            nobodys = await client.request(method, "/api/v1/devices")
            assert (nobodys.status_code, nobodys.headers["content-type"]) == (401, "application/problem+json")
            answer = await client.request(method, "/api/v1/devices", headers={"Authorization": f"Bearer {TOKEN}"})
            assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
        assert (await client.head("/api/v1/live")).status_code == 405

    _with(desk, ask)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/v1/devices/99", 404, "99"),
        ("/api/v1/devices?limit=0", 422, "limit"),
        ("/api/v1/devices?sort=colour", 422, "sort"),
        ("/api/v1/nothing", 404, "Not Found"),
    ],
)
def test_errors_are_problem_documents(desk: Desk, path: str, status: int, words: str) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        answer = await client.get(path)
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status_code, problem["status"], problem["type"]) == (status, status, "about:blank")
        assert words in problem["detail"]

    _with(desk, ask)


def _failing(desk: Desk) -> Dashboard:
    async def status() -> GatewayStatus:
        raise StoreFailed("the disk is gone")

    return Dashboard(back_on(desk, status), files_of(desk), HeldClock())


def test_a_store_that_fails_is_a_503_and_trouble_on_the_stream(desk: Desk) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        answer = await client.get("/api/v1/now")
        assert (answer.status_code, answer.json()["detail"]) == (503, "the disk is gone")
        events = _events(client, "/api/v1/live")
        assert await anext(events) == ("trouble", None, {"message": "the disk is gone"})
        await events.aclose()

    _with(desk, ask, _failing)


async def _events(client: httpx.AsyncClient, path: str, last: str | None = None) -> Any:
    """(event, id, data) of a stream, one after the other."""
    headers = {"Last-Event-ID": last} if last else {}
    async with client.stream("GET", path, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            if line:
                name, _, content = line.partition(": ")
                fields[name] = content
            elif "data" in fields:
                yield fields.get("event"), fields.get("id"), json.loads(fields["data"])
                fields = {}


async def _until(events: Any, wanted: str) -> tuple[str | None, Any]:
    async for event, event_id, data in events:
        if event == wanted:
            return event_id, data
    raise AssertionError(f"the stream ended without {wanted}")


def test_a_stream_tells_what_changed_and_goes_on_where_it_was(desk: Desk) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        path = "/api/v1/live?devices=true&device=2"
        events = _events(client, path)
        _, now = await _until(events, "status")
        assert now["verdict"]["headline"]
        assert now["status"]["ledger"]["received"] == 15
        desk.take_in([message(reading(3, device="d1"))], 0, T0_MS)
        event_id, changed = await _until(events, "devices")
        assert [row["device"] for row in changed["rows"]] == ["d1"]
        _, update = await _until(events, "device")
        assert update["readings"]["seq"] == [3]
        await events.aclose()
        desk.take_in([message(reading(4, device="d1"))], 0, T0_MS)
        again = _events(client, path, last=event_id)
        _, update = await _until(again, "device")
        assert update["readings"]["seq"] == [4]
        await again.aclose()

    _with(desk, ask)


@pytest.mark.parametrize("last", ["12345-0", f"{T0_MS}-x", f"{T0_MS}-{'9' * 5000}", "nonsense", ""])
def test_an_id_that_is_not_ours_starts_from_now(desk: Desk, last: str) -> None:
    dashboard = dashboard_on(desk)

    async def run() -> None:
        looking = asyncio.create_task(dashboard.run())
        events = dashboard.live(devices=True, key=None, last_event_id=last)
        event = await anext(events)
        assert event.event == "status"
        desk.take_in([message(reading(9))], 0, T0_MS)
        event = await anext(events)
        assert event.event == "devices"
        assert [row["seq"] for row in json.loads(event.raw_data or "")["rows"]] == [9]
        looking.cancel()

    asyncio.run(run())


def test_streams_are_bounded_and_their_places_come_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "STREAMS_MAX", 1)
    dashboard = dashboard_on(desk)

    async def ask(client: httpx.AsyncClient) -> None:
        events = _events(client, "/api/v1/live")
        await _until(events, "status")
        refused = await client.get("/api/v1/live")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        await events.aclose()
        async with asyncio.timeout(5):
            while dashboard.streams:  # noqa: ASYNC110  # the server notices a gone client on its own time
                await asyncio.sleep(0.01)
        again = _events(client, "/api/v1/live")
        await _until(again, "status")
        await again.aclose()

    _with(desk, ask, lambda _: dashboard)


def test_open_streams_do_not_hold_up_a_shutdown(desk: Desk) -> None:
    opened = []

    async def ask(client: httpx.AsyncClient) -> None:
        for _ in range(3):
            opened.append(_events(client, "/api/v1/live"))
            await _until(opened[-1], "status")  # left open: leaving `_served` has the time limit

    _with(desk, ask)


def test_answers_are_compressed_and_the_stream_is_not(desk: Desk) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        answer = await client.get("/api/v1/devices")
        assert answer.headers["content-encoding"] == "gzip"
        async with client.stream("GET", "/api/v1/live") as live:
            assert "content-encoding" not in live.headers

    _with(desk, ask)


def test_an_answer_that_the_asker_has_already_costs_no_body(desk: Desk) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        path = "/api/v1/devices?limit=2"
        first = await client.get(path)
        tag = first.headers["etag"]
        assert tag.startswith('W/"')
        again = await client.get(path, headers={"If-None-Match": f'W/"other", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "content-security-policy" in again.headers
        desk.take_in([message(reading(9, device="d0"))], 0, T0_MS)
        changed = await client.get("/api/v1/devices/1", headers={"If-None-Match": tag})
        assert changed.status_code == 200
        assert "etag" not in (await client.get("/nothing")).headers

    _with(desk, ask)


def test_what_a_login_takes_is_described(desk: Desk) -> None:
    async def ask(client: httpx.AsyncClient) -> None:
        described = (await client.get("/openapi.json")).json()["paths"]
        for path, wanted in (("/api/v1/login", {"name", "password"}), ("/api/v1/tokens", {"name", "scopes", "days"})):
            schema = described[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
            assert set(schema["properties"]) == wanted
        assert "$ref" not in json.dumps(described["/api/v1/tokens"]["post"]["requestBody"])

    _with(desk, ask)
