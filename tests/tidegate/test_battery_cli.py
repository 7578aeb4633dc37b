"""`tidegate battery forecast`: tables, JSON that is the same in every process, pictures, Ray, and what it refuses."""

import importlib.util
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.forecast import plan
from firmware_sim.forecast.load import measure_load
from tests.uncounted import COUNTED_ALONE, uncounted, uncounted_call
from tidegate import cli

FLEET = """
seed = 3
[[devices]]
name = "field"
count = 4
interval_s = 14400.0
battery = { cell = "er14505", board = "maudet-lorawan", state_of_charge = 0.066 }
radio = { kind = "lorawan", path_loss_db = 120.0, adr = false, reading_bytes = 8, rest_ma = 0.0018 }
send = { acknowledge = "broker" }
sensors = [{ part = "SHT31", quantity = "temperature", signal = { kind = "constant", value = 12.0 } }]
[[devices]]
name = "mains"
sensors = [{ part = "SHT31", quantity = "temperature", signal = { kind = "constant", value = 12.0 } }]
"""
RUNS = ("--years", "1", "--runs", "60")


@pytest.fixture(autouse=True)
def _the_simulations_behind_a_load_count_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "measure_load", uncounted_call(measure_load))


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.toml"
    path.write_text(FLEET, encoding="utf-8")
    return path


def _main(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["battery", "forecast", *words])
    out, err = capsys.readouterr()
    return (ended.value.code if isinstance(ended.value.code, int) else 0), out, err


def _process(fleet: Path, *words: str, env: dict[str, str] | None = None) -> bytes:
    done = subprocess.run(
        [*COUNTED_ALONE, "tidegate", "battery", "forecast", str(fleet), "--json", *words],
        env=env,
        capture_output=True,
        timeout=110,
        check=True,
    )
    return done.stdout


def test_the_tables_say_how_long_and_what_drains(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _main(capsys, str(fleet), *RUNS, "--what-if", "interval_s=28800", "--what-if", "sf=12,batch=2")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines() if line.strip()]
    lives = {
        line[0]: line for line in lines if line[0] in {"field", "interval_s=28800", "sf=12,batch=2"} and "d" in line
    }
    assert list(lives) == ["field", "interval_s=28800", "sf=12,batch=2"]
    assert float(lives["interval_s=28800"][5].removeprefix("x")) > 1.03
    assert float(lives["sf=12,batch=2"][5].removeprefix("x")) < 0.97
    assert "what drains the battery" in out
    assert "mains" not in out


def test_each_change_stands_under_its_own_type(
    fleet: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one with which a type cannot even start, on a cell that is empty."""
    monkeypatch.delenv("COLUMNS", raising=False)  # as in a pipe: a line is a row
    shed = FLEET.split("[[devices]]")[1].replace("field", "shed")
    fleet.write_text(FLEET + "[[devices]]" + shed, encoding="utf-8")
    words = (
        "--years",
        "0.1",
        "--runs",
        "9",
        "--what-if",
        "interval_s=28800",
        "--what-if",
        "battery.state_of_charge=1e-9",
    )
    code, out, _ = _main(capsys, str(fleet), *words)
    assert code == 0
    types_then_changes = ["field", "interval_s=28800", "battery.state_of_charge=1e-9"]
    types_then_changes += ["shed", "interval_s=28800", "battery.state_of_charge=1e-9"]
    rows = [line.split()[0] for line in out.splitlines() if line.split() and line.split()[0] in types_then_changes]
    assert rows == 2 * types_then_changes
    assert out.count("nothing: it cannot even start") == 2


def test_the_json_is_the_same_in_every_process(fleet: Path) -> None:
    words = ("--runs", "40", "--years", "1")
    first, second = (_process(fleet, *words, env=uncounted(PYTHONHASHSEED=seed)) for seed in ("1", "2"))
    assert first == second
    document: dict[str, Any] = json.loads(first)
    assert document["seed"] == 3
    (field,) = document["forecasts"]
    assert (field["variant"], field["type"], field["runs"]) == ("as it is", "field", 40)
    assert {point["day"] for point in field["survival"]} >= {0.0, 365.25}


def test_a_plot_is_drawn_beside_the_answer(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = fleet.parent / "plot.svg"
    code, out, _ = _main(capsys, str(fleet), *RUNS, "--json", "--seed", "9", "--plot", str(path))
    assert code == 0
    assert json.loads(out)["seed"] == 9
    assert "lifetime (days)" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--what-if", "interval=5"), 2, "error: --what-if interval=5: expected a key of [[devices]] or one of batch"),
        (("--plot", "plot.pdf"), 2, "error: --plot: plot.pdf: expected a name that ends in .png or .svg"),
        (("--plot", "gone/plot.svg"), 3, "error: --plot gone/plot.svg: cannot be written: its folder is not there"),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(
    words: tuple[str, ...], code: int, said: str, fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    got, out, err = _main(capsys, str(fleet), *words)
    assert (got, out) == (code, "")
    assert err.startswith(said)


def test_a_mistake_in_the_fleet_names_its_file(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.write_text(FLEET.replace('"er14505"', '"er1"'), encoding="utf-8")
    code, _, err = _main(capsys, str(fleet))
    assert code == 2
    assert err.startswith(f"error: {fleet}: devices.0.battery: unknown cell 'er1': expected one of")
    fleet.write_text(FLEET.split("[[devices]]")[0] + "[[devices]]" + FLEET.split("[[devices]]")[2], encoding="utf-8")
    code, _, err = _main(capsys, str(fleet))
    assert (code, err) == (
        2,
        f"error: {fleet}: devices: expected at least one group with a battery: mains power has no end\n",
    )


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `ray` is not installed")
@pytest.mark.timeout(120)  # a cluster starts and ends
def test_ray_gives_the_same_bytes(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--runs", "2001", "--years", "0.1")
    code, here, _ = _main(capsys, str(fleet), "--json", *words)
    assert code == 0
    one_worker = {**os.environ, "RAY_OVERRIDE_RESOURCES": '{"CPU": 1}'}  # a second one starts for seconds, for nothing
    assert _process(fleet, *words, "--engine", "ray", env=one_worker).decode() == here
