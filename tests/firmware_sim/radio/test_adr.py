"""Adaptive data rate, network and device side."""

from firmware_sim.radio.adr import ADR_ACK_DELAY, ADR_ACK_LIMIT, AdrDevice, AdrServer, RateAndPower


def after_20(snr_db: float, now: RateAndPower, margin_db: float = 10) -> RateAndPower | None:
    """Return what the network commands after 20 uplinks of one SNR."""
    server = AdrServer(power_steps=7, margin_db=margin_db)
    answers = [server.heard(snr_db, now) for _ in range(20)]
    assert answers[:19] == [None] * 19
    return answers[19]


def test_spare_margin_first_speeds_up_then_turns_down_the_power() -> None:
    """SF12 needs -20 dB; at +5 dB and margin 10 there are 15 dB to spare: five steps of 3 dB, all to SF7."""
    assert after_20(5, RateAndPower(12, 0)) == RateAndPower(7, 0)
    assert after_20(11, RateAndPower(12, 0)) == RateAndPower(7, 2)


def test_steps_are_rounded_towards_zero() -> None:
    """17.9 - (-7.5 + 10) = 15.4 dB: five steps of power, not six."""
    assert after_20(17.9, RateAndPower(7, 0)) == RateAndPower(7, 5)


def test_a_shortage_raises_power_but_never_slows_down() -> None:
    assert after_20(-5, RateAndPower(7, 3)) == RateAndPower(7, 1)
    assert after_20(-7, RateAndPower(7, 0)) is None


def test_power_is_not_turned_down_below_the_regions_last_step() -> None:
    assert after_20(60, RateAndPower(7, 0)) == RateAndPower(7, 7)


def test_the_best_of_twenty_uplinks_counts() -> None:
    server = AdrServer(power_steps=7)
    answers = [server.heard(snr, RateAndPower(12, 0)) for snr in [5.0] + [-19.0] * 19]
    assert answers[-1] == RateAndPower(7, 0)


def test_a_command_starts_a_new_history() -> None:
    server = AdrServer(power_steps=7)
    answers = [server.heard(5, RateAndPower(12, 0)) for _ in range(39)]
    assert [n for n, answer in enumerate(answers) if answer] == [19]


def test_a_device_that_hears_nothing_goes_to_full_power_then_slower() -> None:
    """LoRaWAN 1.0.4 section 4.3.1.1: 64 uplinks, then every 32 a step back."""
    device = AdrDevice(RateAndPower(7, 4))
    trail = []
    for _ in range(ADR_ACK_LIMIT + 3 * ADR_ACK_DELAY):
        device.sent()
        trail.append(device.settings)
    assert trail[94] == RateAndPower(7, 4)
    assert trail[95] == RateAndPower(7, 0)
    assert trail[127] == RateAndPower(8, 0)
    assert trail[159] == RateAndPower(9, 0)


def test_the_device_asks_for_an_answer_after_64_uplinks_and_any_downlink_calms_it() -> None:
    device = AdrDevice(RateAndPower(9, 0))
    for _ in range(ADR_ACK_LIMIT - 1):
        device.sent()
    assert not device.wants_answer
    device.sent()
    assert device.wants_answer
    device.answered()
    assert not device.wants_answer
