"""Quantiles: within one percent of the truth, in any order and however merged; in rollups only where asked for."""

import math
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import EdgeConfig, WindowSettings
from edge.forward.rollup_lines import RollupEncoder, quantile_field
from edge.sketch import BINS_MAX, RELATIVE_ACCURACY, Sketch
from edge.stats import Stats
from edge.store.windows import RollupEntry, WindowTables
from edge.windows import WindowRules
from sensors.reading import Reading, Value
from tests.edge.kit import T0_MS, message, open_desk

SHARES = (0.01, 0.25, 0.5, 0.95, 0.999)
numbers = st.lists(
    st.one_of(st.floats(-1e6, -1e-6), st.floats(1e-6, 1e6), st.just(0.0), st.integers(-5, 5).map(float)), min_size=1
)


def sketch_of(found: list[float]) -> Sketch:
    sketch = Sketch()
    for number in found:
        sketch.add(number)
    return sketch


@given(numbers)
def test_a_quantile_is_within_one_percent_of_the_number_of_that_rank(found: list[float]) -> None:
    ordered = sorted(found)
    for share, number in zip(SHARES, sketch_of(found).quantiles(SHARES), strict=True):
        rank = share * (len(found) - 1)
        near = {ordered[math.floor(rank)], ordered[math.ceil(rank)]}
        assert any(abs(number - truth) <= RELATIVE_ACCURACY * abs(truth) * 1.0001 for truth in near)


@pytest.mark.no_cover
@given(numbers, numbers, st.randoms(use_true_random=False))
def test_merged_parts_are_the_whole_in_any_order(one: list[float], other: list[float], rng: object) -> None:
    together = [*one, *other]
    rng.shuffle(together)  # type: ignore[attr-defined]
    merged = sketch_of(one)
    merged.merge(sketch_of(other))
    assert merged == sketch_of(together)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(merged), type=Sketch)
    assert again.quantiles(SHARES) == sketch_of(together).quantiles(SHARES)


def test_numbers_of_every_size_take_bounded_room() -> None:
    sketch = sketch_of([10.0**exponent * (1 + step / 50) for exponent in range(-300, 300) for step in range(50)])
    assert len(sketch.positive) <= BINS_MAX
    found = sketch.quantiles((0.5, 0.99, 1.0))
    assert all(low <= high for low, high in pairwise(found))
    assert abs(found[2] / (10.0**299 * 1.98) - 1) <= RELATIVE_ACCURACY


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_one_number_of_any_size_is_its_own_quantile(number: float) -> None:
    stats = Stats.of("t", None, [number], number, (0, 0, 0), quantiles=True)
    assert stats.summary((0.5,)).quantiles == ((0.5, number),)


def test_rollups_have_quantiles_where_they_are_asked_for(tmp_path: Path) -> None:
    rules = WindowRules((60,), 0, 3_600_000, (0.5, 0.95))
    desk = open_desk(tmp_path, windows=rules)
    start_ms = T0_MS - T0_MS % 60_000
    for seq in range(100):
        if seq == 50:  # a kill in the middle: the sketch is in the window's row
            desk.store.close()
            desk = open_desk(tmp_path, windows=rules)
        values = (Value("t", float(seq), "Cel"), Value("text", "x", None), Value("on", seq % 2 == 0, None))
        desk.take_in([message(Reading("d1", 1, seq, start_ms + 500 * seq, values))], 0, start_ms + 500 * seq)
        desk.tidy(1000 * seq, start_ms + 500 * seq)
    while desk.tidy(10**6, start_ms + 10**6):
        pass
    tables = WindowTables(desk.store)
    (entry,) = tables.read(60, 1, 9, 9).entries
    lines = RollupEncoder(desk.store.device_name).encode([entry]).decode()
    summaries = {summary.name: dict(summary.quantiles) for summary in entry.summaries}
    assert abs(summaries["t"][0.5] / 49 - 1) <= RELATIVE_ACCURACY
    assert abs(summaries["t"][0.95] / 94 - 1) <= RELATIVE_ACCURACY
    assert summaries["text"] == {}
    assert ",t_Cel_p50=" in lines
    assert ",t_Cel_p95=" in lines
    desk.close()


def test_without_quantiles_there_is_no_sketch() -> None:
    stats = Stats.of("t", None, [1.0], 1.0, (0, 0, 0))
    stats.merge(Stats.of("t", None, [2.0], 2.0, (1, 0, 0), quantiles=True))
    assert stats.sketch is None
    assert stats.summary((0.5,)).quantiles == ()
    entry = RollupEntry(1, 1, 60, 0, (stats.summary(),))
    assert b"_p" not in RollupEncoder(lambda _: ("s", "d")).encode([entry])
    assert EdgeConfig().windows.rules().quantiles == ()


def test_fields_are_named_by_the_percentage() -> None:
    assert [quantile_field(share) for share in (0.5, 0.95, 0.999, 0.07)] == ["p50", "p95", "p99_9", "p7"]
    assert WindowSettings(quantiles=(0.5,)).rules().quantiles == (0.5,)
