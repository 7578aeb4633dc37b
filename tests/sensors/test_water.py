"""Water use: the meter is the integral of the flow, and each day has its litres."""

import pytest

from sensors.signals import MS_PER_DAY, MS_PER_HOUR, SignalError
from sensors.water import MeterVolume, WaterUse

START_MS = 20_605 * MS_PER_DAY
USE = WaterUse(4, litres_per_day=120.0, draws_per_day=30)


@pytest.mark.no_cover
def test_the_meter_is_the_integral_of_the_flow() -> None:
    meter = MeterVolume(USE, START_MS)
    flows = [USE.value(START_MS + second * 1_000) for second in range(86_400)]
    assert sum(flows) == pytest.approx(120.0, rel=0.02)
    assert meter.value(START_MS + MS_PER_DAY) == pytest.approx(120.0)
    noon_ms = START_MS + 12 * MS_PER_HOUR
    assert meter.value(noon_ms) == pytest.approx(sum(flows[:43_200]), abs=2.0)


def test_the_meter_never_goes_back_and_stands_at_night() -> None:
    meter = MeterVolume(USE, START_MS)
    readings = [meter.value(START_MS + minute * 60_000) for minute in range(-60, 3 * 1_440)]
    assert readings == sorted(readings)
    assert readings[0] == 0.0
    assert all(USE.value(START_MS + hour * MS_PER_HOUR) == 0.0 for hour in (0, 1, 5, 22, 23))
    assert meter.value(START_MS + 1_000 * MS_PER_DAY) == pytest.approx(120_000.0)


def test_a_flow_that_cannot_give_the_litres_is_refused() -> None:
    with pytest.raises(SignalError, match="flow_l_s"):
        WaterUse(1, litres_per_day=10_000.0)
    with pytest.raises(SignalError, match="draws_per_day"):
        WaterUse(1, draws_per_day=0)
    with pytest.raises(SignalError, match="last_hour"):
        WaterUse(1, first_hour=23.0)
