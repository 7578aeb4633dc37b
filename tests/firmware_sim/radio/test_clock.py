"""The device clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.radio.clock import Crystal, DeviceClock, SyncSample, sntp_offset
from firmware_sim.radio.errors import RadioSettingError, TimeOrderError

DAY_MS = 86_400_000


@pytest.mark.parametrize("temperature_c", [-10, 60])
def test_a_crystal_is_49_ppm_slow_35_degrees_from_its_turnover(temperature_c: float) -> None:
    """Published: -0.04 ppm/C^2 about 25 C gives -49 ppm at -10 and 60 C; exact."""
    assert Crystal().rate_ppm(temperature_c) == pytest.approx(-49)


def test_10_ppm_is_0_864_s_a_day() -> None:
    """Published; exact to 1 ms."""
    clock = DeviceClock(Crystal(offset_ppm=10))
    assert clock.device_ms(DAY_MS) - DAY_MS == 864


def test_the_campusiot_clock_loses_two_seconds_a_day() -> None:
    """Clock -23 ppm (CampusIoT year): 1.987 s a day."""
    assert DeviceClock(Crystal(offset_ppm=-23)).error_ms(DAY_MS) == pytest.approx(-1987.2)


def test_a_cold_night_costs_time_that_a_warm_day_does_not_give_back() -> None:
    clock = DeviceClock(Crystal())
    clock.advance(0, -10)
    clock.advance(DAY_MS // 2, 60)
    assert clock.error_ms(DAY_MS) == pytest.approx(-49e-6 * DAY_MS)


def test_ageing_adds_up_quadratically() -> None:
    """3 ppm a year from zero: 1.5 ppm on average over the first year, 47.3 s; 0.1 %."""
    clock = DeviceClock(Crystal(ageing_ppm_per_year=3))
    year_ms = round(365.25 * DAY_MS)
    assert clock.error_ms(year_ms) == pytest.approx(1.5e-6 * year_ms, rel=1e-3)


@pytest.mark.no_cover
@given(st.lists(st.integers(0, DAY_MS), min_size=1, max_size=8), st.floats(-100, 100), st.floats(-40, 85))
def test_looking_often_changes_nothing(steps: list[int], offset_ppm: float, temperature_c: float) -> None:
    crystal = Crystal(offset_ppm=offset_ppm, ageing_ppm_per_year=5)
    once = DeviceClock(crystal, temperature_c=temperature_c)
    often = DeviceClock(crystal, temperature_c=temperature_c)
    now_ms = 0
    for step in steps:
        now_ms += step
        often.advance(now_ms, temperature_c)
    assert often.error_ms(now_ms) == pytest.approx(once.error_ms(now_ms), abs=1e-6)


def test_sntp_computes_rfc_5905s_offset_and_delay() -> None:
    """Device 1000 ms behind, 40 ms out, 60 ms back, 5 ms in the server: half the 20 ms asymmetry is the error."""
    assert sntp_offset(0, 1040, 1045, 105) == SyncSample(offset_ms=990, delay_ms=100)


def test_a_symmetric_sync_sets_the_clock_right() -> None:
    clock = DeviceClock(Crystal(offset_ppm=20), start_error_ms=-1.7e12)
    sample = clock.sync(1_000_000, uplink_ms=50, downlink_ms=50, server_ms=2)
    assert sample.delay_ms == pytest.approx(100, abs=0.01)
    assert clock.error_ms(1_000_102) == pytest.approx(0, abs=0.01)


@given(st.integers(0, 5_000), st.integers(0, 5_000), st.floats(-1e6, 1e6))
def test_a_sync_is_wrong_by_at_most_half_its_delay(uplink_ms: int, downlink_ms: int, error_ms: float) -> None:
    clock = DeviceClock(Crystal(), start_error_ms=error_ms)
    sample = clock.sync(0, uplink_ms=uplink_ms, downlink_ms=downlink_ms)
    assert abs(clock.error_ms(uplink_ms + downlink_ms)) <= sample.delay_ms / 2 + 1e-6


def test_true_time_does_not_go_back() -> None:
    clock = DeviceClock(Crystal(), 5_000)
    with pytest.raises(TimeOrderError, match="true_ms"):
        clock.device_ms(4_999)


def test_a_negative_latency_is_refused() -> None:
    with pytest.raises(RadioSettingError, match="latencies"):
        DeviceClock(Crystal()).sync(0, uplink_ms=-1, downlink_ms=0)
