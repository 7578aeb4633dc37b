"""Asks a real InfluxDB (Debian's influxd 1.6, its v1 /write) whether our parser and store see lines as it does."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud.lineprotocol import Point, parse_lines
from cloud.points import PointStore
from cloud.queries import Selection, read_points
from tests.cloud.corpus import ACCEPTED, PARTIAL, REFUSED, STRICTER, Case

INFLUXD = shutil.which("influxd")
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(INFLUXD is None, reason="influxd is not installed (Debian: apt install influxdb)"),
]
NOW_NS = 1_700_000_000_000_000_000


class Influx:
    """A client of the server under /write and /query, one fresh database per case."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=20)
        self.databases = 0

    def new_database(self) -> str:
        self.databases += 1
        name = f"d{self.databases}"
        self.http.post("/query", data={"q": f"CREATE DATABASE {name}"}).raise_for_status()
        return name

    def write(self, database: str, body: str) -> str | None:
        reply = self.http.post("/write", params={"db": database}, content=body.encode())
        return None if reply.status_code == 204 else reply.json()["error"]

    def parse_errors(self, body: str) -> tuple[str, ...]:
        message = self.write(self.new_database(), body)
        if message is None:
            return ()
        message = message.removeprefix("partial write: ").removesuffix(" dropped=0")
        return tuple(message.split("\n")) if message.startswith("unable to parse") else ()

    def rows(self, database: str) -> list[tuple[str, dict[str, str], int, dict[str, Any]]]:
        query = {"db": database, "epoch": "ns", "q": "SELECT * FROM /.*/ GROUP BY *"}
        (result,) = json.loads(self.http.get("/query", params=query).content)["results"]
        found = []
        for series in result.get("series", []):
            for row in series["values"]:
                fields = {name: value for name, value in zip(series["columns"], row, strict=True) if value is not None}
                time_ns = fields.pop("time")
                tags = {name: value for name, value in series.get("tags", {}).items() if value}
                found.append((series["name"], tags, time_ns, fields))
        return sorted(found, key=repr)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    home: Path = tmp_path_factory.mktemp("influxd")
    port = _free_port()
    (home / "influxd.toml").write_text(
        f"""
        reporting-disabled = true
        bind-address = "127.0.0.1:{_free_port()}"
        [meta]
        dir = "{home}/meta"
        [data]
        dir = "{home}/data"
        wal-dir = "{home}/wal"
        query-log-enabled = false
        [monitor]
        store-enabled = false
        [http]
        bind-address = "127.0.0.1:{port}"
        log-enabled = false
        """
    )
    assert INFLUXD is not None
    command = [INFLUXD, "-config", str(home / "influxd.toml")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            said: list[str] = []
            for line in server.stderr:  # ends at once when influxd does
                said.append(line)
                if "Listening on HTTP" in line:
                    break
            assert server.poll() is None, "".join(said)
            client = Influx(f"http://127.0.0.1:{port}")
            yield client
            client.http.close()
        finally:
            server.terminate()


def _ours(point: Point) -> tuple[str, dict[str, str], int, dict[str, Any]]:
    return point.series.measurement, dict(point.series.tags), point.time_ns, dict(point.fields)


@pytest.mark.parametrize("case", ACCEPTED + REFUSED, ids=lambda case: case.body[:40])
def test_influxdb_gives_the_recorded_errors(influx: Influx, case: Case) -> None:
    assert influx.parse_errors(case.body) == case.errors


@pytest.mark.parametrize("case", STRICTER, ids=lambda case: case.body[:40])
def test_influxdb_takes_what_we_are_stricter_about(influx: Influx, case: Case) -> None:
    assert influx.parse_errors(case.body) == ()


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.body[:40])
def test_influxdb_reads_the_same_points_out_of_the_lines(influx: Influx, case: Case) -> None:
    database = influx.new_database()
    assert influx.write(database, case.body) is None
    stored = influx.rows(database)
    points = parse_lines(case.body.encode(), precision="ns", now_ns=NOW_NS).points
    # A line without a timestamp gets each server's own time.
    expected = [
        (name, tags, stored[0][2] if time_ns == NOW_NS else time_ns, fields)
        for name, tags, time_ns, fields in map(_ours, points)
    ]
    assert stored == sorted(expected, key=repr)


@pytest.mark.parametrize(("bodies", "answer"), PARTIAL)
def test_influxdb_drops_the_same_points(
    influx: Influx, tmp_path: Path, bodies: tuple[str, ...], answer: str | None
) -> None:
    database = influx.new_database()
    store = PointStore(tmp_path / "cloud.sqlite", {"b": None}, points_max=100, disk_bytes_max=10**7)
    ours: str | None = None
    theirs: str | None = None
    for body in bodies:
        theirs = influx.write(database, body)
        points = parse_lines(body.encode(), precision="ns", now_ns=NOW_NS).points
        report = store.write("b", points, now_ns=NOW_NS, body_bytes=len(body))
        ours = f"partial write: {report.reason} dropped={report.dropped}" if report.dropped else None
    rows, _ = read_points(store, Selection("b", "m"), limit=100)
    held = [(row.measurement, row.tags, row.time_ns, json.loads(bytes(row.fields))) for row in rows]
    store.close()
    assert (theirs, ours) == (answer, answer)
    assert influx.rows(database) == sorted(held, key=repr)
