"""One room: the mass balance of CO2, humid air against real data, and people who drive everything."""

import csv
import statistics
from pathlib import Path

import pytest

from sensors.occupancy import Occupancy, PeopleResponse, Stay
from sensors.room import (
    CO2_OUTDOORS_PPM,
    Room,
    absolute_humidity_g_m3,
    mixing_ratio,
    relative_humidity_percent,
    saturation_pressure_pa,
)
from sensors.signals import MS_PER_DAY, MS_PER_HOUR, Constant, SignalError, weekday

OFFICE = Path(__file__).parent / "data" / "office_room_2015_excerpt.csv"
MONDAY = 20_605  # 2026-06-01
NOBODY = Occupancy(1, 0)
ALWAYS = Occupancy(
    1, 1, arrive_hour=0, lunch_hour=12, lunch_h=0, leave_hour=24, spread_h=0, presence=1, workdays=(0, 1, 2, 3, 4, 5, 6)
)


def room(occupancy: Occupancy, volume_m3: float = 50.0, air_changes_per_h: float = 1.5) -> Room:
    return Room(
        occupancy=occupancy,
        base_cel=Constant(21.0),
        outdoor_cel=Constant(10.0),
        outdoor_humidity=Constant(80.0),
        daylight_lx=Constant(0.0),
        volume_m3=volume_m3,
        air_changes_per_h=air_changes_per_h,
    )


def at(hour: float, day: int = MONDAY) -> int:
    return day * MS_PER_DAY + round(hour * MS_PER_HOUR)


def test_monday_is_a_monday() -> None:
    assert weekday(MONDAY) == 0


def test_fifteen_cfm_per_person_settles_700_ppm_above_outdoors() -> None:
    """Source: ASHRAE 62-2001, appendix C: 7.5 l/s (15 cfm) per person keeps CO2 about 700 ppm above outdoors."""
    per_h = 7.5 * 3.6 / 50.0
    assert room(ALWAYS, air_changes_per_h=per_h).co2.value(at(12)) - CO2_OUTDOORS_PPM == pytest.approx(700, rel=0.02)


def test_co2_falls_by_the_air_change_rate_when_people_have_left() -> None:
    """Source: ASTM D6245, tracer gas decay: ln(C1/C2) of the excess over time is the air change rate."""
    occupancy = Occupancy(3, 3, spread_h=0.0, presence=1.0, lunch_h=0.0)
    co2 = room(occupancy, air_changes_per_h=2.0).co2
    first, second = (co2.value(at(hour)) - CO2_OUTDOORS_PPM for hour in (17.5, 18.5))
    assert first / second == pytest.approx(2.718281828**2, rel=1e-6)


def test_the_response_to_people_solves_its_differential_equation() -> None:
    occupancy = Occupancy(8, 5)
    response = PeopleResponse(occupancy, gain_per_s=0.25, tau_s=2_700.0)
    simulated = 0.0
    for second in range(15 * 3_600):
        now_ms = at(0) + second * 1_000
        simulated += 0.25 * occupancy.value(now_ms) - simulated / 2_700.0
    assert response.value(at(15)) == pytest.approx(simulated, rel=1e-3)
    peak = max(response.value(at(hour / 4)) for hour in range(96))
    assert peak > 500


def test_the_humidity_ratio_of_real_air_comes_out() -> None:
    """The data set computed its humidity ratio from temperature and humidity near sea level; tolerance 0.5 %."""
    with OFFICE.open(newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    for row in rows:
        assert mixing_ratio(float(row[2]), float(row[3]), 101_325.0) == pytest.approx(float(row[6]), rel=0.005)


@pytest.mark.parametrize(("cel", "hpa"), [(0.0, 6.11), (20.0, 23.4), (25.0, 31.7), (40.0, 73.8)])
def test_saturation_pressure_is_that_of_the_tables(cel: float, hpa: float) -> None:
    """Source: WMO-No. 49 tables, as in most handbooks; tolerance 0.5 %."""
    assert saturation_pressure_pa(cel) == pytest.approx(hpa * 100, rel=0.005)


def test_saturated_air_at_20_cel_holds_17_3_grams() -> None:
    assert absolute_humidity_g_m3(20.0, 100.0) == pytest.approx(17.3, abs=0.1)


def test_relative_and_absolute_humidity_are_inverse_and_condense_at_100() -> None:
    assert relative_humidity_percent(23.0, absolute_humidity_g_m3(23.0, 41.5)) == pytest.approx(41.5)
    assert relative_humidity_percent(5.0, absolute_humidity_g_m3(23.0, 60.0)) == 100.0


def test_an_empty_room_has_outdoor_air_at_its_own_temperature() -> None:
    empty = room(NOBODY)
    assert empty.co2.value(at(12)) == CO2_OUTDOORS_PPM
    assert empty.temperature.value(at(12)) == 21.0
    expected = relative_humidity_percent(21.0, absolute_humidity_g_m3(10.0, 80.0))
    assert empty.humidity.value(at(12)) == pytest.approx(expected)
    assert empty.light.value(at(12)) == 0.0
    assert empty.door.value(at(12)) == 1.0


def test_people_raise_co2_warmth_moisture_and_switch_the_lamps_on() -> None:
    office = room(Occupancy(3, 3, spread_h=0.0, presence=1.0))
    for signal, rise in ((office.co2, 300), (office.temperature, 0.5), (office.humidity, 3)):
        assert signal.value(at(11)) - signal.value(at(8)) > rise
    assert (office.light.value(at(8)), office.light.value(at(11))) == (0.0, 450.0)


def test_the_door_opens_when_somebody_comes_or_goes() -> None:
    occupancy = Occupancy(3, 1, spread_h=0.0, presence=1.0)
    door = room(occupancy).door
    stay = occupancy.stays(MONDAY)[0]
    assert stay == Stay(at(8.5), at(12.25))
    seen = [door.value(stay.start_ms + offset) for offset in (-1, 0, 19_999, 20_000)]
    assert seen == [1.0, 0.0, 0.0, 1.0]
    assert door.value(stay.end_ms) == 0.0


def test_nobody_comes_at_the_weekend_and_some_stay_away_on_workdays() -> None:
    occupancy = Occupancy(9, 10, presence=0.8)
    assert occupancy.stays(MONDAY + 5) == occupancy.stays(MONDAY + 6) == ()
    workdays = [day for day in range(MONDAY, MONDAY + 700) if weekday(day) < 5]
    present = statistics.fmean(occupancy.value(at(11, day)) for day in workdays)
    assert present == pytest.approx(8.0, abs=0.3)


def test_local_hours_shift_the_day() -> None:
    east = Occupancy(3, 1, spread_h=0.0, presence=1.0, utc_offset_s=7_200)
    assert east.stays(MONDAY)[0].start_ms == at(6.5)


def test_stays_never_reach_into_another_day() -> None:
    wild = Occupancy(3, 20, spread_h=9.0)
    for day in range(MONDAY, MONDAY + 30):
        assert all(at(0, day) <= stay.start_ms < stay.end_ms <= at(24, day) for stay in wild.stays(day))


@pytest.mark.parametrize(
    ("parameter", "changes"),
    [("people", {"people": -1}), ("presence", {"presence": 1.1}), ("hours", {"leave_hour": 9.0})],
)
def test_senseless_people_are_refused_by_name(parameter: str, changes: dict[str, float]) -> None:
    settings: dict[str, float] = {"people": 1} | changes
    with pytest.raises(SignalError, match=parameter):
        Occupancy(1, **settings)  # type: ignore[arg-type]


def test_a_room_without_volume_is_refused() -> None:
    with pytest.raises(SignalError, match="volume_m3"):
        room(NOBODY, volume_m3=0.0)
