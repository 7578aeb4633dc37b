"""Small probes: what is tested here does not hang on how many days of load there are to draw from."""

from collections.abc import Iterator

import pytest

from firmware_sim.forecast import load

WAKE_UPS = 800


@pytest.fixture(autouse=True, scope="package")
def small_probes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(load, "WAKE_UPS_MAX", WAKE_UPS)
        yield
