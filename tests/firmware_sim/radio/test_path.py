"""Path loss, link budget, error rate and movement."""

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.radio.errors import RadioSettingError
from firmware_sim.radio.path import LORASIM, Budget, LogDistance, Movement, Waypoint, packet_error_rate


def test_lorasim_loses_127_41_db_at_40_m_and_20_8_db_more_per_decade() -> None:
    """Bor et al., MSWiM 2016: 127.41 dB at 40 m, n 2.08; 1e-9."""
    assert LORASIM.mean_loss_db(40) == pytest.approx(127.41, abs=1e-9)
    assert LORASIM.mean_loss_db(400) == pytest.approx(127.41 + 20.8, abs=1e-9)


def test_the_model_is_flat_below_its_reference_distance() -> None:
    assert LORASIM.mean_loss_db(0) == LORASIM.mean_loss_db(39.9) == 127.41


def test_shadowing_has_the_stated_spread() -> None:
    """N(0, s): 20,000 draws, mean within 0.1 dB, deviation within 2 %."""
    rng = random.Random(5)
    draws = [LORASIM.draw_shadowing_db(rng) for _ in range(20_000)]
    assert statistics.fmean(draws) == pytest.approx(0, abs=0.1)
    assert statistics.stdev(draws) == pytest.approx(3.57, rel=0.02)


@given(st.floats(40, 100_000))
def test_range_is_the_inverse_of_loss(distance_m: float) -> None:
    assert LORASIM.range_m(LORASIM.mean_loss_db(distance_m)) == pytest.approx(distance_m)


def test_sf12_reaches_about_2_2_times_as_far_as_sf9_in_lorasims_suburb() -> None:
    """7 dB at n 2.08 is 10^(7/20.8) = 2.17."""
    assert LORASIM.range_m(14 + 137) / LORASIM.range_m(14 + 130) == pytest.approx(2.17, abs=0.01)


def test_a_budget_adds_up() -> None:
    budget = Budget(tx_power_dbm=14, noise_dbm=-117, antenna_gains_db=2)
    assert budget.rssi_dbm(130) == -114
    assert budget.snr_db(130) == 3


def test_error_rate_at_the_sensitivity_is_its_definition() -> None:
    assert packet_error_rate(-96, -96, 376, 376, 0.31) == pytest.approx(0.31)


@given(st.floats(-120, -40), st.integers(8, 10_000))
def test_error_rate_falls_with_signal_and_rises_with_length(rssi_dbm: float, bits: int) -> None:
    rate = packet_error_rate(rssi_dbm, -96, bits, 376, 0.31)
    assert packet_error_rate(rssi_dbm + 1, -96, bits, 376, 0.31) <= rate <= 1
    assert packet_error_rate(rssi_dbm, -96, bits + 100, 376, 0.31) >= rate


def test_a_few_db_separate_dead_from_clean() -> None:
    assert packet_error_rate(-103, -96, 376, 376, 0.31) > 0.99
    assert packet_error_rate(-91, -96, 376, 376, 0.31) < 1e-6


def test_a_truck_moves_evenly_between_waypoints_and_stands_at_the_ends() -> None:
    track = Movement([Waypoint(1_000, 0, 0), Waypoint(11_000, 300, 400)])
    assert track.position_m(0) == (0, 0)
    assert track.position_m(6_000) == (150, 200)
    assert track.position_m(20_000) == (300, 400)
    assert track.distance_m(6_000, 0, 0) == 250
    assert track.speed_m_per_s(6_000) == pytest.approx(50)


@pytest.mark.parametrize("points", [[], [Waypoint(5, 0, 0), Waypoint(5, 1, 1)]])
def test_a_track_without_order_is_refused(points: list[Waypoint]) -> None:
    with pytest.raises(RadioSettingError, match="waypoints"):
        Movement(points)


@pytest.mark.parametrize(("field", "kwargs"), [("reference_m", {"reference_m": 0}), ("exponent", {"exponent": 0})])
def test_an_impossible_path_is_refused(field: str, kwargs: dict[str, float]) -> None:
    with pytest.raises(RadioSettingError, match=field):
        LogDistance(**({"reference_loss_db": 40, "reference_m": 1, "exponent": 2} | kwargs))
