"""Wi-Fi, BLE, Thread and cellular against published figures, and how each behaves."""

import math
import random

import pytest

from firmware_sim.radio.ble import BleBeacon, BlePeripheral
from firmware_sim.radio.cellular import CellularRadio, CellularSaving
from firmware_sim.radio.datafile import RadioData
from firmware_sim.radio.energy import EnergyPhase, Exchange, LinkState
from firmware_sim.radio.errors import RadioSettingError
from firmware_sim.radio.ieee802154 import ThreadRadio, bit_error_rate, packet_error_rate
from firmware_sim.radio.links import BernoulliLink
from firmware_sim.radio.wifi import WifiPowerSave, WifiRadio

HOUR_MS = 3_600_000
DOWN = LinkState(process=BernoulliLink(1.0, random.Random(1)))


def mean_ma(phases: tuple[EnergyPhase, ...]) -> float:
    return sum(p.charge_uc for p in phases) / sum(p.duration_ms for p in phases)


def states(done: Exchange) -> list[str]:
    return [phase.state for phase in done.phases]


def wifi(
    power_save: WifiPowerSave = WifiPowerSave.DEEP_SLEEP, *, dtim: int = 3, fixed_address: bool = True
) -> WifiRadio:
    data = RadioData.bundled("wifi_esp32")
    return WifiRadio(data, random.Random(1), power_save=power_save, dtim=dtim, fixed_address=fixed_address)


@pytest.mark.parametrize(
    ("power_save", "dtim", "ma"),
    [
        (WifiPowerSave.MODEM_SLEEP, 1, 31.1),
        (WifiPowerSave.MODEM_SLEEP, 3, 28.8),
        (WifiPowerSave.MODEM_SLEEP, 10, 29.7),
        (WifiPowerSave.LIGHT_SLEEP, 1, 3.34),
        (WifiPowerSave.LIGHT_SLEEP, 3, 2.33),
        (WifiPowerSave.LIGHT_SLEEP, 10, 2.19),
        (WifiPowerSave.DEEP_SLEEP, 3, 0.005),
    ],
)
def test_esp32_averages_are_espressifs(power_save: WifiPowerSave, dtim: int, ma: float) -> None:
    """ESP-IDF low-power guide: averages while connected, and deep sleep; exact over a day and a bit."""
    assert mean_ma(wifi(power_save, dtim=dtim).idle(0, 25.5 * HOUR_MS)) == pytest.approx(ma, rel=1e-9)


def test_a_station_in_deep_sleep_joins_every_time_and_one_that_stays_joins_once() -> None:
    sleeper, stayer = wifi(), wifi(WifiPowerSave.LIGHT_SLEEP)
    assert [("join" in states(sleeper.exchange(n * HOUR_MS, 100, LinkState()))) for n in range(3)] == [True] * 3
    assert [("join" in states(stayer.exchange(n * HOUR_MS, 100, LinkState()))) for n in range(3)] == [
        True,
        False,
        False,
    ]


def test_a_fixed_address_saves_1_7_seconds() -> None:
    quick, slow = (wifi(fixed_address=fixed).exchange(0, 100, LinkState()) for fixed in (True, False))
    assert slow.latency_ms - quick.latency_ms == pytest.approx(1700)


def test_a_station_without_access_point_searches_until_it_gives_up() -> None:
    done = wifi().exchange(0, 100, DOWN)
    assert states(done) == ["boot", "search"]
    assert not done.delivered


def test_wifi_repeats_frames_on_a_weak_signal_up_to_eight_sends() -> None:
    weak = wifi(WifiPowerSave.LIGHT_SLEEP).exchange(0, 1000, LinkState(rssi_dbm=-98.5))
    lost = wifi(WifiPowerSave.LIGHT_SLEEP).exchange(0, 1000, LinkState(rssi_dbm=-110))
    assert weak.attempts >= 1
    assert (lost.delivered, lost.attempts, states(lost).count("transmit")) == (False, 8, 8)


def test_a_dtim_without_published_average_is_refused() -> None:
    with pytest.raises(RadioSettingError, match="dtim"):
        wifi(WifiPowerSave.MODEM_SLEEP, dtim=7)


def test_a_beacon_at_one_second_draws_22_5_microamperes() -> None:
    """7 mA for 3 ms each second over 1.5 uA: 22.5 uA; 0.1 %."""
    beacon = BleBeacon(RadioData.bundled("ble_nrf52832"), random.Random(1))
    assert mean_ma(beacon.idle(0, 10 * HOUR_MS)) * 1000 == pytest.approx(22.5, rel=1e-3)


def test_a_longer_advertising_interval_saves_charge() -> None:
    data, rng = RadioData.bundled("ble_nrf52832"), random.Random(1)
    draws = [mean_ma(BleBeacon(data, rng, interval_ms=ms).idle(0, HOUR_MS)) for ms in (100, 1_000, 10_000)]
    assert draws == sorted(draws, reverse=True)


def test_repeated_advertising_beats_a_lossy_channel() -> None:
    """Three events at 40 % loss: 1 - 0.4^3 = 93.6 %."""
    beacon = BleBeacon(RadioData.bundled("ble_nrf52832"), random.Random(1), interval_ms=100)
    link = LinkState(process=BernoulliLink(0.4, random.Random(2)))
    delivered = sum(beacon.exchange(n * 10_000, 20, link).delivered for n in range(2_000)) / 2_000
    assert delivered == pytest.approx(0.936, abs=0.02)


def test_a_peripheral_waits_half_an_interval_on_average() -> None:
    peripheral = BlePeripheral(RadioData.bundled("ble_nrf52832"), random.Random(1), interval_ms=100)
    latencies = [peripheral.exchange(n * HOUR_MS, 20, LinkState()).latency_ms for n in range(1_000)]
    assert sum(latencies) / 1_000 == pytest.approx(50 + 1.9, abs=4)


def test_peripheral_latency_saves_most_of_the_idle_charge() -> None:
    data, rng = RadioData.bundled("ble_nrf52832"), random.Random(1)
    every, tenth = (BlePeripheral(data, rng, latency_events=n).idle(0, HOUR_MS) for n in (0, 9))
    assert mean_ma(tenth) == pytest.approx(mean_ma(every) / 10, rel=0.4)


@pytest.mark.parametrize("interval_ms", [5, 20_000])
def test_intervals_outside_the_standard_are_refused(interval_ms: int) -> None:
    data, rng = RadioData.bundled("ble_nrf52832"), random.Random(1)
    with pytest.raises(RadioSettingError, match="interval_ms"):
        BleBeacon(data, rng, interval_ms=interval_ms)
    with pytest.raises(RadioSettingError, match="interval_ms"):
        BlePeripheral(data, rng, interval_ms=interval_ms)


def thread(poll_period_ms: int = 236_000) -> ThreadRadio:
    return ThreadRadio(RadioData.bundled("ieee802154_nrf5340"), random.Random(1), poll_period_ms=poll_period_ms)


def test_a_sleepy_end_device_draws_1270_microcoulombs_a_minute_at_a_poll_each_second() -> None:
    """Nordic, OpenThread power consumption (nRF5340 DK, 3 V, 0 dBm): 1270 uC; 0.5 %."""
    assert sum(p.charge_uc for p in thread(1_000).idle(0, 60_000)) == pytest.approx(1270, rel=0.005)


def test_a_thread_frame_takes_the_standards_times() -> None:
    """127 bytes of PSDU and 6 of header at 32 us a byte: 4.256 ms; acknowledgement 192 + 352 us."""
    phases = {phase.state: phase for phase in thread().exchange(0, 70, LinkState()).phases}
    assert phases["transmit"].duration_ms == pytest.approx(4.256)
    assert phases["listen"].duration_ms == pytest.approx(0.544)


def test_a_long_thread_payload_is_fragmented() -> None:
    assert states(thread().exchange(0, 141, LinkState())).count("transmit") == 3


def test_thread_gives_up_after_sixteen_sends() -> None:
    done = thread().exchange(0, 20, LinkState(rssi_dbm=-120))
    assert (done.delivered, done.attempts) == (False, 16)


def test_802154_bit_errors_follow_annex_e() -> None:
    """IEEE 802.15.4-2006 annex E: no signal is a coin with the standard's weight, strong is nothing; monotone."""
    assert bit_error_rate(-60) == pytest.approx(0.5, abs=0.001)
    assert bit_error_rate(5) < 1e-9
    rates = [packet_error_rate(db / 2, 160) for db in range(-12, 12)]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.no_cover
def test_thread_loses_1_percent_of_20_byte_frames_at_its_sensitivity() -> None:
    """The standard's definition of sensitivity, on the whole radio's curve: 57 bytes lose 1 - 0.99^(57/20)."""
    lost = 0
    radio, link = thread(), LinkState(rssi_dbm=-100)
    for n in range(3_000):
        lost += radio.exchange(n * 10_000, 0, link).attempts - 1
    assert lost / 3_000 == pytest.approx(1 - 0.99 ** (57 / 20), abs=0.01)


def modem(kind: str = "ltem", **kwargs: object) -> CellularRadio:
    return CellularRadio(RadioData.bundled(f"cellular_nrf9160_{kind}"), random.Random(1), **kwargs)  # type: ignore[arg-type]


def test_psm_floor_is_2_7_microamperes_and_updates_cost_what_nordic_measured() -> None:
    """nRF9160 Product Specification: floor 2.7 uA, TAU 105 mJ (LTE-M) and 550 mJ (NB-IoT) at 3.7 V; 0.5 %."""
    for kind, energy_mj in (("ltem", 105), ("nbiot", 550)):
        phases = modem(kind).idle(0, 24 * HOUR_MS)
        floor, update = phases[0], phases[1]
        assert (floor.state, floor.current_ma) == ("psm", 0.0027)
        assert update.charge_uc * 3.7 / 1000 == pytest.approx(energy_mj, rel=0.005)


@pytest.mark.parametrize(("kind", "ma"), [("ltem", 0.018), ("nbiot", 0.037)])
def test_edrx_draws_its_published_average(kind: str, ma: float) -> None:
    """nRF9160 Product Specification, eDRX 81.92 s: 18 and 37 uA; exact."""
    assert mean_ma(modem(kind, saving=CellularSaving.EDRX).idle(0, 30 * HOUR_MS)) == pytest.approx(ma)


def test_the_tail_outlasts_the_exchange_and_release_assistance_cuts_it_off() -> None:
    with_tail, without = modem("nbiot"), modem("nbiot", release_assistance=True)
    ends = [radio.exchange(0, 100, LinkState(-100)).busy_ms for radio in (with_tail, without)]
    tails = [radio.idle(end, HOUR_MS)[0].state for radio, end in zip((with_tail, without), ends, strict=True)]
    assert tails == ["tail", "psm"]
    assert with_tail.idle(ends[0], HOUR_MS)[0].duration_ms == 20_000


def test_an_exchange_within_the_tail_needs_no_connection() -> None:
    radio = modem()
    first = radio.exchange(0, 100, LinkState(-100))
    second = radio.exchange(int(first.busy_ms) + 5_000, 100, LinkState(-100))
    third = radio.exchange(HOUR_MS, 100, LinkState(-100))
    assert ["connect" in states(done) for done in (first, second, third)] == [True, False, True]


def test_a_search_in_vain_has_no_tail_and_holds_no_connection() -> None:
    """Who finds no network has no connection whose release to wait for: straight to sleep, and anew the next time."""
    radio = modem("ltem")
    searched = radio.exchange(0, 40, LinkState(-200))
    assert [phase.state for phase in searched.phases] == ["search"]
    assert [phase.state for phase in radio.idle(searched.busy_ms, searched.busy_ms + 5_000)] == ["psm"]
    assert radio.exchange(round(searched.busy_ms) + 5_000, 40, LinkState(-100)).phases[0].state == "connect"


def test_the_active_timer_delays_psm() -> None:
    radio = modem(active_ms=60_000)
    end = radio.exchange(0, 100, LinkState(-100)).busy_ms
    assert [phase.state for phase in radio.idle(end, end + 100_000)] == ["tail", "active", "psm"]


def test_deeper_coverage_repeats_and_beyond_it_there_is_none() -> None:
    """Coupling loss 144, 154, 164 dB (3GPP TR 45.820): 1, 8, 64 repetitions here."""
    transmit_ms = []
    for loss_db in (140, 150, 160):
        done = modem("nbiot").exchange(0, 100, LinkState(23 - loss_db))
        transmit_ms += [phase.duration_ms for phase in done.phases if phase.state == "transmit"]
    assert [round(ms / transmit_ms[0]) for ms in transmit_ms] == [1, 8, 64]
    assert states(modem("nbiot").exchange(0, 100, LinkState(23 - 165))) == ["search"]


@pytest.mark.parametrize(("loss_db", "ma"), [(150, 105), (144, 105), (131, 50), (137.5, 77.5), (100, 45)])
def test_transmit_current_follows_the_power_the_network_asks_for(loss_db: float, ma: float) -> None:
    """nRF9160: 45, 50, 105 mA at 0, 10, 23 dBm; a straight line between."""
    done = modem().exchange(0, 100, LinkState(23 - loss_db))
    assert next(p.current_ma for p in done.phases if p.state == "transmit") == pytest.approx(ma)


def test_a_modem_on_a_dead_link_searches_and_gives_up() -> None:
    done = modem().exchange(0, 100, DOWN)
    assert states(done) == ["search"]
    assert math.isclose(done.latency_ms, 40_000)
