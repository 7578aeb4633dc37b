"""A battery and a board behind the firmware."""

import pytest

from firmware_sim.battery_supply import BatterySupply
from firmware_sim.device import Device
from firmware_sim.device_clock import ClockSpec
from firmware_sim.phases import Phase
from firmware_sim.power import Battery, board, builtin_boards
from firmware_sim.radio.energy import EnergyPhase
from firmware_sim.supply import PowerState, Timings
from tests.firmware_sim.worlds import World, spec

HOUR_MS = 3_600_000


def supply(cell: str = "2xaa-alkaline", board_name: str = "esp32-wifi", charge: float = 1.0) -> BatterySupply[Battery]:
    the_board = board(board_name)
    return BatterySupply(Battery(cell, state_of_charge=charge, brownout_mv=the_board.brownout_mv), the_board)


@pytest.mark.parametrize("name", builtin_boards())
def test_every_board_of_the_catalogue_feeds_every_state(name: str) -> None:
    made = supply("18650-li-ion", name)
    for phase in Phase:
        assert made.draw(phase, 10, 0) is PowerState.GOOD


def test_the_ledger_of_a_life_sums_to_what_the_battery_lost() -> None:
    made = supply("18650-li-ion")
    world = World(spec(interval_ms=60_000, receive_window_ms=500), supply=made)
    world.link(up=True)
    for _ in range(60):
        world.run(60_000)
        world.ack(1, world.device.outbox.next_seq - 1)
    charge, energy = made.battery.imbalance()
    assert abs(charge) < 1e-9
    assert abs(energy) < 1e-9
    sleeping_mah = board("esp32-wifi").current_in("deep_sleep")
    assert made.battery.charge_lost_mah > sleeping_mah
    assert made.level_percent() < 100.0


def test_a_board_measured_as_a_whole_report_is_fed_that_report_for_each_message() -> None:
    made = supply("er14505", "casals-lorawan")
    report = board("casals-lorawan").report()
    assert made.timings() == Timings(0, 0, 0, 0, round(sum(step.duration_ms for step in report)))
    before = made.battery.charge_lost_mah
    made.draw(Phase.TRANSMIT, made.timings().transmit_ms, 0)
    expected_mah = sum(step.current_ma * step.duration_ms for step in report) / HOUR_MS
    assert made.battery.charge_lost_mah - before == pytest.approx(expected_mah, rel=1e-3)


def test_the_peak_of_the_pulse_browns_the_device_out_while_the_rest_is_fine() -> None:
    made = supply("2xaa-alkaline", charge=0.97)
    assert made.draw(Phase.SLEEP, 1000, 0) is PowerState.GOOD
    assert made.draw(Phase.PROCESS, 10, 0) is PowerState.GOOD
    assert made.battery.loaded_voltage_mv(500.0) < 3000 < made.battery.open_circuit_mv
    assert made.draw(Phase.TRANSMIT, 20, 0) is PowerState.SAG


@pytest.mark.no_cover
def test_a_device_on_a_coin_cell_dies_and_its_last_words_are_low() -> None:
    made = supply("cr2032", "nrf52-ble", charge=0.0006)  # the rest goes on trying to boot
    world = World(spec(interval_ms=10_000, receive_window_ms=100), supply=made)
    world.link(up=True)
    for _ in range(1000):
        world.run(HOUR_MS)
        world.ack(world.device.outbox.boot, world.device.outbox.next_seq - 1)
        if world.device.phase is Phase.DEAD:
            break
    assert world.device.phase is Phase.DEAD
    levels = [float(value.value) for reading in world.truth.values() for value in reading.values[2:]]
    assert levels[0] == pytest.approx(0.1, abs=0.01)
    assert levels == sorted(levels, reverse=True)


def test_voltage_and_level_are_the_batterys() -> None:
    made = supply("18650-li-ion", charge=0.5)
    assert made.voltage_v() == made.battery.open_circuit_mv / 1000
    assert made.level_percent() == pytest.approx(50.0, abs=1.0)
    assert isinstance(World(spec(clock=ClockSpec()), supply=made).device, Device)


def test_a_board_that_browns_out_in_its_pulse_does_not_listen_for_an_answer() -> None:
    made = supply("er14505", "sx1272", charge=0.06)
    exchange = (EnergyPhase("transmit", 50.0, 100.0), EnergyPhase("wait", 1000.0, 0.1), EnergyPhase("rx1", 30.0, 9.7))
    assert made.draw_radio(exchange, resting=False) is PowerState.SAG
    lines = made.energy()
    assert set(lines) == {"transmit", "brown-out"}
    assert lines["brown-out"].duration_ms == 1030.0
    assert lines["brown-out"].charge_mah == 0.0
