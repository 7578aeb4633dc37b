"""What a scenario names beside itself is found from anywhere; what it writes, and what is absolute, stays as it is."""

from pathlib import Path

import pytest

from firmware_sim.config import FleetConfig
from firmware_sim.radio_config import TraceLinkConfig
from firmware_sim.signal_config import CsvSignal, SumSignal
from tidegate.config import load

SENSOR = """
[[devices]]
name = "d"
interval_s = 60.0
sensors = [{ name = "t", unit = "Cel", signal = SIGNAL }]
"""
CSV = '{ kind = "csv", file = "FILE", column = "t", time_column = "at" }'


def _load(path: Path, text: str, **environ: str) -> FleetConfig:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return load(FleetConfig, "SENSORS", path, environ)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory is not the scenario's folder, which is given relative to it."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return Path("../scenario")


def _signal(fleet: FleetConfig) -> object:
    return fleet.devices[0].sensors[0].signal


def test_a_recording_and_catalogues_lie_beside_the_scenario_and_what_it_writes_in_the_working_directory(
    elsewhere: Path,
) -> None:
    written = 'data_dir = "flash"\ntruth_file = "truth.ndjson"\n'
    text = 'cells = "cells.toml"\nboards = "own/boards.toml"\nparts = "../parts.toml"\n' + written
    fleet = _load(elsewhere / "fleet.toml", text + SENSOR.replace("SIGNAL", CSV.replace("FILE", "office.csv")))
    assert fleet.cells == elsewhere / "cells.toml"
    assert fleet.boards == elsewhere / "own/boards.toml"
    assert fleet.parts == elsewhere / "../parts.toml"
    assert (fleet.data_dir, fleet.truth_file) == (Path("flash"), Path("truth.ndjson"))
    signal = _signal(fleet)
    assert isinstance(signal, CsvSignal)
    assert signal.file == elsewhere / "office.csv"


def test_signals_inside_a_sum_and_links_have_their_files_beside_the_scenario_too(elsewhere: Path) -> None:
    both = '{ kind = "sum", parts = [{ kind = "constant", value = 1.0 }, ' + CSV.replace("FILE", "office.csv") + "] }"
    radio = 'radio = { kind = "wifi", path_loss_db = 60.0, link = { kind = "trace", file = "cell.outage.jsonl" } }\n'
    fleet = _load(elsewhere / "fleet.toml", SENSOR.replace("SIGNAL", both) + radio)
    signal, radio_config = _signal(fleet), fleet.devices[0].radio
    assert isinstance(signal, SumSignal)
    assert isinstance(signal.parts[1], CsvSignal)
    assert signal.parts[1].file == elsewhere / "office.csv"
    assert radio_config is not None
    assert isinstance(radio_config.link, TraceLinkConfig)
    assert radio_config.link.file == elsewhere / "cell.outage.jsonl"


def test_an_included_file_names_what_lies_beside_itself(elsewhere: Path) -> None:
    (elsewhere / "office").mkdir(parents=True)
    included = SENSOR.replace("SIGNAL", CSV.replace("FILE", "office.csv"))
    (elsewhere / "office/rooms.toml").write_text(included, encoding="utf-8")
    signal = _signal(_load(elsewhere / "fleet.toml", 'include = ["office/rooms.toml"]\n'))
    assert isinstance(signal, CsvSignal)
    assert signal.file == elsewhere / "office/office.csv"


def test_an_absolute_path_and_one_of_the_environment_stay_as_they_are(elsewhere: Path, tmp_path: Path) -> None:
    text = SENSOR.replace("SIGNAL", CSV.replace("FILE", str(tmp_path / "office.csv")))
    fleet = _load(elsewhere / "fleet.toml", text, TIDEGATE_SENSORS__CELLS="cells.toml")
    signal = _signal(fleet)
    assert isinstance(signal, CsvSignal)
    assert signal.file == tmp_path / "office.csv"
    assert fleet.cells == Path("cells.toml")
