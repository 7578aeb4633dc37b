"""Small probes: what is tested here does not hang on how many days of load there are to draw from."""

import pytest

from firmware_sim.forecast import load

WAKE_UPS = 800


@pytest.fixture(autouse=True)
def small_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "WAKE_UPS_MAX", WAKE_UPS)
