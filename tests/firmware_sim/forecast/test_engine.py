"""Blocks of lives: the same each time, ended by what ends real ones, and booked in full."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from firmware_sim.config import DeviceGroup, FleetConfig
from firmware_sim.forecast import plan, weather_arrays
from firmware_sim.forecast.engine import Block, DeviceType, run_block
from firmware_sim.forecast.load import LoadProfile, measure_load
from firmware_sim.forecast.plan import device_type
from firmware_sim.power import cell
from tests.firmware_sim.forecast.fleets import NODE, fleet

LIVES = 64
SMALL = {"cell": "er14505", "board": "maudet-lorawan", "state_of_charge": 0.08}
NO_SPREAD = {"capacity": 0, "self_discharge": 0, "harvest": 0, "temperature_c": 0}


@pytest.fixture(autouse=True, scope="module")
def loads_measured_once() -> Iterator[None]:
    """Most types here draw the same: what they differ in (place, panel, charge, spread), a probe does not have."""
    measured: dict[tuple[str, bool], LoadProfile] = {}

    def measure(config: FleetConfig, group: DeviceGroup, *, is_low: bool = False) -> LoadProfile:
        told = group.model_dump_json(exclude={"place": True, "harvest": True, "battery": {"state_of_charge"}})
        if (told, is_low) not in measured:
            measured[told, is_low] = measure_load(config, group, is_low=is_low)
        return measured[told, is_low]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plan, "measure_load", measure)
        yield


def kind(change: dict[str, Any] | None = None, **top: Any) -> DeviceType:
    config = fleet(change or {"battery": SMALL}, **top)
    return device_type(config, config.devices[0])


def median_h(of: DeviceType, days: int = 400, seed: int = 1) -> float:
    ended = run_block(Block(of, LIVES, days, seed)).ended_h
    return float(np.median(np.where(ended < 0, np.inf, ended)))


@pytest.mark.no_cover
def test_a_block_is_the_same_each_time_and_another_seed_is_another_block() -> None:
    of = kind()
    first, second, other = (run_block(Block(of, LIVES, 400, seed)) for seed in (1, 1, 2))
    assert first.ended_h.tolist() == second.ended_h.tolist()
    assert (first.by_state, first.by_cell, first.left_mah) == (second.by_state, second.by_cell, second.left_mah)
    assert first.ended_h.tolist() != other.ended_h.tolist()
    assert first.ended_h.std() > 0


@pytest.mark.no_cover
def test_a_life_ends_in_the_pulse_long_before_the_cell_is_empty() -> None:
    result = run_block(Block(kind(), LIVES, 400, 1))
    assert result.browned_out.all()
    assert result.left_mah / LIVES > 0.02 * cell("er14505").capacity_mah


@pytest.mark.no_cover
def test_what_the_books_hold_left_the_cells() -> None:
    of = kind(spread=NO_SPREAD)
    result = run_block(Block(of, LIVES, 400, 1))
    gone = LIVES * SMALL["state_of_charge"] * of.spec.capacity_mah - result.left_mah  # type: ignore[operator]
    booked = math.fsum(result.by_state.values()) + result.by_cell["self_discharge"]
    day_mah = 24 * LIVES * of.load.mean_ma  # the last day is booked up to the end, the cell gave all of it
    assert booked == pytest.approx(gone, abs=day_mah)


def test_a_life_beyond_the_horizon_has_no_end() -> None:
    assert (run_block(Block(kind(NODE), LIVES, 30, 1)).ended_h == -1).all()


@pytest.mark.no_cover
def test_cold_a_worn_contact_and_a_leaky_cell_shorten_a_life() -> None:
    usual = kind(spread=NO_SPREAD)
    base_h = median_h(usual)
    assert median_h(kind(spread=NO_SPREAD, place={"ambient": {"mean_c": -20}})) < 0.8 * base_h
    assert median_h(replace(usual, series_resistance_ohm=10.0)) < base_h
    leaky = replace(usual, spec=replace(usual.spec, self_discharge_per_year=0.2))
    assert median_h(leaky) < base_h


@pytest.mark.no_cover
def test_spread_widens_the_ends_and_leaves_the_middle() -> None:
    none, much = (
        run_block(Block(kind(spread=spread), LIVES, 400, 1)).ended_h for spread in (NO_SPREAD, {"capacity": 0.1})
    )
    assert none.std() < 0.2 * much.std()
    assert abs(np.median(none) - np.median(much)) < much.std()


def test_a_device_that_slows_down_when_low_lives_longer() -> None:
    plain = SMALL | {"state_of_charge": 0.065}
    low = plain | {"low_percent": 6.2, "low_stretch": 10}
    assert median_h(kind({"battery": low}, spread=NO_SPREAD), 1500) > 1.3 * median_h(kind({"battery": plain}), 1500)


@pytest.fixture
def a_year_of_winter(monkeypatch: pytest.MonkeyPatch) -> None:
    """January again and again: the sun of a whole year takes longer to work out than the lives under it."""
    monkeypatch.setattr(weather_arrays, "DAYS_PER_YEAR", 30)


@pytest.mark.no_cover
@pytest.mark.usefixtures("a_year_of_winter")
def test_the_sun_keeps_a_device_alive_and_age_ends_it() -> None:
    battery = {"cell": "18650-li-ion", "board": "maudet-lorawan", "capacity_mah": 20}
    place = {"latitude_deg": 40.0, "longitude_deg": 0.0, "ambient": {"mean_c": 15}}
    dark = kind({"battery": battery}, place=place)
    sunny = kind({"battery": battery, "harvest": {"kind": "solar", "area_cm2": 2.0}}, place=place)
    assert math.isfinite(median_h(dark, 150))
    result = run_block(Block(sunny, LIVES, 150, 1))
    assert (result.ended_h == -1).all()
    out = math.fsum(result.by_state.values()) + result.by_cell["self_discharge"]
    assert result.by_cell["harvested"] == pytest.approx(out, abs=LIVES * 20)
    assert result.by_cell["spilled"] > 0
    worn = replace(sunny, spec=replace(sunny.spec, ageing=replace(sunny.spec.ageing, fade_per_year=6.0)))  # type: ignore[type-var]
    assert median_h(worn, 150) < 150 * 24


@pytest.mark.usefixtures("a_year_of_winter")
def test_clouds_and_winter_are_a_small_panels_end() -> None:
    battery = {"cell": "supercap-10f", "board": "maudet-lorawan"}
    panel = {"kind": "solar", "area_cm2": 0.05}
    north = kind({"battery": battery, "harvest": panel}, place={"latitude_deg": 66.0, "longitude_deg": 0.0})
    south = kind({"battery": battery, "harvest": panel}, place={"latitude_deg": 0.0, "longitude_deg": 0.0})
    assert median_h(north, 30) <= median_h(south, 30)
