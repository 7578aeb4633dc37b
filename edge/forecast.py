"""What will come of it at these rates: when the store is full, what catching up takes, what the month will cost.

Pure arithmetic over measured rates. Promises: nothing that is returned is negative, infinite or no number; where a rate
says nothing (nothing was sent yet, the backlog does not shrink, the store does not grow), the answer is None rather
than a guess; more to send never takes fewer bytes, or less money.
"""

import math
from dataclasses import dataclass

from edge.link_budget import LinkState
from edge.link_rules import Level

ELAPSED_MIN_MS = 3_600_000  # under an hour of a month is no rate to reckon the rest of it by
SPAN_MAX_S = 10 * 366 * 86_400  # a forecast beyond ten years is none


@dataclass(frozen=True, slots=True)
class LinkForecast:
    """One destination's link. Costs are in `currency`, None where no price is known.

    `catch_up_bytes`: for what waits now. `month_end_bytes`: by the end of the month at its mean rate so far, whatever
    the budget allows; `budget_used_up_s`: until the month's budget is used up, 0 if it is, None if it lasts.
    `level`: how far it is used: 0 free, 1 backfill waits, 2 raw readings wait, 3 only alerts pass.
    """

    catch_up_s: float | None
    catch_up_bytes: int | None
    catch_up_cost: float | None
    month_bytes: int
    month_bytes_max: int | None
    month_cost: float | None
    month_end_bytes: int | None
    month_end_cost: float | None
    budget_used_up_s: float | None
    level: Level
    is_open: bool
    currency: str


def full_in_s(left_bytes: float, growth_bytes_per_s: float) -> float | None:
    """How long until no room is left; 0 if there is none now, None if it does not get less."""
    if left_bytes <= 0:
        return 0.0
    return _span(left_bytes, growth_bytes_per_s)


def growth_rows_per_s(received_per_s: float, drained_per_s: dict[str, float], held: dict[str, int]) -> float:
    """How fast the log grows: rows go when the slowest destination that has a backlog is done with them."""
    slowest = min((drained_per_s[name] for name, waiting in held.items() if waiting > 0), default=received_per_s)
    return received_per_s - slowest


def link_forecast(held: int, catch_up_s: float | None, link: LinkState, wall_ms: int) -> LinkForecast:
    """What one destination's backlog and month will come to."""
    rules = link.rules
    catch_up_bytes = None if held and not link.bytes_per_row else math.ceil(held * link.bytes_per_row)
    rate_per_s = _month_rate_per_s(link, wall_ms)
    month_end_bytes = used_up_s = None
    if rate_per_s is not None and link.month_end_ms is not None:
        left_s = max(0, link.month_end_ms - wall_ms) / 1000
        month_end_bytes = link.month_bytes + math.ceil(rate_per_s * left_s)
        if rules.month_bytes_max is not None:
            spent_s = full_in_s(rules.month_bytes_max - link.month_bytes, rate_per_s)
            used_up_s = None if spent_s is None or spent_s > left_s else spent_s
    return LinkForecast(
        catch_up_s=catch_up_s,
        catch_up_bytes=catch_up_bytes,
        catch_up_cost=None if catch_up_bytes is None else rules.cost(catch_up_bytes),
        month_bytes=link.month_bytes,
        month_bytes_max=rules.month_bytes_max,
        month_cost=rules.cost(link.month_bytes),
        month_end_bytes=month_end_bytes,
        month_end_cost=None if month_end_bytes is None else rules.cost(month_end_bytes),
        budget_used_up_s=used_up_s,
        level=link.level,
        is_open=link.is_open,
        currency=rules.currency,
    )


def _month_rate_per_s(link: LinkState, wall_ms: int) -> float | None:
    if link.counted_from_ms is None or wall_ms - link.counted_from_ms < ELAPSED_MIN_MS:
        return None
    return link.month_bytes * 1000 / (wall_ms - link.counted_from_ms)


def _span(amount: float, per_s: float) -> float | None:
    if per_s <= 0 or amount / per_s > SPAN_MAX_S:
        return None
    return amount / per_s
