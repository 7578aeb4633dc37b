"""Sun, lamp, panel."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.power import Harvester, PowerValueError, clear_sky_w_m2, indoor_w_m2, solar_elevation_deg

SOLSTICE_MS = 1_718_884_800_000  # 2024-06-20 12:00 UTC


@pytest.mark.parametrize(
    ("elevation_deg", "w_m2"), [(5, 48.63), (10, 135.74), (30, 487.89), (50, 778.77), (90, 1035.09)]
)
def test_a_clear_sky_gives_what_haurwitz_says(elevation_deg: float, w_m2: float) -> None:
    """Haurwitz 1945, values of pvlib's own test; within 0.01 W/m2."""
    assert clear_sky_w_m2(elevation_deg) == pytest.approx(w_m2, abs=0.01)


@pytest.mark.parametrize("elevation_deg", [0.0, -0.5, -90.0])
def test_no_sun_gives_no_light(elevation_deg: float) -> None:
    assert clear_sky_w_m2(elevation_deg) == 0.0


def test_the_sun_stands_where_nrel_says() -> None:
    """NREL SPA, worked example (Reda and Andreas 2003): 2003-10-17 19:30:30 UT, 39.742476 N, 105.1786 W: zenith
    50.11162 with 0.016 degrees of refraction; within 0.03 degrees."""
    assert solar_elevation_deg(1_066_419_030_000, 39.742476, -105.1786) == pytest.approx(90 - 50.11162, abs=0.03)


def test_midsummer_noon_stands_at_the_tropic_and_midnight_is_dark() -> None:
    """At the solstice the sun's declination is 23.44 degrees (Astronomical Almanac); within 0.1 degrees near noon."""
    assert solar_elevation_deg(SOLSTICE_MS, 51.5, 0.0) == pytest.approx(90 - 51.5 + 23.44, abs=0.1)
    assert solar_elevation_deg(SOLSTICE_MS + 43_200_000, 51.5, 0.0) == pytest.approx(23.44 - 38.5, abs=0.1)


@given(st.integers(0, 4_000_000_000_000), st.floats(-90, 90), st.floats(-180, 180))
@settings(deadline=None)
def test_the_sun_is_never_higher_than_latitude_allows(at_ms: int, latitude: float, longitude: float) -> None:
    elevation = solar_elevation_deg(at_ms, latitude, longitude)
    assert -90 <= elevation <= min(90.0, 90 - abs(latitude) + 23.5) + 1e-9


def test_a_place_off_the_globe_is_refused() -> None:
    with pytest.raises(PowerValueError, match="latitude"):
        solar_elevation_deg(0, 91.0, 0.0)


def test_a_small_panel_in_full_sun_gives_its_share() -> None:
    """By definition: 1000 W/m2 on 10 cm2 at 20 % is 200 mW; at 85 % into 4 V that is 42.5 mA."""
    panel = Harvester(area_cm2=10.0, panel_efficiency=0.2, charger_efficiency=0.85)
    assert panel.panel_mw(1000.0) == pytest.approx(200.0)
    assert panel.current_ma(1000.0, 4000.0) == pytest.approx(42.5)
    assert panel.current_ma(1000.0, 4000.0, sky=0.1) == pytest.approx(4.25)


def test_an_office_lamp_gives_some_tens_of_microwatt() -> None:
    """200 lux of white light is about 60 uW/cm2; 13 cm2 of amorphous silicon at 7 % make 55 uW of it; within 10 %."""
    assert indoor_w_m2(200.0) * 100 == pytest.approx(60, rel=0.1)
    assert Harvester(13.25, 0.07).panel_mw(indoor_w_m2(200.0)) * 1000 == pytest.approx(55, rel=0.1)


def test_the_same_lux_of_daylight_carries_more_power_than_a_lamps() -> None:
    assert indoor_w_m2(500.0, "daylight") > 2.5 * indoor_w_m2(500.0, "white_led")
    with pytest.raises(PowerValueError, match="lamp"):
        indoor_w_m2(500.0, "candle")


def test_a_charger_does_not_start_in_the_dusk() -> None:
    panel = Harvester(10.0, 0.2, start_mw=0.5)
    assert panel.current_ma(2.4, 4000.0) == 0.0
    assert panel.current_ma(2.6, 4000.0) > 0.0


def test_a_summer_day_gives_more_than_a_winter_day() -> None:
    panel = Harvester(20.0, 0.18)

    def day_mah(start_ms: int) -> float:
        return sum(panel.sun_current_ma(start_ms + hour * 3_600_000, 48.0, 11.0, 3800.0) for hour in range(24))

    summer, winter = day_mah(1_718_841_600_000), day_mah(1_734_652_800_000)
    assert summer > 4 * winter > 0


@pytest.mark.parametrize(("area", "efficiency", "field"), [(0.0, 0.2, "area_cm2"), (1.0, 1.2, "panel_efficiency")])
def test_a_panel_that_cannot_be_is_refused(area: float, efficiency: float, field: str) -> None:
    with pytest.raises(PowerValueError, match=field):
        Harvester(area, efficiency)
