"""Ledger against cloud: the difference is exact, seq by seq, for any two sets."""

from hypothesis import given
from hypothesis import strategies as st

from edge.audit import Delivered, compare, delivered_of
from edge.intervals import Intervals

seqs = st.sets(st.integers(0, 30))


def intervals(numbers: set[int]) -> Intervals:
    return Intervals((number, number) for number in numbers)


@given(seqs, seqs, seqs)
def test_the_difference_is_that_of_the_sets(received: set[int], some: set[int], in_cloud: set[int]) -> None:
    delivered = received & some
    told = Delivered("s", "d", 1, intervals(received), intervals(delivered), len(delivered))
    found = compare(told, intervals(in_cloud))
    missing = {number for first, last in found.missing.ranges for number in range(first, last + 1)}
    assert missing == delivered - in_cloud
    assert found.missing.count == len(missing)
    assert found.agrees == (delivered <= in_cloud)
    assert found.early == len(in_cloud & (received - delivered))
    assert found.unknown == len(in_cloud - received)
    assert found.is_exact


def test_more_ranges_than_are_told_are_compared_by_their_number() -> None:
    told = Delivered("s", "d", 1, intervals({0, 1}), intervals({0, 2}), delivered_count=500)
    found = compare(told, intervals(set(range(0, 900, 2))))
    assert (found.missing.count, found.is_exact, found.agrees) == (50, False, False)


def test_an_account_is_read_from_the_report() -> None:
    part = {"count": 3, "ranges": [[0, 1], [4, 4]]}
    document = {"site": "s", "device": "d", "boot": 2, "received": part, "delivered": {"influx": part}}
    told = delivered_of(document, "influx")
    assert (told.boot, told.delivered_count) == (2, 3)
    assert list(told.delivered) == [(0, 1), (4, 4)]
