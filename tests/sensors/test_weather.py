"""Weather fronts: a step in temperature and a dip in pressure at the same time."""

import math
import statistics

import pytest

from sensors.signals import MS_PER_DAY, MS_PER_S, SignalError
from sensors.weather import FrontPressure, WeatherFronts, temperate_outdoors

FRONTS = WeatherFronts(11, sigma=4.0, spacing_s=400_000.0, passage_s=20_000.0)


def test_the_air_changes_as_a_front_passes_and_rests_between_fronts() -> None:
    # The level just before front n, its middle, and just after: the step is even about the passage.
    for spell in range(100, 130):
        at_ms = FRONTS.passes_at_ms(spell)
        neighbours = [abs(at_ms - FRONTS.passes_at_ms(other)) for other in (spell - 1, spell + 1)]
        if min(neighbours) < 300_000 * MS_PER_S:
            continue
        before, middle, after = (FRONTS.value(round(at_ms + side * 100_000 * MS_PER_S)) for side in (-1, 0, 1))
        assert middle == pytest.approx((before + after) / 2, abs=1e-3)
        half = FRONTS.value(round(at_ms + 10_000 * MS_PER_S))
        assert (half - before) / (after - before) == pytest.approx((1 + math.tanh(1)) / 2, abs=1e-3)
        return
    pytest.fail("no front far enough from its neighbours")


def test_the_levels_of_many_spells_have_the_stated_deviation() -> None:
    levels = [FRONTS.value(round((spell + 0.5) * 400_000 * MS_PER_S)) for spell in range(3_000)]
    assert statistics.fmean(levels) == pytest.approx(0, abs=0.3)
    assert statistics.pstdev(levels) == pytest.approx(4.0, rel=0.06)


def test_fronts_are_smooth_across_the_borders_of_spells() -> None:
    for spell in range(200):
        border_ms = spell * 400_000 * MS_PER_S
        assert FRONTS.value(border_ms) == pytest.approx(FRONTS.value(border_ms - 1), abs=1e-4)


def test_pressure_is_lowest_as_the_front_passes() -> None:
    pressure = FrontPressure(FRONTS, depth_pa=1_000.0)
    for spell in range(50):
        assert pressure.value(round(FRONTS.passes_at_ms(spell))) <= -1_000.0 + 1e-6
    assert max(pressure.value(hour * 3_600_000) for hour in range(2_000)) > -20.0


def test_a_temperate_climate_is_warm_in_july_and_keeps_sea_level_pressure() -> None:
    outdoors = temperate_outdoors(1)
    july = statistics.fmean(outdoors.temperature.value((year * 365 + 200) * MS_PER_DAY) for year in range(30))
    january = statistics.fmean(outdoors.temperature.value((year * 365 + 18) * MS_PER_DAY) for year in range(30))
    # Midnight, so below the daily mean of 19 and 1 by the daily cycle.
    assert july - january == pytest.approx(18.0, abs=3.0)
    assert all(95_000 < outdoors.pressure.value(day * MS_PER_DAY) < 105_000 for day in range(365))


def test_a_passage_longer_than_a_quarter_of_a_spell_is_refused() -> None:
    with pytest.raises(SignalError, match="passage_s"):
        WeatherFronts(1, spacing_s=1_000.0, passage_s=251.0)
