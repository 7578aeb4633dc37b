"""Cells over arrays are the scalar cells: the same charge under the same load, the same voltage at the same place."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.forecast.cell_arrays import STEPS_PER_K, CellTables, charge_of
from firmware_sim.power import Battery, BatteryModel, IdealModel, KibamModel, RakhmatovModel, builtin_cells
from firmware_sim.power.units import MS_PER_HOUR, UC_PER_MAH

CAPACITY_MAH = 500.0
SERIES_OHM = 0.5
MODELS: dict[str, Any] = {
    "ideal": lambda: IdealModel(CAPACITY_MAH),
    "kibam": lambda: KibamModel(CAPACITY_MAH, 0.2, 1.3),
    "rakhmatov": lambda: RakhmatovModel(CAPACITY_MAH, 0.637),
}
tables_of = cache(lambda name: CellTables(Battery(name).spec, SERIES_OHM))  # dear to make, the same in each example
HOURS = st.lists(st.floats(0, 12), min_size=1, max_size=12)


@pytest.mark.no_cover
@pytest.mark.parametrize("name", MODELS)
@given(loads_ma=HOURS)
@settings(max_examples=40)
def test_hours_of_load_leave_what_the_scalar_model_leaves(name: str, loads_ma: list[float]) -> None:
    scalar: BatteryModel = MODELS[name]()
    arrays = charge_of(MODELS[name](), np.array([CAPACITY_MAH, 2 * CAPACITY_MAH]), 1.0)
    for load_ma in loads_ma:
        scalar.draw(load_ma, MS_PER_HOUR)
        arrays.step(np.array([load_ma, 2 * load_ma]))
    assert arrays.stored_mah[0] == pytest.approx(scalar.stored_uc / UC_PER_MAH, rel=1e-9)
    assert arrays.available()[0] == pytest.approx(scalar.available_fraction, rel=1e-9)
    assert arrays.available()[1] == pytest.approx(arrays.available()[0], rel=1e-12)  # twice the cell, twice the load


@pytest.mark.parametrize("name", MODELS)
def test_a_cell_takes_charge_as_the_scalar_one_does_until_it_is_full_and_no_more(name: str) -> None:
    scalar: BatteryModel = MODELS[name]()
    arrays = charge_of(MODELS[name](), np.array([CAPACITY_MAH]), 1.0)
    for hour in range(400):
        if hour < 20:
            scalar.draw(12.0, MS_PER_HOUR)
        else:
            scalar.charge(10.0, MS_PER_HOUR)
        arrays.step(np.array([12.0 if hour < 20 else -10.0]))
        assert arrays.available()[0] <= 1 + 1e-9
        assert arrays.stored_mah[0] == pytest.approx(scalar.stored_uc / UC_PER_MAH, abs=0.002 * CAPACITY_MAH)
    assert arrays.stored_mah[0] == pytest.approx(CAPACITY_MAH, rel=1e-3)


def test_forgotten_cells_are_gone_and_the_others_go_on() -> None:
    for make in MODELS.values():
        kept, whole = (charge_of(make(), np.array([100.0, 200.0, 300.0]), 0.9) for _ in range(2))
        kept.step(np.array([1.0, 2.0, 3.0]))
        whole.step(np.array([1.0, 2.0, 3.0]))
        kept.keep(np.array([0, 2]))
        kept.step(np.array([4.0, 5.0]))
        whole.step(np.array([4.0, 0.0, 5.0]))
        assert kept.available().tolist() == whole.available()[[0, 2]].tolist()


@pytest.mark.no_cover
@pytest.mark.parametrize("name", builtin_cells())
@given(charge=st.floats(0.3, 1.0), step=st.integers(-30 * STEPS_PER_K, 60 * STEPS_PER_K), current_ma=st.floats(0, 100))
@settings(max_examples=25)
def test_voltage_under_load_is_the_batterys(name: str, charge: float, step: int, current_ma: float) -> None:
    battery = Battery(name, state_of_charge=charge, series_resistance_ohm=SERIES_OHM)
    temperature_c = step / STEPS_PER_K  # a step of the tables; between two of them the floor moves by up to 0.03 %
    expected_mv = battery.loaded_voltage_mv(current_ma, temperature_c)
    tables = tables_of(name)
    climate = tables.climate(np.array([[temperature_c]]))
    health = np.ones(1)
    window = tables.window(health, climate.capacity_factor)
    standing = tables.standing(np.array([[charge]]), window, health, climate)
    loaded_mv = max(0.0, float((standing.open_mv - current_ma * standing.ohm)[0, 0]))
    if battery.state_of_charge > 0.02:
        assert bool(standing.is_empty[0, 0]) == battery.is_empty
        assert loaded_mv == pytest.approx(expected_mv, rel=2e-3, abs=2.0)
