"""The store: durable settings, positions, refusal of what it cannot be, and the ledger that survives anything."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge import ledger as ledger_module
from edge.desk import DESTINATION, STORE_FILE, Desk
from edge.desk_rules import IN_ORDER, NO_WINDOWS
from edge.forward.forwarder import Batch
from edge.forward.lanes import LaneRules, Order
from edge.forward.outcome import Accepted, Failed, Refused
from edge.store import Store, StoreFull, StoreLocked, StoreTooNew, StoreUnusable
from edge.store.rows import LogEntry, RowCorrupt, pack, unpack
from edge.windows import WindowRules
from sensors.reading import Reading, Value
from tests.edge.kit import T0_MS, message, open_desk, reading

values = st.lists(
    st.builds(
        Value,
        st.text(min_size=1, max_size=8),
        st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text(max_size=8)),
        st.one_of(st.none(), st.text(max_size=4)),
    ),
    min_size=1,
    max_size=4,
).map(tuple)


@given(values, st.booleans(), st.integers(0, 2**40), st.integers(0, 2**32), st.integers(0, 2**48))
def test_a_reading_comes_out_of_its_row_as_it_went_in(
    content: tuple[Value, ...], synced: bool, taken_at_ms: int, boot: int, seq: int
) -> None:
    before = Reading("d", boot, seq, taken_at_ms, content, synced)
    entry = LogEntry(7, 3, T0_MS, before)
    assert unpack(pack(entry), "d") == entry


@given(st.integers(0, 8), st.integers(0, 62))
def test_any_single_flipped_bit_in_a_row_is_noticed(column: int, bit: int) -> None:
    row: list[Any] = list(pack(LogEntry(7, 3, T0_MS, reading(5))))
    cell = row[column]
    if isinstance(cell, bytes):
        at = bit % (8 * len(cell))
        row[column] = bytes(byte ^ (1 << at % 8) if index == at // 8 else byte for index, byte in enumerate(cell))
    else:
        row[column] = cell ^ (1 << bit)
    with pytest.raises(RowCorrupt):
        unpack(tuple(row), "d1")


def test_a_second_gateway_on_one_store_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path / STORE_FILE), pytest.raises(StoreLocked, match="in use by another gateway"):
        Store(tmp_path / STORE_FILE)
    Store(tmp_path / STORE_FILE).close()


def test_a_store_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / STORE_FILE
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO _sqlite_migrations VALUES (99, 'tidegate.store', 'm9999_from_the_future', 'now')")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreTooNew, match="m9999_from_the_future"):
        Store(path)
    assert path.read_bytes() == before


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="not a directory"):
        Store(tmp_path / "nowhere" / STORE_FILE)


def test_the_store_is_opened_with_the_settings_that_durability_rests_on(tmp_path: Path) -> None:
    with Store(tmp_path / STORE_FILE) as store:
        assert store._execute("PRAGMA journal_mode") == [("wal",)]
        assert store._execute("PRAGMA synchronous") == [(2,)]


def test_a_full_store_says_so_and_keeps_what_it_had(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    desk.take_in([message(reading(0))], 0, T0_MS)
    pages = desk.store._execute("PRAGMA page_count")[0][0]
    desk.store._execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFull):
        desk.take_in([message(*(reading(seq) for seq in range(1, 1000)))], 0, T0_MS)
    desk.store._execute("PRAGMA max_page_count = 1000000")
    assert desk.take_in([message(reading(1))], 0, T0_MS)[0].stored == 1
    assert desk.store.head == 2
    desk.store.close()


def test_an_id_is_never_used_twice_even_when_the_log_is_emptied(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    desk.take_in([message(reading(0), reading(1))], 0, T0_MS)
    plan = desk.next_batch(0)
    assert isinstance(plan, Batch)
    desk.settle(plan, Accepted(), 0, T0_MS)
    while desk.tidy(0):
        pass
    assert desk.store._execute("SELECT count(*) FROM readings") == [(0,)]
    desk.close()
    desk = open_desk(tmp_path)
    desk.take_in([message(reading(2))], 0, T0_MS)
    assert desk.store._execute("SELECT id FROM readings") == [(3,)]
    desk.close()


class LedgerSurvives(RuleBasedStateMachine):
    """For any schedule of arrivals, answers, tidying, checkpoints and crashes, the ledger equals the truth."""

    windows, lanes, batch_rows = NO_WINDOWS, IN_ORDER, 7

    def open(self) -> Desk:
        return open_desk(Path(self.directory.name), batch_rows=self.batch_rows, windows=self.windows, lanes=self.lanes)

    @initialize()
    def start(self) -> None:
        import tempfile

        self.directory = tempfile.TemporaryDirectory()
        self.desk: Desk = self.open()
        self.received: set[tuple[str, int, int]] = set()
        self.delivered: set[tuple[str, int, int]] = set()
        self.refused: set[tuple[str, int, int]] = set()
        self.dropped: set[tuple[str, int, int]] = set()
        self.now_ms = 0

    @rule(
        device=st.sampled_from(["a", "b"]),
        boot=st.integers(0, 1),
        seqs=st.lists(st.integers(0, 30), min_size=1, max_size=12),
    )
    def arrive(self, device: str, boot: int, seqs: list[int]) -> None:
        self.desk.take_in([message(*(reading(seq, device=device, boot=boot) for seq in seqs))], self.now_ms, T0_MS)
        self.received |= {(device, boot, seq) for seq in seqs}

    @rule(poison=st.integers(0, 30), answer=st.sampled_from(["accept", "refuse the poison", "fail", "crash after"]))
    def send(self, poison: int, answer: str) -> None:
        self.now_ms += 3_600_000
        plan = self.desk.next_batch(self.now_ms)
        if not isinstance(plan, Batch):
            return
        sent = {entry.reading.identity for entry in plan.entries}
        if answer == "fail":
            self.desk.settle(plan, Failed("reset", "gone"), self.now_ms, T0_MS)
        elif answer == "crash after":
            self.crash()
        elif answer == "refuse the poison" and any(seq == poison for _, _, seq in sent):
            self.desk.settle(plan, Refused(400, "bad"), self.now_ms, T0_MS)
            self.refused |= sent if len(sent) == 1 else set()
            assert not sent & self.delivered
        else:
            self.desk.settle(plan, Accepted(), self.now_ms, T0_MS)
            self.delivered |= sent

    @rule()
    def tidy(self) -> None:
        self.now_ms += 10_000
        while self.desk.tidy(self.now_ms, T0_MS + self.now_ms):
            pass

    @rule(data=st.data(), entry=st.sampled_from(["expired/size", "thinned"]))
    def drop(self, data: st.DataObject, entry: str) -> None:
        self.desk.ledger.refresh()
        before = self.in_the_log()
        self.desk.budget.drop(entry, data.draw(st.integers(0, max(1, self.desk.store.head))))
        self.dropped |= before - self.in_the_log() - self.delivered - self.refused

    @rule()
    def crash(self) -> None:
        self.desk.store.close()
        self.desk = self.open()

    @rule()
    @precondition(lambda self: self.now_ms > 0)
    def restart(self) -> None:
        self.desk.close()
        self.desk = self.open()

    @invariant()
    def ledger_equals_truth(self) -> None:
        if not hasattr(self, "desk"):
            return
        names = ("received", f"delivered/{DESTINATION}", "quarantined", "expired/size", "thinned")
        found: dict[str, set[tuple[str, int, int]]] = {name: set() for name in names}
        for key, boot, account in self.desk.ledger.accounts():
            _, device = self.desk.store.device_name(key)
            for name, seqs in account.entries.items():
                found[name] |= {(device, boot, seq) for first, last in seqs for seq in range(first, last + 1)}
        assert found["received"] == self.received
        assert found[f"delivered/{DESTINATION}"] == self.delivered
        assert found["quarantined"] == self.refused
        balance = self.desk.ledger.balance(DESTINATION)
        assert balance.balances
        assert balance.received == len(self.received)
        assert found["expired/size"] | found["thinned"] == self.dropped
        assert (balance.expired, balance.thinned) == (len(found["expired/size"]), len(found["thinned"]))
        assert self.in_the_log() >= self.received - self.delivered - self.refused - self.dropped

    def in_the_log(self) -> set[tuple[str, int, int]]:
        return {
            (self.desk.store.device_name(key)[1], boot, seq)
            for key, boot, seq in self.desk.store.run("SELECT device_key, boot, seq FROM readings")
        }

    def teardown(self) -> None:
        if hasattr(self, "desk"):
            self.desk.store.close()
            self.directory.cleanup()


@pytest.fixture(autouse=True)
def small_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a short run crosses many of them."""
    monkeypatch.setattr(ledger_module, "CHECKPOINT_ROWS", 10)


class LedgerSurvivesLanes(LedgerSurvives):
    """The same when readings are sent out of order, among rollups and notices."""

    windows, lanes, batch_rows = WindowRules((10,), 0, 60_000), LaneRules(backfill_order=Order.NEWEST), 2

    @rule(device=st.sampled_from(["a", "b"]), first=st.integers(0, 20), count=st.integers(6, 10))
    def arrive_in_a_burst(self, device: str, first: int, count: int) -> None:
        self.arrive(device, 2, list(range(first, first + count)))

    @rule(count=st.integers(2, 6))
    def send_some_and_tidy(self, count: int) -> None:
        for _ in range(count):
            self.send(0, "accept")
        self.tidy()


TestLedgerSurvivesLanes = LedgerSurvivesLanes.TestCase
TestLedgerSurvivesLanes.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLedgerSurvives = LedgerSurvives.TestCase
TestLedgerSurvives.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
