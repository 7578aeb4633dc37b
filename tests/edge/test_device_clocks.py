"""Device clocks: impossible times are replaced once and for ever, and offsets are estimated."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.desk import Desk
from edge.device_clocks import (
    AHEAD_MAX_MS,
    EARLIEST_MS,
    OWN_CLOCK_SET_MS,
    SAMPLE_EVERY_MS,
    SAMPLES_MAX,
    DeviceClocks,
)
from edge.forward.forwarder import Batch
from edge.ingest import Message
from edge.store.rows import LogEntry, pack, unpack
from sensors.reading import Reading, Value
from tests.edge.kit import message, open_desk, reading
from tests.edge.mapping.kit import STATION, rules

NOW_MS = OWN_CLOCK_SET_MS + 10**10


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path, mapping=rules(STATION))
    yield opened
    opened.store.close()


def at(taken_at_ms: int, seq: int = 0) -> Reading:
    return Reading("d1", 1, seq, taken_at_ms, (Value("temperature", 1.0, "Cel"),))


def stored(desk: Desk, taken_at_ms: int, now_ms: int = NOW_MS) -> Reading:
    desk.take_in([message(at(taken_at_ms, desk.store.head))], 0, now_ms)
    return desk.store.read(desk.store.head - 1, 1).entries[0].reading


@pytest.mark.parametrize("taken_at_ms", [268_435_456_000, EARLIEST_MS - 1, NOW_MS + AHEAD_MAX_MS + 1, 9 * 10**12])
def test_an_impossible_time_becomes_the_time_of_receipt_with_a_flag(desk: Desk, taken_at_ms: int) -> None:
    kept = stored(desk, taken_at_ms)
    assert (kept.taken_at_ms, kept.time_replaced, kept.synced) == (NOW_MS, True, False)
    assert desk.ledger.totals["restamped"] == 1


@pytest.mark.parametrize("taken_at_ms", [EARLIEST_MS, NOW_MS - 10**9, NOW_MS + AHEAD_MAX_MS])
def test_a_possible_time_stays_however_late_it_comes(desk: Desk, taken_at_ms: int) -> None:
    kept = stored(desk, taken_at_ms)
    assert (kept.taken_at_ms, kept.time_replaced, kept.synced) == (taken_at_ms, False, True)


def test_a_gateway_whose_own_clock_is_not_set_does_not_judge_what_is_ahead_of_it(desk: Desk) -> None:
    assert stored(desk, NOW_MS, now_ms=1000).taken_at_ms == NOW_MS
    assert stored(desk, EARLIEST_MS - 1, now_ms=1000).time_replaced


def test_the_line_is_the_same_on_every_resend_and_after_a_crash(desk: Desk, tmp_path: Path) -> None:
    body = [message(at(1_000_000_000))]
    desk.take_in(body, 0, NOW_MS)
    first = desk.next_batch(0)
    desk.take_in(body, 0, NOW_MS + 5000)
    desk.store.close()
    again = open_desk(tmp_path)
    second = again.next_batch(0)
    assert isinstance(first, Batch)
    assert isinstance(second, Batch)
    assert first.body == second.body
    assert len(second.entries) == 1
    again.store.close()


def test_foreign_times_are_judged_too(desk: Desk) -> None:
    desk.take_in([Message("weather/w1", b'{"ts":12,"is raining":1}')], 0, NOW_MS)
    (entry,) = desk.store.read(0, 1).entries
    assert (entry.reading.taken_at_ms, entry.reading.time_replaced) == (NOW_MS, True)


@given(st.booleans(), st.booleans())
def test_the_flags_of_a_row_come_back(synced: bool, replaced: bool) -> None:
    before = Reading("d", 1, 2, NOW_MS, (), synced, replaced)
    assert unpack(pack(LogEntry(1, 1, NOW_MS, before)), "d").reading == before


# ---------------------------------------------------------------- offsets


@settings(deadline=None)
@given(
    st.integers(-(10**7), 10**7),
    st.floats(-300, 300),
    st.lists(st.integers(0, 40), min_size=SAMPLES_MAX, max_size=SAMPLES_MAX),
)
def test_offset_and_drift_are_found_through_the_jitter_of_the_network(
    offset_ms: int, drift_ppm: float, delays_ms: list[int]
) -> None:
    clocks = DeviceClocks()
    step_ms = 600_000
    for number, delay_ms in enumerate(delays_ms):
        sent_ms = NOW_MS + number * step_ms
        taken_at_ms = sent_ms - offset_ms - round(number * step_ms * drift_ppm / 1e6)
        clocks.note(7, taken_at_ms, sent_ms + delay_ms)
    told = clocks.estimate(7)
    assert told is not None
    middle_ms = offset_ms + drift_ppm / 1e6 * step_ms * (SAMPLES_MAX - 1) / 2
    assert abs(told.offset_ms - middle_ms) <= 42 + abs(drift_ppm) / 1e6 * step_ms * SAMPLES_MAX / 2
    assert told.drift_ppm is not None
    assert abs(told.drift_ppm - drift_ppm) <= 41 / step_ms * 1e6


def test_samples_are_few_and_spread_so_that_memory_is_bounded() -> None:
    clocks = DeviceClocks()
    for number in range(5000):
        clocks.note(1, 0, number * SAMPLE_EVERY_MS // 10)
    told = clocks.estimate(1)
    assert told is not None
    assert told.samples == SAMPLES_MAX
    assert clocks.estimate(2) is None


def test_the_gateway_s_own_clock_may_step_back() -> None:
    clocks = DeviceClocks()
    clocks.note(1, 0, 10**9)
    clocks.note(1, 0, 500)
    told = clocks.estimate(1)
    assert told is not None
    assert told.samples == 2


def test_the_desk_tells_each_device_with_its_clock(desk: Desk) -> None:
    desk.take_in([message(at(NOW_MS - 700)), message(reading(0, device="d2"))], 0, NOW_MS)
    first, second = desk.devices()
    assert (first.device, second.device) == ("d1", "d2")
    assert first.clock is not None
    assert (first.clock.offset_ms, first.clock.drift_ppm) == (700, None)
    assert [each.device for each in desk.devices(after_key=1)] == ["d2"]
    assert desk.devices(after_key=2) == []
