"""Places: how warm it is and what shines, and what both do to a battery, its panel and a clock."""

from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from firmware_sim.battery_supply import LOCK_OUT_MS, BatterySupply
from firmware_sim.build_power import build_supply
from firmware_sim.config import FleetConfig
from firmware_sim.device_clock import ClockSpec, DeviceClock, TimeSource
from firmware_sim.phases import Phase
from firmware_sim.power import Battery
from firmware_sim.supply import PowerState
from firmware_sim.virtual import GroupReport, run_virtual

START_MS = 1_781_913_600_000  # 2026-06-20
HOUR_MS = 3_600_000
SENSOR = {"name": "t", "unit": "Cel", "signal": {"kind": "constant", "value": 1}}
PLACE = {"latitude_deg": 48.0, "longitude_deg": 11.0, "sky": {"clear_share": 1.0, "day_spread": 0}}
SOLAR = {"kind": "solar", "area_cm2": 20.0}


def supply(battery: dict[str, Any], **more: Any) -> BatterySupply[Battery]:
    group = {"name": "d", "sensors": [SENSOR], "battery": {"board": "maudet-lorawan"} | battery, **more}
    config = FleetConfig.model_validate({"devices": [group]})
    made = build_supply(config, config.devices[0], START_MS)
    assert isinstance(made, BatterySupply)
    return made


def test_a_cold_place_makes_a_cell_weak_and_a_warm_one_leaky() -> None:
    at_c = {degrees: supply({"cell": "er14505"}, place={"ambient": {"mean_c": degrees}}) for degrees in (-30, 20, 50)}
    for each in at_c.values():
        each.draw(Phase.SLEEP, 1000 * HOUR_MS, START_MS + 1000 * HOUR_MS)
    left = {degrees: each.true_state() for degrees, each in at_c.items()}
    assert left[-30].left_mah < 0.8 * left[20].left_mah
    assert left[50].used_mah > 2 * left[20].used_mah
    assert [state.temperature_c for state in left.values()] == [-30, 20, 50]
    sag_mv = {
        degrees: each.battery.open_circuit_mv - each.battery.loaded_voltage_mv(30) for degrees, each in at_c.items()
    }
    assert sag_mv[-30] > 3 * sag_mv[20]


def test_the_sun_fills_a_cell_by_day_and_not_by_night() -> None:
    made = supply({"cell": "18650-li-ion", "state_of_charge": 0.5}, harvest=SOLAR, place=PLACE)
    made.draw(Phase.SLEEP, 2 * HOUR_MS, START_MS + 2 * HOUR_MS)  # until two at night
    assert made.battery.charge_lost_mah > 0
    made.draw(Phase.SLEEP, 12 * HOUR_MS, START_MS + 14 * HOUR_MS)
    assert made.battery.charge_lost_mah < -200
    charge, energy = made.battery.imbalance()
    assert abs(charge) < 1e-9
    assert abs(energy) < 1e-9


def test_a_battery_that_the_sun_can_fill_is_never_dead_for_ever() -> None:
    battery = {"cell": "18650-li-ion", "state_of_charge": 0.0001, "capacity_mah": 10}
    bare, sunny = supply(battery), supply(battery, harvest=SOLAR, place=PLACE)
    ends = {}
    for name, made in (("bare", bare), ("sunny", sunny)):
        ends[name] = made.draw(Phase.SLEEP, 1000 * HOUR_MS if name == "bare" else HOUR_MS, START_MS + HOUR_MS)
    assert ends == {"bare": PowerState.EMPTY, "sunny": PowerState.SAG}
    assert sunny.timings().brown_out_ms == LOCK_OUT_MS
    assert sunny.draw(Phase.BROWN_OUT, LOCK_OUT_MS, START_MS + HOUR_MS + LOCK_OUT_MS) is PowerState.GOOD


def test_a_device_whose_battery_runs_down_at_night_comes_back_with_the_sun() -> None:
    group = {
        "name": "d",
        "interval_s": 600,
        "sensors": [SENSOR],
        "battery": {"cell": "18650-li-ion", "board": "casals-lorawan", "capacity_mah": 40, "state_of_charge": 0.2},
        "radio": {"kind": "lorawan", "path_loss_db": 110, "reading_bytes": 8, "rest_ma": 3.0},
        "send": {"acknowledge": "broker"},
        "harvest": {"kind": "solar", "area_cm2": 3.0},
        "place": PLACE,
    }
    config = FleetConfig.model_validate({"devices": [group], "virtual_start": "2026-06-20T00:00:00Z"})
    lines: list[bytes] = []
    report = run_virtual(config, 2 * 24 * HOUR_MS, lines.append).groups[0]
    assert report.dead == 0
    assert report.boots > 1
    assert b'"boot":2' in b"".join(lines) or report.boots > 2


def test_groups_without_a_place_of_their_own_stand_in_the_same_weather() -> None:
    group = {"sensors": [SENSOR], "battery": {"cell": "er14505", "board": "maudet-lorawan"}}
    ambient = {"ambient": {"mean_c": 5, "weather_c": 5}}
    config = FleetConfig.model_validate(
        {
            "place": ambient,
            "devices": [group | {"name": "a"}, group | {"name": "b"}, group | {"name": "c", "place": ambient}],
        }
    )
    seen = []
    for each in config.devices:
        made = build_supply(config, each, START_MS)
        made.draw(Phase.SLEEP, HOUR_MS, START_MS + HOUR_MS)
        state = made.true_state()
        assert state is not None
        seen.append(state.temperature_c)
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize(("degrees", "behind_ms"), [(25.0, 0), (60.0, 4234), (-10.0, 4234)])
def test_a_crystal_off_its_turnover_runs_slow(degrees: float, behind_ms: int) -> None:
    clock = DeviceClock(ClockSpec(source=TimeSource.RTC), Random(1), lambda _at_ms: degrees)
    clock.restart(START_MS, 0)
    day_ms = 24 * HOUR_MS
    clock.read(START_MS + 7 * HOUR_MS)
    time_ms, _ = clock.read(START_MS + day_ms)
    assert START_MS + day_ms - time_ms == pytest.approx(behind_ms, abs=1)  # 49 ppm of a day


def test_the_drift_is_the_same_however_often_the_clock_is_read() -> None:
    once, often = (
        DeviceClock(ClockSpec(ppm=5.0), Random(1), lambda at_ms: 20.0 + (at_ms // HOUR_MS) % 30) for _ in range(2)
    )
    for clock in (once, often):
        clock.restart(START_MS, 0)
    for minute in range(0, 3000, 7):
        often.timeline_ms(START_MS + minute * 60_000)
    end_ms = START_MS + 3000 * 60_000
    assert abs(once.timeline_ms(end_ms) - often.timeline_ms(end_ms)) <= 1


def in_frost(charge: float, day_c: float) -> GroupReport:
    """A coin cell for three days about 0 degrees, a reading every ten minutes."""
    battery = {"cell": "cr2032", "board": "nrf52-ble", "state_of_charge": charge}
    group = {"name": "d", "interval_s": 600, "sensors": [SENSOR], "battery": battery}
    place = {"ambient": {"mean_c": 0, "day_c": day_c}}
    config = FleetConfig.model_validate({"devices": [group], "place": place})
    return run_virtual(config, 3 * 24 * HOUR_MS, len).groups[0]


def test_a_battery_that_freezes_at_night_comes_back_by_day() -> None:
    """At -20 degrees a CR2032 gives 60 % of its charge: one with a quarter left gives nothing until it is warmer."""
    report = in_frost(charge=0.25, day_c=20.0)
    assert report.dead == 0
    assert 250 < report.received < 400  # of 432


def test_a_battery_for_which_it_never_gets_warm_enough_is_dead() -> None:
    assert in_frost(charge=0.05, day_c=0.0).dead == 1


@pytest.mark.parametrize(
    ("ambient", "found"),
    [
        ({"mean_c": -60, "day_c": 30, "season_c": 20}, "-110 to -10"),
        ({"mean_c": 90, "day_c": 60, "season_c": 60}, "-30 to 210"),
        ({"mean_c": 0, "weather_c": 20}, "-120 to 120"),
    ],
)
def test_a_place_that_no_cell_survives_is_refused(ambient: dict[str, float], found: str) -> None:
    with pytest.raises(ValidationError, match=f"ambient.*\n.*between -100 and 200 degrees, found {found}"):
        FleetConfig.model_validate({"place": {"ambient": ambient}, "devices": [{"name": "d", "sensors": [SENSOR]}]})
