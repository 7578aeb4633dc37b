"""The commands: what they print, and that bad input is one line and exit code 2."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.outages.recording import read_recording
from tidegate.outage.cli import app
from tidegate.outage.report import length

ATT = Path("tidegate/demo/data/att-lte-driving-up.csv")
runner = CliRunner()


@pytest.fixture
def att(tmp_path: Path) -> Path:
    output = tmp_path / "att.outage.jsonl.gz"
    result = runner.invoke(app, ["import", str(ATT), str(output), "--format", "capacity-csv", "--title", "AT&T LTE"])
    assert result.exit_code == 0, result.output
    assert "1013.0 s, 11 outages" in result.output
    return output


def test_show_prints_the_outages_as_a_table_and_as_json(att: Path) -> None:
    table = runner.invoke(app, ["show", str(att)])
    assert "AT&T LTE" in table.output
    assert "78.0 s" in table.output
    shown = json.loads(runner.invoke(app, ["show", str(att), "--json"]).output)
    assert max(outage["duration_us"] for outage in shown["outages"]) == 78_000_000


def test_stats_says_how_available_the_link_was(att: Path) -> None:
    assert "89.684 %" in runner.invoke(app, ["stats", str(att)]).output
    (figures,) = json.loads(runner.invoke(app, ["stats", str(att), "--json"]).output)
    assert figures["up_us"] + figures["down_us"] == figures["duration_us"] == 1_013_000_000


def test_timeline_prints_a_line_per_change(att: Path) -> None:
    lines = runner.invoke(app, ["timeline", str(att)]).output.splitlines()
    assert len(lines) == 2 * 11 + 1
    assert lines[13].split() == ["787.500", "78.000", "s", "down", "timeout"]
    segments = json.loads(runner.invoke(app, ["timeline", str(att), "--json"]).output)
    assert segments[-1]["end_us"] == 1_013_000_000


def test_a_length_is_told_in_units_that_a_person_reads() -> None:
    told = [length(seconds * 1_000_000) for seconds in (0, 78, 10_799, 10_800, 259_199, 259_200, 13_504_402)]
    assert told == ["0.0 s", "78.0 s", "10799.0 s", "3 h 0 min", "71 h 59 min", "3 d 0 h", "156 d 7 h"]


def test_a_link_without_outages_is_shown_to_have_none(tmp_path: Path) -> None:
    quiet = tmp_path / "quiet.outage.jsonl"
    command = ["generate", "periodic", str(quiet), "--duration", "1min", "--link", "wan"]
    assert "60.0 s, 0 outages" in runner.invoke(app, command).output
    assert runner.invoke(app, ["show", str(quiet)]).output.endswith(
        "links wan (uplink)\ntitle: periodic, seed 0\nsource: generated\nno outages\n"
    )


def test_generate_is_repeatable_and_takes_parameters(tmp_path: Path) -> None:
    first, second = tmp_path / "a.outage.jsonl", tmp_path / "b.outage.jsonl"
    for output in (first, second):
        command = ["generate", "flapping", str(output), "--seed", "7", "--duration", "7200", "--set", "flaps=3"]
        assert runner.invoke(app, [*command, "--json"]).exit_code == 0
    assert first.read_bytes() == second.read_bytes()
    assert read_recording(first).header.title == "flapping, seed 7"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["show", "missing.outage.jsonl"], "missing.outage.jsonl: No such file"),
        (["show", str(ATT)], f"{ATT}: line 1: format: expected a header line"),
        (["import", str(ATT), "{new}", "--format", "pcap"], "--format: expected one of capacity-csv"),
        (["import", str(ATT), "{new}", "--format", "mahimahi"], f"{ATT}: line 1: timestamp: expected a whole number"),
        (["import", str(ATT), str(ATT), "--format", "capacity-csv"], "expected a name that is free (or --force)"),
        (
            ["import", str(ATT), "{new}", "--format", "capacity-csv", "--source", "10.0.0.1"],
            "source: expected no addresses",
        ),
        (["generate", "periodic", "{new}", "--set", "down_s=9999"], "down_s: expected less than period_s"),
        (["timeline", "{att}", "--link", "lora"], "link: expected one of uplink"),
        (["proxy", "--to", "nowhere"], "address: expected PORT"),
        (["proxy", "--to", "localhost:1", "--speed", "0"], "speed: expected a number"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(att: Path, arguments: list[str], sentence: str) -> None:
    filled = [argument.format(new=att.parent / "new.outage.jsonl", att=att) for argument in arguments]
    result = runner.invoke(app, filled)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert not (att.parent / "new.outage.jsonl").exists()


def test_the_proxy_runs_as_a_program_until_it_is_told_to_stop(att: Path) -> None:
    code = "from tidegate.outage.cli import app; app()"
    command = [
        sys.executable,
        "-c",
        code,
        "proxy",
        "--to",
        "127.0.0.1:9",
        "--recording",
        str(att),
        "--api",
        "0",
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": "."}) as process:
        assert process.stdout is not None
        listening = json.loads(process.stdout.readline())
        link = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        stopped = json.loads(process.stdout.read().splitlines()[-1])
        assert process.wait(10) == 0
    assert listening["event"] == "listening"
    assert not listening["api"].endswith(":0")
    assert (link["event"], link["recording"]["status"]) == ("link", "up")
    assert stopped["event"] == "stopped"
