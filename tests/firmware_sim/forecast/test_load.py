"""The load is the event simulation's own: what the meter books is what the supply drew, hour by hour."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.config import DeviceGroup
from firmware_sim.forecast import load
from firmware_sim.forecast.load import LoadMeter, measure_load, probe_size
from firmware_sim.power import cell
from firmware_sim.power.units import MS_PER_HOUR as HOUR_MS
from firmware_sim.radio.lora import LoraSettings, time_on_air_us
from firmware_sim.radio.lorawan import MAC_OVERHEAD_BYTES
from tests.firmware_sim.forecast.fleets import NODE, fleet

DRAWS = st.lists(st.tuples(st.floats(0, 500), st.floats(0, 5 * HOUR_MS)), max_size=20)


@pytest.mark.no_cover
@given(draws=DRAWS, start_ms=st.integers(0, HOUR_MS))
def test_cutting_at_full_hours_loses_nothing(draws: list[tuple[float, float]], start_ms: int) -> None:
    spec = cell("cr2032")
    meter = LoadMeter(spec, spec.build_model(), start_ms, 1.0)
    for current_ma, duration_ms in draws:
        meter.draw("s", current_ma, duration_ms)
    expected = math.fsum(current_ma * duration_ms for current_ma, duration_ms in draws)
    assert math.fsum(meter.charge_uc.values()) == pytest.approx(expected, rel=1e-9)
    for hour, peak_ma in meter.peak_ma.items():
        assert meter.charge_uc.get((hour, "s"), 0.0) <= peak_ma * HOUR_MS * (1 + 1e-9)


@pytest.mark.no_cover
def test_the_profile_is_the_devices_average_by_state() -> None:
    config = fleet({"jitter_s": 30})
    profile = measure_load(config, config.devices[0])
    assert profile.charge_mah.shape[1:3] == (profile.peak_ma.shape[1], 24)
    airtime_ms = time_on_air_us(LoraSettings(sf=9), 12 + MAC_OVERHEAD_BYTES) / 1000  # once an hour
    hourly = dict(zip(profile.states, profile.charge_mah.mean(axis=(0, 1, 2)), strict=True))
    assert hourly["sleep"] == pytest.approx(0.0001 + 0.0018, rel=0.01)  # the transceiver's and the board's
    assert hourly["transmit"] == pytest.approx(44 * airtime_ms / HOUR_MS, rel=0.01)
    assert profile.peak_ma.max() == 44.0
    assert profile.mean_ma == pytest.approx(sum(hourly.values()))


@pytest.mark.no_cover
def test_boot_and_joining_are_no_day_that_a_life_could_draw() -> None:
    wifi = {"kind": "wifi", "distance_m": 5.0, "power_save": "light_sleep"}
    config = fleet({"radio": wifi, "battery": {"cell": "18650-li-ion", "board": "esp32-wifi"}})
    profile = measure_load(config, config.devices[0])
    assert "join" not in profile.states
    assert "light_sleep" in profile.states


@pytest.mark.no_cover
def test_a_low_battery_is_measured_at_its_own_pace() -> None:
    battery = {"cell": "er14505", "board": "maudet-lorawan", "low_percent": 20, "low_stretch": 4}
    config = fleet({"battery": battery})
    usual = measure_load(config, config.devices[0])
    low = measure_load(config, config.devices[0], is_low=True)
    per_hour = [float(profile.charge_mah[..., profile.states.index("transmit")].mean()) for profile in (usual, low)]
    assert per_hour[0] / per_hour[1] == pytest.approx(4.0, rel=0.1)


@given(interval_s=st.floats(0.01, 1e7), wake_ups=st.integers(100, 10_000))
def test_probes_are_few_enough_to_be_quick_and_long_enough_to_say_something(interval_s: float, wake_ups: int) -> None:
    group = DeviceGroup.model_validate(NODE | {"interval_s": interval_s, "jitter_s": 0})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(load, "WAKE_UPS_MAX", wake_ups)
        probes, days = probe_size(group)
    assert 1 <= probes <= load.PROBES_MAX
    assert 1 <= days <= load.PROBE_DAYS_HARD_MAX
    samples = probes * days * 86_400 / interval_s
    assert samples <= max(wake_ups, 86_400 / interval_s, load.SAMPLES_MIN + 86_400 / interval_s) * 1.01


def test_pulses_that_the_polarisation_follows_are_noted() -> None:
    spec = cell("18650-li-ion")
    meter = LoadMeter(spec, spec.build_model(), 0, 1.0)
    meter.draw("transmit", 100.0, spec.response_ms)
    assert meter.filtered_ma[0] == pytest.approx(100 * (1 - math.exp(-1)))
    meter.loaded_voltage_mv(500.0)
    assert meter.peak_ma[0] == 500.0
    assert np.isinf(meter.loaded_voltage_mv(1.0))
