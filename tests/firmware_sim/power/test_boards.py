"""Boards as data, against the lifetimes and charges that were published for them."""

import pytest

from firmware_sim.power import Battery, PowerDataError, PowerValueError, UnknownPartError, board, cell, parse_boards

DAY_MS = 86_400_000
YEAR_MS = 31_557_600_000
DR5_ONE_BYTE_MS = 46.336  # Semtech AN1200.13: 14 bytes of PHY payload at SF7, 125 kHz, CR 4/5, preamble 8


def report_uc(name: str, airtime_ms: float = DR5_ONE_BYTE_MS) -> float:
    return sum(step.current_ma * step.duration_ms for step in board(name).report(airtime_ms, 7))


def life_ms_on(name: str, capacity_mah: float, period_ms: float, airtime_ms: float = 0.0) -> float:
    """Run the board's reports on an ideal bucket until it dies."""
    model = cell("er14505").resized(capacity_mah).build_model("ideal")
    spec = board(name)
    steps = spec.report(airtime_ms, 7)
    rest_ms = period_ms - sum(step.duration_ms for step in steps)
    total_ms = 0.0
    while True:
        for current_ma, duration_ms in [
            *((s.current_ma, s.duration_ms) for s in steps),
            (spec.current_in(spec.rest), rest_ms),
        ]:
            carried_ms = model.draw(current_ma, duration_ms)
            total_ms += carried_ms
            if carried_ms < duration_ms:
                return total_ms


@pytest.mark.no_cover
def test_the_casals_board_lives_one_year_at_a_report_every_five_minutes() -> None:
    """Casals et al., Sensors 2017: 2400 mAh, DR5, 1 byte, 300 s: about one year, 0.965 by the figures; within 0.5 %."""
    life_ms = life_ms_on("casals-lorawan", 2400.0, 300_000.0, DR5_ONE_BYTE_MS)
    assert life_ms / YEAR_MS == pytest.approx(0.965, rel=0.005)


def test_the_casals_board_lives_six_years_at_most() -> None:
    """Casals et al.: the limit for rare messages is about 6 years, 6.08 by the figures; within 0.5 %."""
    life_ms = life_ms_on("casals-lorawan", 2400.0, 30 * DAY_MS, DR5_ONE_BYTE_MS)
    assert life_ms / YEAR_MS == pytest.approx(6.08, rel=0.005)


def test_only_a_twelfth_of_the_casals_report_is_radio() -> None:
    """Casals et al.'s figures: 8 % of a report's charge is transmit and receive windows; within half a percent."""
    steps = board("casals-lorawan").report(DR5_ONE_BYTE_MS, 7)
    radio = sum(s.current_ma * s.duration_ms for s in steps if s.state in {"transmit", "receive1", "receive2"})
    assert radio / report_uc("casals-lorawan") == pytest.approx(0.08, abs=0.005)


def test_a_slow_spreading_factor_listens_longer_and_waits_less() -> None:
    """Casals et al.: RX1 262.14 ms at SF12, and the second wait is 1000 ms less that."""
    steps = {s.state: s.duration_ms for s in board("casals-lorawan").report(2793.472, 12)}
    assert (steps["transmit"], steps["receive1"]) == (2793.472, 262.14)
    assert steps["wait2"] == pytest.approx(737.86)


def test_the_maudet_report_costs_what_was_measured() -> None:
    """Maudet et al., Sensors 2021: 1.807 mC a DR5 1-byte message; within 0.1 % (the receive current closes the sum)."""
    assert report_uc("maudet-lorawan") / 1000 == pytest.approx(1.807, rel=0.001)


def test_two_real_boards_differ_by_a_factor_of_forty() -> None:
    """Casals against Maudet, the same message; within 2 %."""
    assert report_uc("casals-lorawan") / report_uc("maudet-lorawan") == pytest.approx(40, rel=0.02)


def test_a_ble_beacon_draws_22_5_microampere() -> None:
    """7 mA for 3 ms each second over 1.5 uA: 22.5 uA; within 0.1 %."""
    assert board("nrf52-ble").average_current_ma(1000.0) * 1000 == pytest.approx(22.5, rel=0.001)


@pytest.mark.no_cover
@pytest.mark.parametrize(("name", "days"), [("nrf9160-ltem", 637), ("nrf9160-nbiot", 814)])
def test_a_cellular_node_lives_as_long_as_published(name: str, days: float) -> None:
    """nRF9160, hourly exchange, 80 % of 1350 mAh, 0.04 mA quiescent: LTE-M 637 days, NB-IoT 814; within 0.5 %."""
    assert life_ms_on(name, 0.8 * 1350, 3.6e6) / DAY_MS == pytest.approx(days, rel=0.005)


@pytest.mark.parametrize(
    ("dbm", "current_ma"),
    [(2, 24), (4, 24), (5, 25), (8, 25), (9, 26), (10, 31), (11, 32), (12, 34), (13, 35), (14, 44)],
)
def test_the_sx1272_draws_its_table(dbm: float, current_ma: float) -> None:
    """Semtech SX1272: transmit current by power; receive 9.7 mA."""
    assert board("sx1272").transmit_current_ma(dbm) == current_ma
    assert board("sx1272").current_in("receive") == 9.7


@pytest.mark.parametrize(("name", "dbm"), [("sx1272", 15), ("sx1272", 1), ("nrf52-ble", 0)])
def test_a_power_outside_the_table_is_refused(name: str, dbm: float) -> None:
    with pytest.raises(PowerValueError, match="power_dbm"):
        board(name).transmit_current_ma(dbm)


def test_esp32_wifi_averages_are_espressifs() -> None:
    """Espressif: DTIM 1/3/10 modem sleep 31.1/28.8/29.7 mA, light sleep 3.34/2.33/2.19, deep sleep 0.005; exact."""
    esp32 = board("esp32-wifi")
    modem = [esp32.current_in(f"modem_sleep_dtim{dtim}") for dtim in (1, 3, 10)]
    light = [esp32.current_in(f"light_sleep_dtim{dtim}") for dtim in (1, 3, 10)]
    assert modem == [31.1, 28.8, 29.7]
    assert light == [3.34, 2.33, 2.19]
    assert esp32.current_in("deep_sleep") == 0.005


def test_a_report_longer_than_its_period_is_refused() -> None:
    with pytest.raises(PowerValueError, match="period_ms"):
        board("casals-lorawan").average_current_ma(1000.0, 46.0)


def test_an_unknown_spreading_factor_is_refused() -> None:
    with pytest.raises(PowerValueError, match="spreading_factor"):
        board("casals-lorawan").report(46.0, 6)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(UnknownPartError, match="esp32-wifi"):
        board("esp8266")
    with pytest.raises(UnknownPartError, match="deep_sleep"):
        board("esp32-wifi").current_in("hibernate")
    with pytest.raises(UnknownPartError, match="cr2032"):
        Battery("cr2477")


GOOD = """
[board.mine]
title = "mine"
source = "measured"
rest = "sleep"
[board.mine.current_ma]
sleep = 0.01
transmit = 30
[[board.mine.cycle]]
state = "transmit"
ms = 5
"""


def test_a_board_of_the_users_own_is_read() -> None:
    mine = parse_boards(GOOD, "mine.toml")["mine"]
    assert mine.average_current_ma(10.0) == pytest.approx((30 * 5 + 0.01 * 5) / 10)


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        ('source = "measured"\n', "", "board.mine.source", "a text"),
        ("transmit = 30", "transmit = -30", "board.mine.current_ma.transmit", "at least 0"),
        ("transmit = 30", 'transmit = "30 mA"', "board.mine.current_ma.transmit", "a number"),
        ('rest = "sleep"', 'rest = "nap"', "board.mine.rest", "sleep, transmit"),
        ("ms = 5", "ms = 5\nairtime = true", "board.mine.cycle[0].ms", "just one of"),
        ("ms = 5", 'ms = 5\nless = "later"', "board.mine.cycle[0].less", "earlier step"),
        ('state = "transmit"', 'state = "shout"', "board.mine.cycle[0].state", "sleep, transmit"),
        ("ms = 5", "ms = 5\nmA = 3", "board.mine.cycle[0].mA", "one of"),
        ('rest = "sleep"', 'rest = "sleep"\nbrownout_mv = 0', "board.mine.brownout_mv", "over 0"),
        ("sleep = 0.01", "sleep = nan", "board.mine.current_ma.sleep", "a number"),
        ("[board.mine]", "[board.mine", "(file)", "TOML"),
    ],
)
def test_a_bad_board_names_file_key_and_what_was_expected(old: str, new: str, key: str, expected: str) -> None:
    assert old in GOOD
    with pytest.raises(PowerDataError) as caught:
        parse_boards(GOOD.replace(old, new, 1), "mine.toml")
    assert (caught.value.file, caught.value.key) == ("mine.toml", key)
    assert expected in caught.value.expected
    assert "mine.toml" in str(caught.value)
