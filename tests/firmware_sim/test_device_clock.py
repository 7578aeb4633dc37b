"""The device's own clock: what its crystal gains or loses, and what a synchronisation leaves of it."""

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.config import VIRTUAL_START, FleetConfig
from firmware_sim.device_clock import ClockSpec, DeviceClock, TimeSource
from firmware_sim.virtual import run_virtual

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
YEAR_MS = 8766 * HOUR_MS
START_MS = 1_780_272_000_000


def gained_ms(spec: ClockSpec, span_ms: int, temperature_c: float | None = None) -> int:
    """What a clock that was right at the start is ahead by after a span."""
    clock = DeviceClock(spec, Random(1), None if temperature_c is None else lambda _at_ms: temperature_c)
    clock.restart(START_MS, 0)
    return clock.read(START_MS + span_ms)[0] - (START_MS + span_ms)


def rtc(ppm: float = 0.0, ageing: float = 0.0) -> ClockSpec:
    return ClockSpec(ppm, TimeSource.RTC, ageing_ppm_per_year=ageing, new_at_ms=START_MS)


def test_10_ppm_is_0_864_s_a_day() -> None:
    """Published; exact to 1 ms."""
    assert gained_ms(rtc(10), DAY_MS) == 864


def test_the_campusiot_clock_loses_two_seconds_a_day() -> None:
    """Clock -23 ppm (CampusIoT year): 1.987 s a day; to 1 ms."""
    assert gained_ms(rtc(-23), DAY_MS) == pytest.approx(-1987.2, abs=1)


def test_a_cold_night_costs_time_that_a_warm_day_does_not_give_back() -> None:
    """-49 ppm at -10 and at 60 degrees alike (crystal data sheets)."""
    clock = DeviceClock(rtc(), Random(1), lambda at_ms: -10.0 if (at_ms - START_MS) % DAY_MS < DAY_MS // 2 else 60.0)
    clock.restart(START_MS, 0)
    assert clock.read(START_MS + DAY_MS)[0] - START_MS - DAY_MS == pytest.approx(-49e-6 * DAY_MS, abs=1)


@pytest.mark.parametrize("temperature_c", [None, 25.0])
def test_ageing_adds_up_quadratically(temperature_c: float | None) -> None:
    """3 ppm a year from zero: 1.5 ppm on average over the first year, 47.3 s; 0.1 %."""
    assert gained_ms(rtc(ageing=3), YEAR_MS, temperature_c) == pytest.approx(1.5e-6 * YEAR_MS, rel=1e-3)


def test_an_aged_crystal_wakes_its_device_the_sooner() -> None:
    """100 ppm a year, after a year: a hundred microseconds in each second too soon."""
    clock = DeviceClock(rtc(ageing=100), Random(1))
    assert clock.wait_ms(DAY_MS, START_MS) == pytest.approx(DAY_MS, abs=1)
    assert clock.wait_ms(DAY_MS, START_MS + YEAR_MS) == pytest.approx(DAY_MS - 8640, abs=2)


def test_a_fleets_crystals_age_as_its_file_says() -> None:
    """100 ppm a year: after one, a clock that is set right every ten days is 84 s ahead by the next time."""
    sensor = {"name": "t", "unit": "Cel", "signal": {"kind": "constant", "value": 1}}
    clock = {"source": "rtc", "ageing_ppm_per_year": 100}
    group = {"name": "d", "interval_s": 864_000, "sensors": [sensor], "clock": clock}
    written: list[bytes] = []
    run_virtual(FleetConfig.model_validate({"devices": [group]}), YEAR_MS, written.append)
    last = json.loads(b"".join(written).splitlines()[-1])
    age_years = (last["received_at_ms"] - VIRTUAL_START.timestamp() * 1000) / YEAR_MS
    ahead_ms = last["taken_at_ms"] - last["received_at_ms"]
    assert age_years > 0.95
    assert ahead_ms == pytest.approx(100e-6 * (age_years - 5 / 365.25) * 10 * DAY_MS, rel=0.01)


@given(st.integers(0, 5_000), st.integers(0, 2**32), st.floats(-1000, 1000))
def test_a_sync_is_wrong_by_at_most_half_its_round_trip(sync_error_ms: int, seed: int, ppm: float) -> None:
    clock = DeviceClock(ClockSpec(ppm, TimeSource.NETWORK, sync_error_ms), Random(seed))
    clock.restart(START_MS, 0)
    at_ms = START_MS + HOUR_MS
    assert clock.contact(at_ms)
    assert abs(clock.read(at_ms)[0] - at_ms) <= sync_error_ms


def test_syncs_err_to_both_sides_evenly() -> None:
    errors = []
    for seed in range(2_000):
        clock = DeviceClock(ClockSpec(0.0, TimeSource.NETWORK, 100), Random(seed))
        clock.restart(START_MS, 0)
        clock.contact(START_MS)
        errors.append(clock.read(START_MS)[0] - START_MS)
    assert abs(sum(errors) / len(errors)) < 6  # four standard errors of an even spread
    assert min(errors) < -95
    assert max(errors) > 95
