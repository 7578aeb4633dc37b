"""Duty cycle and dwell time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.radio.errors import AirtimeError, RadioSettingError, TimeOrderError
from firmware_sim.radio.lora import LoraSettings, time_on_air_us
from firmware_sim.radio.regulation import HOUR_US, Airtime, DutyCycle, Region

frames_st = st.lists(st.tuples(st.integers(0, 2_000_000), st.integers(1_000, 3_000_000)), min_size=1, max_size=60)


def fullest_hour_us(frames: list[tuple[int, int]]) -> int:
    """Airtime in the fullest hour: it begins with a frame's start or ends with a frame's end, so try all of those."""
    begins = [start for start, _ in frames] + [end - HOUR_US for _, end in frames]
    return max(sum(max(0, min(e, b + HOUR_US) - max(s, b)) for s, e in frames) for b in begins)


@pytest.mark.no_cover
@given(frames_st, st.sampled_from([0.001, 0.01, 0.1]))
def test_no_sliding_hour_exceeds_the_duty_cycle(wishes: list[tuple[int, int]], duty: float) -> None:
    account, now_ms = DutyCycle(duty), 0
    sent: list[tuple[int, int]] = []
    for wait_ms, airtime_us in wishes:
        now_ms = account.earliest_ms(now_ms + wait_ms, airtime_us)
        account.record(now_ms, airtime_us)
        sent.append((now_ms * 1000, now_ms * 1000 + airtime_us))
    assert fullest_hour_us(sent) <= duty * HOUR_US


@given(frames_st)
def test_one_millisecond_before_the_earliest_is_too_early(wishes: list[tuple[int, int]]) -> None:
    """The answer is the first allowed one: a millisecond earlier would break the hour, or overlap the last frame."""
    account = DutyCycle(0.001)
    sent: list[tuple[int, int]] = []
    for wait_ms, airtime_us in wishes:
        asked_ms = (sent[-1][1] // 1000 if sent else 0) + wait_ms
        now_ms = account.earliest_ms(asked_ms, airtime_us)
        if now_ms > asked_ms:
            early_us = (now_ms - 1) * 1000
            overlaps = bool(sent) and early_us < sent[-1][1]
            assert overlaps or fullest_hour_us([*sent, (early_us, early_us + airtime_us)]) > account.budget_us
            with pytest.raises(TimeOrderError):
                account.record(now_ms - 1, airtime_us)
        account.record(now_ms, airtime_us)
        sent.append((now_ms * 1000, now_ms * 1000 + airtime_us))


def test_12_frames_of_64_bytes_at_sf12_fill_an_hour_of_one_percent() -> None:
    """36 s / 2.793472 s = 12.9: twelve go back to back, the thirteenth waits for the first to leave the hour."""
    airtime_us, account, now_ms, starts = time_on_air_us(LoraSettings(sf=12), 64), DutyCycle(0.01), 0, []
    for _ in range(13):
        now_ms = account.earliest_ms(now_ms, airtime_us)
        account.record(now_ms, airtime_us)
        starts.append(now_ms)
    assert starts[11] < 40_000
    assert starts[12] > 3_590_000
    assert account.used_us(starts[12] + 2794) <= account.budget_us


def test_a_frame_over_the_whole_budget_is_refused_for_good() -> None:
    with pytest.raises(AirtimeError, match="duty cycle"):
        DutyCycle(0.0001).earliest_ms(0, 400_000)


@pytest.mark.parametrize(
    ("frequency_hz", "name", "duty"),
    [(868_100_000, "M", 0.01), (867_100_000, "L", 0.01), (868_800_000, "N", 0.001), (869_525_000, "P", 0.1)],
)
def test_eu868_sub_bands_are_etsis(frequency_hz: int, name: str, duty: float) -> None:
    """ETSI EN 300 220-2 annex B; exact."""
    band = Region.bundled("eu868").sub_band(frequency_hz)
    assert (band.name, band.duty) == (name, duty)


def test_a_frequency_outside_all_sub_bands_is_refused() -> None:
    with pytest.raises(RadioSettingError, match="eu868"):
        Region.bundled("eu868").sub_band(868_650_000)


def test_sub_bands_have_separate_books() -> None:
    books = Airtime(Region.bundled("eu868"))
    books.record(0, 36_000_000, 868_100_000)
    assert books.earliest_ms(36_000, 1_000_000, 868_300_000) == 3_600_000
    assert books.earliest_ms(36_000, 1_000_000, 867_100_000) == 36_000


def test_us915_refuses_400_ms_and_needs_no_pause() -> None:
    """FCC 15.247: 400 ms on a channel."""
    books = Airtime(Region.bundled("us915"))
    books.record(0, 400_000, 902_300_000)
    assert books.earliest_ms(400, 400_000, 902_300_000) == 400
    with pytest.raises(AirtimeError, match="dwell"):
        books.record(800, 400_001, 902_300_000)
