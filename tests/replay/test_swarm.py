"""The gateway as it is passes a short swarm; a gateway with a bug planted in it does not get far."""

import pytest

from edge.desk import Desk
from tests.replay.mutants import (
    AcknowledgesBeforeCommit,
    DropsOn429,
    MovesTheCursorBeforeTheAnswer,
    NeverCorrectsAWindow,
    planted,
)
from tidegate.outage.swarm import result_of, run_swarm
from tidegate.replay.chance import random_scenario
from tidegate.replay.faults import ClockStep, DiskFull, GatewayCrash, StoreCrash
from tidegate.replay.history import Promise
from tidegate.replay.run import run

SEEDS = 8
SEEDS_THAT_FAILED = (
    108,
)  # each found a bug: 108, a late mark that ends before it begins, after the clock was put back
SEEDS_MAX = 200  # within so many a planted bug must be caught


@pytest.mark.no_cover
def test_a_short_swarm_breaks_no_promise_and_meets_its_faults() -> None:
    results = list(run_swarm(1, SEEDS, jobs=1))
    assert [result.broken for result in results if not result.passed] == []
    assert all(result.valid for result in results)
    assert sum(result.faults_met for result in results) > 5 * SEEDS


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", SEEDS_THAT_FAILED)
def test_a_seed_that_found_a_bug_passes_now(seed: int) -> None:
    assert result_of(seed).broken == ()


def test_a_swarm_on_two_cores_lives_the_same_as_on_one() -> None:
    assert list(run_swarm(22, 2, jobs=2)) == [result_of(seed) for seed in range(22, 24)]


def test_seeds_hold_every_kind_of_fault() -> None:
    kinds = {type(fault) for seed in range(60) for fault in random_scenario(seed).faults}
    assert {GatewayCrash, StoreCrash, DiskFull, ClockStep} <= kinds


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("mutant", "promises"),
    [
        (AcknowledgesBeforeCommit, {Promise.ACKNOWLEDGED_IS_DURABLE}),
        (MovesTheCursorBeforeTheAnswer, {Promise.LEDGER_TRUE, Promise.ACKNOWLEDGED_ARRIVES, Promise.NOTHING_MISSING}),
        (DropsOn429, {Promise.LEDGER_TRUE, Promise.ACKNOWLEDGED_ARRIVES, Promise.NOTHING_MISSING}),
        (NeverCorrectsAWindow, {Promise.ROLLUPS_TRUE}),
    ],
)
def test_a_planted_bug_is_caught_within_two_hundred_seeds(mutant: type[Desk], promises: set[Promise]) -> None:
    for seed in range(1, SEEDS_MAX + 1):
        verdict = run(random_scenario(seed), make_desk=planted(mutant), tell=False)
        if not verdict.passed:
            assert promises & {violation.promise for violation in verdict.violations}
            return
    pytest.fail(f"not caught within {SEEDS_MAX} seeds")
