"""What all radios share: phases, idle plans, data files; and the promises that hold for every radio."""

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.radio.ble import BleBeacon, BlePeripheral
from firmware_sim.radio.cellular import CellularRadio
from firmware_sim.radio.datafile import SCOPES, RadioData, bundled_names
from firmware_sim.radio.energy import EnergyPhase, IdlePlan, LinkState, Radio, split
from firmware_sim.radio.errors import RadioDataError, RadioSettingError, TimeOrderError
from firmware_sim.radio.ieee802154 import ThreadRadio
from firmware_sim.radio.lorawan import LorawanConfig, LorawanRadio
from firmware_sim.radio.wifi import WifiPowerSave, WifiRadio

Maker = Callable[[random.Random], Radio]

RADIOS: dict[str, Maker] = {
    "lorawan": lambda rng: LorawanRadio(RadioData.bundled("lora_sx1272"), rng, LorawanConfig(confirmed=True)),
    "wifi": lambda rng: WifiRadio(RadioData.bundled("wifi_esp32"), rng, power_save=WifiPowerSave.LIGHT_SLEEP),
    "beacon": lambda rng: BleBeacon(RadioData.bundled("ble_nrf52832"), rng),
    "peripheral": lambda rng: BlePeripheral(RadioData.bundled("ble_nrf52832"), rng),
    "thread": lambda rng: ThreadRadio(RadioData.bundled("ieee802154_nrf5340"), rng),
    "lte-m": lambda rng: CellularRadio(RadioData.bundled("cellular_nrf9160_ltem"), rng),
    "nb-iot": lambda rng: CellularRadio(RadioData.bundled("cellular_nrf9160_nbiot"), rng),
}
every_radio = pytest.mark.parametrize("name", RADIOS)

PLAN = IdlePlan(
    once=(EnergyPhase("tail", 10, 5.0),), repeat=(EnergyPhase("sleep", 90, 0.1), EnergyPhase("poll", 10, 4.0))
)


def charge_uc(phases: tuple[EnergyPhase, ...]) -> float:
    return sum(phase.charge_uc for phase in phases)


def test_an_idle_plan_runs_its_tail_once_and_the_rest_for_ever() -> None:
    assert PLAN.between(0, 210) == (
        EnergyPhase("tail", 10, 5.0),
        EnergyPhase("sleep", 90, 0.1),
        EnergyPhase("poll", 10, 4.0),
        EnergyPhase("sleep", 90, 0.1),
        EnergyPhase("poll", 10, 4.0),
    )
    assert len(PLAN.between(5, 3e10)) < 10


@given(st.lists(st.floats(0, 1000), min_size=2, max_size=6))
def test_splitting_idle_time_changes_neither_time_nor_charge(raw: list[float]) -> None:
    cuts = sorted(raw)
    parts = [PLAN.between(a, b) for a, b in pairwise(cuts)]
    whole = PLAN.between(cuts[0], cuts[-1])
    assert sum(charge_uc(part) for part in parts) == pytest.approx(charge_uc(whole), abs=1e-6)
    assert sum(phase.duration_ms for phase in whole) == pytest.approx(cuts[-1] - cuts[0], abs=1e-6)


def test_an_idle_plan_without_time_is_refused() -> None:
    with pytest.raises(RadioSettingError, match="repeat"):
        IdlePlan(repeat=())


def test_an_idle_plan_is_not_read_backwards() -> None:
    with pytest.raises(TimeOrderError):
        PLAN.between(5, 4)


@given(st.integers(0, 5_000), st.integers(1, 300))
def test_fragments_hold_all_bytes(payload_bytes: int, most: int) -> None:
    sizes = split(payload_bytes, most)
    assert sum(sizes) == payload_bytes
    assert all(0 < size <= most for size in sizes) or sizes == [0]


@every_radio
def test_a_day_of_exchanges_and_idle_tiles_the_time(name: str) -> None:
    radio, link, now_ms, spent_ms, quiet_ms = RADIOS[name](random.Random(1)), LinkState(-75, 5), 0, 0.0, 0.0
    for _ in range(24):
        spent_ms += sum(phase.duration_ms for phase in radio.idle(quiet_ms, now_ms))
        done = radio.exchange(now_ms, 50, link)
        spent_ms, quiet_ms = spent_ms + done.busy_ms, now_ms + done.busy_ms
        now_ms += 3_600_000
    assert spent_ms == pytest.approx(quiet_ms, abs=1e-3)


@every_radio
def test_the_same_seed_gives_the_same_exchanges(name: str) -> None:
    def run() -> list[object]:
        radio = RADIOS[name](random.Random(42))
        return [radio.exchange(n * 3_600_000, 80, LinkState(-97, -7)) for n in range(20)]

    assert run() == run()


@every_radio
def test_a_good_link_delivers_and_costs_charge(name: str) -> None:
    done = RADIOS[name](random.Random(1)).exchange(0, 40, LinkState())
    assert done.delivered
    assert 0 < done.latency_ms <= done.busy_ms
    assert done.charge_uc > 0
    assert all(phase.duration_ms > 0 and phase.current_ma > 0 for phase in done.phases)


@every_radio
def test_a_longer_payload_never_costs_less(name: str) -> None:
    charges = [RADIOS[name](random.Random(3)).exchange(0, size, LinkState()).charge_uc for size in (1, 40, 200)]
    assert charges == sorted(charges)


@every_radio
def test_a_hopeless_signal_is_given_up(name: str) -> None:
    done = RADIOS[name](random.Random(1)).exchange(0, 20, LinkState(rssi_dbm=-180, snr_db=-60))
    assert not done.delivered


@every_radio
def test_an_exchange_may_not_start_inside_the_last_one(name: str) -> None:
    radio = RADIOS[name](random.Random(1))
    radio.exchange(1_000, 20, LinkState())
    with pytest.raises(TimeOrderError):
        radio.exchange(1_000, 20, LinkState())


@every_radio
def test_every_radio_names_the_scope_of_its_currents(name: str) -> None:
    radio = RADIOS[name](random.Random(1))
    assert radio.scope in SCOPES
    assert radio.earliest_ms(5, 20) == 5


@pytest.mark.parametrize("name", bundled_names())
def test_every_data_file_names_its_source(name: str) -> None:
    assert len(RadioData.bundled(name).text("provenance.source")) > 40


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("x = [", "file"),
        ("x = 1", "provenance.source"),
        ('[provenance]\nsource = "s"\nscope = "moon"', "provenance.scope"),
    ],
)
def test_a_bad_data_file_is_named_with_its_key(text: str, key: str) -> None:
    with pytest.raises(RadioDataError, match=rf"mine\.toml.*{key}"):
        RadioData.parse(text, "mine.toml")


@pytest.mark.parametrize("value", ["-3", "true", '"much"'])
def test_a_current_that_is_no_amount_is_refused(value: str) -> None:
    data = RadioData.parse(f'tx_ma = {value}\n[provenance]\nsource = "s"\nscope = "chip"', "mine.toml")
    with pytest.raises(RadioDataError, match=r"mine\.toml.*tx_ma.*number"):
        data.number("tx_ma")


def test_each_kind_of_value_is_checked() -> None:
    text = 'list = 3\ntable = 3\nword = 3\ncount = 1.5\n[provenance]\nsource = "s"\nscope = "chip"'
    data = RadioData.parse(text, "mine.toml")
    for getter, key in ((data.tables, "list"), (data.numbers, "table"), (data.text, "word"), (data.whole, "count")):
        with pytest.raises(RadioDataError, match=key):
            getter(key)


def test_a_file_of_the_users_own_is_read_and_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('sleep_ma = 2\n[provenance]\nsource = "my meter"\nscope = "board"', encoding="utf-8")
    assert RadioData.read(file).number("sleep_ma") == 2
    with pytest.raises(RadioDataError, match=r"mine\.toml.*wake_ma"):
        RadioData.read(file).number("wake_ma")


def test_idle_time_before_the_last_exchange_ended_is_refused() -> None:
    radio = RADIOS["thread"](random.Random(1))
    radio.exchange(10_000, 20, LinkState())
    with pytest.raises(TimeOrderError, match="from_ms"):
        radio.idle(9_000, 20_000)


def test_an_unknown_bundled_file_lists_those_there_are() -> None:
    with pytest.raises(RadioDataError, match="wifi_esp32"):
        RadioData.bundled("wifi_esp99")
