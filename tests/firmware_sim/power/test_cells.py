"""The cell catalogue: complete, sensible, and strict about what is written in it."""

import pytest

from firmware_sim.power import Battery, PowerDataError, PowerValueError, builtin_boards, builtin_cells, parse_cells
from firmware_sim.power.voltage import Table

GOOD = """
[cell.mine]
title = "mine"
source = "measured"
capacity_mah = 100
open_circuit_mv = [[0.0, 2000], [1.0, 3000]]
resistance_ohm = [[0.0, 1.0]]
resistance_factor_by_c = [[20, 1.0]]
capacity_factor_by_c = [[20, 1.0]]
self_discharge_per_year = 0.01
self_discharge_doubling_k = 10
cutoff_mv = 2000
brownout_mv = 2200
continuous_max_ma = 10
pulse_max_ma = 20
pulse_max_ms = 100
model = "kibam"
[cell.mine.models]
kibam = { c = 0.5, k_per_hour = 1.0 }
[cell.mine.charging]
efficiency = 0.9
current_max_ma = 50
temperature_min_c = 0
temperature_max_c = 45
"""


def test_every_entry_names_its_source() -> None:
    known = {"cr2032", "2xaa-alkaline", "er14505", "ls14500-field", "18650-li-ion", "lifepo4-18650", "supercap-10f"}
    assert set(builtin_cells()) == known
    sources = [spec.source for spec in builtin_cells().values()] + [spec.source for spec in builtin_boards().values()]
    assert min(map(len, sources)) > 40


@pytest.mark.parametrize("name", sorted(builtin_cells()))
def test_voltage_falls_and_resistance_rises_as_a_cell_empties_or_cools(name: str) -> None:
    spec = builtin_cells()[name]
    shares = [i / 50 for i in range(51)]
    volts = [spec.curve.open_circuit_mv(share) for share in shares]
    ohms = [spec.resistance_ohm(share) for share in shares]
    assert volts == sorted(volts)
    assert ohms == sorted(ohms, reverse=True)
    assert spec.resistance_factor(-20) > spec.resistance_factor(20) == 1.0
    assert spec.capacity_factor(-20) < spec.capacity_factor(20) == 1.0
    assert spec.curve.open_circuit_mv(spec.cutoff_share) == pytest.approx(spec.cutoff_mv, abs=1.0)


def test_a_cell_of_the_users_own_is_read() -> None:
    mine = parse_cells(GOOD, "mine.toml")["mine"]
    battery = Battery(mine)
    assert battery.draw("load", 1.0, 3_600_000).terminal_voltage_mv == pytest.approx(2985, abs=5)


def test_what_lies_under_the_cut_off_voltage_is_out_of_reach() -> None:
    text = GOOD.replace("cutoff_mv = 2000", "cutoff_mv = 2100").replace('model = "kibam"', 'model = "ideal"')
    battery = Battery(parse_cells(text, "mine.toml")["mine"])
    assert battery.remaining_mah == pytest.approx(90)
    assert battery.draw("load", 5.0, 1e12).sustained_ms * 5.0 / 3.6e6 == pytest.approx(90, abs=0.1)
    assert battery.open_circuit_mv == pytest.approx(2100, abs=0.1)


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        ("capacity_mah = 100", "capacity_mah = -100", "cell.mine.capacity_mah", "at least 0"),
        ("capacity_mah = 100", "capacity_mah = 0", "cell.mine.capacity_mah", "over 0"),
        ("capacity_mah = 100", 'capacity_mah = "100 mAh"', "cell.mine.capacity_mah", "a number"),
        ("capacity_mah = 100\n", "", "cell.mine.capacity_mah", "a number"),
        ("capacity_mah = 100", "capacity_ah = 100\ncapacity_mah = 100", "cell.mine.capacity_ah", "one of"),
        ("[1.0, 3000]", "[0.0, 3000]", "cell.mine.open_circuit_mv", "x rising"),
        ("[1.0, 3000]", "[1.0]", "cell.mine.open_circuit_mv", "[x, y]"),
        ("cutoff_mv = 2000", "cutoff_mv = 3100", "cell.mine.brownout_mv", "at least 3100"),
        ("brownout_mv = 2200", "brownout_mv = 2200\nseries = 1.5", "cell.mine.series", "whole"),
        ('model = "kibam"', 'model = "magic"', "cell.mine.model", "ideal, kibam"),
        ("c = 0.5", "c = 1.5", "cell.mine.models.kibam.c", "between 0 and 1"),
        ("kibam = { c = 0.5, k_per_hour = 1.0 }", "magic = {}", "cell.mine.models.magic", "peukert"),
        ("efficiency = 0.9", "efficiency = 9", "cell.mine.charging.efficiency", "to 1"),
        ("efficiency = 0.9", "eficiency = 0.9", "cell.mine.charging.efficiency", "a number"),
    ],
)
def test_a_bad_cell_names_file_key_and_what_was_expected(old: str, new: str, key: str, expected: str) -> None:
    assert old in GOOD
    with pytest.raises(PowerDataError) as caught:
        parse_cells(GOOD.replace(old, new, 1), "mine.toml")
    assert (caught.value.file, caught.value.key) == ("mine.toml", key)
    assert expected in caught.value.expected
    assert "mine.toml" in str(caught.value)
    assert key in str(caught.value)


def test_a_cut_off_above_the_full_cell_is_refused() -> None:
    text = GOOD.replace("cutoff_mv = 2000", "cutoff_mv = 3100").replace("brownout_mv = 2200", "brownout_mv = 3200")
    with pytest.raises(PowerDataError, match=r"cell\.mine\.cutoff_mv.*less than the full cell's 3000 mV"):
        parse_cells(text, "mine.toml")


def test_a_table_is_linear_between_its_points_and_level_outside() -> None:
    table = Table([(0.0, 1.0), (2.0, 5.0), (3.0, 4.0)])
    assert [table(x) for x in (-1.0, 0.0, 1.0, 2.5, 3.0, 9.0)] == [1.0, 1.0, 3.0, 4.5, 4.0, 4.0]
    with pytest.raises(PowerValueError, match="points"):
        Table([])


@pytest.mark.parametrize("name", ["er14505", "ls14500-field"])
def test_a_fresh_thionyl_chloride_cell_stays_over_3_v_in_its_rated_pulse(name: str) -> None:
    """Saft LS 14500 data sheet, pulse capability: 250 mA for 0.1 s from undischarged cells, readings above 3.0 V."""
    spec = builtin_cells()[name]
    fresh_mv = 3670.0  # the data sheet's open-circuit voltage; the field cell reported less through its divider
    assert fresh_mv - spec.pulse_max_ma * spec.resistance_ohm(1.0) > 3000
