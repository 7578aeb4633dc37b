"""How long a battery lasts: a straight fall is told exactly, and what cannot be known is not told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.history.battery import DAYS_MAX, DaysLeft, Sample, battery_history, days_left
from tests.edge.kit import T0_MS

SLOT_MS = 4 * 3_600_000


def _samples(*percents: float | None) -> list[Sample]:
    return [Sample(T0_MS + at * SLOT_MS, 3.0, percent) for at, percent in enumerate(percents)]


def test_a_straight_fall_is_told_exactly() -> None:
    found = days_left(_samples(*(90 - at * 0.5 for at in range(20))))  # 3 percent a day
    assert found == DaysLeft(low=26.83, likely=26.83, high=26.83)


def test_the_band_holds_the_likely_one_and_a_wild_sample_does_not_move_it() -> None:
    percents = [90 - at * 0.5 + (0.2 if at % 2 else -0.2) for at in range(30)]
    percents[15] = 3.0
    found = days_left(_samples(*percents))
    assert isinstance(found, DaysLeft)
    assert found.high is not None
    assert found.low < found.likely < found.high
    assert found.likely == pytest.approx(75.3 / 3, rel=0.25)


@pytest.mark.parametrize(
    ("percents", "why"),
    [
        ([None] * 9, "no-level"),
        ([], "no-level"),
        ([90.0, 80.0, 70.0], "too-short"),
        ([90.0] * 12, "not-falling"),
        ([50.0 + at for at in range(12)], "not-falling"),
    ],
)
def test_what_cannot_be_known_is_not_told(percents: list[float | None], why: str) -> None:
    told = battery_history(_samples(*percents))
    assert (told.days_left, told.why) == (None, why)


def test_another_battery_starts_over() -> None:
    old, new = [50.0 - 2 * at for at in range(20)], [100.0 - 0.25 * at for at in range(12)]
    found = days_left(_samples(*old, *new))
    assert isinstance(found, DaysLeft)
    assert found.likely == pytest.approx(97.25 / 1.5, rel=0.01)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e308, max_value=1e308), max_size=40))
def test_whatever_it_reports_the_answer_is_possible(percents: list[float]) -> None:
    found = days_left(_samples(*percents))
    if isinstance(found, DaysLeft):
        assert 0 <= found.low <= found.likely <= DAYS_MAX
        assert found.high is None or found.likely <= found.high <= DAYS_MAX
