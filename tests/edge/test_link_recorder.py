"""The recorder in the gateway: a scripted uplink is recorded, exported and replayed with its causes and times."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from edge.api_outages import outage_router
from edge.config import EdgeConfig, InfluxSettings, OutageSettings
from edge.desk import STORE_FILE, Desk
from edge.exchange import Exchange
from edge.forward.outcome import Accepted, Failed, Outcome, Paused, Refused, Throttled
from edge.gateway import serve
from edge.influx import InfluxSender
from edge.link_recorder import PROBE_AGAIN_S, LinkRecorder, UplinkWatch
from edge.mqtt import ConnectionLost
from edge.outages.events import Cause, Close, Ending, Gap, Status, Transition, UnknownWrite
from edge.outages.export import to_recording
from edge.outages.observations import DEVICES, LINKS, UPLINK
from edge.outages.recording import Recording, decode_recording, read_recording, write_recording
from edge.problems import add_problem_handlers
from edge.store import StoreFailed
from edge.store.outage_log import read_archive
from edge.tcp_info import data_segments
from sensors.clock import SystemClock
from tests.edge.kit import open_desk
from tests.edge.test_influx import LINES, answer, server
from tests.edge.test_uplink import TimelessLoop
from tidegate.outage.cli import app as outage_app

STALL_S = 0.2


@dataclass
class FakeConnection:
    """What the recorder reads of an MQTT connection."""

    heard_at_s: float
    heard_bytes: int = 0
    round_trip_s: float | None = None


async def in_this_thread(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return call(*args, **kwargs)


@contextmanager
def desk_in(data_dir: Path) -> Iterator[Desk]:
    desk = open_desk(data_dir)
    try:
        yield desk
    finally:
        desk.close()


async def recorder_on(desk: Desk, **settings: float) -> LinkRecorder:
    recorder = LinkRecorder(OutageSettings.model_validate(settings), SystemClock(), desk, in_this_thread)
    await recorder.start()
    return recorder


def first(recorder: LinkRecorder) -> UplinkWatch:
    watch = recorder.watch()
    assert watch is not None
    return watch


def live(recorder: LinkRecorder, for_us: int) -> None:
    """As if so much time had gone by, in which the process ran."""
    recorder._zero_us -= for_us
    recorder._beat_us += for_us


def exported(data_dir: Path) -> Recording:
    """What an operator would export, through a file."""
    path = data_dir / "field.outage.jsonl.gz"
    write_recording(path, to_recording(read_archive(data_dir / STORE_FILE, LINKS)))
    return read_recording(path)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class Script:
    """An uplink that is refused, silent, busy or there, and when each of these was tried first and last."""

    def __init__(self, recorder: LinkRecorder) -> None:
        self._recorder = recorder
        self.tried: dict[str, tuple[int, int]] = {}

    async def sends(self, phase: str, times: int, port: int) -> None:
        settings = InfluxSettings.model_validate(
            {"url": f"http://127.0.0.1:{port}", "token": "s3cret", "read_timeout_s": STALL_S}
        )
        sender = InfluxSender(settings, SystemClock())
        loop = asyncio.get_running_loop()
        from_us = self._recorder._now_us()
        for _ in range(times):
            started_s = loop.time()
            outcome = await sender.send(LINES)
            first(self._recorder).uplink_tried(started_s, outcome, sender.exchange)
        await asyncio.to_thread(sender.close)
        self.tried[phase] = (from_us, self._recorder._now_us())

    async def answers(self, phase: str, times: int, serve: Callable[[socket.socket, bytes], None]) -> None:
        with server(serve) as (port, _):
            await self.sends(phase, times, port)


def stall(connection: socket.socket, _: bytes) -> None:
    connection.recv(1)  # until the gateway gives up


def test_a_scripted_uplink_is_exported_and_replayed_with_its_causes_and_times(tmp_path: Path) -> None:
    async def run() -> dict[str, tuple[int, int]]:
        with desk_in(tmp_path) as desk:
            script = Script(recorder := await recorder_on(desk))
            await script.answers("up", 2, lambda connection, _: connection.sendall(answer(204, b"", "X: y")))
            await script.sends("refused", 2, free_port())
            await script.answers("timeout", 1, stall)
            await script.answers("http", 1, lambda connection, _: connection.sendall(answer(503)))
            await script.answers("again", 1, lambda connection, _: connection.sendall(answer(204, b"", "X: y")))
            await recorder.flush()
        return script.tried

    tried = asyncio.run(run())
    recording = exported(tmp_path)
    seen = [event for event in recording.events if isinstance(event, Transition)]
    zero_us = read_archive(tmp_path / STORE_FILE, LINKS).start_us
    assert [(event.status, event.cause, event.http_status) for event in seen] == [
        (Status.UP, None, None),
        (Status.DOWN, Cause.REFUSED, None),
        (Status.DOWN, Cause.TIMEOUT, None),
        (Status.DOWN, Cause.HTTP, 503),
        (Status.UP, None, None),
    ]
    for event, phase, before in zip(seen[1:], list(tried)[1:], tried, strict=False):
        earliest_us, latest_us = event.began_bounds_us
        assert earliest_us <= tried[phase][0] - zero_us, phase  # the truth: when the script changed its mind
        assert latest_us >= tried[before][1] - zero_us, phase
        assert earliest_us <= event.began <= latest_us <= event.at_us <= tried[phase][1] - zero_us, phase
    (outage,) = recording.timeline("uplink").outages()
    assert outage.cause is Cause.REFUSED
    assert tried["up"][1] - zero_us <= outage.end_us <= tried["again"][1] - zero_us
    lost = [event for event in recording.events if isinstance(event, UnknownWrite)]
    assert [event.link for event in lost] == ["uplink"]
    assert lost[0].at_us - lost[0].sent_us >= STALL_S * 900_000
    text = (tmp_path / STORE_FILE).read_bytes()
    assert b"s3cret" not in text


def test_a_crash_in_the_middle_is_a_gap_and_not_down(tmp_path: Path) -> None:
    refused = Failed("refused", "connection refused")

    async def first_run() -> None:
        with desk_in(tmp_path) as desk:
            recorder = await recorder_on(desk)
            for outcome in (Accepted(), refused, refused):
                first(recorder).uplink_tried(asyncio.get_running_loop().time(), outcome, Exchange())
            await recorder.flush()

    async def second_run() -> None:
        with desk_in(tmp_path) as desk:
            recorder = await recorder_on(desk)
            first(recorder).uplink_tried(asyncio.get_running_loop().time(), Accepted(), Exchange())
            await recorder.flush()

    asyncio.run(first_run())
    asyncio.run(second_run())
    timeline = exported(tmp_path).timeline("uplink")
    statuses = [segment.state.status for segment in timeline.segments()]
    assert [status for status in statuses if status is not None][-1] is Status.UP
    assert None in statuses[statuses.index(Status.DOWN) :]
    assert [outage.ended for outage in timeline.outages()] == ["gap"]


@pytest.mark.parametrize(
    ("outcome", "cause", "http_status"),
    [
        (Paused(401, "unauthorized"), Cause.HTTP, 401),
        (Throttled(None, "429: slow down"), Cause.HTTP, 429),
        (Throttled(1000, "503: slow down", 503), Cause.HTTP, 503),
        (Failed("protocol", "a hotel", 302), Cause.HTTP, 302),
        (Failed("dns", "no such name"), Cause.DNS, None),
        (Refused(400, "unable to parse"), None, None),
    ],
)
def test_what_an_answer_says_of_the_link(
    tmp_path: Path, outcome: Outcome, cause: Cause | None, http_status: int | None
) -> None:
    async def run() -> None:
        with desk_in(tmp_path) as desk:
            recorder = await recorder_on(desk)
            for _ in range(2):
                first(recorder).uplink_tried(asyncio.get_running_loop().time(), outcome, Exchange())
            (uplink, _) = recorder.status()
            assert (uplink.cause, uplink.http_status) == (cause, http_status)
            assert uplink.state == ("up" if cause is None else "down")

    asyncio.run(run())


@pytest.mark.parametrize(("cause", "how"), [("closed", Ending.FIN), ("reset", Ending.RST), ("timeout", Ending.STALL)])
def test_a_lost_broker_that_is_back_at_once_is_a_close(tmp_path: Path, cause: str, how: Ending) -> None:
    async def run() -> None:
        with desk_in(tmp_path) as desk:
            recorder = await recorder_on(desk)
            now_s = asyncio.get_running_loop().time()
            connection: Any = FakeConnection(now_s)
            recorder.broker_connected(now_s, connection)
            recorder.broker_lost(now_s, ConnectionLost(cause, "gone"))
            recorder.broker_connected(now_s, connection)
            await recorder.flush()

    asyncio.run(run())
    events = exported(tmp_path).events
    assert [event.how for event in events if isinstance(event, Close)] == [how]
    assert [event.status for event in events if isinstance(event, Transition)] == [Status.UP]


def test_a_broker_that_has_been_silent_for_long_was_away_since_it_was_last_heard(tmp_path: Path) -> None:
    async def run() -> None:
        with desk_in(tmp_path) as desk:
            recorder = await recorder_on(desk)
            live(recorder, 100_000_000)
            now_s = asyncio.get_running_loop().time()
            connection: Any = FakeConnection(now_s)
            recorder.broker_connected(now_s, connection)
            connection.heard_at_s = now_s - 45
            recorder.broker_lost(now_s, ConnectionLost("timeout", "silent for 45 s"))
            (_, devices) = recorder.status()
            assert (devices.state, devices.cause) == ("down", "timeout")

    asyncio.run(run())


def test_a_store_that_refuses_keeps_the_gateway_running_and_the_events_waiting(tmp_path: Path) -> None:
    async def run() -> None:
        with desk_in(tmp_path) as desk:
            recorder = await recorder_on(desk)
            first(recorder).uplink_tried(asyncio.get_running_loop().time(), Accepted(), Exchange())
            desk.store.run("CREATE TRIGGER full BEFORE INSERT ON recorder BEGIN SELECT raise(ABORT, 'full'); END")
            with pytest.raises(StoreFailed):
                await recorder.flush()
            desk.store.run("DROP TRIGGER full")
            await recorder.flush()

    asyncio.run(run())
    assert [event.status for event in exported(tmp_path).events if isinstance(event, Transition)] == [Status.UP]


def test_a_failed_probe_is_repeated_soon_and_zero_means_never(tmp_path: Path) -> None:
    async def run() -> None:
        with desk_in(tmp_path) as desk:
            recorder = await recorder_on(desk)
            assert first(recorder).probe_in_s == OutageSettings().probe_every_s
            first(recorder).uplink_tried(asyncio.get_running_loop().time(), Failed("refused", ""), Exchange())
            assert first(recorder).probe_in_s == PROBE_AGAIN_S
            assert first(await recorder_on(desk, probe_every_s=0)).probe_in_s is None

    asyncio.run(run())


def test_each_destination_has_a_link_a_backlog_and_outages_of_its_own(tmp_path: Path) -> None:
    async def run() -> None:
        with desk_in(tmp_path) as desk:
            recorder = LinkRecorder(OutageSettings(), SystemClock(), desk, in_this_thread, [desk.destination, "lab"])
            await recorder.start()
            lab = recorder.watch("lab")
            assert lab is not None
            assert recorder.watch("disk") is None
            now_s = asyncio.get_running_loop().time()
            for other in (Failed("dns", ""), Failed("dns", ""), Accepted()):
                first(recorder).uplink_tried(now_s, Accepted(), Exchange())
                lab.uplink_tried(now_s, other, Exchange())
            counted = [(link.link, link.outages) for link in recorder.status()]
            assert counted == [("uplink", 0), ("devices", 0), ("uplink/lab", 1)]
            await recorder.flush()

    asyncio.run(run())
    listed, recorded = asked(tmp_path / STORE_FILE, "", "/recording")
    (outage,) = listed.json()["outages"]
    assert (outage["id"], outage["link"], outage["cause"]) == ("uplink/lab-1", "uplink/lab", "dns")
    recording = decode_recording(recorded.content.splitlines(keepends=True))
    assert recording.link_names == ("uplink", "devices", "uplink/lab")
    shown = CliRunner().invoke(outage_app, ["show", "uplink/lab-1", "--data-dir", str(tmp_path)])
    assert shown.output.startswith("uplink/lab-1: uplink/lab down by dns (name not resolved) for ")


def test_what_did_not_travel_has_no_round_trip(tmp_path: Path) -> None:
    async def run(exchange: Exchange) -> int | None:
        with desk_in(tmp_path) as desk:
            recorder = await recorder_on(desk)
            first(recorder).uplink_tried(asyncio.get_running_loop().time() - 1, Accepted(), exchange)
            live(recorder, 100_000_000)  # a sample is due
            recorder._tick()
            return recorder.status()[0].rtt_us

    assert asyncio.run(run(Exchange(travelled=False))) is None
    assert asyncio.run(run(Exchange())) is not None


# -- the sender's part


def with_sender(port: int, use: Callable[[InfluxSender], Awaitable[Outcome]]) -> tuple[Outcome, Exchange]:
    async def run() -> tuple[Outcome, Exchange]:
        configured = {"url": f"http://127.0.0.1:{port}", "token": "s3cret", "read_timeout_s": STALL_S}
        sender = InfluxSender(InfluxSettings.model_validate(configured), SystemClock())
        try:
            return await use(sender), sender.exchange
        finally:
            await asyncio.to_thread(sender.close)

    return asyncio.run(run())


@pytest.mark.parametrize(("status", "is_there"), [(204, True), (404, True), (302, False), (200, False), (503, False)])
def test_a_ping_carries_no_token_and_tells_whether_an_influxdb_answers(status: int, is_there: bool) -> None:
    with server(lambda connection, _: connection.sendall(answer(status))) as (port, requests):
        outcome, _ = with_sender(port, InfluxSender.ping)
    assert isinstance(outcome, Accepted) is is_there
    (request,) = requests
    assert request.startswith(b"GET /ping HTTP/1.1\r\n")
    assert b"authorization" not in request.lower()
    assert b"s3cret" not in request


def test_a_write_whose_answer_is_lost_is_unknown_and_one_that_never_left_is_not() -> None:
    with server(stall) as (port, _):
        _, exchange = with_sender(port, lambda sender: sender.send(LINES))
    assert (exchange.ended, exchange.is_unknown) == (Ending.STALL, True)
    with server(lambda connection, _: connection.shutdown(socket.SHUT_RDWR)) as (port, _):
        _, exchange = with_sender(port, lambda sender: sender.send(LINES))
    assert (exchange.ended, exchange.is_unknown) == (Ending.FIN, True)
    _, exchange = with_sender(free_port(), lambda sender: sender.send(LINES))
    assert exchange == Exchange()


def test_the_kernel_counts_the_segments_of_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        peer, _ = listener.accept()
        with peer:
            assert data_segments(client) == (0, 0)
            client.sendall(b"x" * 100)
            peer.recv(100)
            assert data_segments(client)[0] == 1
    assert data_segments(client) == (0, 0)


# -- the gateway, whole


def test_a_running_gateway_probes_an_idle_uplink_and_answers_for_its_outages(tmp_path: Path) -> None:
    api_port = free_port()

    async def run(port: int, probed: asyncio.Event) -> Any:
        config = EdgeConfig.model_validate(
            {
                "mqtt": {"port": free_port()},
                "store": {"data_dir": tmp_path},
                "influx": {"url": f"http://127.0.0.1:{port}"},
                "outages": {"probe_every_s": 0.02},
                "destinations": [
                    {"name": "lab", "kind": "influx", "url": f"http://127.0.0.1:{free_port()}"},
                    {"name": "disk", "kind": "file", "folder": tmp_path / "lines"},
                ],
                "api": {"port": api_port, "own_process": False},
            }
        )
        running = asyncio.create_task(serve(config, SystemClock()))
        await probed.wait()
        async with httpx.AsyncClient() as client:
            states, status = dict[str, str](), None
            while states.get("uplink/lab") != "down":  # two of its probes
                status = (await client.get(f"http://127.0.0.1:{api_port}/api/v1/status")).json()
                states = {link["link"]: link["state"] for link in status["recorded"]}
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return status

    async def scripted() -> tuple[list[bytes], Any]:
        probed, loop = asyncio.Event(), asyncio.get_running_loop()

        def reply(connection: socket.socket, _: bytes) -> None:
            connection.sendall(answer(204))
            if len(requests) >= 3:
                loop.call_soon_threadsafe(probed.set)

        with server(reply) as (port, requests):
            status = await run(port, probed)
        return requests, status

    requests, status = asyncio.run(scripted())
    assert [link["link"] for link in status["recorded"]] == ["uplink", "devices", "uplink/lab"]
    assert [link["state"] for link in status["recorded"]][::2] == ["up", "down"]
    assert {request.split(b" ")[1] for request in requests} == {b"/ping"}
    recording = exported(tmp_path)
    uplink = recording.timeline(UPLINK.name)
    assert uplink.at(uplink.end_us - 1).status is Status.UP
    assert [outage.cause for outage in recording.timeline("uplink/lab").outages()] == [Cause.REFUSED]


def asked(store_path: Path, *paths: str) -> list[httpx.Response]:
    async def run() -> list[httpx.Response]:
        app = FastAPI()
        add_problem_handlers(app)
        app.include_router(outage_router(store_path))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return [await client.get(f"/api/v1/outages{path}") for path in paths]

    return asyncio.run(run())


def test_the_api_lists_outages_and_gives_the_recording(tmp_path: Path) -> None:
    async def run() -> None:
        with desk_in(tmp_path) as desk:
            recorder = await recorder_on(desk)
            for outcome in (Accepted(), Failed("tls", ""), Failed("tls", ""), Accepted(), Accepted()):
                first(recorder).uplink_tried(asyncio.get_running_loop().time(), outcome, Exchange())
            await recorder.flush()

    asyncio.run(run())
    path = tmp_path / STORE_FILE
    listed, recorded, no_days, none = asked(path, "", "/recording", "/recording?days=-1", "?limit=0")
    document = listed.json()
    assert document["total"] == 1
    assert [(o["id"], o["cause"], o["how_ended"]) for o in document["outages"]] == [("uplink-1", "tls", "recovered")]
    assert document["outages"][0]["started"].endswith("Z")
    recording = decode_recording(recorded.content.splitlines(keepends=True))
    assert recording.link_names == (UPLINK.name, DEVICES.name)
    assert (no_days.status_code, none.status_code) == (422, 422)
    path.unlink()
    assert [answer.status_code for answer in asked(path, "", "/recording")] == [503, 503]


TIMED_OUT = Failed("timeout", "no answer")


def lived(data_dir: Path, life: Callable[[LinkRecorder, TimelessLoop], None]) -> tuple[list[str], int]:
    """The transitions of all links, and the number of gaps, of a life on a clock that `life` moves."""
    loop = TimelessLoop()

    async def run() -> None:
        with desk_in(data_dir) as desk:
            recorder = await recorder_on(desk)
            life(recorder, loop)
            await recorder.flush()

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
    events = exported(data_dir).events
    changes = [f"{event.link} {event.status}" for event in events if isinstance(event, Transition)]
    return changes, sum(isinstance(event, Gap) for event in events)


def test_f34_a_request_that_was_under_way_while_the_process_stood_still_is_no_outage(tmp_path: Path) -> None:
    def life(recorder: LinkRecorder, loop: TimelessLoop) -> None:
        watch = first(recorder)
        connection = FakeConnection(loop.now_s)
        recorder.broker_connected(loop.now_s, connection)  # type: ignore[arg-type]  # all that is read of it
        assert watch.uplink_tried(loop.now_s, Accepted(), Exchange())
        started_s = loop.now_s
        loop.now_s += 30
        assert not watch.uplink_tried(started_s, TIMED_OUT, Exchange())
        connection.heard_at_s, connection.heard_bytes = loop.now_s, 100
        assert watch.uplink_tried(loop.now_s, Accepted(), Exchange())

    changes, gaps = lived(tmp_path, life)
    assert gaps == 1
    assert changes == ["devices up", "uplink up", "uplink up", "devices up"]


def test_a_request_that_times_out_while_the_process_runs_is_an_outage(tmp_path: Path) -> None:
    def life(recorder: LinkRecorder, loop: TimelessLoop) -> None:
        watch = first(recorder)
        assert watch.uplink_tried(loop.now_s, Accepted(), Exchange())
        started_s = loop.now_s
        for _ in range(30):
            loop.now_s += 1
            recorder._look_for_stillness()
        assert watch.uplink_tried(started_s, TIMED_OUT, Exchange())

    assert lived(tmp_path, life) == (["uplink up", "uplink down"], 0)
