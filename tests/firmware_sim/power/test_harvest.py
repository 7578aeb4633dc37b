"""Lamp, panel and charger."""

import pytest

from firmware_sim.power import Harvester, PowerValueError, indoor_w_m2


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


@pytest.mark.parametrize(("area", "efficiency", "field"), [(0.0, 0.2, "area_cm2"), (1.0, 1.2, "panel_efficiency")])
def test_a_panel_that_cannot_be_is_refused(area: float, efficiency: float, field: str) -> None:
    with pytest.raises(PowerValueError, match=field):
        Harvester(area, efficiency)
