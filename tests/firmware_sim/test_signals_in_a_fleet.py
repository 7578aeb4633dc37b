"""Every kind of signal that a fleet file can name: it is the one of `sensors`, shared by whom it should be shared."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from firmware_sim.build import FleetError, check_fleet
from firmware_sim.config import FleetConfig
from firmware_sim.virtual import run_virtual

HOUR_MS = 3_600_000
START_MS = 1_780_272_000_000  # Monday, 2026-06-01T00:00:00Z
TRACK = {
    "name": "route",
    "speed_m_s": 20.0,
    "waypoints": [{"lat": 0.0, "lon": 0.0, "stop_s": 600.0}, {"lat": 0.0, "lon": 1.0}],
}
BEARING = {"balls": 9, "ball_diameter_mm": 7.94, "pitch_diameter_mm": 39.04, "growth_m_s2_per_day": 24.0}
MACHINE = {"kind": "machine", "speed_rpm": 1500, "harmonics_m_s2": [2.0], "on_s": 7200, "off_s": 7200}
KINDS: dict[str, dict[str, Any]] = {
    "seasonal": {"kind": "seasonal", "mean": 5, "amplitude": 2},
    "daylight": {"kind": "daylight", "peak": 900},
    "noise": {"kind": "noise", "sigma": 1},
    "front": {"kind": "front", "sigma": 4},
    "front-pressure": {"kind": "front-pressure"},
    "steps": {"kind": "steps", "initial": 1, "steps": [{"from_s": 3600, "value": 2}]},
    "occupancy": {"kind": "occupancy"},
    "room": {"kind": "room", "room": "office", "quantity": "co2"},
    "machine": {**MACHINE, "quantity": "level"},
    "wave": {**MACHINE, "quantity": "acceleration"},
    "track": {"kind": "track", "track": "route", "quantity": "latitude"},
    "flow": {"kind": "water", "quantity": "flow"},
    "volume": {"kind": "water", "quantity": "volume"},
    "sum": {"kind": "sum", "parts": [{"kind": "constant", "value": 3}, {"kind": "noise", "sigma": 1}]},
}


def fleet(*sensors: dict[str, Any], count: int = 1, **changes: Any) -> FleetConfig:
    named = [{"name": f"s{at}", "unit": "/", "signal": signal} for at, signal in enumerate(sensors)]
    group = {"name": "d", "count": count, "interval_s": 600, "sensors": named}
    rooms = [{"name": "office"}, {"name": "hall", "shared": True}]
    base = {"virtual_start": "2026-06-01T00:00:00Z", "rooms": rooms, "tracks": [TRACK], "devices": [group]}
    return FleetConfig.model_validate(base | changes)


def values(config: FleetConfig, hours: int = 24) -> dict[str, list[tuple[int, list[float]]]]:
    """Device -> (when, the values of its sensors)."""
    lines: list[bytes] = []
    run_virtual(config, hours * HOUR_MS, lines.append)
    found: dict[str, list[tuple[int, list[float]]]] = {}
    for line in map(json.loads, b"".join(lines).splitlines()):
        at_ms = line["taken_at_ms"] - START_MS
        found.setdefault(line["device"], []).append((at_ms, [value[1] for value in line["values"]]))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_measures_the_same_again_and_something_that_is_a_number(kind: str) -> None:
    config = fleet(KINDS[kind])
    first = values(config)
    assert first == values(config)
    assert all(isinstance(each[0], float) for _, each in first["d"])
    assert len(first["d"]) > 140


def test_steps_jump_at_their_times_and_start_over() -> None:
    signal = {"kind": "steps", "initial": 1, "steps": [{"from_s": 3600, "value": 5}], "loop_s": 7200}
    assert all(said == [5.0 if at_ms % 7_200_000 >= 3_600_000 else 1.0] for at_ms, said in values(fleet(signal))["d"])


def test_the_sensors_of_a_room_agree_and_its_devices_do_not_unless_it_is_shared() -> None:
    def of(room: str) -> list[dict[str, Any]]:
        return [{"kind": "room", "room": room, "quantity": quantity} for quantity in ("people", "light", "co2")]

    own, shared = values(fleet(*of("office"), count=2)), values(fleet(*of("hall"), count=2))
    noon = [said for at_ms, said in own["d-1"] if 10 <= at_ms / HOUR_MS < 12]
    assert all((light > 450) == (people > 0) for people, light, _ in noon)
    assert max(co2 for _, (_, _, co2) in own["d-1"]) > 600

    def co2_of_the_day(seen: list[tuple[int, list[float]]]) -> float:
        return sum(said[2] for _, said in seen) / len(seen)

    # Devices measure at different seconds, so what they see of one room is close, and not the same.
    assert co2_of_the_day(own["d-1"]) != pytest.approx(co2_of_the_day(own["d-2"]), rel=0.02)
    assert co2_of_the_day(shared["d-1"]) == pytest.approx(co2_of_the_day(shared["d-2"]), rel=0.002)


@pytest.mark.no_cover
def test_pressure_and_temperature_of_a_place_know_the_same_fronts() -> None:
    front = {"kind": "front", "sigma": 8.0}
    seen = values(fleet(front, {"kind": "front-pressure"}, count=2), hours=24 * 20)
    one = seen["d-1"]
    steepest = max(range(12, len(one) - 12), key=lambda at: abs(one[at + 12][1][0] - one[at - 12][1][0]))
    assert one[steepest][1][1] < -900, "where the temperature jumps, the pressure dips"
    assert abs(one[500][1][0] - seen["d-2"][500][1][0]) < 0.3, "the fronts pass over all devices"


def test_a_machine_stands_and_runs_and_its_bearing_wears() -> None:
    level = {**MACHINE, "quantity": "level", "bearing": BEARING}
    running = [said[0] for at_ms, said in values(fleet(level))["d"] if said[0] > 0]
    assert 60 < len(running) < 84, "half of the day"
    assert running == sorted(running)
    assert running[-1] > 10 * running[0] * 0.9


def test_devices_of_a_group_are_staggered_on_a_track() -> None:
    def axis(quantity: str) -> dict[str, Any]:
        return {"kind": "track", "track": "route", "quantity": quantity, "stagger_s": 1800}

    seen = values(fleet(axis("longitude"), axis("speed"), count=2), hours=1)
    assert all(said == [0.0, 0.0] for at_ms, said in seen["d-1"] if at_ms < 600_000)
    assert all(said[1] == 20.0 and 0 < said[0] < 1 for _, said in seen["d-2"] if said[0])
    assert max(said[0] for _, said in seen["d-2"]) > max(said[0] for _, said in seen["d-1"])


def test_a_meter_counts_what_flowed_and_a_sum_stays_within_its_bounds() -> None:
    meter = {"kind": "water", "quantity": "volume", "litres_per_day": 100}
    bounded = {"kind": "sum", "parts": [{"kind": "noise", "sigma": 5}] * 2, "floor": 0, "ceiling": 1}
    seen = values(fleet(meter, bounded), hours=48)["d"]
    counted = [said[0] for _, said in seen]
    assert counted == sorted(counted)
    assert 150 < counted[-1] <= 200
    assert {said[1] for _, said in seen} >= {0.0, 1.0}
    assert all(0 <= said[1] <= 1 for _, said in seen)


@pytest.mark.no_cover
def test_two_noises_of_one_sum_are_two() -> None:
    twice = {"kind": "sum", "parts": [{"kind": "noise", "sigma": 1}, {"kind": "noise", "sigma": 1}]}
    spread = [said[0] ** 2 for _, said in values(fleet(twice), hours=24 * 10)["d"]]
    assert 1.4 < sum(spread) / len(spread) < 2.6, "variances add up; one noise twice would have 4"


@pytest.mark.parametrize(
    ("signal", "where", "expected"),
    [
        ({"kind": "steps", "initial": 0, "steps": []}, "steps.steps", "expected at least 1, found 0"),
        ({**KINDS["steps"], "loop_s": 3600}, "steps", "loop_s: expected more than the last from_s"),
        ({"kind": "sum", "parts": [{"kind": "sine"}]}, "sum.parts.0", "'constant', 'daily', 'seasonal'"),
        ({"kind": "sum", "parts": [{"kind": "noise"}]}, "sum.parts.0.noise.sigma", "Field required"),
        ({"kind": "room", "room": "office", "quantity": "noise"}, "room.quantity", "'co2', 'temperature'"),
        ({"kind": "occupancy", "workdays": [7]}, "occupancy.workdays.0", "less than or equal to 6"),
        ({"kind": "occupancy", "empti": 1}, "occupancy.empti", "Extra inputs"),
    ],
)
def test_a_signal_that_makes_no_sense_is_refused_at_its_key(signal: dict[str, Any], where: str, expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        fleet(signal)
    (error,) = caught.value.errors()
    assert ".".join(map(str, error["loc"])) == f"devices.0.sensors.0.signal.{where}"
    assert expected in error["msg"]


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        ({"kind": "room", "room": "cellar", "quantity": "co2"}, "room: expected one of office, hall, found 'cellar'"),
        ({"kind": "track", "track": "x", "quantity": "speed"}, "track: expected one of route, found 'x'"),
        ({"kind": "front", "sigma": 1, "passage_s": 1e6}, "passage_s: expected at most a quarter of spacing_s"),
        ({**MACHINE, "quantity": "level", "speed_rpm": 60_000}, "speed_rpm: expected no tone above 500 Hz"),
        ({"kind": "water", "quantity": "flow", "flow_l_s": 0.001}, "flow_l_s: expected a flow that gives"),
        ({"kind": "occupancy", "arrive_hour": 18}, "hours: expected arrive, lunch and leave in this order"),
    ],
)
def test_what_a_signal_itself_refuses_names_the_sensor(signal: dict[str, Any], expected: str) -> None:
    with pytest.raises(FleetError, match=r"^devices\.0\.sensors\.0: ") as caught:
        check_fleet(fleet(signal))
    assert expected in str(caught.value)


def test_a_name_that_stands_for_two_rooms_is_refused() -> None:
    with pytest.raises(ValidationError, match="rooms: expected each name once"):
        fleet(KINDS["noise"], rooms=[{"name": "a"}, {"name": "a"}])
