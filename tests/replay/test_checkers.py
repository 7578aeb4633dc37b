"""Each checker sees the promise that it is for, and only that."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.lineprotocol import FieldValue, Point, Series
from edge.desk import Desk
from edge.forward.forwarder import Batch
from edge.forward.lines import timestamp_ns
from edge.forward.outcome import Accepted, Refused
from sensors.reading import Identity
from tests.edge.kit import SITE, T0_MS, message, open_desk, reading
from tidegate.replay.checkers import check_complete, check_safety
from tidegate.replay.history import History, Promise
from tidegate.replay.points import Met


class Stage:
    """A desk and a witness who saw three readings measured."""

    def __init__(self, folder: Path) -> None:
        self.desk: Desk = open_desk(folder)
        self.history = History(lambda: 7, site=SITE)
        for seq in range(3):
            self.history.measured(reading(seq), T0_MS + 1000 * seq)

    def receive(self, *seqs: int) -> None:
        self.desk.take_in([message(reading(seq)) for seq in seqs], 0, 0)
        self.history.committed(Identity("d1", 1, seq) for seq in seqs)

    def deliver(self) -> None:
        plan = self.desk.next_batch(10)
        assert isinstance(plan, Batch)
        self.desk.settle(plan, Accepted(), 10, 10)

    def arrive(self, seq: int, value: float | None = None, *, met: Met = Met.NOTHING, later_ns: int = 0) -> None:
        fields: dict[str, FieldValue] = {
            "boot": 1,
            "seq": seq,
            "temperature_Cel": float(seq) if value is None else value,
        }
        series = Series("reading", (("device", "d1"), ("site", SITE)))
        self.history.stored(Point(series, fields, timestamp_ns(T0_MS + 1000 * seq, 1, seq) + later_ns), met)

    def broken(self) -> set[Promise]:
        return {violation.promise for violation in self.history.violations}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.desk.store.close()


def test_a_life_in_order_breaks_nothing(stage: Stage) -> None:
    stage.receive(0, 1, 2)
    stage.history.acknowledged(Identity("d1", 1, seq) for seq in range(3))
    stage.history.freed("d1", 1, 2)
    check_safety(stage.history, stage.desk)
    for seq in range(3):
        stage.arrive(seq)
    stage.deliver()
    check_complete(stage.history, stage.desk)
    assert stage.broken() == set()


def test_a_puback_for_what_is_not_in_the_store_is_seen(stage: Stage) -> None:
    stage.receive(0)
    stage.history.acknowledged([Identity("d1", 1, 1)])
    check_safety(stage.history, stage.desk)
    assert stage.broken() == {Promise.ACKNOWLEDGED_IS_DURABLE}
    assert stage.history.violations[0].readings == (Identity("d1", 1, 1),)


def test_an_ack_that_frees_what_is_not_in_the_store_is_seen(stage: Stage) -> None:
    stage.receive(0, 2)
    stage.history.freed("d1", 1, 2)
    check_safety(stage.history, stage.desk)
    assert stage.broken() == {Promise.ACKNOWLEDGED_IS_DURABLE}
    assert stage.history.violations[0].readings == (Identity("d1", 1, 1),)


def test_a_ledger_that_calls_delivered_what_is_not_there_is_seen(stage: Stage) -> None:
    stage.receive(0, 1)
    stage.arrive(0)
    stage.deliver()
    check_safety(stage.history, stage.desk)
    assert stage.broken() == {Promise.LEDGER_TRUE}
    assert stage.history.violations[0].readings == (Identity("d1", 1, 1),)


def test_a_reading_that_nobody_measured_is_seen_in_the_store_and_in_the_cloud(stage: Stage) -> None:
    stage.receive(5)
    check_safety(stage.history, stage.desk)
    assert stage.broken() == {Promise.NOTHING_INVENTED}
    stage.history.violations.clear()
    stage.arrive(6)
    assert stage.broken() == {Promise.NOTHING_INVENTED}


def test_a_ledger_whose_sums_are_off_is_seen(stage: Stage) -> None:
    stage.receive(0)
    stage.desk.ledger.totals["received"] += 1
    check_safety(stage.history, stage.desk)
    assert stage.broken() == {Promise.LEDGER_BALANCES}


def test_another_value_and_another_time_are_seen(stage: Stage) -> None:
    stage.arrive(0, value=4.5)
    assert stage.broken() == {Promise.EQUAL_VALUES}
    stage.history.violations.clear()
    stage.arrive(1, later_ns=1)
    assert stage.broken() == {Promise.EQUAL_VALUES}


def test_a_second_point_of_one_reading_and_a_changed_one_are_seen(stage: Stage) -> None:
    stage.arrive(0)
    stage.arrive(0, met=Met.ITSELF)
    assert stage.broken() == set()
    assert stage.history.rewrites == 1
    stage.arrive(0, later_ns=5)
    assert stage.broken() == {Promise.ONE_POINT}
    stage.history.violations.clear()
    stage.arrive(0, met=Met.ANOTHER)
    assert stage.broken() == {Promise.NO_CHANGED_REWRITES}


def test_live_data_that_overtakes_is_seen_and_a_filled_gap_is_not(stage: Stage) -> None:
    stage.receive(0, 2, 1)
    for seq in (0, 2, 1):
        stage.arrive(seq)
    assert stage.broken() == set()
    assert stage.history.out_of_order == 1


def test_live_data_out_of_the_order_of_its_commits_is_seen(stage: Stage) -> None:
    stage.receive(0, 1, 2)
    for seq in (0, 2, 1):
        stage.arrive(seq)
    assert stage.broken() == {Promise.LIVE_ORDER}


def test_what_is_missing_in_the_end_is_named(stage: Stage) -> None:
    stage.receive(0, 1)
    stage.history.acknowledged([Identity("d1", 1, 0), Identity("d1", 1, 1)])
    stage.arrive(0)
    check_complete(stage.history, stage.desk)
    assert stage.broken() == {Promise.BACKLOG_RETURNS, Promise.ACKNOWLEDGED_ARRIVES, Promise.NOTHING_MISSING}
    named = {violation.promise: violation.readings for violation in stage.history.violations}
    assert named[Promise.ACKNOWLEDGED_ARRIVES] == (Identity("d1", 1, 1),)
    assert named[Promise.NOTHING_MISSING] == (Identity("d1", 1, 1), Identity("d1", 1, 2))


def test_a_healthy_reading_in_quarantine_is_seen_and_poison_is_not(stage: Stage) -> None:
    stage.receive(0, 1, 2)
    for seq in (0, 1):
        plan = stage.desk.next_batch(10)
        assert isinstance(plan, Batch)
        only = Batch(plan.after_id, plan.entries[:1], plan.body)
        stage.desk.settle(only, Refused(400, f"no {seq}"), 10, 10)
    stage.history.poison = frozenset({Identity("d1", 1, 0)})
    check_complete(stage.history, stage.desk)
    deserved = [each for each in stage.history.violations if each.promise is Promise.QUARANTINE_IS_DESERVED]
    assert [each.readings for each in deserved] == [(Identity("d1", 1, 1),)]


def test_a_violation_reads_as_a_sentence(stage: Stage) -> None:
    stage.history.acknowledged([Identity("d1", 1, 1)])
    check_safety(stage.history, stage.desk)
    assert str(stage.history.violations[0]) == (
        "acknowledged is durable: at 0.000 s: 1 readings were acknowledged and are not in the store: d1/1/1"
    )
