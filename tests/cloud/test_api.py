"""The routes: InfluxDB 2.x's answers to writes, and our read API, through the ASGI interface."""

import asyncio
import gzip
import json
import sqlite3
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from cloud import bodies, queries
from cloud.api import create_app
from cloud.bodies import BodyTooLargeError, BodyTooSlowError, inflate, read_body
from cloud.config import BucketConfig, CloudConfig
from cloud.service import CloudService

NOW_NS = 1_700_000_000_000_000_000
TOKEN = "test-token"
AUTHORIZED = {"Authorization": f"Token {TOKEN}"}
WRITE = {"org": "site", "bucket": "a"}


class Cloud:
    """An application and a client in one: each call is one request."""

    def __init__(self, service: CloudService) -> None:
        self.service = service
        self.app: FastAPI = create_app(service)

    def request(self, method: str, url: str, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://cloud") as client:
                return await client.request(method, url, headers=AUTHORIZED if headers is None else headers, **options)

        return asyncio.run(send())

    def write(self, content: bytes | str, headers: dict[str, str] | None = None, **params: str) -> httpx.Response:
        merged = {**AUTHORIZED, **(headers or {})}
        return self.request("POST", "/api/v2/write", merged, params={**WRITE, **params}, content=content)

    def get(self, path: str, **params: Any) -> Any:
        reply = self.request("GET", path, params={"bucket": "a", "measurement": "m", **params})
        assert reply.status_code == 200, reply.text
        return reply.json()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    config = CloudConfig(
        db_path=tmp_path / "cloud.sqlite",
        org="site",
        buckets=(BucketConfig(name="a"), BucketConfig(name="hour", retention_s=3600)),
        token=SecretStr(TOKEN),
        max_body_bytes=100_000,
        max_points=5000,
    )
    service = CloudService(config, config.read_token(), lambda: NOW_NS)
    yield Cloud(service)
    service.close()


def assert_error(reply: httpx.Response, status: int, code: str, message: str) -> None:
    assert (reply.status_code, reply.json()) == (status, {"code": code, "message": message})
    assert reply.headers["X-Platform-Error-Code"] == code


def test_a_write_is_answered_204_without_a_body_and_can_be_read(cloud: Cloud) -> None:
    reply = cloud.write("m,d=1 x=1.5,n=2i 1700000000000", precision="ms")
    assert (reply.status_code, reply.content) == (204, b"")
    assert cloud.get("/api/v1/points") == {
        "points": [{"measurement": "m", "tags": {"d": "1"}, "fields": {"n": 2, "x": 1.5}, "time_ns": NOW_NS}],
        "next": None,
    }


def test_a_line_without_a_timestamp_gets_the_servers_time(cloud: Cloud) -> None:
    cloud.write("m x=1")
    assert cloud.get("/api/v1/points")["points"][0]["time_ns"] == NOW_NS


def test_a_gzip_body_is_taken(cloud: Cloud) -> None:
    assert cloud.write(gzip.compress(b"m x=1 1"), {"Content-Encoding": "gzip"}).status_code == 204
    assert len(cloud.get("/api/v1/points")["points"]) == 1


WHOLE_GZIP = gzip.compress(b"m x=1 1", mtime=0)


@pytest.mark.parametrize(
    "body", [b"not gzip", WHOLE_GZIP[:-6], WHOLE_GZIP[:-8] + b"x" * 8], ids=["no gzip", "cut off", "bad checksum"]
)
def test_a_broken_gzip_body_is_refused(cloud: Cloud, body: bytes) -> None:
    reply = cloud.write(body, {"Content-Encoding": "gzip"})
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid")
    assert reply.json()["message"].startswith("unable to read data: gzip: ")
    assert cloud.get("/api/v1/points")["points"] == []


def test_an_unknown_encoding_is_refused(cloud: Cloud) -> None:
    assert cloud.write(b"m x=1 1", {"Content-Encoding": "br"}).status_code == 400


@pytest.mark.parametrize(
    "authorization", [None, "", "Token", "Token wrong", f"Basic {TOKEN}", TOKEN, "Token tést", f"Token {TOKEN}x"]
)
def test_a_wrong_token_is_refused_everywhere(cloud: Cloud, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.encode("utf-8").decode("latin-1")}
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    for method, path in [("POST", "/api/v2/write"), *(("GET", f"/api/v1/{name}") for name in READS)]:
        reply = cloud.request(method, path, encoded, params={**WRITE, "measurement": "m"}, content=b"m x=1 1")  # type: ignore[arg-type]
        assert_error(reply, 401, "unauthorized", "unauthorized access")
    assert cloud.get("/api/v1/points")["points"] == []


READS = ("points", "last", "series", "export", "stats")


def test_a_bearer_token_is_taken_as_influxdb_does(cloud: Cloud) -> None:
    assert cloud.write("m x=1 1", {"Authorization": f"Bearer {TOKEN}"}).status_code == 204


def test_what_is_not_there_is_404(cloud: Cloud) -> None:
    assert_error(cloud.write("m x=1", bucket="b"), 404, "not found", 'bucket "b" not found')
    assert_error(cloud.write("m x=1", bucket=""), 404, "not found", "bucket not found")
    assert_error(cloud.write("m x=1", org="o"), 404, "not found", 'organization name "o" not found')
    assert_error(cloud.request("GET", "/nowhere"), 404, "not found", "Not Found")
    for name in READS[:-1]:
        reply = cloud.request("GET", f"/api/v1/{name}", params={"bucket": "b", "measurement": "m"})
        assert_error(reply, 404, "not found", 'bucket "b" not found')


def test_bad_parameters_are_400(cloud: Cloud) -> None:
    message = "invalid precision; valid precision units are ns, us, ms, and s"
    assert_error(cloud.write("m x=1", precision="h"), 400, "invalid", message)
    assert_error(cloud.write("m x=1", org=""), 400, "invalid", "Please provide either orgID or org")
    assert_error(cloud.write(""), 400, "invalid", "writing requires points")
    for params in ({"limit": "0"}, {"start": "now"}, {"tag": "a"}, {"after": "x"}, {"after": "bnVsbA=="}):
        reply = cloud.request("GET", "/api/v1/points", params={"bucket": "a", "measurement": "m", **params})
        assert (reply.status_code, reply.json()["code"]) == (400, "invalid")
        assert next(iter(params)) in reply.json()["message"]


def test_one_malformed_line_refuses_the_whole_body_and_every_bad_line_is_named(cloud: Cloud) -> None:
    message = "unable to parse 'm x=': missing field value\nunable to parse 'm': missing fields"
    assert_error(cloud.write("m x=1 1\nm x=\nm"), 400, "invalid", message)
    assert cloud.get("/api/v1/points")["points"] == []


def test_a_body_of_only_comments_is_204(cloud: Cloud) -> None:
    assert cloud.write("# nothing\n\n").status_code == 204


def test_a_type_conflict_is_a_partial_write(cloud: Cloud) -> None:
    cloud.write("m x=1i 1")
    message = (
        'failure writing points to database: partial write: field type conflict: input field "x" on measurement "m"'
        " is type float, already exists as type integer dropped=1"
    )
    assert_error(cloud.write("m x=1.5 2\nm x=3i 3"), 422, "unprocessable entity", message)
    assert [point["time_ns"] for point in cloud.get("/api/v1/points")["points"]] == [1, 3]


def test_points_beyond_retention_are_a_partial_write(cloud: Cloud) -> None:
    reply = cloud.write(f"m x=1 {NOW_NS}\nm x=1 {NOW_NS - 3601 * 10**9}", bucket="hour")
    message = "failure writing points to database: partial write: points beyond retention policy dropped=1"
    assert_error(reply, 422, "unprocessable entity", message)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_too_large_body_is_413_also_when_it_arrives_small(cloud: Cloud, encoding: str) -> None:
    body = b"#" * 100_001
    sent = gzip.compress(body) if encoding == "gzip" else body
    reply = cloud.write(sent, {"Content-Encoding": encoding})
    assert_error(reply, 413, "request too large", "unable to read data: points batch is too large")


def test_a_too_large_body_of_unknown_length_is_413(cloud: Cloud) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(101):
            yield b"#" * 1000

    reply = cloud.request("POST", "/api/v2/write", params=WRITE, content=chunks())
    assert reply.status_code == 413


def test_a_gzip_bomb_costs_no_more_memory_than_the_limit() -> None:
    bomb = gzip.compress(bytes(50_000_000), 9)
    tracemalloc.start()
    with pytest.raises(BodyTooLargeError):
        inflate(bomb, "gzip", bytes_max=100_000)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2_000_000


def test_a_body_that_stops_coming_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_GRACE_S", 0.01)

    async def stalled() -> AsyncIterator[bytes]:
        yield b"m x"
        await asyncio.Event().wait()

    with pytest.raises(BodyTooSlowError) as caught:
        asyncio.run(read_body(stalled(), bytes_max=100))
    assert caught.value.received_bytes == 3


def test_a_body_earns_time_by_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_GRACE_S", 0.0)
    monkeypatch.setattr(bodies, "BODY_RATE_MIN", 1)

    async def pausing() -> AsyncIterator[bytes]:
        yield b"0123456789" * 6  # buys a minute
        await asyncio.sleep(0.01)
        yield b"end"

    assert len(asyncio.run(read_body(pausing(), bytes_max=100))) == 63


def test_a_slow_body_is_408_and_the_connection_closed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_GRACE_S", 0.01)

    async def stalled() -> AsyncIterator[bytes]:
        yield b"m x"
        await asyncio.Event().wait()

    reply = cloud.request("POST", "/api/v2/write", params=WRITE, content=stalled())
    assert (reply.status_code, reply.json()["code"]) == (408, "request timeout")
    assert reply.headers["Connection"] == "close"


def test_a_full_store_is_503_with_a_time_to_come_back(cloud: Cloud) -> None:
    reply = cloud.write("\n".join(f"m x=1 {i}" for i in range(5001)))
    assert (reply.status_code, reply.json()["code"], reply.headers["Retry-After"]) == (503, "unavailable", "60")
    assert cloud.get("/api/v1/points")["points"] == []


def test_a_disk_error_is_500_in_the_same_shape(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(cloud.service.store, "write", broken)
    assert_error(cloud.write("m x=1 1"), 500, "internal error", "disk I/O error")
    monkeypatch.setattr(cloud.service.store, "stats", broken)
    health = cloud.request("GET", "/health", {})
    assert (health.status_code, health.json()["status"]) == (503, "fail")


def test_ping_and_health_need_no_token_and_do_not_claim_to_be_influxdb(cloud: Cloud) -> None:
    for method in ("GET", "HEAD"):
        ping = cloud.request(method, "/ping", {})
        assert (ping.status_code, ping.content) == (204, b"")
        assert ping.headers["X-Influxdb-Version"].startswith("tidegate-")
    health = cloud.request("GET", "/health", {}).json()
    assert (health["name"], health["status"]) == ("tidegate-cloud", "pass")


def fill(cloud: Cloud) -> None:
    lines = [f"m,d={device},room=r{device % 2} x={time_ns} {time_ns}" for device in range(3) for time_ns in range(1, 6)]
    assert cloud.write("\n".join([*lines, "other x=1 1"])).status_code == 204


def times(points: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(point["tags"]["d"], point["time_ns"]) for point in points]


def test_a_range_is_half_open_and_tags_select(cloud: Cloud) -> None:
    fill(cloud)
    assert times(cloud.get("/api/v1/points", start=2, stop=4, tag=["d=1"])["points"]) == [("1", 2), ("1", 3)]
    assert times(cloud.get("/api/v1/points", stop=2, tag=["room=r0"])["points"]) == [("0", 1), ("2", 1)]
    assert cloud.get("/api/v1/points", tag=["d=1", "room=r0"])["points"] == []


@pytest.mark.parametrize("limit", [1, 2, 5, 14, 15])
@pytest.mark.parametrize("name", ["points", "last", "series"])
def test_pages_together_are_the_whole(cloud: Cloud, name: str, limit: int) -> None:
    fill(cloud)
    key = "series" if name == "series" else "points"
    whole = cloud.get(f"/api/v1/{name}")[key]
    assert len(whole) == (15 if name == "points" else 3)
    pages: list[Any] = []
    after: dict[str, str] = {}
    for _ in range(20):
        page = cloud.get(f"/api/v1/{name}", limit=limit, **after)
        assert len(page[key]) <= limit
        pages += page[key]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert pages == whole


def test_last_is_the_latest_point_of_each_series_in_the_range(cloud: Cloud) -> None:
    fill(cloud)
    assert times(cloud.get("/api/v1/last")["points"]) == [("0", 5), ("1", 5), ("2", 5)]
    assert times(cloud.get("/api/v1/last", stop=3, tag="d=1")["points"]) == [("1", 2)]


def test_series_are_counted_with_first_and_last(cloud: Cloud) -> None:
    fill(cloud)
    assert cloud.get("/api/v1/series", start=2, tag="d=2")["series"] == [
        {"measurement": "m", "tags": {"d": "2", "room": "r0"}, "points": 4, "first_ns": 2, "last_ns": 5}
        | {"changed": 0, "behind": 0}
    ]


def test_a_series_tells_how_many_of_its_points_were_overwritten_by_others(cloud: Cloud) -> None:
    for lines in ("m,d=1 x=1 1", "m,d=1 x=1 1", "m,d=1 x=2 1", "n,d=1 x=1 1"):
        cloud.write(lines, bucket="a")
    (series,) = cloud.request("GET", "/api/v1/series", params={"bucket": "a", "measurement": "m"}).json()["series"]
    assert series["changed"] == 1


def test_a_series_tells_how_many_of_its_points_came_behind_a_newer_one(cloud: Cloud) -> None:
    for lines in ("m,d=1 x=1 5\nm,d=1 x=1 4\nm,d=2 x=1 1", "m,d=1 x=1 3\nm,d=1 x=1 6", "m,d=1 x=1 3", "m,d=1 x=2 4"):
        cloud.write(lines, bucket="a")
    answer = cloud.request("GET", "/api/v1/series", params={"bucket": "a", "measurement": "m"}).json()
    assert [series["behind"] for series in answer["series"]] == [2, 0]


def test_an_export_has_every_point_once_in_an_order_that_the_writing_order_does_not_change(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.api.EXPORT_PAGE_POINTS", 2)
    lines = [f"m,d={device} x={time_ns} {time_ns}" for device in ("b", "a", "ä", "B") for time_ns in (3, 1, 2)]
    cloud.write("\n".join(lines), bucket="a")
    reply = cloud.request("GET", "/api/v1/export", params={"bucket": "a", "measurement": "m"})
    assert reply.headers["Content-Type"].startswith("application/x-ndjson")
    points = [json.loads(line) for line in reply.text.splitlines()]
    assert times(points) == [(device, time_ns) for device in ("B", "a", "b", "ä") for time_ns in (1, 2, 3)]
    assert points[0] == {"measurement": "m", "tags": {"d": "B"}, "fields": {"x": 1.0}, "time_ns": 1}


def test_an_export_of_nothing_is_empty(cloud: Cloud) -> None:
    reply = cloud.request("GET", "/api/v1/export", params={"bucket": "a", "measurement": "none"})
    assert (reply.status_code, reply.content) == (200, b"")


def test_stats_count_points_requests_bytes_and_answers(cloud: Cloud) -> None:
    cloud.write("m x=1 1")
    cloud.write(gzip.compress(b"m x=1 1"), {"Content-Encoding": "gzip"})
    cloud.write("m x=2 1")
    cloud.write("m x=")
    stats = cloud.request("GET", "/api/v1/stats").json()
    assert stats["buckets"]["a"] == {
        "points": 1,
        "written": 3,
        "rewritten": 1,
        "changed": 1,
        "dropped": 0,
        "expired": 0,
        "requests": 3,
        "body_bytes": 21,
    }
    assert stats["answers"] == {"204": 3, "400": 1}
    writes = stats["writes"]
    assert writes["requests"] == 4
    assert 0 < writes["needed_bytes"] < writes["accepted_bytes"]
    cloud.write("m x=2 1")  # again: nothing that is needed
    again = cloud.request("GET", "/api/v1/stats").json()["writes"]
    assert again["needed_bytes"] == writes["needed_bytes"]
    assert again["accepted_bytes"] > writes["accepted_bytes"] + len("m x=2 1")
    assert stats["points_max"] == 5000


def test_seqs_tells_which_readings_each_series_has(cloud: Cloud) -> None:
    lines = [f"m,device=d boot=1i,seq={seq}i,x=1 {seq}" for seq in (0, 1, 2, 5)]
    lines += ["m,device=d boot=2i,seq=7i 100", "m,device=e boot=1i,seq=0i 1", "m,device=e x=1 2"]
    cloud.write("\n".join(lines))
    found = cloud.get("/api/v1/seqs", tag="device=d")
    assert found["next"] is None
    assert [(each["boot"], each["points"], each["seqs"]) for each in found["seqs"]] == [
        (1, 4, [[0, 2], [5, 5]]),
        (2, 1, [[7, 7]]),
    ]
    first = cloud.get("/api/v1/seqs", limit=1)
    second = cloud.get("/api/v1/seqs", limit=1, after=first["next"])
    assert [each["tags"]["device"] for each in (*first["seqs"], *second["seqs"])] == ["d", "d", "e"]


def test_more_ranges_of_seqs_than_an_answer_holds_are_cut_and_counted(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "SEQ_RANGES_MAX", 2)
    cloud.write("\n".join(f"m boot=1i,seq={seq}i {seq}" for seq in range(0, 10, 2)))
    (found,) = cloud.get("/api/v1/seqs")["seqs"]
    assert (found["points"], found["seqs"], found["truncated"]) == (5, [[0, 0], [2, 2]], True)
