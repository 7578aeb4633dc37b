"""Plain signals: cycles peak where they should, steps step, sums sum."""

import math
from datetime import UTC, datetime

import pytest

from sensors.signals import (
    Clamped,
    Constant,
    DailyCycle,
    Daylight,
    Scaled,
    SeasonalCycle,
    SignalError,
    Steps,
    Sum,
    local_day,
    require_not_negative,
    require_positive,
    weekday,
)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_a_daily_cycle_peaks_at_its_local_hour_each_day() -> None:
    cycle = DailyCycle(4.0, peak_hour=15.0, utc_offset_s=3600)
    assert cycle.value(ms("2026-03-01T14:00")) == pytest.approx(4.0)
    assert cycle.value(ms("2026-03-02T14:00")) == pytest.approx(4.0)
    assert cycle.value(ms("2026-03-02T02:00")) == pytest.approx(-4.0)


def test_a_seasonal_cycle_peaks_in_july_also_after_decades() -> None:
    cycle = SeasonalCycle(9.0)
    for year in (1971, 2026, 2060):
        assert cycle.value(ms(f"{year}-07-20T00:00")) == pytest.approx(9.0, abs=0.01)
        assert cycle.value(ms(f"{year}-01-18T00:00")) == pytest.approx(-9.0, abs=0.01)


def test_days_and_weekdays_are_local() -> None:
    day, hour = local_day(ms("2026-06-01T23:30"), 3600)
    assert weekday(day) == datetime(2026, 6, 2, tzinfo=UTC).weekday()
    assert hour == 0.5


def test_daylight_is_dark_at_night_and_brightest_at_noon() -> None:
    light = Daylight(1000.0)
    assert light.value(ms("2026-06-01T05:59")) == 0
    assert light.value(ms("2026-06-01T12:00")) == pytest.approx(1000.0)
    assert light.value(ms("2026-06-01T18:00")) == 0


def test_steps_hold_each_level_from_its_instant_on() -> None:
    steps = Steps(1.0, ((100, 2.0), (200, 3.0)))
    assert [steps.value(at_ms) for at_ms in (0, 99, 100, 199, 200, 10_000)] == [1, 1, 2, 2, 3, 3]


def test_signals_add_scale_and_clamp() -> None:
    total = Sum((Constant(20.0), Scaled(Constant(2.0), 3.0, 1.0)))
    assert total.value(5) == 27.0
    assert Clamped(total, high=25.0).value(5) == 25.0
    assert Clamped(total, low=30.0).value(5) == 30.0
    assert Clamped(total).value(5) == 27.0


def test_senseless_parameters_are_refused_by_name() -> None:
    with pytest.raises(SignalError, match="levels"):
        Steps(0.0, ((5, 1.0), (5, 2.0)))
    with pytest.raises(SignalError, match="high"):
        Clamped(Constant(1.0), low=2.0, high=1.0)
    with pytest.raises(SignalError, match="sunset_hour"):
        Daylight(1.0, sunrise_hour=9.0, sunset_hour=8.0)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(SignalError, match="tau_s"):
            require_positive(Constant(1.0), tau_s=bad)
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(SignalError, match="sigma"):
            require_not_negative(Constant(1.0), sigma=bad)
