"""Draws that are booked later: only where nothing can happen, and the battery is as if each had been looked at."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from firmware_sim.power import Battery, Run, Step, builtin_cells
from firmware_sim.power.battery import PENDING_MAX, SPENT_MS_MAX

CELL_AND_MODEL = [
    (name, model)
    for name, spec in sorted(builtin_cells().items())
    for model in sorted({"ideal", *spec.models} - {"peukert"})
]
steps = st.tuples(
    st.sampled_from(["sleep", "sense", "transmit", "receive"]),
    st.one_of(st.just(0.0), st.floats(0.001, 5.0), st.floats(5.0, 400.0)),
    st.one_of(st.just(0.0), st.floats(0.1, 2000.0), st.floats(2000.0, 2e7)),
)
lives = st.lists(steps, min_size=1, max_size=40)


@pytest.mark.no_cover
@pytest.mark.parametrize(("name", "model"), CELL_AND_MODEL)
@settings(max_examples=25)
@given(life=lives, full=st.floats(0.02, 1.0), temperature_c=st.sampled_from([-10.0, 20.0, 35.0]), charged=st.booleans())
def test_what_is_spent_is_what_a_draw_would_have_been(
    name: str, model: str, life: list[tuple[str, float, float]], full: float, temperature_c: float, charged: bool
) -> None:
    trusting, looking = (Battery(name, model=model, state_of_charge=full, series_resistance_ohm=0.5) for _ in range(2))
    for battery in (trusting, looking):
        battery.draw("sleep", 0.0, 1.0, temperature_c)
        if charged and battery.spec.charging is not None:
            battery.draw("sleep", 0.0, 600_000.0, temperature_c, harvest_ma=200.0)
    for step in life:
        drawn = looking.draw(*step, temperature_c)
        if trusting.spend(*step):
            assert not drawn.browned_out
            assert not drawn.empty
            assert drawn.sustained_ms == step[2]
        else:
            trusting.draw(*step, temperature_c)
    assert trusting.model.stored_uc == pytest.approx(looking.model.stored_uc, rel=1e-12)
    assert trusting.open_circuit_mv == pytest.approx(looking.open_circuit_mv, rel=1e-9)
    assert trusting.loaded_voltage_mv(10.0) == pytest.approx(looking.loaded_voltage_mv(10.0), rel=1e-9)
    assert trusting.health == pytest.approx(looking.health, rel=1e-12)
    charge, energy = trusting.imbalance()
    assert abs(charge) < 1e-9
    assert abs(energy) < 1e-9
    for state, line in looking.ledger.lines().items():
        assert trusting.ledger.lines()[state].charge_mah == pytest.approx(line.charge_mah, rel=1e-9)
        assert trusting.ledger.lines()[state].duration_ms == pytest.approx(line.duration_ms, rel=1e-12)


@pytest.mark.parametrize(("name", "model"), CELL_AND_MODEL)
@settings(max_examples=15)
@given(
    cycle=st.lists(steps, min_size=1, max_size=12),
    full=st.sampled_from([0.02, 0.1, 1.0]),
    looks=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_a_run_is_to_the_last_bit_what_its_steps_are_one_by_one(
    name: str, model: str, cycle: list[tuple[str, float, float]], full: float, looks: list[bool]
) -> None:
    together, apart = Battery(name, model=model, state_of_charge=full), Battery(name, model=model, state_of_charge=full)
    run = Run.of(Step(*step) for step in cycle)
    for look in looks:
        went_together = together.spend_run(run)
        for step in cycle:
            went = apart.spend(*step)
            assert went or not went_together
            if not went:
                apart.draw(*step)
            if not went_together and not together.spend(*step):
                together.draw(*step)
        if look:
            assert together.open_circuit_mv == apart.open_circuit_mv
    assert together.snapshot() == apart.snapshot()


def test_a_healthy_cell_spends_its_runs_together() -> None:
    battery = Battery("18650-li-ion")
    run = Run.of([Step("process", 40.0, 5.0), Step("transmit", 240.0, 20.0)])
    went = []
    for _ in range(50):
        went.append(battery.spend_run(run))
        if not went[-1]:
            for step in run.steps:
                assert battery.spend(*step)
        assert battery.open_circuit_mv > 4000
    assert went == [False] + [True] * 49


@pytest.mark.no_cover
@given(life=st.lists(st.tuples(st.floats(0.0, 300.0), st.floats(0.1, 5000.0)), min_size=2, max_size=PENDING_MAX - 1))
def test_the_energy_of_what_is_booked_together_is_that_of_each_alone(life: list[tuple[float, float]]) -> None:
    trusting, looking = Battery("18650-li-ion", state_of_charge=0.7), Battery("18650-li-ion", state_of_charge=0.7)
    for current_ma, duration_ms in life:
        assert trusting.spend("load", current_ma, duration_ms)
        looking.draw("load", current_ma, duration_ms)
    ours, theirs = trusting.ledger.lines()["load"], looking.ledger.lines()["load"]
    assert ours.energy_j == pytest.approx(theirs.energy_j, rel=1e-5, abs=1e-12)


@given(pulse_ma=st.floats(0.0, 600.0), full=st.floats(0.02, 1.0), name=st.sampled_from(sorted(builtin_cells())))
def test_a_pulse_that_is_certain_does_not_brown_out(pulse_ma: float, full: float, name: str) -> None:
    battery = Battery(name, state_of_charge=full)
    assume(battery.is_sure_of(pulse_ma, battery.brownout_mv))
    assert battery.loaded_voltage_mv(pulse_ma) >= battery.brownout_mv
    assert not battery.is_sure_of(pulse_ma, battery.brownout_mv + 1)


@pytest.mark.parametrize(
    ("battery", "step"),
    [
        (Battery("cr2032"), (100.0, 100.0)),  # 18 ohm: it sags under the brown-out
        (Battery("18650-li-ion", state_of_charge=0.0), (0.01, 1.0)),
        (Battery("18650-li-ion"), (0.01, SPENT_MS_MAX + 1.0)),
        (Battery("2xaa-alkaline", model="peukert"), (0.01, 1.0)),
        (Battery("18650-li-ion"), (-1.0, 1.0)),
        (Battery("18650-li-ion"), (float("nan"), 1.0)),
        (Battery("18650-li-ion"), (1.0, float("inf"))),
        (Battery("18650-li-ion"), (1.0, -1.0)),
    ],
)
def test_what_is_not_certain_is_not_spent(battery: Battery, step: tuple[float, float]) -> None:
    before = battery.model.stored_uc
    assert not battery.spend("load", *step)
    assert battery.model.stored_uc == before


def test_a_healthy_cell_is_nearly_always_certain() -> None:
    battery = Battery("18650-li-ion")
    spent = 0
    while battery.state_of_charge > 0.1:
        spent += battery.spend("transmit", 240.0, 100_000.0)
        battery.draw("sleep", 10.0, 100_000.0)
    assert battery.ledger.lines()["transmit"].duration_ms == 100_000.0 * spent
    assert battery.ledger.lines()["transmit"].duration_ms > 0.95 * battery.ledger.lines()["sleep"].duration_ms
