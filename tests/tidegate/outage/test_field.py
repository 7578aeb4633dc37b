"""`tidegate outage list|show|export`: what a gateway recorded, from its file while it runs, or from its API."""

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from typer.testing import CliRunner, Result

from edge.api import make_app
from edge.api_outages import outage_router
from edge.desk import STORE_FILE
from edge.outages.events import Cause
from edge.outages.export import PLAUSIBLE_MS
from edge.outages.observations import LINKS, Failure, Observation
from edge.outages.recorder import Recorder
from edge.outages.recording import read_recording
from edge.status import GatewayStatus
from edge.store import Store
from edge.store.outage_log import OutageLog
from tests.tidegate.outage.test_proxy import proxied
from tidegate.outage.behaviour import Admission
from tidegate.outage.cli import app

S = 1_000_000
BUSY = Failure(Cause.HTTP, 503)
runner = CliRunner()


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """The data of a gateway that still runs: up, refused for a minute, up, and answered by 503 since."""
    with Store(tmp_path / STORE_FILE) as store:
        log, recorder = OutageLog(store), Recorder(LINKS)
        script = [(1, None), (100, Failure(Cause.REFUSED)), (101, Failure(Cause.REFUSED)), (160, None), (161, None)]
        for at_s, failure in [*script, (300, BUSY), (301, BUSY)]:
            recorder.observe(Observation("uplink", at_s * S, at_s * S, failure))
            recorder.backlog("uplink", 900 if failure else 1, at_s * S)
        recorder.tick(90_000 * S)
        log.write(recorder.pending(), PLAUSIBLE_MS + 90_000_000)
        yield tmp_path


def run(*arguments: str, data_dir: Path) -> Result:
    return runner.invoke(app, [*arguments, "--data-dir", str(data_dir)], env={"COLUMNS": "150"})


def test_list_shows_the_newest_outage_first(data_dir: Path) -> None:
    rows = [line for line in run("list", data_dir=data_dir).output.splitlines() if "uplink-" in line]
    assert [row.split()[1] for row in rows] == ["uplink-2", "uplink-1"]
    assert "2024-01-01 " in rows[0]
    assert "http 503" in rows[0]
    assert "under way" in rows[0]
    assert "at least " in rows[0], "the store does not know the last minute"
    assert "at least " not in rows[1]
    assert "recovered" in rows[1]
    kept = json.loads(run("list", "--json", data_dir=data_dir).output)
    assert [outage["held_max"] for outage in kept["outages"]] == [900, 900]


def test_show_tells_one_outage_in_words(data_dir: Path) -> None:
    text = run("show", "uplink-1", data_dir=data_dir).output
    assert "uplink-1: uplink down by refused (connection refused) for 80.0 s" in text
    assert "held meanwhile: at most 900 readings, usually 1" in text
    assert "caught up: " in text
    under_way = run("show", "uplink-2", data_dir=data_dir).output
    assert "for at least " in under_way
    assert "ended: not yet" in under_way
    assert json.loads(run("show", "uplink-1", "--json", data_dir=data_dir).output)["cause"] == "refused"


@pytest.mark.parametrize("name", ["field.outage.jsonl", "field.outage.jsonl.gz"])
def test_export_writes_a_recording_that_says_the_same(data_dir: Path, tmp_path: Path, name: str) -> None:
    output = tmp_path / name
    exported = run("export", str(output), "--title", "the office", data_dir=data_dir)
    assert "2 outages" in exported.output
    recording = read_recording(output)
    assert recording.header.title == "the office"
    assert [o.cause for o in recording.timeline("uplink").outages()] == [Cause.REFUSED, Cause.HTTP]
    assert runner.invoke(app, ["stats", str(output)]).exit_code == 0
    again = run("export", str(output), data_dir=data_dir)
    assert again.exit_code == 2
    assert "--force" in again.output


def test_export_of_the_last_days_starts_with_the_state_of_then(data_dir: Path, tmp_path: Path) -> None:
    output = tmp_path / "day.outage.jsonl"
    assert run("export", str(output), "--days", "1", data_dir=data_dir).exit_code == 0
    recording = read_recording(output)
    assert recording.end_us == 86_400 * S
    assert recording.timeline("uplink").at(0).http_status == 503


def test_an_exported_recording_drives_the_proxy(data_dir: Path, tmp_path: Path) -> None:
    output = tmp_path / "field.outage.jsonl"
    run("export", str(output), data_dir=data_dir)

    async def scene() -> httpx.Response:
        async with proxied(read_recording(output), speed=2000) as (proxy, _), httpx.AsyncClient() as client:
            while proxy.status()["admission"] != Admission.ANSWER:  # noqa: ASYNC110  (the proxy's clock has no event)
                await asyncio.sleep(0)
            return await client.get(f"http://127.0.0.1:{proxy.port}/")

    assert asyncio.run(scene()).status_code == 503


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["list", "--data-dir", "nowhere"], "nowhere/gateway.sqlite: there is no such file"),
        (["show", "uplink-9"], "uplink-9: expected a file, or the id of an outage"),
        (["show", "uplink.jsonl"], "uplink.jsonl: No such file"),
        (["export", "x.outage.jsonl", "--days", "0"], "nothing is recorded in this window"),
        (["export", "x.outage.jsonl", "--title", "of 10.0.0.7"], "no addresses or secrets"),
        (["list", "--gateway", "ftp://gateway"], "expected a URL such as"),
        (["list", "--gateway", "http://127.0.0.1:1"], "Connection refused"),
    ],
)
def test_what_cannot_be_had_is_one_line(data_dir: Path, arguments: list[str], says: str) -> None:
    if "--data-dir" not in arguments:
        arguments = [*arguments, "--data-dir", str(data_dir)]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_running_gateway_is_asked_over_http(data_dir: Path, tmp_path: Path) -> None:
    output = tmp_path / "http.outage.jsonl"

    async def no_status() -> GatewayStatus:
        raise NotImplementedError

    async def scene() -> tuple[Result, Result]:
        web = make_app(no_status, outage_router(data_dir / STORE_FILE))
        server = uvicorn.Server(uvicorn.Config(web, log_config=None, lifespan="off"))
        with socket.create_server(("127.0.0.1", 0)) as listener:  # takes connections from now on
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            listed = await asyncio.to_thread(runner.invoke, app, ["list", "--json", "--gateway", url])
            exported = await asyncio.to_thread(runner.invoke, app, ["export", str(output), "--gateway", url])
            server.should_exit = True
            await serving
        return listed, exported

    listed, exported = asyncio.run(scene())
    assert json.loads(listed.output) == json.loads(run("list", "--json", data_dir=data_dir).output)
    assert exported.exit_code == 0, exported.output
    assert [o.cause for o in read_recording(output).timeline("uplink").outages()] == [Cause.REFUSED, Cause.HTTP]
