"""`tidegate sensors run`: a fleet without a broker, the same file in every process, and options that do not fit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.uncounted import uncounted
from tidegate import cli
from tidegate.errors import EXIT_USAGE, ConfigError
from tidegate.sensors_cli import parse_duration, parse_speed

FLEET = """
seed = 3
[[devices]]
name = "d"
count = 3
interval_s = 60.0
jitter_s = 2.0
battery = { cell = "18650-li-ion", board = "esp32-wifi" }
[[devices.sensors]]
part = "SHT31"
quantity = "temperature"
signal = { kind = "daily", mean = 20.0, amplitude = 2.0, noise = 0.2 }
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.toml"
    path.write_text(FLEET, encoding="utf-8")
    return path


def _main(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    out, err = capsys.readouterr()
    return (ended.value.code if isinstance(ended.value.code, int) else 0), out, err


def _virtual(fleet: Path, out: Path, env: dict[str, str]) -> dict[str, object]:
    words = ["sensors", "run", "--config", str(fleet), "--for", "1d", "--speed", "max", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "tidegate", *words],
        env=env,
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert done.stderr == ""
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_the_file_is_the_same_in_every_process(fleet: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    result = _virtual(fleet, first, os.environ | {"PYTHONHASHSEED": "1"})
    assert _virtual(fleet, second, uncounted(PYTHONHASHSEED="2")) == result
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes().splitlines()) == 3 * 1440
    assert result["simulated_ms"] == 86_400_000


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--speed", "max", "--for", "1d"), 2, "--speed max: expected --out"),
        (("--speed", "max", "--out", "x.jsonl"), 2, "--out: expected --for"),
        (("--out", "x.jsonl", "--for", "1d", "--speed", "60"), 2, "--out: expected no --speed but max"),
        (("another.toml",), 2, "--config: expected one fleet, found another.toml and "),
        (("--speed", "fast"), 2, "--speed: expected max, or a number"),
        (("--for", "soon"), 2, "--for: expected a duration such as"),
        (("--speed", "max", "--for", "1d", "--out", "missing/x.jsonl"), 3, "--out missing/x.jsonl: cannot be written"),
    ],
)
@pytest.mark.usefixtures("logging_restored")
def test_options_that_do_not_fit_are_one_line(
    words: tuple[str, ...],
    code: int,
    said: str,
    fleet: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(fleet.parent)
    got, out, err = _main(capsys, "sensors", "run", "--config", str(fleet), *words)
    assert (got, out) == (code, "")
    (line,) = err.splitlines()
    assert line.startswith(f"error: {said}")
    assert not Path("x.jsonl").exists()


@pytest.mark.usefixtures("logging_restored")
def test_a_parquet_file_holds_what_the_lines_hold(
    fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, rows = tmp_path / "1.jsonl", tmp_path / "1.parquet"
    words = ("sensors", "run", str(fleet), "--for", "6h", "--out")
    results = [_main(capsys, *words, str(out))[:2] for out in (lines, rows)]
    assert results[0] == results[1]
    assert results[0][0] == 0
    told = [json.loads(line) for line in lines.read_bytes().splitlines()]
    for row in (found := pq.read_table(rows).to_pylist()):
        row["values"] = [list(value.values()) for value in row["values"]]
    assert found == told
    assert len(told) == 3 * 360


@pytest.mark.usefixtures("logging_restored")
def test_without_pyarrow_the_error_names_the_extra_and_no_file_is_left(
    fleet: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "pyarrow.parquet", raising=False)
    out = fleet.with_name("x.parquet")
    got = _main(capsys, "sensors", "run", str(fleet), "--for", "1h", "--out", str(out))
    said = "error: this command needs the Python package 'pyarrow': pip install 'tidegate[parquet]'\n"
    assert got == (2, "", said)
    assert not out.exists()


@pytest.mark.usefixtures("logging_restored")
def test_for_ends_a_run_in_real_time_by_the_devices_time(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("sensors", "run", "--config", str(fleet), "--for", "1h", "--speed", "10000", "--log-format", "json")
    code, _, err = _main(capsys, *words)
    assert code == 0
    assert json.loads(err.splitlines()[-1])["event"] == "fleet is switched off"


@pytest.mark.usefixtures("logging_restored")
def test_the_speed_of_the_command_line_wins(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _main(capsys, "sensors", "run", "--config", str(fleet), "--speed", "60", "--check-config")
    assert (code, json.loads(out)["speed"]) == (0, 60.0)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000)])
def test_durations_are_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-1d", "30", "1.5h", "99999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "10001", "x"])
def test_what_is_no_speed_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_speed(text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("started", "milliseconds since 1970"),
        ("batteries.json", "the batteries of an earlier run"),
        ("truth.ndjson", "a reading of an earlier run"),
    ],
)
def test_files_of_an_earlier_run_that_hold_something_else_are_one_line(
    fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, expected: str
) -> None:
    places = f'data_dir = "{tmp_path}"\ntruth_file = "{tmp_path / "truth.ndjson"}"\n'
    fleet.write_text(places + FLEET, encoding="utf-8")
    (tmp_path / name).write_text("yesterday\n")
    code, _, err = _main(capsys, "sensors", "run", str(fleet), "--for", "1s")
    assert code == EXIT_USAGE
    assert expected in err
    assert "Traceback" not in err
