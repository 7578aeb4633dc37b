"""A bug planted in the gateway is found, and named."""

from random import Random

import pytest

from edge.desk import Desk
from sensors.reading import Identity
from tests.replay.kit import crashes, outage
from tests.replay.mutants import (
    AcknowledgesBeforeCommit,
    DropsOn429,
    DropsTheWholeRefusedBatch,
    LosesTheSign,
    MovesTheCursorBeforeTheAnswer,
    SendsNewestFirst,
    StampsWithTheTimeOfSending,
    planted,
)
from tidegate.replay.cloud import Answer, LoseAnswer, Poison, Rule
from tidegate.replay.history import Promise
from tidegate.replay.run import Fleet, Scenario, run
from tidegate.replay.world import US_PER_S

END_S = 300
STORM = Scenario(
    fleet=Fleet(3, 2_000),
    faults_s=END_S,
    uplink=outage(100, 160, end_s=END_S),
    faults=crashes(Random(5), 6, END_S),
    rules=(
        Rule(0, END_S * US_PER_S, Answer(429, retry_after_s=1), ppm=100_000),
        Rule(0, END_S * US_PER_S, LoseAnswer(), ppm=100_000),
    ),
    poison=Poison(frozenset({Identity("device-001", 1, 60)})),
)


def test_the_gateway_as_it_is_passes() -> None:
    verdict = run(STORM)
    assert verdict.passed
    assert verdict.quarantined == 1


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("mutant", "promises"),
    [
        (AcknowledgesBeforeCommit, {Promise.ACKNOWLEDGED_IS_DURABLE}),
        (MovesTheCursorBeforeTheAnswer, {Promise.LEDGER_TRUE, Promise.ACKNOWLEDGED_ARRIVES, Promise.NOTHING_MISSING}),
        (DropsOn429, {Promise.LEDGER_TRUE, Promise.ACKNOWLEDGED_ARRIVES, Promise.NOTHING_MISSING}),
        (DropsTheWholeRefusedBatch, {Promise.LEDGER_TRUE, Promise.ACKNOWLEDGED_ARRIVES, Promise.NOTHING_MISSING}),
        (StampsWithTheTimeOfSending, {Promise.ONE_POINT, Promise.EQUAL_VALUES}),
        (LosesTheSign, {Promise.EQUAL_VALUES}),
        (SendsNewestFirst, {Promise.LIVE_ORDER}),
    ],
)
def test_a_planted_bug_is_caught_by_the_promise_it_breaks(mutant: type[Desk], promises: set[Promise]) -> None:
    verdict = run(STORM, make_desk=planted(mutant))
    assert not verdict.passed
    assert promises <= {violation.promise for violation in verdict.violations}
    assert all(violation.readings for violation in verdict.violations if violation.promise in promises)
    assert verdict.story
