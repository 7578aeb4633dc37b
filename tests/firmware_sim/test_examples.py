"""The example fleets, and those in the documentation, are fleets."""

import re
import tomllib
from pathlib import Path

import pytest

from firmware_sim.build import build_fleet
from firmware_sim.config import FleetConfig
from firmware_sim.flash import MemoryMedium
from firmware_sim.outbox import Flash

ROOT = Path(__file__).parents[2]
TEXTS = {path.name: path.read_text() for path in sorted((ROOT / "examples").glob("fleet-*.toml"))} | {
    f"devices.md {n}": text
    for n, text in enumerate(re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "devices.md").read_text(), re.DOTALL))
}


@pytest.mark.parametrize("name", TEXTS)
def test_an_example_fleet_measures(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = FleetConfig.model_validate(tomllib.loads(TEXTS[name]))
    measured: set[str] = set()
    devices = build_fleet(
        config, Flash(MemoryMedium()), lambda reading, _at_ms: measured.add(reading.device), first_boot=1
    )
    for device in devices:
        device.start(0)
        device.step(300_000)
    assert measured == {device.spec.name for device in devices}
