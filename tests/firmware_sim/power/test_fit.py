"""Fits from measured capacities."""

import pytest

from firmware_sim.power import KibamModel, PeukertModel, PowerValueError, cell, fit_kibam, fit_peukert

AA_MEASURED = [(100.0, 2200.0), (500.0, 1300.0), (1000.0, 830.0), (2000.0, 540.0)]
"""PowerStream, Discharge tests of AA batteries, Duracell Coppertop 2020: mA, mAh."""


def test_three_capacities_give_the_published_kibam_cell() -> None:
    """NREL ssc, lib_battery_capacity_test.cpp: 60, 93, 100 Ah at 1, 10, 20 h; charge after each hour within 0.01 Ah."""
    fit = fit_kibam([(1, 60.0), (10, 93.0), (20, 100.0)])
    assert fit.capacity_mah == pytest.approx(108.16, abs=0.01)
    assert fit.worst_error < 1e-9
    model = KibamModel(fit.capacity_mah, fit.c, fit.k_per_hour, state_of_charge=0.5)
    clipped = []
    for wanted, left in ((1.5, 52.58), (3.0, 49.58), (490.0, 22.927), (490.0, 16.67)):
        current = min(wanted, model.sustainable_ma(3.6e6))
        clipped.append(current)
        assert model.draw(current, 3.6e6) == pytest.approx(3.6e6)
        assert model.stored_uc / 3.6e6 == pytest.approx(left, abs=0.01)
    assert clipped[2:] == pytest.approx([26.65, 6.25], abs=0.01)


@pytest.mark.no_cover
def test_a_kibam_fit_of_a_measured_aa_cell_stays_within_7_percent() -> None:
    """PowerStream's four capacities, each run down on the fitted model; within 7 %."""
    fit = fit_kibam([(mah / ma, mah) for ma, mah in AA_MEASURED])
    for current_ma, capacity_mah in AA_MEASURED:
        model = KibamModel(fit.capacity_mah, fit.c, fit.k_per_hour)
        assert model.draw(current_ma, 1e12) * current_ma / 3.6e6 == pytest.approx(capacity_mah, rel=0.07)


def test_a_peukert_fit_of_a_measured_aa_cell_stays_within_15_percent() -> None:
    """The same four; within 15 %: worse than KiBaM, as the law bends the wrong way."""
    fit = fit_peukert(AA_MEASURED)
    assert fit.worst_error < 0.15
    for current_ma, capacity_mah in AA_MEASURED:
        model = PeukertModel(fit.capacity_mah, fit.exponent, fit.reference_ma)
        assert model.draw(current_ma, 1e12) * current_ma / 3.6e6 == pytest.approx(capacity_mah, rel=0.15)


@pytest.mark.no_cover
def test_the_catalogue_holds_what_the_fits_give() -> None:
    spec = cell("2xaa-alkaline")
    kibam = fit_kibam([(mah / ma, mah) for ma, mah in AA_MEASURED])
    peukert = fit_peukert(AA_MEASURED)
    assert spec.capacity_mah == pytest.approx(kibam.capacity_mah, rel=1e-4)
    assert spec.models["kibam"] == pytest.approx({"c": kibam.c, "k_per_hour": kibam.k_per_hour}, rel=1e-4)
    assert spec.models["peukert"] == pytest.approx({"exponent": peukert.exponent, "reference_ma": 100.0}, rel=1e-4)


@pytest.mark.parametrize("points", [[(1, 60.0), (10, 93.0)], [(1, 60.0), (10, 93.0), (20, -1.0)]])
def test_points_that_cannot_be_fitted_are_refused(points: list[tuple[float, float]]) -> None:
    with pytest.raises(PowerValueError, match="points"):
        fit_kibam(points)


def test_one_current_twice_is_no_peukert_line() -> None:
    with pytest.raises(PowerValueError, match="different currents"):
        fit_peukert([(1.0, 5.0), (1.0, 6.0)])
