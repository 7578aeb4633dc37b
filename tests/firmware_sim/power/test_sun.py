"""The sun on a panel: published figures, and what every panel does."""

import builtins
from itertools import pairwise
from typing import Any

import pytest

from firmware_sim.build import FleetError, check_fleet
from firmware_sim.config import FleetConfig
from firmware_sim.power import sun
from firmware_sim.power.sun import STEP_MS, Panel, haurwitz_w_m2

JUNE_MS, DECEMBER_MS = 1_718_841_600_000, 1_734_652_800_000  # 2024-06-20 and 2024-12-20, 00:00 UTC
DAY = 96  # quarter hours
MUNICH = {"latitude_deg": 48.1, "longitude_deg": 11.6}


def over_munich(
    tilt_deg: float = 0.0, azimuth_deg: float = 180.0, altitude_m: float = 0.0, model: sun.ClearSky = "ineichen"
) -> Panel:
    return Panel(48.1, 11.6, altitude_m, tilt_deg, azimuth_deg, model)


def day_wh_m2(panel: Panel, start_ms: int) -> float:
    return sum(panel.light_w_m2(start_ms + n * STEP_MS) for n in range(DAY)) / 4


def brightest_hour(panel: Panel, start_ms: int) -> float:
    return max(range(DAY), key=lambda n: panel.light_w_m2(start_ms + n * STEP_MS)) / 4


@pytest.mark.parametrize(
    ("elevation_deg", "w_m2"), [(5, 48.63), (10, 135.74), (30, 487.89), (50, 778.77), (90, 1035.09)]
)
def test_a_clear_sky_gives_what_haurwitz_says(elevation_deg: float, w_m2: float) -> None:
    """Haurwitz 1945, values of pvlib's own test; within 0.01 W/m2."""
    assert haurwitz_w_m2(elevation_deg) == pytest.approx(w_m2, abs=0.01)


def test_a_flat_panel_under_haurwitz_sees_his_light_at_the_suns_height() -> None:
    """Midsummer noon at 51.5 N: elevation 90 - 51.5 + 23.44 degrees (Astronomical Almanac); within 1 %."""
    panel = Panel(51.5, 0.0, clear_sky="haurwitz")
    noon = panel.light_w_m2(JUNE_MS + 12 * 3_600_000)
    assert noon == pytest.approx(haurwitz_w_m2(90 - 51.5 + 23.44), rel=0.01)


@pytest.mark.parametrize("model", ["ineichen", "haurwitz"])
def test_it_is_dark_at_night_and_brighter_in_summer(model: sun.ClearSky) -> None:
    flat = over_munich(model=model)
    assert flat.light_w_m2(JUNE_MS) == 0.0
    assert day_wh_m2(flat, JUNE_MS) > 4 * day_wh_m2(flat, DECEMBER_MS) > 0


def test_both_skies_agree_on_a_summer_day_within_a_seventh() -> None:
    days = [day_wh_m2(over_munich(), JUNE_MS), day_wh_m2(over_munich(model="haurwitz"), JUNE_MS)]
    assert days[0] == pytest.approx(days[1], rel=1 / 7)


def test_a_tilted_panel_that_looks_south_gains_in_winter_and_a_northern_one_loses() -> None:
    turned = ((0, 180), (60, 180), (60, 0))
    flat, south, north = (day_wh_m2(over_munich(tilt, azimuth), DECEMBER_MS) for tilt, azimuth in turned)
    assert south > 2 * flat
    assert north < flat / 2


def test_a_panel_that_looks_east_is_brightest_in_the_morning() -> None:
    hours = [brightest_hour(over_munich(70, a), JUNE_MS) for a in (90, 180, 270)]
    assert all(b - a > 2 for a, b in pairwise(hours))


def test_higher_places_see_more_sun() -> None:
    low, high = (day_wh_m2(over_munich(altitude_m=h), JUNE_MS) for h in (0.0, 3000.0))
    assert high > 1.03 * low


def solar_fleet() -> FleetConfig:
    sensors = [{"name": "t", "unit": "Cel", "signal": {"kind": "constant", "value": 1}}]
    group: dict[str, Any] = {"name": "d", "sensors": sensors, "harvest": {"kind": "solar", "area_cm2": 4}}
    group["battery"] = {"cell": "18650-li-ion", "board": "maudet-lorawan"}
    return FleetConfig.model_validate({"place": MUNICH, "devices": [group]})


def test_without_pvlib_a_solar_fleet_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pvlib":
            raise ImportError(name)
        return usual(name, *args, **kwargs)

    sun._pvlib.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    try:
        with pytest.raises(FleetError, match=r"needs pvlib.*pip install .tidegate\[solar\]"):
            check_fleet(solar_fleet())
    finally:
        sun._pvlib.cache_clear()
    monkeypatch.undo()
    check_fleet(solar_fleet())
