"""`tidegate edge ...`: questions to a gateway."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.edge.mapping.kit import STATION, THERMOMETER
from tidegate.cli import build_app
from tidegate.errors import ConfigError

RUNNER = CliRunner()


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "edge.toml"
    path.write_text(f'store.data_dir = "{tmp_path / "data"}"\n{THERMOMETER}{STATION}')
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
