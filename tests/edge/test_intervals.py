"""Interval sets against Python's own sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.intervals import Intervals, IntervalsError

numbers = st.integers(0, 60)
ranges = st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))


def members(intervals: Intervals) -> set[int]:
    return {number for first, last in intervals for number in range(first, last + 1)}


@pytest.mark.no_cover
@given(st.lists(st.one_of(numbers, ranges), max_size=40))
def test_any_additions_make_the_set_that_python_makes(additions: list[int | tuple[int, int]]) -> None:
    ours, theirs = Intervals(), set[int]()
    for addition in additions:
        if isinstance(addition, int):
            assert ours.add(addition) == (addition not in theirs)
            theirs.add(addition)
        else:
            ours.add_range(*addition)
            theirs |= set(range(addition[0], addition[1] + 1))
        assert members(ours) == theirs
        assert ours.count() == len(theirs)
    edges = [edge for pair in ours for edge in pair]
    assert edges == sorted(edges)
    assert all(later - earlier > 1 for earlier, later in zip(edges[1:-1:2], edges[2::2], strict=True))
    assert all((number in ours) == (number in theirs) for number in range(-1, 63))


@pytest.mark.no_cover
@given(st.lists(ranges, max_size=10), st.lists(ranges, max_size=10), ranges)
def test_gaps_difference_and_runs_agree_with_sets(
    mine: list[tuple[int, int]], others: list[tuple[int, int]], span: tuple[int, int]
) -> None:
    ours, other = Intervals(mine), Intervals(others)
    first, last = span
    gaps = {number for low, high in ours.gaps(first, last) for number in range(low, high + 1)}
    assert gaps == set(range(first, last + 1)) - members(ours)
    assert members(ours.minus(other)) == members(ours) - members(other)
    end = first - 1
    while end + 1 in members(ours):
        end += 1
    assert ours.end_of_run(first) == end
    together = Intervals(mine)
    together.update(other)
    assert members(together) == members(ours) | members(other)


@given(st.lists(ranges, max_size=10))
def test_what_is_encoded_decodes_to_an_equal_set(pairs: list[tuple[int, int]]) -> None:
    assert Intervals.decode(Intervals(pairs).encode()) == Intervals(pairs)


def test_a_million_contiguous_seqs_take_one_range() -> None:
    intervals = Intervals()
    intervals.add_range(0, 999_998)
    intervals.add(999_999)
    assert len(intervals) == 1
    assert len(intervals.encode()) < 16


@pytest.mark.parametrize("raw", [b"", b"\xc1", b"\x92\x91\x05\x91\x01", b"\x92\x92\x01\x02\x91\x01"])
def test_bytes_that_are_no_ranges_are_refused(raw: bytes) -> None:
    with pytest.raises(IntervalsError):
        Intervals.decode(raw)


def test_a_range_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(ValueError, match="first <= last"):
        Intervals([(5, 4)])
