"""The LoRaWAN radio: phases, confirmation, ADR, airtime, and a published node's lifetime."""

import random

import pytest

from firmware_sim.radio.datafile import RadioData
from firmware_sim.radio.energy import LinkState
from firmware_sim.radio.errors import AirtimeError, RadioSettingError
from firmware_sim.radio.links import BernoulliLink, LinkFate
from firmware_sim.radio.lora import LoraSettings, time_on_air_us
from firmware_sim.radio.lorawan import LorawanConfig, LorawanRadio

GOOD = LinkState(-80, 10)
DEAF = LinkState(-180, -60)


class OddTransfers:
    """Delivers every second transfer only: uplinks arrive, acknowledgements do not."""

    def __init__(self) -> None:
        self.count = 0

    def transfer(self, now_ms: int, size_bytes: int) -> LinkFate:
        self.count += 1
        return LinkFate(delivered=self.count % 2 == 1, latency_ms=0)

    def is_up(self, now_ms: int) -> bool:
        return True


def radio(name: str = "lora_sx1272", *, sf: int = 7, seed: int = 1, **config: object) -> LorawanRadio:
    settings = LorawanConfig(settings=LoraSettings(sf=sf), **config)  # type: ignore[arg-type]
    return LorawanRadio(RadioData.bundled(name), random.Random(seed), settings)


@pytest.mark.parametrize(
    ("dbm", "ma"),
    [(2, 24), (4, 24), (5, 25), (8, 25), (9, 26), (10, 31), (11, 32), (12, 34), (13, 35), (14, 44)],
)
def test_sx1272_transmit_currents_are_the_published_ones(dbm: int, ma: float) -> None:
    """Casals et al. after Semtech; exact."""
    assert RadioData.bundled("lora_sx1272").numbers("tx_ma")[str(dbm)] == ma


def test_an_uplink_transmits_at_44_ma_and_listens_at_9_7_ma() -> None:
    """SX1272 at 14 dBm; windows 12 symbols of SF7 and 8 of SF12."""
    phases = {phase.state: phase for phase in radio().exchange(0, 20, GOOD).phases}
    assert phases["transmit"].current_ma == 44
    assert (phases["rx1"].current_ma, phases["rx1"].duration_ms) == (9.7, 12.288)
    assert phases["rx2"].duration_ms == pytest.approx(262.144)


@pytest.mark.parametrize(("interval_s", "years", "tolerance"), [(300, 0.965, 0.002), (30 * 86_400, 6.08, 0.02)])
def test_casals_node_lives_as_long_as_published(interval_s: int, years: float, tolerance: float) -> None:
    """Casals et al., Sensors 2017: 2400 mAh, DR5, 1 byte. Every 300 s 0.965 years, rare messages towards 6.08."""
    node = radio("lora_casals2017", adr=False)
    done = node.exchange(0, 1, GOOD)
    charge_uc = done.charge_uc + sum(p.charge_uc for p in node.idle(done.busy_ms, interval_s * 1000))
    lifetime_s = 2400 * 3600 * 1000 / charge_uc * interval_s
    assert lifetime_s / (365.25 * 86_400) == pytest.approx(years, abs=tolerance)


def test_about_8_percent_of_casals_message_is_radio() -> None:
    """Published "only 8 %"; 7.6 % by these figures."""
    phases = radio("lora_casals2017", adr=False).exchange(0, 1, GOOD).phases
    share = sum(p.charge_uc for p in phases if p.state in ("transmit", "rx1", "rx2")) / sum(p.charge_uc for p in phases)
    assert share == pytest.approx(0.08, abs=0.005)


def test_a_confirmed_uplink_is_answered_in_rx1_and_skips_rx2() -> None:
    done = radio(confirmed=True).exchange(0, 20, GOOD)
    assert done.attempts == 1
    assert [phase.state for phase in done.phases] == ["transmit", "wait", "rx1"]


def test_an_unanswered_confirmed_uplink_is_sent_8_times_ever_slower() -> None:
    """LoRaWAN 1.0 section 18.4: two frames at each data rate, SF7 to SF10; ACK_TIMEOUT 1 to 3 s between."""
    done = radio(confirmed=True, adr=False).exchange(0, 20, DEAF)
    airtimes = [phase.duration_ms for phase in done.phases if phase.state == "transmit"]
    waits = [phase.duration_ms for phase in done.phases if phase.state == "back-off"]
    assert (done.delivered, done.attempts, len(waits)) == (False, 8, 7)
    assert airtimes[0::2] == airtimes[1::2] == sorted(set(airtimes))
    assert all(1_000 <= wait <= 3_000 for wait in waits)


def test_a_lost_acknowledgement_repeats_an_uplink_that_had_arrived() -> None:
    link = LinkState(-80, 10, OddTransfers())
    done = radio(confirmed=True, adr=False).exchange(0, 20, link)
    assert done.delivered
    assert done.attempts == 8
    assert done.latency_ms < 100


@pytest.mark.no_cover
def test_retransmissions_save_frames_that_single_uplinks_lose() -> None:
    def delivered(confirmed: bool) -> int:
        node = radio(confirmed=confirmed, adr=False)
        link = LinkState(-80, 10, BernoulliLink(0.3, random.Random(2)))
        return sum(node.exchange(n * 3_600_000, 10, link).delivered for n in range(300))

    assert delivered(confirmed=False) == pytest.approx(210, abs=25)
    assert delivered(confirmed=True) >= 299


def test_the_duty_cycle_holds_back_a_chatty_device() -> None:
    node = radio(sf=12, adr=False)
    now_ms, sent_ms = 0, []
    for _ in range(20):
        now_ms = node.earliest_ms(now_ms, 51)
        done = node.exchange(now_ms, 51, GOOD)
        assert done.phases[0].state == "transmit"
        sent_ms.append(now_ms)
        now_ms += int(done.busy_ms) + 1
    assert sum(at < 3_500_000 for at in sent_ms) == 12


def test_an_exchange_started_too_early_waits_for_airtime_itself() -> None:
    node, now_ms = radio(sf=12, adr=False), 0
    for _ in range(12):
        now_ms += int(node.exchange(now_ms, 51, GOOD).busy_ms) + 1
    done = node.exchange(now_ms, 51, GOOD)
    assert done.phases[0].state == "airtime wait"
    assert done.latency_ms > 3_000_000


def test_us915_refuses_what_its_dwell_time_forbids() -> None:
    node = radio(sf=10, region="us915", channels_hz=(902_300_000,), adr=False)
    assert node.exchange(0, 11, GOOD).delivered
    with pytest.raises(AirtimeError, match="us915"):
        node.exchange(10_000, 12, GOOD)


def test_adr_speeds_up_a_near_device_and_saves_charge() -> None:
    node = radio(sf=12)
    charges = [node.exchange(n * 3_600_000, 10, GOOD).charge_uc for n in range(45)]
    assert node.settings.sf == 7
    assert node.tx_power_dbm < 14
    assert charges[-1] < charges[0] / 15


def test_a_device_out_of_reach_falls_back_to_sf12() -> None:
    node = radio(sf=7)
    for n in range(64 + 32 * 5):
        node.exchange(n * 3_600_000, 10, DEAF)
    assert node.settings.sf == 12


def test_asking_when_a_frame_may_go_changes_nothing() -> None:
    asked, silent = radio(seed=5), radio(seed=5)
    weak = LinkState(-120, -7.5)
    for n in range(30):
        asked.earliest_ms(n * 60_000, 20)
        assert asked.exchange(n * 60_000, 20, weak) == silent.exchange(n * 60_000, 20, weak)


def us915(sf: int, *, confirmed: bool = False, adr: bool = True) -> LorawanRadio:
    channels_hz = 903_900_000, 904_100_000
    return radio(sf=sf, region="us915", channels_hz=channels_hz, confirmed=confirmed, adr=adr)


@pytest.mark.parametrize(
    ("sf", "payload_bytes", "rates"), [(7, 11, [7, 8, 9, 10]), (9, 11, [9, 10, 10, 10]), (7, 100, [7, 8, 8, 8])]
)
def test_us915_repeats_a_frame_no_slower_than_its_dwell_time_lets_it(
    sf: int, payload_bytes: int, rates: list[int]
) -> None:
    """RP002: DR0 of US902-928 is SF10; 11, 53 and 125 bytes are what 400 ms hold at SF10, SF9 and SF8."""
    done = us915(sf, confirmed=True, adr=False).exchange(0, payload_bytes, DEAF)
    airtimes_ms = [phase.duration_ms for phase in done.phases if phase.state == "transmit"]
    expected_us = [time_on_air_us(LoraSettings(sf=each), payload_bytes + 13) for each in rates for _ in range(2)]
    assert airtimes_ms == [pytest.approx(us / 1000) for us in expected_us]
    assert max(airtimes_ms) <= 400


def test_a_us915_device_that_nobody_answers_steps_back_to_its_slowest_rate_and_is_heard_again() -> None:
    node = us915(7)
    for n in range(300):
        node.exchange(n * 60_000, 11, DEAF)
    assert node.settings.sf == 10
    assert node.exchange(300 * 60_000, 11, GOOD).delivered


def test_us915_answers_come_at_500_khz() -> None:
    """RP002: RX1 answers SF10 with SF10 at 500 kHz, 12 symbols of 2.048 ms; RX2 is SF12 at 500 kHz, 8 of 8.192 ms."""
    phases = {phase.state: phase.duration_ms for phase in us915(10).exchange(0, 11, GOOD).phases}
    assert phases["rx1"] == pytest.approx(24.576)
    assert phases["rx2"] == pytest.approx(65.536)


def test_a_spreading_factor_that_the_region_does_not_have_is_refused() -> None:
    with pytest.raises(RadioSettingError, match="sf is 11: expected at most 10"):
        us915(11)


def test_an_uplink_at_250_khz_is_answered_at_250_khz_and_then_listens_at_125() -> None:
    """RP002, EU863-870: DR6 is SF7 at 250 kHz and is answered at DR6; RX2 is SF12 at 125 kHz."""
    settings = LorawanConfig(LoraSettings(sf=7, bandwidth_hz=250_000))
    node = LorawanRadio(RadioData.bundled("lora_sx1272"), random.Random(1), settings)
    phases = {phase.state: phase.duration_ms for phase in node.exchange(0, 20, GOOD).phases}
    assert phases["rx1"] == pytest.approx(6.144)
    assert phases["rx2"] == pytest.approx(262.144)
