"""The fuel gauge: right for a steady drain, honest about an unsteady one, silent where it cannot know."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.days_left import HISTORY_MS, LOOK_EVERY_MS, FuelGauge
from firmware_sim.power import Battery

HOUR_MS = 3_600_000
DAY_S = 86_400.0


def gauge(used_mah: list[float]) -> FuelGauge:
    made = FuelGauge()
    for look, used in enumerate(used_mah):
        made.observe(look * LOOK_EVERY_MS, used)
    return made


@pytest.mark.no_cover
@given(per_look=st.floats(1e-6, 10), left_mah=st.floats(0, 1e4))
def test_a_steady_drain_is_extrapolated_within_a_tenth(per_look: float, left_mah: float) -> None:
    left = gauge([per_look * look for look in range(20)]).estimate(left_mah)
    assert left is not None
    assert left.middle_s == pytest.approx(left_mah / per_look * 6 * 3600)
    assert left.low_s == pytest.approx(left.middle_s / 1.1, rel=1e-6)
    assert left.high_s == pytest.approx(left.middle_s / 0.9, rel=1e-6)


def test_an_unsteady_drain_widens_the_band() -> None:
    rng = Random(1)
    used = [0.0]
    for _ in range(30):
        used.append(used[-1] + rng.choice([0.2, 3.0]))
    left = gauge(used).estimate(100.0)
    assert left is not None
    assert left.high_s / left.low_s > 1.6


def test_it_is_silent_before_the_first_day_and_while_the_battery_fills() -> None:
    assert FuelGauge().estimate(1.0) is None
    assert gauge([0.0, 1.0, 2.0, 3.0]).estimate(1.0) is None
    assert gauge([0.0, 1.0, 2.0, 3.0, 4.0]).estimate(1.0) is not None
    assert gauge([0.0, -1.0, -2.0, -3.0, -4.0]).estimate(1.0) is None


def test_only_the_last_two_weeks_count() -> None:
    looks = HISTORY_MS // LOOK_EVERY_MS
    left = gauge([100.0 * look for look in range(50)] + [4900.0 + look for look in range(1, looks + 2)]).estimate(10.0)
    assert left is not None
    assert left.middle_s == pytest.approx(10 * 6 * 3600)


@pytest.mark.parametrize("name", ["cr2032", "2xaa-alkaline", "er14505", "18650-li-ion"])
@given(charge=st.floats(0.02, 1.0), pulse_ma=st.floats(0, 60))
def test_what_is_left_above_the_brown_out_is_found_on_the_curve(name: str, charge: float, pulse_ma: float) -> None:
    battery = Battery(name, model="ideal", state_of_charge=charge)
    left_mah = battery.mah_above_brownout(pulse_ma)
    assert 0 <= left_mah <= battery.remaining_mah + 1e-9
    stands_now = battery.loaded_voltage_mv(pulse_ma) > battery.brownout_mv
    assert (left_mah > 1e-6) <= stands_now
    if left_mah > 1:
        battery.draw("pulse", (left_mah - 0.5), HOUR_MS)
        assert battery.loaded_voltage_mv(pulse_ma) >= battery.brownout_mv - 1e-6 or battery.spec.response_ms > 0
