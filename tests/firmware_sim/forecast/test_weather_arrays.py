"""The weather of many lives has the law of the fleet's own place."""

import numpy as np
import pytest

from firmware_sim.forecast.cell_arrays import Floats
from firmware_sim.forecast.weather_arrays import WeatherDays, Year
from firmware_sim.power_config import IndoorConfig, PlaceConfig, SolarConfig
from firmware_sim.surroundings import Panel, Surroundings

START_MS = 1_767_225_600_000  # 2026-01-01
DAY_MS = 86_400_000
PLACE = PlaceConfig.model_validate(
    {
        "latitude_deg": 48.0,
        "longitude_deg": 11.0,
        "ambient": {"mean_c": 10, "season_c": 9, "day_c": 4, "weather_c": 4},
        "sky": {"clear_share": 0.5, "day_spread": 0.2},
    }
)
SOLAR = SolarConfig(kind="solar", area_cm2=10.0)


def days(count: int, lives: int = 50) -> list[tuple[Floats, Floats, Floats]]:
    year = Year.at(PLACE, SOLAR, START_MS)
    weather = WeatherDays(PLACE, year, lives, np.random.default_rng(1), clouds=True)
    return [weather.day(day) for day in range(count)]


@pytest.mark.no_cover
def test_the_year_is_the_one_that_the_devices_live_in() -> None:
    still = PLACE.model_copy(update={"ambient": PLACE.ambient.model_copy(update={"weather_c": 0.0})})
    year = Year.at(still, SOLAR, START_MS)
    around = Surroundings(still, 1, Panel.of(SOLAR))
    for day, hour in ((0, 3), (100, 12), (200, 15), (364, 23)):
        middle_ms = START_MS + day * DAY_MS + hour * 3_600_000 + 1_800_000
        assert year.temperature_c[day, hour] == pytest.approx(around.temperature_c(middle_ms), abs=1e-9)
    assert year.temperature_c.max() == pytest.approx(10 + 9 + 4, abs=0.2)
    assert year.light_w_m2[172].sum() > 3 * year.light_w_m2[355].sum()
    assert year.light_w_m2[172, 11] > 800
    assert year.light_w_m2[172, 0] == 0


def test_lamps_burn_on_workdays() -> None:
    lamp = IndoorConfig(kind="indoor", area_cm2=5.0, illuminance_lux=330.0, from_hour=8, to_hour=18)
    year = Year.at(PLACE, lamp, START_MS)  # 1 January 2026 is a Thursday
    assert year.light_w_m2[0].tolist() == [0.0] * 8 + [1.0] * 10 + [0.0] * 6
    assert year.light_w_m2[2].sum() == year.light_w_m2[3].sum() == 0


@pytest.mark.no_cover
def test_fronts_and_clouds_have_the_mean_and_spread_that_the_place_gives() -> None:
    seen = days(365)
    temperature = np.array([each[0] for each in seen])
    base = Year.at(PLACE, SOLAR, START_MS).temperature_c[:, :, None]
    deviation = temperature - base
    assert deviation.mean() == pytest.approx(0.0, abs=0.2)
    assert deviation.std() == pytest.approx(4.0, rel=0.05)
    share = np.array([each[2] for each in seen])
    assert share.mean() == pytest.approx(0.5, abs=0.02)
    assert share.std() == pytest.approx(0.2, rel=0.1)
    assert 0.05 <= share.min() <= share.max() <= 1.0


def test_a_front_stays_for_days_as_those_of_the_fleet_do() -> None:
    daily = np.array([each[0].mean(axis=0) for each in days(365)]) - 10
    season = Year.at(PLACE, SOLAR, START_MS).temperature_c.mean(axis=1)[:, None] - 10
    ours = (daily - season)[:, 0]
    around = Surroundings(PLACE, 1)
    hours = range(START_MS + 12 * 3_600_000, START_MS + 365 * DAY_MS, DAY_MS)
    theirs = np.array([around.temperature_c(at) for at in hours])
    theirs = theirs - (season[:, 0] + 10)
    lag = [float(np.corrcoef(each[:-1], each[1:])[0, 1]) for each in (ours, theirs - theirs.mean())]
    assert lag[0] == pytest.approx(lag[1], abs=0.15)
    assert lag[0] > 0.5
