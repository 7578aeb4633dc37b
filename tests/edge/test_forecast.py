"""Forecasts: never nonsense, and right where the answer is plain."""

import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edge.budget import StoreLimits
from edge.forecast import full_in_s, growth_rows_per_s, link_forecast
from edge.forward.destination import Choices
from edge.forward.forwarder import Batch
from edge.forward.outcome import Accepted
from edge.link_budget import LinkState
from edge.link_rules import Level, LinkRules
from edge.status import destination_status, store_status
from tests.edge.kit import T0_MS, message, open_desk, reading

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
AMOUNT = st.floats(0, 1e15, allow_nan=False)
RATE = st.floats(-1e9, 1e9, allow_nan=False)


def link(rules: LinkRules, month_bytes: int, *, row: float = 20.0, from_ms: int | None = T0_MS) -> LinkState:
    return LinkState(
        rules,
        month_bytes,
        from_ms,
        T0_MS + 30 * DAY_MS,
        rules.level(month_bytes),
        is_open=True,
        bytes_per_row=row,
    )


@given(left=AMOUNT, growth=RATE)
def test_a_time_to_full_is_a_time_or_none(left: float, growth: float) -> None:
    found = full_in_s(left, growth)
    assert found is None or (math.isfinite(found) and found >= 0)
    if left > 0 and growth <= 0:
        assert found is None


@given(
    held=st.integers(0, 10**9), more=st.integers(0, 10**9), month=st.integers(0, 10**13),
    cap=st.none() | st.integers(1, 10**13), row=st.floats(0, 1e4), at_ms=st.integers(-DAY_MS, 40 * DAY_MS),
    price=st.none() | st.floats(0, 100),
)  # fmt: skip
def test_more_to_send_never_costs_less_and_nothing_is_nonsense(
    held: int, more: int, month: int, cap: int | None, row: float, at_ms: int, price: float | None
) -> None:
    rules = LinkRules(month_bytes_max=cap, cost_per_gb=price)
    one = link_forecast(held, 1.0, link(rules, month, row=row), T0_MS + at_ms)
    two = link_forecast(held + more, 1.0, link(rules, month, row=row), T0_MS + at_ms)
    for told in (one, two):
        numbers: list[float | None] = [told.catch_up_bytes, told.catch_up_cost, told.month_end_bytes]
        numbers += [told.month_end_cost, told.month_cost, told.budget_used_up_s]
        assert all(each is None or (math.isfinite(each) and each >= 0) for each in numbers)
        assert told.month_end_bytes is None or told.month_end_bytes >= month
        assert (told.month_cost is None) == (price is None)
    if one.catch_up_bytes is not None and two.catch_up_bytes is not None:
        assert two.catch_up_bytes >= one.catch_up_bytes
        assert price is None or (two.catch_up_cost or 0) >= (one.catch_up_cost or 0)


def test_a_third_of_a_month_at_this_rate_is_a_month_of_three_times_as_much() -> None:
    rules = LinkRules(month_bytes_max=2_000_000_000, cost_per_gb=4.0)
    told = link_forecast(1_000_000, 50.0, link(rules, 1_000_000_000), T0_MS + 10 * DAY_MS)
    assert (told.month_end_bytes, told.month_end_cost, told.month_cost) == (3_000_000_000, 12.0, 4.0)
    assert told.budget_used_up_s == 10 * 86_400
    assert (told.catch_up_bytes, told.catch_up_cost) == (20_000_000, 0.08)
    assert told.level is Level.FREE


def test_what_is_not_known_is_not_guessed() -> None:
    told = link_forecast(5, None, link(LinkRules(), 100, row=0.0), T0_MS + HOUR_MS - 1)
    assert (told.catch_up_bytes, told.month_end_bytes, told.month_cost) == (None, None, None)
    assert link_forecast(0, 0.0, link(LinkRules(), 0, row=0.0), T0_MS).catch_up_bytes == 0


def test_the_log_grows_at_the_pace_of_the_slowest_destination_with_a_backlog() -> None:
    drained = {"a": 50.0, "b": 2.0, "c": 0.0}
    assert growth_rows_per_s(10.0, drained, {"a": 5, "b": 5, "c": 0}) == 8.0
    assert growth_rows_per_s(10.0, drained, {"a": 0, "b": 0, "c": 0}) == 0.0


def test_the_status_tells_when_the_store_is_full_and_what_the_month_costs(tmp_path: Path) -> None:
    choices = Choices(link=LinkRules(cost_per_gb=1000.0, month_bytes_max=10_000_000))
    desk = open_desk(tmp_path, batch_rows=50, choices=choices, budget=StoreLimits(4_000_000, 0))
    for second in range(12):
        desk.take_in([message(*(reading(seq) for seq in range(100 * second, 100 * second + 100)))], 0, T0_MS)
        plan = desk.next_batch(1000 * second)
        assert isinstance(plan, Batch)
        desk.settle(plan, Accepted(), 1000 * second, T0_MS)
        while desk.tidy(1000 * second, T0_MS + 1000 * second):
            pass
        desk.standing(1000 * second, T0_MS + 1000 * second)
    standing = desk.standing(11_000, T0_MS + 11_000)
    assert standing.full_in_s is not None
    per_s = standing.received_per_s - standing.drained_per_s
    assert 45 < per_s < 55
    room = desk.budget.room_bytes()
    left = (room.full_at_bytes - room.used_bytes) / (desk.budget.row_bytes() or 1) / per_s
    assert abs(standing.full_in_s - left) < 0.1 * left
    assert store_status(standing, None).full_in_s == round(standing.full_in_s)
    (told,) = destination_status(standing, {})
    assert told.forecast is not None
    assert told.forecast.month_bytes == desk.destinations.first.link.state().month_bytes > 0
    assert told.forecast.month_cost == told.forecast.month_bytes / 1_000_000
    assert told.forecast.catch_up_bytes is not None
    assert abs(told.forecast.catch_up_bytes / told.held - told.forecast.month_bytes / told.delivered) < 5
    desk.close()
