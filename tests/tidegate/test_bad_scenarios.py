"""Bad fleets, as the command line meets them: the error names the file, the key and what was expected."""

from pathlib import Path

import pytest

from tidegate import cli

SENSOR = '{ part = "SHT31", quantity = "temperature", signal = { kind = "constant", value = 1.0 } }'
CELL = """
[cell.mine]
title = "mine"
source = "made up"
capacity_mah = {capacity}
open_circuit_mv = [[0.0, 2000], [1.0, 3000]]
resistance_ohm = [[0.0, 1.0]]
resistance_factor_by_c = [[20, 1.0]]
capacity_factor_by_c = [[20, 1.0]]
self_discharge_per_year = 0.01
self_discharge_doubling_k = 10
cutoff_mv = 2000
brownout_mv = 2000
continuous_max_ma = 10
pulse_max_ma = 10
pulse_max_ms = 10
model = "ideal"
models = {{}}
"""


def group(more: str = "", sensor: str = SENSOR) -> str:
    return f'[[devices]]\nname = "d"\nsensors = [{sensor}]\n{more}\n'


CASES = {
    "unknown sensor part": (
        group(sensor='{ part = "SHT99", quantity = "t", signal = { kind = "constant", value = 1.0 } }'),
        "fleet.toml: devices.0.sensors.0: ",
        "'SHT99'",
    ),
    "unknown cell": (
        group('battery = { cell = "cr9999", board = "nrf52-ble" }'),
        "fleet.toml: devices.0.battery: unknown cell 'cr9999': expected one of 18650-li-ion, 2xaa-alkaline, cr2032",
        "",
    ),
    "unknown board": (
        group('battery = { cell = "cr2032", board = "esp99" }'),
        "fleet.toml: devices.0.battery: unknown board 'esp99': expected one of casals-lorawan, esp32-wifi",
        "",
    ),
    "a model that the cell has no figures for": (
        group('battery = { cell = "cr2032", board = "nrf52-ble", model = "kibam" }'),
        "fleet.toml: devices.0.battery: unknown model of cell cr2032 'kibam': expected one of ideal",
        "",
    ),
    "negative capacity": (
        group('battery = { cell = "cr2032", board = "nrf52-ble", capacity_mah = -235 }'),
        "fleet.toml: devices.0.battery.capacity_mah: expected greater than 0, found -235",
        "",
    ),
    "negative capacity in a file of one's own": (
        'cells = "CELLS"\n' + group('battery = { cell = "mine", board = "nrf52-ble" }'),
        "fleet.toml: cells or boards: CELLS: cell.mine.capacity_mah: expected a number of at least 0, got -235",
        "",
    ),
    "missing unit": (
        group(sensor='{ name = "t", signal = { kind = "constant", value = 1.0 } }'),
        "fleet.toml: devices.0.sensors.0: expected unit, where there is no part to take it from",
        "",
    ),
    "an interval without end": (
        group("interval_s = inf"),
        "fleet.toml: devices.0.interval_s: expected a finite number, found inf",
        "",
    ),
    "a reading in a thousand years": (
        group("interval_s = 3e10"),
        "fleet.toml: devices.0.interval_s: expected less than or equal to 31622400, found 30000000000.0",
        "",
    ),
    "a capacity without end": (
        group('battery = { cell = "cr2032", board = "nrf52-ble", capacity_mah = inf }'),
        "fleet.toml: devices.0.battery.capacity_mah: expected a finite number, found inf",
        "",
    ),
    "a level that is no number": (
        group(sensor='{ name = "t", unit = "Cel", signal = { kind = "constant", value = nan } }'),
        "fleet.toml: devices.0.sensors.0.signal.value: expected a finite number, found nan",
        "",
    ),
    "a radio without channels": (
        group('radio = { kind = "lorawan", distance_m = 9.0, reading_bytes = 8, channels_hz = [] }'),
        "fleet.toml: devices.0.radio.channels_hz: expected at least 1 of them, found a list of 0",
        "",
    ),
    "a panel on a primary cell": (
        group('battery = { cell = "cr2032", board = "nrf52-ble" }\nharvest = { kind = "solar", area_cm2 = 10.0 }'),
        "fleet.toml: devices.0.battery: harvest: expected a rechargeable battery.cell beside it, got 'cr2032'",
        "",
    ),
    "a sun without a place": (
        group(
            'battery = { cell = "18650-li-ion", board = "nrf52-ble" }\nharvest = { kind = "solar", area_cm2 = 10.0 }'
        ),
        "fleet.toml: devices.0.battery: harvest: expected latitude_deg and longitude_deg in place, for the sun",
        "",
    ),
    "half a place": (
        "place = { latitude_deg = 5.0 }\n" + group(),
        "fleet.toml: place: expected latitude_deg and longitude_deg together, or neither",
        "",
    ),
    "an unknown lamp": (
        group(
            'battery = { cell = "18650-li-ion", board = "nrf52-ble" }\n'
            'harvest = { kind = "indoor", area_cm2 = 10.0, illuminance_lux = 200.0, lamp = "candle" }'
        ),
        "fleet.toml: devices.0.harvest.lamp: expected one of white_led, fluorescent, daylight, found 'candle'",
        "",
    ),
    "lamps that go out before they burn": (
        group(
            'battery = { cell = "18650-li-ion", board = "nrf52-ble" }\n'
            'harvest = { kind = "indoor", area_cm2 = 1.0, illuminance_lux = 200.0, from_hour = 9.0, to_hour = 8.0 }'
        ),
        "fleet.toml: devices.0.harvest.to_hour: expected an hour after from_hour, 9, found 8.0",
        "",
    ),
    "a panel without a battery": (
        group('harvest = { kind = "solar", area_cm2 = 10.0 }'),
        "fleet.toml: devices.0: harvest: expected battery beside it, to be charged",
        "",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_error_names_file_key_and_expectation(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, said, also = CASES[name]
    monkeypatch.chdir(tmp_path)
    Path("cells.toml").write_text(CELL.format(capacity=-235), encoding="utf-8")
    Path("fleet.toml").write_text(text.replace("CELLS", "cells.toml"), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        cli.main(["sensors", "run", "--config", "fleet.toml", "--check-config"])
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.startswith(f"error: {said.replace('CELLS', 'cells.toml')}")
    assert also in err
    assert err.count("\n") == 1
