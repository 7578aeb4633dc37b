"""A swarm: runs of many seeds on all cores. A process takes a seed, lives it, and says what came of it.

Promises: what a seed does depends on nothing but the seed; results come in the order of the seeds; the first error of
the program itself (not of the gateway under test) ends the swarm.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tidegate.replay.chance import random_scenario
from tidegate.replay.run import run
from tidegate.replay.verdict import Verdict

SEEDS_AT_ONCE = 4  # handed to a process in one go: a few seconds of work


@dataclass(frozen=True, slots=True)
class SeedResult:
    """What came of one seed; `broken` has the first sentence about each promise that was broken."""

    seed: int
    valid: bool
    passed: bool
    produced: int
    faults_met: int
    hash: str
    broken: tuple[str, ...]


def live_seed(seed: int, *, tell: bool = False) -> Verdict:
    """The verdict of one seed; `tell`: with the story of a failure."""
    return run(random_scenario(seed), tell=tell)


def result_of(seed: int) -> SeedResult:
    """One seed in short."""
    verdict = live_seed(seed)
    broken = {violation.promise: f"{violation}" for violation in reversed(verdict.violations)}
    return SeedResult(
        seed,
        verdict.valid,
        verdict.passed,
        verdict.produced,
        verdict.faults_met,
        verdict.hash,
        tuple(broken.values()),
    )


def run_swarm(first: int, count: int, jobs: int) -> Iterator[SeedResult]:
    """Live the seeds from `first` on, in `jobs` processes."""
    seeds = range(first, first + count)
    if jobs == 1:
        yield from map(result_of, seeds)
        return
    context = multiprocessing.get_context("forkserver")  # a fork of a process with threads may never end
    with ProcessPoolExecutor(min(jobs, count), context) as pool:
        try:
            yield from pool.map(result_of, seeds, chunksize=SEEDS_AT_ONCE)
        finally:
            pool.shutdown(cancel_futures=True)
