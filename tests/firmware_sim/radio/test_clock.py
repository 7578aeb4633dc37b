"""What a device's clock rests on."""

import pytest

from firmware_sim.radio.clock import Crystal, SyncSample, sntp_offset


@pytest.mark.parametrize("temperature_c", [-10, 60])
def test_a_crystal_is_49_ppm_slow_35_degrees_from_its_turnover(temperature_c: float) -> None:
    """Published: -0.04 ppm/C^2 about 25 C gives -49 ppm at -10 and 60 C; exact."""
    assert Crystal().rate_ppm(temperature_c) == pytest.approx(-49)


def test_sntp_computes_rfc_5905s_offset_and_delay() -> None:
    """Device 1000 ms behind, 40 ms out, 60 ms back, 5 ms in the server: half the 20 ms asymmetry is the error."""
    assert sntp_offset(0, 1040, 1045, 105) == SyncSample(offset_ms=990, delay_ms=100)
