"""A real InfluxDB for tests: one that the environment names, or Debian's influxd 1.6 behind a thin v2-to-v1 shim.

`TIDEGATE_TEST_INFLUX_URL`, `_TOKEN`, `_ORG` and `_BUCKET` name any InfluxDB 2 or 3. Without them influxd runs on a
configuration of its own in a temporary folder; its parser and engine judge our lines, and the shim only renames the
request (POST /api/v2/write?bucket=b becomes POST /write?db=b). What is stored is read back by InfluxQL over /query,
which all of them have.
"""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

from pydantic import SecretStr

from edge.config import InfluxSettings
from tests.live.house import quiet_port

INFLUXD = shutil.which("influxd")
URL_VARIABLE = "TIDEGATE_TEST_INFLUX_URL"
TOKEN = "shim-token"
DATABASE = "tidegate"
TIMEOUT_S = 20.0
_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
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


class Point(NamedTuple):
    """One point as InfluxDB gives it back."""

    tags: dict[str, str]
    time_ns: int
    fields: dict[str, Any]


@dataclass(frozen=True)
class Target:
    """Where to write and where to ask."""

    settings: InfluxSettings
    query_url: str

    def new_measurement(self) -> str:
        """A name that nobody has used."""
        return f"live_{uuid.uuid4().hex}"

    def points(self, measurement: str) -> list[Point]:
        """Every point of a measurement, by time. A float -0.0 stays one."""
        quoted = measurement.replace("\\", "\\\\").replace('"', '\\"')
        query = {"db": self.settings.bucket, "epoch": "ns", "q": f'SELECT * FROM "{quoted}" GROUP BY *'}
        (result,) = _decode(self._get(f"{self.query_url}/query?{urlencode(query)}"))["results"]
        assert "error" not in result, result
        found = []
        for series in result.get("series", []):
            for row in series["values"]:
                fields = {name: value for name, value in zip(series["columns"], row, strict=True) if value is not None}
                time_ns = fields.pop("time")
                tags = {name: value for name, value in series.get("tags", {}).items() if value}
                found.append(Point(tags, time_ns, fields))
        return sorted(found, key=lambda point: point.time_ns)

    def _get(self, url: str) -> bytes:
        request = urllib.request.Request(url, headers={"Authorization": f"Token {self.settings.read_token()}"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return bytes(answer.read())


@contextmanager
def running_influxdb(home: Path) -> Iterator[Target]:
    """The target that the environment names, or influxd for as long as the block runs."""
    url = os.environ.get(URL_VARIABLE)
    if url is not None:
        yield Target(_settings(url.rstrip("/")), url.rstrip("/"))
        return
    port = quiet_port()
    with _influxd(home, port), _shim(port) as shim_port:
        target = Target(
            InfluxSettings(url=f"http://127.0.0.1:{shim_port}", token=SecretStr(TOKEN), bucket=DATABASE),
            f"http://127.0.0.1:{port}",
        )
        create = urlencode({"q": f"CREATE DATABASE {DATABASE}"}).encode()
        with urllib.request.urlopen(f"{target.query_url}/query", create, timeout=TIMEOUT_S):
            yield target


def _settings(url: str) -> InfluxSettings:
    named = {key: os.environ.get(f"TIDEGATE_TEST_INFLUX_{key.upper()}") for key in ("token", "org", "bucket")}
    return InfluxSettings.model_validate({"url": url, **{key: value for key, value in named.items() if value}})


@contextmanager
def _influxd(home: Path, port: int) -> Iterator[None]:
    assert INFLUXD is not None
    config = home / "influxd.toml"
    config.write_text(_CONFIG.format(home=home, port=port, rpc_port=quiet_port()))
    log: list[str] = []
    with subprocess.Popen([INFLUXD, "-config", config], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        for line in server.stderr:  # ends at once when influxd does
            log.append(line)
            if "Listening on HTTP" in line:
                break
        assert server.poll() is None, "".join(log)
        drain = Thread(target=lambda stream: [None for _ in stream], args=(server.stderr,), daemon=True)
        drain.start()
        try:
            yield
        finally:
            server.kill()
            drain.join(TIMEOUT_S)


class _Shim(BaseHTTPRequestHandler):
    """Renames one request and hands the answer on, unread."""

    protocol_version = "HTTP/1.1"
    influxd_port: int

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = urlsplit(self.path)
        query = parse_qs(asked.query)
        if asked.path != "/api/v2/write" or self.headers["Authorization"] != f"Token {TOKEN}":
            self._answer(401, b'{"code":"unauthorized","message":"unauthorized access"}')
            return
        assert query["precision"] == ["ns"]
        url = f"http://127.0.0.1:{self.influxd_port}/write?{urlencode({'db': query['bucket'][0], 'precision': 'ns'})}"
        headers = {"Content-Encoding": self.headers["Content-Encoding"]} if self.headers["Content-Encoding"] else {}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=TIMEOUT_S) as answer:
                self._answer(answer.status, answer.read())
        except urllib.error.HTTPError as refusal:
            with refusal:
                self._answer(refusal.code, refusal.read())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
        """Say nothing."""


@contextmanager
def _shim(influxd_port: int) -> Iterator[int]:
    handler = type("Shim", (_Shim,), {"influxd_port": influxd_port})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _decode(body: bytes) -> Any:
    return json.loads(body, parse_int=lambda digits: -0.0 if digits == "-0" else int(digits))


def is_available() -> bool:
    """Whether there is an InfluxDB to ask."""
    return INFLUXD is not None or URL_VARIABLE in os.environ
