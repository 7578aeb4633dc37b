"""Collisions with capture, and pure ALOHA."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.radio.collisions import AirFrame, Ether, aloha_delivery, captures, survivors


def frame(start: int, end: int, rssi_dbm: float, sf: int = 7, frequency_hz: int = 868_100_000) -> AirFrame:
    return AirFrame(start, end, sf, frequency_hz, rssi_dbm)


@pytest.mark.no_cover
@pytest.mark.parametrize("load", [0.1, 0.25, 0.5, 1.0])
def test_poisson_traffic_without_capture_is_pure_aloha(load: float) -> None:
    """Abramson 1970: exp(-2 G). 20,000 equal frames; tolerance 0.015 absolute (about 4 sigma)."""
    rng, at_us, length_us, frames = random.Random(7), 0.0, 50_000, []
    for _ in range(20_000):
        at_us += rng.expovariate(load / length_us)
        frames.append(frame(int(at_us), int(at_us) + length_us, -100))
    delivered = sum(survivors(frames)) / len(frames)
    assert delivered == pytest.approx(aloha_delivery(load), abs=0.015)


def test_aloha_peaks_at_18_percent_throughput() -> None:
    """Load 0.5 carries 1/(2e) = 18.4 % of the channel."""
    assert 0.5 * aloha_delivery(0.5) == pytest.approx(1 / (2 * math.e))


@pytest.mark.parametrize(("advantage_db", "saved"), [(5.9, False), (6.0, True), (20.0, True)])
def test_six_db_of_advantage_captures_the_receiver(advantage_db: float, saved: bool) -> None:
    """LoRaSim and Goursaud: same-SF capture at 6 dB."""
    assert survivors([frame(0, 100, -100 + advantage_db), frame(50, 150, -100)]) == [saved, False]


def test_two_interferers_add_up() -> None:
    """7 dB over each of two is only 4 dB over both."""
    assert survivors([frame(0, 100, -93), frame(10, 60, -100)]) == [True, False]
    assert survivors([frame(0, 100, -93), frame(10, 60, -100), frame(70, 120, -100)])[0] is False


def test_other_spreading_factors_and_channels_do_not_interfere() -> None:
    assert all(survivors([frame(0, 100, -120), frame(0, 100, -60, sf=8), frame(0, 100, -60, frequency_hz=868_300_000)]))


def test_frames_that_only_touch_do_not_collide() -> None:
    assert survivors([frame(0, 100, -100), frame(100, 200, -100)]) == [True, True]


@pytest.mark.no_cover
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 200), st.integers(-130, -60)), max_size=12))
def test_survivors_do_not_depend_on_the_order_and_match_pairwise_checking(raw: list[tuple[int, int, int]]) -> None:
    frames = [frame(start, start + length, rssi) for start, length, rssi in raw]
    expected = []
    for n, a in enumerate(frames):
        rivals = [
            b.rssi_dbm for m, b in enumerate(frames) if m != n and a.start_us < b.end_us and b.start_us < a.end_us
        ]
        expected.append(captures(a.rssi_dbm, rivals))
    assert survivors(frames) == expected
    assert survivors(frames[::-1]) == expected[::-1]


@pytest.mark.no_cover
@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(1, 200), st.integers(-130, -60)), max_size=12),
    st.sampled_from([0.0, 6.0]),
)
def test_frames_put_on_the_air_one_by_one_fare_as_all_at_once(
    raw: list[tuple[int, int, int]], capture_db: float
) -> None:
    frames = [frame(start, start + length, rssi) for start, length, rssi in raw]
    ether = Ether(capture_db)
    sent = [ether.send(each) for each in frames]
    assert [each.survives() for each in sent] == survivors(frames, capture_db)
