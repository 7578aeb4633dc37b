"""`tidegate edge ...`: questions to a gateway."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from edge.config import EdgeConfig
from edge.forward.destination import DestinationRules
from edge.gateway import serve
from edge.ingest import Message
from sensors.alerts import DeviceAlert, Severity, encode_alert
from sensors.clock import SystemClock
from sensors.topics import Kind, build_topic
from tests.edge.kit import SITE, T0_MS, message, open_desk, reading
from tests.edge.mapping.kit import STATION, THERMOMETER
from tidegate import edge_cli
from tidegate.cli import build_app
from tidegate.config import load
from tidegate.edge_access import GatewayError
from tidegate.errors import ConfigError, TakenError
from tidegate.process import until_stopped

RUNNER = CliRunner()


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "edge.toml"
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as nowhere:
        port, closed = free.getsockname()[1], nowhere.getsockname()[1]
    ports = (
        f"api.port = {port}\napi.own_process = false\nmqtt.port = {closed}\ninflux.url = 'http://127.0.0.1:{closed}'\n"
    )
    path.write_text(f'{ports}store.data_dir = "{tmp_path / "data"}"\n{THERMOMETER}{STATION}')
    return str(path)


def ask(*words: str, code: int = 0, stdin: bytes | None = None) -> str:
    done = RUNNER.invoke(build_app(["edge", words[0]]), ["edge", *words], input=stdin, catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def ask_json(*words: str, code: int = 0) -> Any:
    return json.loads(ask(*words, "--json", code=code))


def test_explain_prints_the_rule_and_the_reading(config: str) -> None:
    text = ask("explain", "plant/hall/t1/temp", "21.5", "--config", config)
    assert "taken by: thermometer" in text
    assert "hall/t1" in text
    assert "21.5" in text


def test_explain_ends_with_1_and_says_why_where_a_message_is_not_understood(config: str) -> None:
    told = ask_json("explain", "plant/hall/t1/temp", "warm", "--config", config, code=1)
    assert told["taken_by"] == "thermometer"
    assert "expected a number" in told["problem"]
    assert "goes to quarantine: no mapping rule" in ask("explain", "x", "1", "--config", config, code=1)


def test_explain_reads_a_payload_from_a_file_or_standard_input(config: str, tmp_path: Path) -> None:
    file = tmp_path / "payload"
    file.write_bytes(b"21.5")
    for payload in (f"@{file}", "@-"):
        ask("explain", "plant/hall/t1/temp", payload, "--config", config, stdin=b"21.5")


def test_explain_shows_what_a_device_sends_without_its_control_characters(config: str) -> None:
    text = ask("explain", "plant/hall/\x1b[31mt1/temp", "1", "--config", config, code=1)
    assert "\x1b" not in text


def test_a_rule_that_is_wrong_is_named_with_its_key(config: str) -> None:
    path = Path(config)
    path.write_text(path.read_text().replace('"Cel"', '"a b"'))
    with pytest.raises(ConfigError, match=r"mapping\.0\.value\.0\.unit"):
        ask("explain", "x", "1", "--config", config)


# ---------------------------------------------------------------- a stopped gateway, by its file


@pytest.fixture
def stopped(config: str, tmp_path: Path) -> str:
    """A gateway's store with one reading, one missing seq, and two messages in quarantine."""
    (tmp_path / "data").mkdir()
    desk = open_desk(tmp_path / "data")
    unknown = [Message("plant/hall/t1/temp", b"21.5"), Message("a\x1b[31m", b"\xff\x1b")]
    desk.take_in([message(reading(1)), *unknown], 0, T0_MS)
    desk.close()
    return config


def test_the_quarantine_is_listed_and_shown_without_control_characters(stopped: str) -> None:
    text = ask("quarantine", "list", "--config", stopped)
    assert "in quarantine: 2" in text
    assert "\x1b" not in text
    shown = ask_json("quarantine", "show", "2", "--config", stopped)
    assert (shown["payload_base64"], shown["payload_bytes"]) == ("/xs=", 2)
    assert "base64 /xs=" in ask("quarantine", "show", "2", "--config", stopped)


def test_a_retry_takes_in_what_a_new_rule_understands_and_ends_with_1_for_the_rest(stopped: str) -> None:
    assert ask_json("quarantine", "retry", "1", "--config", stopped)["results"][0]["outcome"] == "taken"
    assert "no mapping rule" in ask("quarantine", "retry", "2", "--config", stopped, code=1)
    assert ask_json("quarantine", "list", "--config", stopped)["count"] == 1


def test_a_purge_names_what_goes(stopped: str) -> None:
    ask("quarantine", "purge", "--config", stopped, code=2)
    ask("quarantine", "purge", "1", "--all", "--config", stopped, code=2)
    assert ask_json("quarantine", "purge", "1", "--config", stopped) == {"purged": 1}
    assert ask("quarantine", "purge", "--all", "--config", stopped) == "purged: 1\n"


def test_the_ledger_says_what_is_not_in_the_cloud_and_ends_with_1(stopped: str) -> None:
    told = ask_json("ledger", "--config", stopped, code=1)
    assert told["complete"] == {"influx": False}
    (account,) = told["accounts"]
    assert account["missing"]["ranges"] == [[0, 0]]
    assert account["open"]["influx"]["held"]["ranges"] == [[1, 1]]
    text = ask("ledger", "--config", stopped, "--site", SITE, "--device", "d1", "--open", code=1)
    assert "everything that was ever acknowledged is in influx: no" in text
    assert "received 1 = delivered 0 + held 1 + quarantined 0" in text


def test_the_status_of_a_stopped_gateway_is_what_its_store_says(stopped: str) -> None:
    told = ask_json("status", "--config", stopped)
    assert (told["running"], told["ledger"]["held"], told["ledger"]["balances"]) == (False, 1, True)
    assert "Gateway (stopped)" in ask("status", "--config", stopped)


@pytest.fixture
def once_archived(stopped: str, tmp_path: Path) -> str:
    """The same store, which had one more destination until it was taken out of the configuration."""
    desk = open_desk(tmp_path / "data", more=[DestinationRules("archive")])
    desk.close()
    return stopped


def test_a_destination_of_the_past_is_listed_and_forgotten(once_archived: str) -> None:
    listed = ask_json("destination", "list", "--config", once_archived)["destinations"]
    assert [(each["name"], each["configured"], each["held"]) for each in listed] == [
        ("influx", True, 1),
        ("archive", False, 1),
    ]
    shown = " ".join(ask("destination", "list", "--config", once_archived).split())
    assert "not configured, held until it is back or forgotten: archive" in shown
    assert "archive" in ask("status", "--config", once_archived)
    with pytest.raises(GatewayError, match="influx is configured"):
        ask("destination", "forget", "influx", "--config", once_archived)
    told = ask_json("destination", "forget", "archive", "--config", once_archived)
    assert told == {"forgotten": "archive", "released": 1}
    with pytest.raises(GatewayError, match="no destination archive is known"):
        ask("destination", "forget", "archive", "--config", once_archived)
    assert ask_json("ledger", "--config", once_archived, code=1)["complete"] == {"influx": False}


def test_asking_where_no_gateway_ever_ran_makes_no_store(config: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no gateway has run here"):
        ask("status", "--config", config)
    assert not (tmp_path / "data").exists()


def test_a_gateway_that_holds_the_store_and_does_not_answer_is_named(stopped: str, tmp_path: Path) -> None:
    desk = open_desk(tmp_path / "data")
    try:
        with pytest.raises(TakenError, match="but none answers at"):
            ask("ledger", "--config", stopped)
    finally:
        desk.close()


# ---------------------------------------------------------------- a running gateway, by its API


@pytest.fixture
def running(once_archived: str, tmp_path: Path) -> Iterator[str]:
    """The same store in a gateway that runs, with a broker and a cloud that it never reaches."""
    path = Path(once_archived)
    path.write_text(f'api.token = "test-only"\n{path.read_text()}')
    settings = load(EdgeConfig, "EDGE", path, {})
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(until_stopped(serve(settings, SystemClock(), ready.set), stop))
    )
    with capture_logs():  # the gateway's log lines are not the command's output
        thread.start()
        assert ready.wait(20)
        yield once_archived
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
    loop.close()


def test_a_running_gateway_is_asked_by_its_api(running: str) -> None:
    assert ask_json("status", "--config", running)["running"] is True
    assert "ledger.received" in ask("status", "--config", running)
    assert "At the rates of now: it does not fill up" in ask("status", "--config", running)
    with pytest.raises(GatewayError, match="influx is configured"):
        ask("destination", "forget", "influx", "--config", running)
    assert "had coming: 1" in ask("destination", "forget", "archive", "--config", running)
    assert ask_json("ledger", "--device", "d1", "--config", running, code=1)["accounts"][0]["device"] == "d1"
    assert ask_json("quarantine", "list", "--limit", "1", "--config", running)["count"] == 2
    assert ask_json("quarantine", "show", "1", "--config", running)["payload_text"] == "21.5"
    with pytest.raises(GatewayError, match="no item 99"):
        ask("quarantine", "show", "99", "--config", running)
    assert ask_json("quarantine", "retry", "1", "--config", running)["results"][0]["stored"] == 1
    assert ask_json("quarantine", "purge", "--all", "--config", running) == {"purged": 1}


def test_a_wrong_token_is_refused_in_the_gateway_s_words(running: str, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(Path(running).read_text().replace("test-only", "wrong"))
    with pytest.raises(GatewayError, match="the token is unknown"):
        ask("quarantine", "purge", "--all", "--config", str(other))


@pytest.mark.parametrize("how", ["stopped", "running"])
def test_alerts_are_listed_and_acknowledged(how: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    request.getfixturevalue("stopped")
    desk = open_desk(tmp_path / "data")
    said = DeviceAlert("door", "raised", 1, 0, Severity.CRITICAL, "open \x41")
    desk.take_in([Message(build_topic(SITE, "d9", Kind.ALERT), encode_alert(said))], 0, T0_MS)
    desk.close()
    config = request.getfixturevalue(how)
    told = ask_json("alerts", "list", "--config", config, code=1)
    (alert,) = told["items"]
    assert (alert["rule"], alert["source"], alert["active"]) == ("door", "device", True)
    text = ask("alerts", "list", "--config", config, "--state", "unacknowledged", code=1)
    assert "critical" in text
    assert "alerts: 1" in text
    acked = ask_json("alerts", "ack", str(alert["id"]), "--by", "Ada", "--config", config)
    assert acked["items"][0]["acknowledged_by"] == "Ada"
    assert "no alerts" in ask("alerts", "list", "--config", config, "--state", "unacknowledged", code=1)
    assert ask_json("alerts", "list", "--severity", "info", "--config", config, code=1)["total"] == 0
    with pytest.raises(GatewayError, match="there is no alert 77"):
        ask("alerts", "ack", "77", "--config", config)


def test_watching_looks_again_and_again(stopped: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def end_after_two(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(edge_cli, "wait_s", end_after_two)
    text = ask("status", "--watch", "--json", "--config", stopped, code=130)
    assert [json.loads(line)["running"] for line in text.splitlines() if line.startswith("{")] == [False, False]
