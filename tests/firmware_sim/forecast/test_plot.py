"""The picture: every axis with its unit, every variant in the legend, and the same file each time."""

import re
from pathlib import Path

import pytest
from msgspec import structs

from firmware_sim.forecast import load
from firmware_sim.forecast.engine import run_block
from firmware_sim.forecast.plan import Variant, plan_forecast, summarise
from firmware_sim.forecast.plot import PlotFileError, save_plot
from firmware_sim.forecast.report import TypeForecast
from firmware_sim.forecast.what_if import what_if
from tests.firmware_sim.forecast.fleets import fleet

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def forecasts() -> tuple[TypeForecast, ...]:
    small = {"battery": {"cell": "er14505", "board": "maudet-lorawan", "state_of_charge": 0.08}}
    config = fleet(small)
    variants = [Variant("as it is", config), what_if(config, "interval_s=10800"), what_if(config, "capacity_mah=9000")]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(load, "WAKE_UPS_MAX", 100)  # to be drawn, a load need not be sampled well
        plan = plan_forecast(variants, years=0.5, runs=40)
    return summarise(plan, [run_block(block) for block in plan.blocks])


def test_a_drawing_says_what_it_shows(forecasts: tuple[TypeForecast, ...], tmp_path: Path) -> None:
    first, again = tmp_path / "1.svg", tmp_path / "2.svg"
    save_plot(forecasts, first)
    save_plot(forecasts, again)
    assert first.read_bytes() == again.read_bytes()
    drawn = first.read_text(encoding="utf-8")
    assert not re.search(r'id="[a-z][0-9a-f]{10}"', drawn), "a hashed name is another one on another machine"
    texts = ("lifetime (days)", "lives per bin", "share of devices (%)", "share of all charge (%)", "interval_s=10800")
    for text in texts:
        assert f"<!-- {text} -->" in drawn


def test_a_battery_that_cannot_even_start_drains_nothing(forecasts: tuple[TypeForecast, ...], tmp_path: Path) -> None:
    stillborn = structs.replace(forecasts[0], variant="stillborn", drain_percent={})
    save_plot((forecasts[0], stillborn), tmp_path / "plot.svg")
    drawn = (tmp_path / "plot.svg").read_text(encoding="utf-8")
    assert "<!-- stillborn -->" in drawn
    shares = sum(share for share in forecasts[0].drain_percent.values() if share < 1.0)
    assert ("<!-- other -->" in drawn) == (shares >= 0.1)


def test_a_picture_is_a_png(forecasts: tuple[TypeForecast, ...], tmp_path: Path) -> None:
    save_plot(forecasts, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(PNG)
    with pytest.raises(PlotFileError, match=r"expected a name that ends in \.png or \.svg"):
        save_plot(forecasts, tmp_path / "plot.pdf")
