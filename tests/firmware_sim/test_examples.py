"""The example fleets, and those in the documentation, are fleets, from whatever folder they are run."""

import re
from pathlib import Path

import pytest

from firmware_sim.build import build_fleet
from firmware_sim.config import FleetConfig
from firmware_sim.flash import MemoryMedium
from firmware_sim.outbox import Flash
from firmware_sim.virtual import GroupReport, run_virtual
from tidegate.fleet_file import load_fleet

AN_HOUR_AND_ITS_JITTER_MS = 3_720_000
ROOT = Path(__file__).parents[2]
TEXTS = {path.name: path.read_text() for path in sorted((ROOT / "examples").glob("fleet-*.toml"))} | {
    f"devices.md {n}": text
    for n, text in enumerate(re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "devices.md").read_text(), re.DOTALL))
}


def _fleet(name: str, folder: Path) -> FleetConfig:
    """As `tidegate sensors run` reads it; what a page shows is saved in `folder` first."""
    path = ROOT / "examples" / name
    if not path.is_file():
        path = folder / "fleet.toml"
        path.write_text(TEXTS[name], encoding="utf-8")
    return load_fleet(path, {})


@pytest.mark.parametrize("name", TEXTS)
def test_an_example_fleet_measures(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = _fleet(name, tmp_path)
    measured: set[str] = set()
    devices = build_fleet(
        config, Flash(MemoryMedium()), lambda reading, _at_ms: measured.add(reading.device), first_boot=1
    )
    for device in devices:
        device.start(0)
        device.step(AN_HOUR_AND_ITS_JITTER_MS)
    assert measured == {device.spec.name for device in devices}


# Scenario -> the share that may be lost, and the battery percent that a day may cost: ten times the month's in
# docs/devices.md would show as a failure.
A_DAY = {
    "fleet-cold-chain.toml": (0.0, 0.1),
    "fleet-farm.toml": (0.1, 20.0),  # starts at 80 %, and the sun fills it
    "fleet-lorawan-year.toml": (0.0, 0.1),
    "fleet-factory.toml": (0.0, None),
    "fleet-parking.toml": (0.0, 0.2),
    "fleet-assets.toml": (0.0, 0.5),
}


def _a_day_of(name: str) -> GroupReport:
    return run_virtual(load_fleet(ROOT / "examples" / name, {}), 86_400_000, len).groups[0]


@pytest.mark.no_cover
@pytest.mark.parametrize("name", A_DAY)
def test_a_day_of_a_ready_scenario_goes_as_the_page_says(name: str) -> None:
    lost_max, spent_percent_max = A_DAY[name]
    report = _a_day_of(name)
    assert report.dead == 0
    assert report.boots == report.devices
    assert report.measured == report.received + report.held + report.lost
    assert report.lost <= lost_max * report.measured
    if spent_percent_max is None:
        assert report.battery_percent_min is None
    else:
        assert report.battery_percent_min is not None
        assert 100 - spent_percent_max < report.battery_percent_min < 100
