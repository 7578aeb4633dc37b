"""Devices with a radio of their own: what arrives, when, what is lost, and what it costs."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from firmware_sim.battery_supply import BatterySupply
from firmware_sim.build import FleetError
from firmware_sim.config import FleetConfig
from firmware_sim.power import cell
from firmware_sim.readings_files import JsonLines
from firmware_sim.virtual import GroupReport, _VirtualFleet
from sensors.reading import Reading, Value
from sensors.senml import encode
from tests.firmware_sim.test_virtual import BATTERY, DAY_MS, HOUR_MS, SENSORS, virtual

START_MS = 1_767_225_600_000
LORA = {"kind": "lorawan", "data": "lora_casals2017", "distance_m": 100.0, "reading_bytes": 12, "adr": False}
PLACE = {"at_s": 0, "x_m": 5.0, "y_m": 0.0}
RADIOS: dict[str, dict[str, Any]] = {
    "lorawan": LORA,
    "lorawan-us": LORA | {"region": "us915", "sf": 8, "data": "lora_sx1272"},
    "lorawan-confirmed": LORA | {"confirmed": True, "adr": True},
    "wifi": {"kind": "wifi", "distance_m": 20.0},
    "wifi-kept": {"kind": "wifi", "path_loss_db": 80.0, "power_save": "light_sleep"},
    "beacon": {"kind": "ble", "role": "beacon", "distance_m": 5.0, "reading_bytes": 10},
    "peripheral": {"kind": "ble", "distance_m": 5.0},
    "thread": {"kind": "thread", "distance_m": 10.0},
    "cellular": {"kind": "cellular", "path_loss_db": 130.0},
    "nbiot": {"kind": "cellular", "data": "cellular_nrf9160_nbiot", "distance_m": 500.0, "saving": "edrx"},
}


def fleet(radio: dict[str, Any], **changes: Any) -> dict[str, Any]:
    group = {"name": "d", "interval_s": 600, "jitter_s": 5, "sensors": SENSORS, "battery": BATTERY, "radio": radio}
    return {"devices": [group | changes]}


def run(scenario: dict[str, Any], for_ms: int = DAY_MS) -> tuple[list[dict[str, Any]], GroupReport]:
    written, report = virtual(scenario, for_ms)
    return [json.loads(line) for line in written.splitlines()], report.groups[0]


@pytest.mark.parametrize("name", RADIOS)
def test_every_radio_delivers_and_its_ledger_closes(name: str) -> None:
    made = _VirtualFleet(FleetConfig.model_validate(fleet(RADIOS[name])), JsonLines(len))
    report = made.run(DAY_MS, lambda: False).groups[0]
    assert report.measured == 144
    assert report.received >= 143
    assert report.lost == 0
    supply = made.devices[0].supply
    assert isinstance(supply, BatterySupply)
    assert max(map(abs, supply.battery.imbalance())) < 1e-9
    booked_ms = sum(line.duration_ms for line in supply.battery.ledger.lines().values())
    assert booked_ms == pytest.approx(DAY_MS, abs=2 * 600_000)


def test_with_a_radio_the_time_of_a_life_is_tiled_by_its_phases() -> None:
    made = _VirtualFleet(FleetConfig.model_validate(fleet(RADIOS["thread"])), JsonLines(len))
    made.run(DAY_MS, lambda: False)
    device = made.devices[0]
    supply = device.supply
    assert isinstance(supply, BatterySupply)
    lines = supply.battery.ledger.lines()
    assert {"poll", "wake", "listen", "transmit", "sleep", "sense"} <= lines.keys()
    booked_ms = sum(line.duration_ms for line in lines.values())
    assert booked_ms == pytest.approx(device._busy_until_ms - START_MS, abs=1.0)


@pytest.mark.no_cover
def test_a_longer_message_costs_more() -> None:
    small, large = (run(fleet(LORA | {"reading_bytes": size}))[1] for size in (1, 51))
    assert small.battery_percent_min is not None
    assert large.battery_percent_min is not None
    assert small.battery_percent_min > large.battery_percent_min


@pytest.mark.no_cover
def test_a_board_beside_the_radio_adds_its_own_current() -> None:
    bare, resting = (run(fleet(RADIOS["thread"] | {"rest_ma": ma}))[1] for ma in (0.0, 1.0))
    assert bare.battery_percent_min is not None
    assert resting.battery_percent_min is not None
    milliampere_for_a_day_percent = 100 * 24 / cell(str(BATTERY["cell"])).capacity_mah
    spent_percent = bare.battery_percent_min - resting.battery_percent_min
    assert spent_percent == pytest.approx(milliampere_for_a_day_percent, rel=0.03)


@pytest.mark.no_cover
def test_a_device_that_does_not_know_sends_again_what_the_gateway_misses() -> None:
    lines, report = run(fleet(LORA | {"link": {"kind": "bernoulli", "loss": 0.3}}), 3 * DAY_MS)
    assert report.lost == 0
    assert report.received >= report.measured - 5
    late = [line for line in lines if line["received_at_ms"] - line["taken_at_ms"] > 500_000]
    assert len(late) > 50


@pytest.mark.no_cover
def test_fire_and_forget_loses_what_the_air_loses() -> None:
    radio = LORA | {"link": {"kind": "gilbert-elliott", "p": 0.1, "r": 0.4}}
    _, report = run(fleet(radio, send={"acknowledge": "broker"}), 30 * DAY_MS)
    assert report.measured == pytest.approx(30 * 144, abs=1)
    assert report.lost / report.measured == pytest.approx(0.2, abs=0.04)
    assert report.duplicates == 0


def test_nothing_arrives_while_the_link_is_down_and_everything_after() -> None:
    segments = [{"from_s": 0, "state": "up"}, {"from_s": 3600, "state": "down"}, {"from_s": 7200, "state": "up"}]
    lines, report = run(fleet(RADIOS["cellular"] | {"link": {"kind": "trace", "segments": segments}}))
    down = [line for line in lines if START_MS + HOUR_MS < line["received_at_ms"] < START_MS + 2 * HOUR_MS]
    assert down == []
    assert (report.lost, report.held) == (0, 0)
    measured_in_it = [line for line in lines if START_MS + HOUR_MS < line["taken_at_ms"] < START_MS + 2 * HOUR_MS]
    assert len(measured_in_it) == 6


@pytest.mark.no_cover
def test_the_duty_cycle_holds_messages_back_and_nothing_is_lost() -> None:
    # SF12 with 35 to 64 bytes is on air for 2.3 s or more: not more than 15 frames an hour are within 1 %.
    lines, report = run(fleet(LORA | {"sf": 12, "reading_bytes": 22}, interval_s=60, jitter_s=0), 6 * HOUR_MS)
    assert report.lost == 0
    arrivals = [line["received_at_ms"] for line in lines]
    for hour in range(1, 6):
        within = {at for at in arrivals if START_MS + hour * HOUR_MS <= at < START_MS + (hour + 1) * HOUR_MS}
        assert 10 <= len(within) <= 16
    assert report.held > 0


@pytest.mark.no_cover
def test_a_message_takes_its_time() -> None:
    lines, _ = run(fleet(RADIOS["wifi"] | {"link": {"kind": "perfect", "latency_ms": 900}}))
    delays = [line["received_at_ms"] - line["taken_at_ms"] for line in lines[1:]]
    assert all(1300 < delay < 1700 for delay in delays)  # boot 270 ms, join 200 ms, and what the link adds


def test_a_radio_without_a_battery_still_decides_what_arrives() -> None:
    _, report = run(fleet(LORA | {"distance_m": 100_000.0}, battery=None))
    assert (report.received, report.battery_percent_min) == (0, None)
    assert report.held == report.measured


def test_a_device_that_walks_out_of_range_and_back_is_heard_when_it_is_near() -> None:
    near, far = {"x_m": 50.0, "y_m": 0.0}, {"x_m": 0.0, "y_m": 100_000.0}
    way = [near | {"at_s": 0}, near | {"at_s": 10_800}, far | {"at_s": 10_801}, far | {"at_s": 21_599}]
    radio = {key: value for key, value in LORA.items() if key != "distance_m"}
    moving = fleet(radio | {"movement": {"waypoints": way, "loop_s": 21_600}}, send={"acknowledge": "broker"})
    lines, report = run(moving, DAY_MS)
    phases_s = {(line["taken_at_ms"] - START_MS) // 1000 % 21_600 for line in lines}
    assert max(phases_s) < 10_801
    assert report.measured / 2 - 3 <= report.received <= report.measured / 2 + 3


def test_the_bytes_are_the_same_each_time() -> None:
    scenario = fleet(LORA | {"link": {"kind": "bernoulli", "loss": 0.2}}, count=3)
    assert virtual(scenario, DAY_MS) == virtual(scenario, DAY_MS)


@pytest.mark.parametrize(
    ("radio", "said"),
    [
        ({"kind": "wifi"}, "either distance_m or path_loss_db"),
        ({"kind": "wifi", "distance_m": 5, "path_loss_db": 80}, "either distance_m or path_loss_db"),
        (
            {"kind": "wifi", "path_loss_db": 80, "movement": {"waypoints": [PLACE]}},
            "distance_m or path_loss_db or movement",
        ),
        ({"kind": "wifi", "movement": {"waypoints": []}}, "movement.waypoints"),
        ({"kind": "lorawan", "distance_m": 5}, "expected reading_bytes"),
        ({"kind": "zigbee", "distance_m": 5}, "zigbee"),
    ],
)
def test_a_radio_that_does_not_add_up_is_refused(radio: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FleetConfig.model_validate(fleet(radio))


def test_a_receive_window_beside_a_radio_is_refused() -> None:
    with pytest.raises(ValidationError, match="receive_window_s"):
        FleetConfig.model_validate(fleet(RADIOS["wifi"], send={"receive_window_s": 1.0}))


@pytest.mark.parametrize(
    ("radio", "said"),
    [
        ({"kind": "wifi", "movement": {"waypoints": [PLACE, PLACE]}}, "rising from point to point"),
        (
            {"kind": "wifi", "movement": {"waypoints": [PLACE, PLACE | {"at_s": 9}], "loop_s": 9}},
            "more than the track's",
        ),
        (RADIOS["wifi"] | {"data": "wifi_none"}, "wifi_none.toml"),
        (RADIOS["wifi"] | {"data": "none.toml"}, "none.toml"),
        (LORA | {"reading_bytes": 52, "adr": True}, "at most 51 at the slowest data rate"),
        (LORA | {"region": "us915", "sf": 12}, "expected one of 7, 8, 9, 10 in us915"),
        (LORA | {"channels_hz": [903_900_000]}, "channels_hz is 903900000: expected 863100000 to 869900000 in eu868"),
        (LORA | {"channels_hz": [868_650_000]}, "868650000: expected a frequency in a sub-band of eu868"),
        (RADIOS["wifi-kept"] | {"dtim": 2}, "dtim"),
    ],
)
def test_what_the_models_refuse_names_the_key(radio: dict[str, Any], said: str) -> None:
    with pytest.raises(FleetError, match=said) as caught:
        run(fleet(radio))
    assert caught.value.key == "devices.0.radio"


def test_a_message_of_senml_counts_as_it_is() -> None:
    payload = encode([Reading("d", 1, 0, START_MS, (Value("t", 1.0, "Cel"),))], sent_at_ms=START_MS)
    made = _VirtualFleet(FleetConfig.model_validate(fleet(RADIOS["wifi"])), JsonLines(len))
    radio = made.devices[0]._radio
    assert radio is not None
    short, _ = radio.send(START_MS, payload, 1)
    long, _ = radio.send(START_MS + HOUR_MS, payload * 20, 1)
    assert long.ends_ms - START_MS - HOUR_MS > short.ends_ms - START_MS + 5


def test_a_device_waits_for_its_duty_cycle_asleep_and_not_with_a_message_in_hand() -> None:
    busy = fleet(LORA | {"sf": 12, "reading_bytes": 22}, interval_s=60, jitter_s=0)
    made = _VirtualFleet(FleetConfig.model_validate(busy), JsonLines(len))
    made.run(6 * HOUR_MS, lambda: False)
    supply = made.devices[0].supply
    assert isinstance(supply, BatterySupply)
    waited = supply.battery.ledger.lines().get("airtime wait")
    assert waited is None or waited.duration_ms < 0.02 * 6 * HOUR_MS


@pytest.mark.parametrize(("confirmed", "knows"), [(True, True), (False, False)])
def test_only_a_device_that_is_answered_knows_that_a_message_was_lost(confirmed: bool, knows: bool) -> None:
    radio = LORA | {"confirmed": confirmed, "distance_m": 100_000.0}
    made = _VirtualFleet(FleetConfig.model_validate(fleet(radio)), JsonLines(len))
    made.run(HOUR_MS, lambda: False)
    assert (made.devices[0].counters.refused_messages > 0) is knows


def test_the_second_window_listens_for_what_the_network_says() -> None:
    """8 symbols of SF12 are 262.144 ms, 12 of SF9 49.152 (LoRaWAN RP002)."""
    drains = []
    for rx2_sf in (12, 9):
        _, report = run(fleet(LORA | {"rx2_sf": rx2_sf, "data": "lora_sx1272"}), HOUR_MS)
        drains.append(report.drain_mah["rx2"])
    assert drains[0] / drains[1] == pytest.approx(262.144 / 49.152, rel=1e-3)
