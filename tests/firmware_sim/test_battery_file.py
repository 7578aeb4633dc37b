"""Batteries on disk: what was in the cells is there after a restart, of the same battery only."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from firmware_sim.battery_file import BatteryFileError, load_batteries, save_batteries
from firmware_sim.battery_supply import BatterySupply
from firmware_sim.phases import Phase
from firmware_sim.power import Battery, board
from firmware_sim.supply import MainsSupply
from firmware_sim.truth import TruthLine
from tests.firmware_sim.test_fleet import fleet, run_until

HOUR_MS = 3_600_000
GROUP = {"name": "d", "count": 2, "interval_s": 10, "battery": {"cell": "18650-li-ion", "board": "esp32-wifi"}}
SENSOR = {"name": "t", "unit": "Cel", "signal": {"kind": "constant", "value": 1}}


def supply(cell: str = "18650-li-ion", **more: Any) -> BatterySupply[Battery]:
    return BatterySupply(Battery(cell, **more), board("esp32-wifi"))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "batteries.json"
    assert load_batteries(path) == {}
    worn = supply(state_of_charge=0.5)
    worn.restore(worn.snapshot() | {"cycles": 300.0, "aged_years": 2.0})
    worn.draw(Phase.PROCESS, HOUR_MS, HOUR_MS)
    save_batteries(path, {"d": worn.snapshot()})
    fresh = supply()
    assert fresh.restore(load_batteries(path)["d"])
    assert fresh.true_state() == worn.true_state()
    assert fresh.battery.health < 0.9
    assert [file.name for file in tmp_path.iterdir()] == ["batteries.json"]


def test_another_battery_is_a_new_one() -> None:
    state = supply(state_of_charge=0.5).snapshot()
    assert not supply("lifepo4-18650").restore(state)
    other = BatterySupply(Battery(Battery("18650-li-ion").spec.resized(1000)), board("esp32-wifi"))
    before = other.true_state()
    assert not other.restore(state)
    assert other.true_state() == before
    assert not MainsSupply().restore(state)


def test_another_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text("dear diary")
    with pytest.raises(BatteryFileError, match=r"notes\.json: expected the batteries of an earlier run"):
        load_batteries(path)
    assert path.read_text() == "dear diary"


def _levels(tmp_path: Path) -> list[float]:
    lines = [
        msgspec.json.decode(line, type=TruthLine) for line in (tmp_path / "truth.ndjson").read_bytes().splitlines()
    ]
    assert all(line.battery is not None for line in lines)
    return [line.battery.state_of_charge for line in lines if line.battery and line.device == "d-1"]


def test_a_fleet_goes_on_with_the_batteries_that_it_had(tmp_path: Path) -> None:
    battery = {"cell": "18650-li-ion", "board": "esp32-wifi", "state_of_charge": 0.8, "capacity_mah": 50}
    devices = [GROUP | {"battery": battery, "sensors": [SENSOR]}]
    first = run_until(fleet(tmp_path, devices=devices), 20)
    ended = _levels(tmp_path)[-1]
    assert ended < 0.8
    run_until(fleet(tmp_path, devices=devices), first.held + 1)
    began_again = _levels(tmp_path)[len([None for _ in range(first.devices[0].counters.sampled)])]
    assert began_again < ended
    assert ended - began_again < 0.1 * (0.8 - ended) + 0.01
