"""What is reported: quantiles, survival with its band, histogram, drain, and the same bytes for the same seed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.build import FleetError
from firmware_sim.forecast.engine import run_block
from firmware_sim.forecast.plan import LIVES_OF_BLOCK, Variant, plan_forecast, summarise
from firmware_sim.forecast.report import TypeForecast, histogram, lifetimes, survival, to_json, wilson
from tests.firmware_sim.forecast.fleets import fleet

SMALL = {"battery": {"cell": "er14505", "board": "maudet-lorawan", "state_of_charge": 0.08}}
ENDS = st.lists(st.integers(-1, 24 * 1000), min_size=1, max_size=200)


def forecast(runs: int = 100, seed: int | None = None) -> tuple[TypeForecast, ...]:
    config = fleet(SMALL, {"battery": None})
    plan = plan_forecast([Variant("as it is", config)], years=2.0, runs=runs, seed=seed)
    return summarise(plan, [run_block(block) for block in plan.blocks])


@pytest.mark.no_cover
@given(ends=ENDS)
def test_survival_falls_from_all_to_those_without_an_end(ends: list[int]) -> None:
    lives = lifetimes([np.array(ends)], [np.zeros(len(ends), dtype=np.bool_)])
    points = survival(lives, 1000.0)
    alive = [point.alive for point in points]
    assert alive == sorted(alive, reverse=True)
    assert alive[-1] == pytest.approx(ends.count(-1) / len(ends), abs=1e-5)
    assert all(point.low <= point.alive + 1e-5 and point.alive <= point.high + 1e-5 for point in points)
    edges, counts = histogram(lives, 1000.0)
    assert sum(counts) == len(ends) - ends.count(-1)
    assert edges == sorted(edges)


@pytest.mark.no_cover
@given(ends=ENDS, share=st.floats(0.01, 0.99))
def test_a_quantile_is_the_day_by_which_that_share_has_ended(ends: list[int], share: float) -> None:
    lives = lifetimes([np.array(ends)], [np.zeros(len(ends), dtype=np.bool_)])
    day = lives.quantile(share)
    ended = [end / 24 for end in ends if end >= 0]
    if day is None:
        assert len(ended) < share * len(ends)
    else:
        assert sum(end <= day for end in ended) >= share * len(ends) - 1e-9


def test_the_band_is_wilsons() -> None:
    # Brown, Cai, DasGupta, Statistical Science 16 (2001): the interval for 0 of n is 0 to z^2 / (n + z^2)
    z2 = 1.959964**2
    assert wilson(0, 10) == pytest.approx((0.0, z2 / (10 + z2)))
    assert wilson(10, 10) == pytest.approx((10 / (10 + z2), 1.0))
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_mains_power_has_no_forecast_and_drains_sum_to_all() -> None:
    (only,) = forecast()
    assert (only.type, only.devices, only.runs, only.ended_percent) == ("node", 3, 100, 100.0)
    assert math.fsum(only.drain_percent.values()) == pytest.approx(100, abs=0.01)
    shares = list(only.drain_percent.values())
    assert shares == sorted(shares, reverse=True)
    days = [day for day in only.days_by_quantile.values() if day is not None]
    assert days == sorted(days)
    assert only.first_of_group_days is not None
    assert days[0] <= only.first_of_group_days <= days[2]  # the first of three, between 5 % and the median
    assert only.harvest_percent is None
    with pytest.raises(FleetError, match="at least one group with a battery"):
        plan_forecast([Variant("as it is", fleet({"battery": None}))], years=1, runs=1)


@pytest.mark.no_cover
def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    first, again, other = (to_json(forecast(runs=30, seed=seed), seed=1) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.no_cover
def test_many_runs_are_cut_into_blocks_with_seeds_of_their_own() -> None:
    plan = plan_forecast([Variant("as it is", fleet(SMALL))], years=0.1, runs=2 * LIVES_OF_BLOCK + 1)
    assert [block.lives for block in plan.blocks] == [LIVES_OF_BLOCK, LIVES_OF_BLOCK, 1]
    assert len({block.seed for block in plan.blocks}) == 3
