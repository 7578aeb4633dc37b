"""Sensor faults of a fleet file: the labels of the ground truth are what really happened to the readings."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from firmware_sim.build import FleetError, check_fleet
from firmware_sim.config import FleetConfig
from firmware_sim.readings_files import JsonLines
from firmware_sim.truth import TruthFile
from firmware_sim.virtual import run_virtual_into

HOUR_MS = 3_600_000
LEVEL = 20.0
NAMES = ("stuck", "drift", "offset", "spike", "saturation", "swapped_unit")
FAULTS: dict[str, dict[str, Any]] = {
    "stuck": {"kind": "stuck"},
    "drift": {"kind": "drift", "per_hour": 3.0},
    "offset": {"kind": "offset", "by": 5.0},
    "spike": {"kind": "spike", "by": 40.0},
    "dropout": {"kind": "dropout"},
    "saturation": {"kind": "saturation", "low": -1.0, "high": 15.0},
    "swapped_unit": {"kind": "swapped_unit"},
}


def fleet(*faults: dict[str, Any], more: tuple[dict[str, Any], ...] = (), **group: Any) -> FleetConfig:
    signal = {"kind": "daily", "mean": LEVEL, "amplitude": 3.0}
    sensor = {"name": "t", "unit": "Cel", "signal": signal, "faults": list(faults)}
    base = {"name": "d", "interval_s": 60, "sensors": [sensor, *more]}
    return FleetConfig.model_validate({"devices": [base | group]})


def run(config: FleetConfig, folder: Path, hours: int = 24) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What arrived, and what the truth file says."""
    lines: list[bytes] = []
    truth = TruthFile(folder / "truth.ndjson")
    run_virtual_into(config, hours * HOUR_MS, JsonLines(lines.append), truth=truth)
    truth.close()
    told = (folder / "truth.ndjson").read_bytes().splitlines()
    return [json.loads(line) for line in b"".join(lines).splitlines()], [json.loads(line) for line in told]


def scored(config: FleetConfig, folder: Path) -> list[tuple[int, float, float, str | None]]:
    """(when, what was said, what was true without a fault, the label) of each reading of `t`."""
    readings, truth = run(config, folder)
    clean, _ = run(fleet(), folder / "clean")
    well = {line["taken_at_ms"]: line["values"][0][1] for line in clean}
    labels = {(line["device"], line["boot"], line["seq"]): line.get("faults", []) for line in truth}
    assert len(labels) == len(truth) == len(readings)
    found = []
    for line in readings:
        faults = {name: (label, true) for name, label, true in labels[line["device"], line["boot"], line["seq"]]}
        label, true = faults.get("t", (None, well[line["taken_at_ms"]]))
        assert true == pytest.approx(well[line["taken_at_ms"]])
        found.append((line["taken_at_ms"], line["values"][0][1], true, label))
    return found


@pytest.mark.parametrize("kind", NAMES)
def test_a_reading_is_labelled_if_and_only_if_it_is_wrong(kind: str, tmp_path: Path) -> None:
    fault = {**FAULTS[kind], "from_s": 6 * 3600, "lasts_s": 2 * 3600}
    seen = scored(fleet(fault), tmp_path)
    start_ms = FleetConfig.model_validate(fleet().model_dump()).virtual_start.timestamp() * 1000
    labelled = [(at_ms - start_ms) / HOUR_MS for at_ms, _, _, label in seen if label == kind]
    assert all(6 <= hour < 8 for hour in labelled)
    assert len(labelled) == (1 if kind == "spike" else pytest.approx(120, abs=1))
    for _, said, true, label in seen:
        assert label in (None, kind)
        # A stuck sensor and a drift begin with no error.
        assert label is not None or said == true
    wrong = [said != true for _, said, true, label in seen if label]
    assert sum(wrong) >= len(wrong) - 1


def test_each_random_fault_is_labelled_and_comes_as_often_as_it_should(tmp_path: Path) -> None:
    faults = [{**FAULTS[kind], "per_day": 6.0, "lasts_s": 600.0} for kind in ("offset", "spike", "swapped_unit")]
    seen = scored(fleet(*faults), tmp_path)
    assert all((said != true) == (label is not None) for _, said, true, label in seen)
    kinds = [label for *_, label in seen if label]
    assert {"offset", "spike", "swapped_unit"} <= set("+".join(kinds).split("+"))
    assert 20 < sum("offset" in label for label in kinds) < 150, "six a day of ten readings each, on average"


@pytest.mark.no_cover
def test_a_value_that_dropped_out_is_missing_and_the_others_are_there(tmp_path: Path) -> None:
    other = {"name": "u", "unit": "V", "signal": {"kind": "constant", "value": 3.0}}
    readings, truth = run(fleet({**FAULTS["dropout"], "from_s": 3600, "lasts_s": 3600}, more=(other,)), tmp_path)
    without = [line for line in readings if [value[0] for value in line["values"]] == ["u"]]
    labelled = [line for line in truth if line.get("faults")]
    assert [line["seq"] for line in without] == [line["seq"] for line in labelled]
    assert 59 <= len(without) <= 61
    assert {line["faults"][0][1] for line in labelled} == {"dropout"}


def test_a_sample_without_any_value_is_no_reading_but_stands_in_the_truth(tmp_path: Path) -> None:
    readings, truth = run(fleet({**FAULTS["dropout"], "from_s": 3600, "lasts_s": 3600}), tmp_path)
    missed = [line for line in truth if "seq" not in line]
    assert 59 <= len(missed) <= 61
    assert all(line["faults"][0][:2] == ["t", "dropout"] for line in missed)
    seqs = [line["seq"] for line in readings]
    assert seqs == list(range(len(readings))), "seq has no gap: nothing was lost"
    assert len(readings) + len(missed) == len(truth) == 1440
    TruthFile(tmp_path / "truth.ndjson").close()  # and such a file can be opened again


@pytest.mark.no_cover
def test_only_the_devices_that_a_fault_names_have_it_and_each_has_random_ones_of_its_own(tmp_path: Path) -> None:
    one = {**FAULTS["offset"], "from_s": 0, "only": [2]}
    each = {**FAULTS["spike"], "per_day": 12.0, "lasts_s": 60.0}
    _, truth = run(fleet(one, each, count=3), tmp_path)
    labels: dict[str, list[str]] = {}
    spikes: dict[str, list[int]] = {}
    for line in truth:
        for _, label, _ in line.get("faults", []):
            labels.setdefault(line["device"], []).append(label)
            if "spike" in label:
                spikes.setdefault(line["device"], []).append(line["at_ms"] // 60_000)
    assert all("offset" not in "".join(labels[name]) for name in ("d-1", "d-3"))
    assert len(labels["d-2"]) == 1440
    assert spikes["d-1"] != spikes["d-2"] != spikes["d-3"]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "stuck"}, "expected either from_s (once) or per_day (at random)"),
        ({"kind": "stuck", "from_s": 0, "per_day": 1, "lasts_s": 1}, "expected either from_s (once) or per_day"),
        ({"kind": "stuck", "per_day": 1}, "expected lasts_s beside per_day"),
        ({"kind": "stuck", "per_day": 1, "lasts_s": 1e6}, "lasts_s: expected at most 604800 beside per_day"),
        ({"kind": "saturation", "low": 2, "high": 1, "from_s": 0}, "expected low < high, found 2 and 1"),
        ({"kind": "drift", "from_s": 0}, "Field required"),
        ({"kind": "broken", "from_s": 0}, "'stuck', 'drift', 'offset', 'spike', 'dropout'"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_at_its_key(fault: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=r"devices\.0\.sensors\.0\.faults\.0") as caught:
        fleet(fault)
    assert expected in str(caught.value)


def test_a_device_that_is_not_there_cannot_fail() -> None:
    with pytest.raises(ValidationError, match=r"only: expected numbers from 1 to 1, found \[4\]"):
        fleet({**FAULTS["stuck"], "from_s": 0, "only": [4]})


def test_a_unit_that_nobody_mistakes_cannot_be_swapped() -> None:
    sensor: dict[str, Any] = {"name": "x", "unit": "kg", "signal": {"kind": "constant", "value": 1}, "faults": []}
    sensor["faults"] = [{**FAULTS["swapped_unit"], "from_s": 0}]
    with pytest.raises(FleetError, match=r"devices\.0\.sensors\.1\.faults: SwappedUnit: unit: expected one of Cel"):
        check_fleet(fleet(more=(sensor,)))
