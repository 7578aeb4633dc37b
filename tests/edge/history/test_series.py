"""Lines for charts: as few points as asked for, nothing lost of highs and lows, gaps where nothing was measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.history.series import Point, columns, merged, step_for, with_gaps

point = st.builds(
    lambda at, low, span, late: Point(at, 1, low, low + span, low + span / 2, late),
    st.integers(0, 100_000), st.floats(-1e6, 1e6), st.floats(0, 1e6), st.booleans(),
)  # fmt: skip


@pytest.mark.no_cover
@given(st.lists(point, max_size=300), st.integers(2, 50))
def test_a_span_has_at_most_the_points_asked_for_and_keeps_its_extremes(points: list[Point], limit: int) -> None:
    points.sort(key=lambda each: each.at_ms)
    step_ms = step_for(len(points), 0, 100_001, 1000, limit)
    line = merged(points, step_ms)
    assert len(line) <= limit
    assert sum(each.samples for each in line) == len(points)
    if points:
        assert min(each.low for each in line) == min(each.low for each in points)
        assert max(each.high for each in line) == max(each.high for each in points)
        assert all(each.low <= each.mean <= each.high for each in line)
        assert any(each.late for each in line) == any(each.late for each in points)


def test_a_pause_is_a_gap_without_numbers() -> None:
    points = [Point(at, 1, 1.0, 1.0, 1.0, late=False) for at in (0, 10, 20, 30, 100, 110)]
    told = columns(with_gaps(points))
    assert told["at_ms"] == [0, 10, 20, 30, 40, 100, 110]
    assert told["mean"] == [1.0, 1.0, 1.0, 1.0, None, 1.0, 1.0]
    assert told["low"] == told["high"] == told["mean"]


def test_a_zero_is_no_gap() -> None:
    assert columns(with_gaps([Point(0, 1, 0.0, 0.0, 0.0, late=False)]))["mean"] == [0.0]


def test_numbers_at_the_edge_of_a_double_do_not_overflow() -> None:
    big = [Point(at, 1, 1e308, 1e308, 1e308, late=False) for at in range(3)]
    assert merged(big, 10)[0][1:5] == (3, 1e308, 1e308, 1e308)
