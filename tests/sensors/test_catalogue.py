"""The part catalogue: complete, registered units, the energy that datasheets state, and errors that help."""

from pathlib import Path

import pytest

from sensors.catalogue import UnknownPartError, UnknownQuantityError, find_part, load_parts
from sensors.tables import DataFileError
from sensors.units import is_registered

GOOD = """
[X1]
maker = "Maker"
description = "thermometer"
source = "data sheet"
notes = "none"
measurement_s = 0.1
supply = { voltage_min_v = 2, voltage_max_v = 3, measuring_ma = 1, asleep_ma = 0 }
[X1.quantities.temperature]
unit = "Cel"
low = -10
high = 60
resolution = 0.1
accuracy_abs = 0.5
accuracy_rel = 0
conversion_s = 0.1
"""


def load(tmp_path: Path, text: str) -> None:
    path = tmp_path / "parts.toml"
    path.write_text(text)
    load_parts(path)


def test_the_catalogue_has_the_parts_that_it_promises() -> None:
    kinds = {"SHT31", "BME280", "DS18B20", "SCD41", "BH1750", "ADXL345", "INA219", "MDSR-10", "NEO-M8N", "YF-S201"}
    assert set(load_parts()) == kinds


def test_every_part_names_its_source_and_uses_registered_units() -> None:
    for part in load_parts().values():
        assert part.source
        assert all(is_registered(quantity.unit) for quantity in part.quantities.values())


def test_no_part_resolves_less_than_its_range() -> None:
    for part in load_parts().values():
        assert all(quantity.resolution <= quantity.high - quantity.low for quantity in part.quantities.values())


def test_bme280_draws_the_stated_3_6_microamperes_at_one_measurement_a_second() -> None:
    """Source: BST-BME280-DS002, key features: 3.6 uA at 1 Hz for humidity, pressure and temperature; 0.1 uA asleep."""
    part = load_parts()["BME280"]
    mean_ma = part.charge_per_measurement_mas + part.supply.asleep_ma * (1 - part.measurement_s)
    assert mean_ma == pytest.approx(0.0036, rel=0.01)


def test_scd41_spends_the_stated_243_millijoules_per_single_shot() -> None:
    """Source: SCD4x data sheet 1.3, section 3.10: 243 mJ typical, at 3.3 V."""
    assert load_parts()["SCD41"].charge_per_measurement_mas * 3.3 == pytest.approx(243, rel=0.001)


def test_a_full_flow_of_yf_s201_is_225_pulses_a_second() -> None:
    """Source: product sheet: F (Hz) = 7.5 Q (l/min), at 30 l/min."""
    flow = load_parts()["YF-S201"].quantity("flow")
    assert flow.high / flow.resolution == pytest.approx(7.5 * 30, rel=1e-9)


def test_a_figure_that_the_datasheet_does_not_state_is_none() -> None:
    assert load_parts()["DS18B20"].quantity("temperature").response_t63_s is None


def test_an_own_file_is_read_in_the_same_form(tmp_path: Path) -> None:
    load(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        ('unit = "Cel"', 'unit = "C°"', "X1.quantities.temperature.unit", "SenML"),
        ("high = 60", "high = -20", "X1.quantities.temperature.high", "at least -10"),
        ("resolution = 0.1", "resolution = 0", "X1.quantities.temperature.resolution", "above 0"),
        ("resolution = 0.1", "resolution = true", "X1.quantities.temperature.resolution", "number"),
        ("resolution = 0.1", "resolution = nan", "X1.quantities.temperature.resolution", "finite"),
        ("resolution = 0.1", "", "X1.quantities.temperature.resolution", "number"),
        ("measuring_ma = 1", "measuring_ma = -1", "X1.supply.measuring_ma", "at least 0"),
        ("voltage_max_v = 3", "voltage_max_v = 1", "X1.supply.voltage_max_v", "at least 2"),
        ('source = "data sheet"', 'source = " "', "X1.source", "not empty"),
        ('maker = "Maker"', 'maker = "Maker"\nmakr = 1', "X1.makr", "one of"),
        ("accuracy_rel = 0", "accuracy_rel = 0\nnoise_rsm = 1", "X1.quantities.temperature.noise_rsm", "noise_rms"),
        ("supply = {", "supply = 1 # {", "X1.supply", "table"),
    ],
)
def test_a_bad_file_is_refused_by_file_key_and_expectation(
    tmp_path: Path, old: str, new: str, key: str, expected: str
) -> None:
    assert old in GOOD
    with pytest.raises(DataFileError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert caught.value.key == key
    assert expected in caught.value.expected
    assert "parts.toml" in str(caught.value)


@pytest.mark.parametrize("text", ["", "X1 = ", "X1 = 1", GOOD.split("[X1.q")[0] + "quantities = {}"])
def test_a_file_without_parts_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataFileError):
        load(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"absent\.toml"):
        load_parts(tmp_path / "absent.toml")


def test_an_unknown_part_or_quantity_names_those_that_there_are() -> None:
    parts = load_parts()
    with pytest.raises(UnknownPartError, match="SHT31"):
        find_part(parts, "SHT99")
    with pytest.raises(UnknownQuantityError, match="humidity"):
        find_part(parts, "SHT31").quantity("pressure")
