"""What sensors draw: asleep and measuring, in the ledger under the part's own name, and in a forecast."""

import math
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.battery_supply import BatterySupply
from firmware_sim.build import FleetError, check_fleet
from firmware_sim.config import FleetConfig
from firmware_sim.forecast import load
from firmware_sim.forecast.load import measure_load
from firmware_sim.phases import Phase
from firmware_sim.power import Battery, board
from firmware_sim.power.units import UC_PER_MAH
from firmware_sim.sensor_loads import NO_SENSORS, SensorLoads
from firmware_sim.virtual import run_virtual
from sensors.catalogue import load_parts

PARTS = load_parts()
DAY_MS = 86_400_000
NODE: dict[str, Any] = {
    "name": "node",
    "interval_s": 600,
    "battery": {"cell": "18650-li-ion", "board": "maudet-lorawan"},
    "radio": {"kind": "lorawan", "path_loss_db": 110, "adr": False, "reading_bytes": 8},
    "send": {"acknowledge": "broker"},
}


def loads(*parts: tuple[str, str]) -> SensorLoads:
    return SensorLoads.of((PARTS[part], quantity) for part, quantity in parts)


def sensor(part: str, quantity: str, **more: Any) -> dict[str, Any]:
    return {"part": part, "quantity": quantity, "signal": {"kind": "constant", "value": 20}} | more


def supply(sensors: SensorLoads, board_name: str = "esp32-wifi") -> BatterySupply[Battery]:
    return BatterySupply(Battery("18650-li-ion"), board(board_name), sensors=sensors)


def node(*sensors: dict[str, Any], **more: Any) -> FleetConfig:
    return FleetConfig.model_validate({"devices": [NODE | {"sensors": sensors} | more]})


def test_a_measurement_costs_the_datasheets_charge_and_sleep_the_datasheets_current() -> None:
    """Sensirion SHT3x-DIS: 0.6 mA for 12.5 ms, 0.2 uA idle; SCD4x: 243 mJ at 3.3 V in 5 s, 0.15 mA idle."""
    made = supply(loads(("SHT31", "temperature"), ("SHT31", "humidity"), ("SCD41", "co2")))
    sense_ms = made.timings().sense_ms
    assert sense_ms == 5000, "the slowest part"
    made.draw(Phase.SENSE, sense_ms, sense_ms)
    made.draw(Phase.SLEEP, 595_000, 600_000)
    lines = made.energy()
    assert lines["SHT31 measuring"].charge_mah * UC_PER_MAH == pytest.approx((0.6 - 0.0002) * 12.5)
    assert lines["SCD41 measuring"].charge_mah * UC_PER_MAH == pytest.approx((14.73 - 0.15) * 5000)
    assert lines["SHT31 asleep"].charge_mah * UC_PER_MAH == pytest.approx(0.0002 * 600_000)
    assert lines["SCD41 asleep"].charge_mah * UC_PER_MAH == pytest.approx(0.15 * 600_000)
    asleep_ma = board("esp32-wifi").current_in("deep_sleep")
    assert lines["sense"].charge_mah * UC_PER_MAH == pytest.approx(68.0 * 15 + asleep_ma * (sense_ms - 15)), (
        "the board waits for the slow part asleep"
    )


def test_the_parts_lines_sum_to_the_ledger_and_the_ledger_to_the_cell() -> None:
    made = supply(loads(("BME280", "pressure"), ("NEO-M8N", "latitude")))
    for n in range(1, 200):
        made.draw(Phase.SENSE, 1000, 60_000 * n + 1000)
        made.draw(Phase.TRANSMIT, 20, 60_000 * n + 1020)
        made.draw(Phase.SLEEP, 58_980, 60_000 * (n + 1))
    raw, lines = made.battery.ledger.lines(), made.energy()
    assert math.fsum(x.charge_mah for x in lines.values()) == pytest.approx(
        math.fsum(x.charge_mah for x in raw.values()), rel=1e-12
    )
    assert math.fsum(x.energy_j for x in lines.values()) == pytest.approx(
        math.fsum(x.energy_j for x in raw.values()), rel=1e-12
    )
    charge, energy = made.battery.imbalance()
    assert abs(charge) < 1e-9
    assert abs(energy) < 1e-9


def test_a_part_that_measures_one_quantity_twice_is_there_twice() -> None:
    once, twice = (loads(*[("DS18B20", "temperature")] * n) for n in (1, 2))
    assert twice.all_asleep_ma == 2 * once.all_asleep_ma
    assert twice.extra_ma["DS18B20"] == 2 * once.extra_ma["DS18B20"]
    assert twice.sense_ms(15) == once.sense_ms(15) == 750, "both convert at once"


def test_without_power_the_parts_draw_nothing() -> None:
    made = supply(loads(("SCD41", "co2")))
    made.draw(Phase.BROWN_OUT, 10_000, 10_000)
    assert made.battery.ledger.lines()["brown-out"].charge_mah == 0
    assert "SCD41 asleep" not in made.energy()


def test_a_board_measured_as_a_report_rests_while_its_parts_measure() -> None:
    made = supply(loads(("DS18B20", "temperature")), "casals-lorawan")
    made.draw(Phase.SENSE, made.timings().sense_ms, 750)
    assert made.energy()["sense"].charge_mah * UC_PER_MAH == pytest.approx(0.045 * 750)
    assert supply(NO_SENSORS, "casals-lorawan").timings().sense_ms == 0


def test_a_sensors_pulse_can_brown_a_device_out() -> None:
    gnss, none = loads(("NEO-M8N", "latitude")), NO_SENSORS
    spared = {}
    for name, sensors in (("gnss", gnss), ("none", none)):
        battery = Battery("er14505", state_of_charge=0.07)
        made = BatterySupply(battery, board("maudet-lorawan"), sensors=sensors)
        made.draw(Phase.SENSE, made.timings().sense_ms, 1000)
        spared[name] = battery.mah_above_brownout(made._highest_ma)
    assert spared["gnss"] < spared["none"]


@pytest.mark.no_cover
def test_a_forecasts_drains_name_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "WAKE_UPS_MAX", 800)  # each draws the same
    config = node(sensor("SCD41", "co2"), sensor("SHT31", "temperature"))
    profile = measure_load(config, config.devices[0])
    mean_ma = dict(zip(profile.states, profile.charge_mah.mean(axis=(0, 1, 2)), strict=True))
    assert mean_ma["SCD41 asleep"] == pytest.approx(0.15)
    assert mean_ma["SCD41 measuring"] == pytest.approx((14.73 - 0.15) * 5 / 600, rel=0.02)
    plain = node({"name": "x", "unit": "/", "signal": {"kind": "constant", "value": 1}})
    bare = measure_load(plain, plain.devices[0])
    assert sum(mean_ma.values()) - bare.mean_ma == pytest.approx(
        0.15 + (14.73 - 0.15) * 5 / 600 + 0.0002 + 0.6 * 0.0125 / 600, rel=0.02
    )


@pytest.mark.no_cover
def test_a_run_tells_where_the_charge_of_each_group_went() -> None:
    report = run_virtual(node(sensor("SHT31", "temperature")), DAY_MS, len).groups[0]
    assert report.drain_mah["SHT31 asleep"] == pytest.approx(0.0002 * 24, rel=0.01)
    assert report.drain_mah["transmit"] > report.drain_mah["SHT31 measuring"] > 0


def test_a_part_slower_than_the_interval_is_refused() -> None:
    with pytest.raises(FleetError, match=r"devices\.0\.interval_s: expected at least 5, which its slowest part takes"):
        check_fleet(node(sensor("SCD41", "co2"), interval_s=4))


def test_a_file_of_ones_own_parts_is_read(tmp_path: Path) -> None:
    own = tmp_path / "parts.toml"
    own.write_text(
        """
[OWN1]
maker = "us"
description = "thermometer"
source = "measured"
notes = "none"
measurement_s = 0.1
supply = { voltage_min_v = 1.8, voltage_max_v = 3.6, measuring_ma = 2.0, asleep_ma = 0.01 }
[OWN1.quantities.temperature]
unit = "Cel"
low = -40
high = 85
resolution = 0.01
accuracy_abs = 0.1
accuracy_rel = 0
conversion_s = 0.1
"""
    )
    config = FleetConfig.model_validate(
        {"parts": own, "devices": [NODE | {"sensors": [sensor("OWN1", "temperature")]}]}
    )
    report = run_virtual(config, DAY_MS, len).groups[0]
    assert report.drain_mah["OWN1 asleep"] == pytest.approx(0.24, rel=0.01)
    other = tmp_path / "broken.toml"
    other.write_text("[OWN1]\nmaker = 7\n")
    with pytest.raises(FleetError, match=r"parts: .*broken\.toml"):
        check_fleet(config.model_copy(update={"parts": other}))
