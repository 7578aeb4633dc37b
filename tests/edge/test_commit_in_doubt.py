"""A COMMIT that reports an error and is durable all the same, as a failed fsync may be: once is once."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.desk import DESTINATION, Desk
from edge.forward.forwarder import ROWS_LATE_MAX, Batch
from edge.forward.outcome import Accepted
from edge.store import StoreFailed
from tests.edge.kit import T0_MS, message, open_desk, reading

MANY = ROWS_LATE_MAX + 1  # readings whose acceptance is a commit of its own


class Doubtful:
    """A connection whose next COMMIT is carried out, or not, and reported as failed."""

    def __init__(self, inner: sqlite3.Connection, *, durable: bool) -> None:
        self._inner, self._durable, self._armed = inner, durable, True

    def execute(self, sql: str, *arguments: object) -> object:
        if sql == "COMMIT" and self._armed:
            self._armed = False
            if self._durable:
                self._inner.execute("COMMIT")
            raise sqlite3.OperationalError("disk I/O error")
        return self._inner.execute(sql, *arguments)  # type: ignore[arg-type]  # what the caller passed

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


@pytest.fixture(params=[True, False], ids=["durable", "not durable"])
def durable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path, batch_rows=MANY)
    yield opened
    opened.store.close()


def break_next_commit(desk: Desk, *, durable: bool) -> None:
    desk.store._db = Doubtful(desk.store._db, durable=durable)  # type: ignore[assignment]  # stands in for it


def test_a_batch_whose_commit_is_in_doubt_is_stored_once_whatever_became_of_it(desk: Desk, durable: bool) -> None:
    desk.take_in([message(reading(0))], 0, T0_MS)
    break_next_commit(desk, durable=durable)
    with pytest.raises(StoreFailed):
        desk.take_in([message(reading(1))], 0, T0_MS)
    with pytest.raises(StoreFailed, match="must be reopened"):
        desk.prove_writable()
    desk.reopen()
    ingested, _ = desk.take_in([message(reading(1)), message(reading(2))], 0, T0_MS)
    assert ingested.duplicates == (1 if durable else 0)
    assert desk.store._execute("SELECT id, seq FROM readings ORDER BY id") == [(1, 0), (2, 1), (3, 2)]
    assert desk.ledger.balance(DESTINATION).received == 3
    assert desk.ledger.balance(DESTINATION).balances


def test_a_settle_whose_commit_is_in_doubt_counts_each_delivery_once(desk: Desk, durable: bool) -> None:
    desk.take_in([message(*map(reading, range(MANY)))], 0, T0_MS)
    plan = desk.next_batch(0)
    assert isinstance(plan, Batch)
    break_next_commit(desk, durable=durable)
    with pytest.raises(StoreFailed):
        desk.settle(plan, Accepted(), 0, T0_MS)
    desk.reopen()
    again = desk.next_batch(0)
    if isinstance(again, Batch):
        desk.settle(again, Accepted(), 0, T0_MS)
    balance = desk.ledger.balance(DESTINATION)
    assert (balance.delivered, balance.held) == (MANY, 0)
    assert balance.balances
