"""The transducer: t63, tolerance, noise, saturation and quantisation as the datasheet says."""

import math
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.catalogue import Quantity, load_parts
from sensors.transducer import TimeWentBackError, Transducer, quantise

PLAIN = Quantity("x", "Cel", -40.0, 125.0, 1e-6, 0.0, 0.0, None, None, 0.0)
SLOW = replace(PLAIN, response_t63_s=8.0)


def test_a_step_is_answered_to_63_percent_after_t63() -> None:
    part = Transducer(SLOW, 1)
    part.measure(0, 0.0)
    part.measure(1, 100.0)
    assert part.measure(8_001, 100.0) == pytest.approx(63.2, abs=0.1)
    assert part.measure(80_001, 100.0) == pytest.approx(100.0, abs=0.01)


def test_a_ramp_is_followed_one_t63_late() -> None:
    part = Transducer(SLOW, 1)
    readings = [part.measure(second * 1_000, second / 10) for second in range(0, 101, 7)]
    assert readings[-1] == pytest.approx((98 - 8) / 10, abs=1e-4)


def test_a_ramp_is_answered_the_same_however_often_it_is_sampled() -> None:
    often, seldom = Transducer(SLOW, 1), Transducer(SLOW, 1)
    readings = [often.measure(ms, ms / 100) for ms in range(0, 5_001, 50)]
    seldom.measure(0, 0.0)
    assert seldom.measure(5_000, 50.0) == pytest.approx(readings[-1], abs=1e-5)


def test_two_readings_at_one_instant_are_the_same() -> None:
    part = Transducer(replace(SLOW, noise_rms=1.0), 1)
    part.measure(0, 5.0)
    assert part.measure(1_000, 9.0) == part.measure(1_000, 9.0)


def test_the_first_reading_finds_the_part_settled() -> None:
    assert Transducer(SLOW, 1).measure(123, 21.5) == 21.5


def test_an_individual_keeps_its_tolerance_and_individuals_differ() -> None:
    quantity = replace(PLAIN, accuracy_abs=0.5)
    first, again, other = Transducer(quantity, 1), Transducer(quantity, 1), Transducer(quantity, 2)
    assert first.measure(0, 20.0) - 20.0 == pytest.approx(first.measure(9_000, 30.0) - 30.0, abs=1e-5)
    assert first.measure(10_000, 20.0) == again.measure(10_000, 20.0) != other.measure(10_000, 20.0)


@given(st.integers())
def test_no_individual_is_outside_the_tolerance_of_its_datasheet(seed: int) -> None:
    co2 = load_parts()["SCD41"].quantity("co2")
    part = Transducer(replace(co2, noise_rms=None), seed)
    assert abs(part.measure(0, 800.0) - 800.0) <= 50 + 0.025 * 800 + co2.resolution / 2


def test_tolerances_of_many_individuals_spread_as_two_sigma() -> None:
    quantity = replace(PLAIN, accuracy_abs=2.0, accuracy_rel=0.02)
    parts = [Transducer(quantity, seed) for seed in range(4_000)]
    for tolerances in ([part.offset / 2.0 for part in parts], [(part.gain - 1) / 0.02 for part in parts]):
        assert statistics.fmean(tolerances) == pytest.approx(0, abs=0.03)
        # A normal of deviation 1/2, cut at 1: a little narrower than 1/2.
        assert statistics.pstdev(tolerances) == pytest.approx(0.48, abs=0.02)
    correlation = statistics.correlation([part.offset for part in parts], [part.gain for part in parts])
    assert correlation == pytest.approx(0, abs=0.07)


def test_repeated_readings_have_the_stated_noise() -> None:
    quantity = load_parts()["SHT31"].quantity("temperature")
    part = Transducer(quantity, 4)
    readings = [part.measure(at_ms, 21.0) for at_ms in range(0, 4_000_000, 1_000)]
    expected = math.hypot(quantity.noise_rms or 0, quantity.resolution / math.sqrt(12))
    assert statistics.pstdev(readings) == pytest.approx(expected, rel=0.06)


def test_noise_is_not_white_by_accident_of_the_order_of_asking() -> None:
    quantity = replace(PLAIN, noise_rms=1.0)
    often, seldom = Transducer(quantity, 4), Transducer(quantity, 4)
    every = {at_ms: often.measure(at_ms, 20.0) for at_ms in range(0, 10_000, 100)}
    assert all(seldom.measure(at_ms, 20.0) == every[at_ms] for at_ms in range(0, 10_000, 1_000))


@given(st.floats(-1e9, 1e9), st.sampled_from([q for part in load_parts().values() for q in part.quantities.values()]))
def test_a_reading_is_in_range_and_a_whole_number_of_steps(value: float, quantity: Quantity) -> None:
    reading = quantise(value, quantity)
    assert quantity.low <= reading <= quantity.high
    if quantity.low < value < quantity.high:
        assert abs(reading - value) <= quantity.resolution * 0.5001 + 1e-9
        if reading not in (quantity.low, quantity.high):
            # Readings are tidied to nine decimals.
            assert (
                abs(reading / quantity.resolution - round(reading / quantity.resolution)) * quantity.resolution < 1e-8
            )


def test_readings_carry_no_float_dust() -> None:
    humidity = load_parts()["SHT31"].quantity("humidity")
    assert all(len(repr(quantise(step / 100 + 0.001, humidity))) <= 5 for step in range(10_000))


def test_ds18b20_steps_by_a_sixteenth() -> None:
    assert quantise(21.09, load_parts()["DS18B20"].quantity("temperature")) == 21.0625


def test_time_that_goes_back_is_refused() -> None:
    part = Transducer(PLAIN, 1)
    part.measure(1_000, 1.0)
    with pytest.raises(TimeWentBackError, match="expected 1000 or later, found 999"):
        part.measure(999, 1.0)
