"""VictoriaMetrics takes our writes: a second real server judges the transport (gzip, headers, batches, a restart).

It answers 204 to malformed lines too, so what a line means is InfluxDB's to judge (test_influxdb_takes_our_lines.py).
It keeps milliseconds, and numbers only.
"""

import asyncio
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode

import pytest
from pydantic import SecretStr

from edge.config import InfluxSettings
from edge.forward.forwarder import Batch
from edge.forward.outcome import Accepted, Failed, Outcome, Paused
from edge.influx import InfluxSender
from sensors.clock import SystemClock
from tests.edge.kit import T0_MS, message, open_desk, reading
from tests.live.house import quiet_port, wait_until

VICTORIA = shutil.which("victoria-metrics")
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(VICTORIA is None, reason="not installed (Debian: apt install victoria-metrics)"),
]

READINGS = 3000
BATCH_ROWS = 250
RETRY_MS = 60_000
STOP_S = 20.0


class Victoria:
    """One server on a temporary folder."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = quiet_port()
        self.url = f"http://127.0.0.1:{self.port}"
        kept = ["-retentionPeriod=100y", f"-storageDataPath={folder}"]  # the readings of these tests are years old
        self._command = [VICTORIA or "", *kept, f"-httpListenAddr=127.0.0.1:{self.port}", *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        wait_until(self._answers, "VictoriaMetrics answers")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "VictoriaMetrics ended at once"
        try:
            return self._get("health") == b"OK"
        except HTTPError as refusal:  # it wants credentials: so it answers
            refusal.close()
            return True
        except OSError:
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_S)
            self._process = None

    def samples(self) -> set[tuple[str, str, str, int, float]]:
        """(metric, device, site, time in ms, value) of all that is stored."""
        self._get("internal/force_flush")
        found = set()
        for line in self._get("api/v1/export?" + urlencode({"match[]": '{__name__!=""}'})).splitlines():
            series = json.loads(line)
            labels = series["metric"]
            for at_ms, value in zip(series["timestamps"], series["values"], strict=True):
                found.add((labels["__name__"], labels["device"], labels["site"], at_ms, float(value)))
        return found

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=STOP_S) as answer:
            return bytes(answer.read())


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Victoria]:
    server = Victoria(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def expected() -> set[tuple[str, str, str, int, float]]:
    values = (("temperature_Cel", float), ("seq", float), ("boot", lambda _: 1.0))
    return {
        (f"reading_{name}", "d1", "office", T0_MS + 1000 * seq, value(seq))
        for seq in range(READINGS)
        for name, value in values
    }


@pytest.mark.parametrize("gzip", [True, False])
def test_a_backlog_goes_in_whole_though_the_server_restarts_in_the_middle(tmp_path: Path, gzip: bool) -> None:
    with running(tmp_path / "victoria") as server:
        seen = asyncio.run(forward_everything(tmp_path, server, gzip=gzip))
        assert [type(outcome) for outcome in seen if not isinstance(outcome, Accepted)] == [Failed]
        assert len(seen) == READINGS // BATCH_ROWS + 1
        assert server.samples() == expected()


async def forward_everything(folder: Path, server: Victoria, *, gzip: bool) -> list[Outcome]:
    """Drive the real forwarder and the real sender; the server is down for one try."""
    desk = open_desk(folder, batch_rows=BATCH_ROWS)
    desk.take_in([message(*map(reading, range(at, at + 100))) for at in range(0, READINGS, 100)], 0, T0_MS)
    sender = InfluxSender(InfluxSettings(url=server.url, token=SecretStr("any"), gzip=gzip), SystemClock())
    seen: list[Outcome] = []
    now_ms = 0
    try:
        while isinstance(batch := desk.next_batch(now_ms), Batch):
            if len(seen) == READINGS // BATCH_ROWS // 2:
                server.stop()
            outcome = await sender.send(batch.body)
            if isinstance(outcome, Failed):
                server.start()
            desk.settle(batch, outcome, now_ms, T0_MS)
            seen.append(outcome)
            now_ms += RETRY_MS
    finally:
        sender.close()
        desk.close()
    return seen


def test_a_server_that_wants_other_credentials_pauses_the_lane(tmp_path: Path) -> None:
    async def send_to(server: Victoria) -> Outcome:
        sender = InfluxSender(InfluxSettings(url=server.url, token=SecretStr("wrong")), SystemClock())
        try:
            return await sender.send(b"reading,device=d,site=s boot=1i,seq=1i 1700000000000000000\n")
        finally:
            sender.close()

    with running(tmp_path / "victoria", "-httpAuth.username=u", "-httpAuth.password=p") as server:
        outcome = asyncio.run(send_to(server))
    assert isinstance(outcome, Paused)
    assert outcome.status == 401
