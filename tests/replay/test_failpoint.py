"""A process that dies inside a store operation leaves the files of that moment, and its successor loses nothing."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from edge.desk import STORE_FILE
from edge.store import Store
from tests.replay.kit import outage
from tidegate.replay.failpoint import WAL_FILE, Failpoint, Killed
from tidegate.replay.faults import DiskFull, Fault, StoreCrash
from tidegate.replay.run import Fleet, Scenario, run
from tidegate.replay.world import US_PER_S

SMALL = Scenario(fleet=Fleet(3, 5_000), faults_s=300, uplink=outage(100, 160, end_s=300))


def cursor_in(folder: Path) -> int | None:
    """What a successor would read."""
    with sqlite3.connect(folder / STORE_FILE) as db:
        row = db.execute("SELECT position FROM cursors WHERE name = 'c'").fetchone()
    db.close()
    return None if row is None else int(row[0])


def die(folder: Path, operation: int, seed: int = 1) -> Path:
    """Set a cursor, and die at a statement; the files of the next life."""
    left, following = folder / f"left-{operation}-{seed}", folder / f"following-{operation}-{seed}"
    left.mkdir()
    fired: list[bool] = []
    with Store(left / STORE_FILE) as store:
        failpoint = Failpoint(operation, Random(seed), lambda: fired.append(True))
        with pytest.raises(Killed), failpoint.watching(store, following), store.transaction():
            store.set_cursor("c", 7)
    assert fired == [True]
    return following


def test_a_death_before_the_commit_leaves_nothing_of_the_transaction(tmp_path: Path) -> None:
    for operation in (1, 2):  # BEGIN, the statement
        assert cursor_in(die(tmp_path, operation)) is None


def test_a_death_in_the_midst_of_a_commit_leaves_all_of_it_or_nothing(tmp_path: Path) -> None:
    folders = [die(tmp_path, 3, seed) for seed in range(30)]
    lengths = {(folder / WAL_FILE).stat().st_size for folder in folders}
    assert len(lengths) > 10  # torn at many places
    assert {cursor_in(folder) for folder in folders} == {None, 7}


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(4))
def test_kills_at_any_statement_lose_nothing_acknowledged(seed: int) -> None:
    rng = Random(seed)
    kills = tuple(StoreCrash(at_s * US_PER_S, rng.randint(1, 80), 500) for at_s in range(5, 295, 10))
    verdict = run(replace(SMALL, seed=seed, faults=kills))
    assert verdict.violations == ()
    assert verdict.passed
    assert verdict.gateway_lives > 15
    assert verdict.faults_met > 15


def test_a_kill_that_no_statement_reaches_is_not_met() -> None:
    verdict = run(Scenario(fleet=Fleet(1), faults_s=120, faults=(StoreCrash(60 * US_PER_S, 1_000_000),)))
    assert verdict.passed
    assert not verdict.valid
    assert len(verdict.faults_unmet) == 1


@pytest.mark.parametrize("fault", [DiskFull(100 * US_PER_S, 60_000), DiskFull(20 * US_PER_S, 200_000)])
def test_a_full_disk_holds_readings_back_in_their_devices_and_loses_none(fault: Fault) -> None:
    verdict = run(replace(SMALL, faults=(fault,)))
    assert verdict.violations == ()
    assert (verdict.missing, verdict.lost) == (0, 0)
    assert verdict.in_cloud == verdict.produced
    assert not any("DiskFull" in unmet for unmet in verdict.faults_unmet)


def test_a_disk_that_is_full_while_nobody_writes_is_not_met() -> None:
    verdict = run(Scenario(fleet=Fleet(1), faults_s=300, faults=(DiskFull(1, 1),)))
    assert not verdict.valid
