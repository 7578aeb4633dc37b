"""Several destinations over one log: each for itself, whatever the others do, and the ledger exact for each."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import edge.ledger as ledger_module
from edge.budget import OnFull, StoreLimits
from edge.desk import Desk
from edge.destinations import UnknownDestination
from edge.forward.destination import Choices, DestinationRules, Send, StartAt
from edge.forward.forwarder import Batch, Wait
from edge.forward.lanes import LaneRules, Order
from edge.forward.outcome import Accepted, Failed, Outcome, Refused
from edge.forward.sieve import Band, DeadbandRules
from edge.intervals import Intervals
from edge.ledger import Balance, split_entry
from edge.store import StoreFailed
from edge.windows import WindowRules
from tests.edge.kit import T0_MS, message, open_desk, reading

HOUR_MS = 3_600_000
ARCHIVE = DestinationRules("archive", batch_rows=5)


def take(desk: Desk, first: int, count: int, *, device: str = "d1", value: float | None = None) -> None:
    desk.take_in(
        [message(*(reading(seq, device=device, value=value) for seq in range(first, first + count)))], 0, T0_MS
    )


def tidy(desk: Desk, now_ms: int = 0, wall_ms: int | None = None) -> None:
    while desk.tidy(now_ms, wall_ms):
        pass


def drain(desk: Desk, destination: str, now_ms: int = 0) -> list[int]:
    """Accept everything; the seqs that came, in order."""
    found: list[int] = []
    for _ in range(1000):
        plan = desk.plan(destination, now_ms)
        if isinstance(plan, Wait):
            if plan.for_ms is None:
                return found
            now_ms += plan.for_ms
            continue
        found += [entry.reading.seq for entry in plan.entries]
        desk.answered(destination, plan, Accepted(), now_ms, T0_MS)
    raise AssertionError("it never ends")


def balance(desk: Desk, destination: str) -> Balance:
    told = desk.ledger.balance(destination)
    assert told.balances, told
    return told


def test_one_dead_destination_holds_up_no_other_telegraf_16537(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, more=[ARCHIVE], batch_rows=10)
    now_ms = 0
    for round_ in range(20):
        take(desk, 10 * round_, 10)
        plan = desk.plan("archive", now_ms)
        if isinstance(plan, Batch):
            desk.answered("archive", plan, Failed("timeout", "silence"), now_ms, T0_MS)
        sent = drain(desk, "influx", now_ms)
        assert sent == list(range(10 * round_, 10 * round_ + 10))
        now_ms += 1000
    assert balance(desk, "influx").held == 0
    assert balance(desk, "archive").held == 200
    tidy(desk, now_ms)
    assert desk.store.run("SELECT count(*) FROM readings") == [(200,)]
    assert drain(desk, "archive", now_ms) == list(range(200))
    tidy(desk, 2 * HOUR_MS)
    assert desk.store.run("SELECT count(*) FROM readings") == [(0,)]
    desk.close()


def test_the_breaker_of_one_says_nothing_of_another(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, more=[ARCHIVE])
    take(desk, 0, 3)
    now_ms = 0
    for _ in range(6):
        plan = desk.plan("archive", now_ms)
        if isinstance(plan, Wait):
            now_ms += plan.for_ms or 0
            plan = desk.plan("archive", now_ms)
        assert isinstance(plan, Batch)
        desk.answered("archive", plan, Failed("reset", "gone"), now_ms, T0_MS)
    told = desk.standing(now_ms, T0_MS).destinations
    archive, influx = told["archive"].forwarder, told["influx"].forwarder
    assert archive is not None
    assert influx is not None
    assert (archive.breaker, influx.breaker) == ("open", "closed")
    desk.close()


def test_each_refuses_for_itself(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, more=[ARCHIVE])
    take(desk, 0, 1)
    for name in ("influx", "archive"):
        plan = desk.plan(name, 0)
        assert isinstance(plan, Batch)
        desk.answered(name, plan, Refused(400, f"not for {name}"), 0, T0_MS)
    assert balance(desk, "influx").quarantined == balance(desk, "archive").quarantined == 1
    assert [item.source for item in desk.quarantine.items()] == ["influx", "archive"]
    desk.store.close()
    again = open_desk(tmp_path, more=[ARCHIVE])
    assert balance(again, "influx").quarantined == balance(again, "archive").quarantined == 1
    again.close()


def test_a_new_destination_starts_at_the_oldest_row_and_the_ledger_tells_what_was_before(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    take(desk, 0, 10)
    drain(desk, "influx")
    tidy(desk)
    take(desk, 10, 5)
    desk.close()
    desk = open_desk(tmp_path, more=[ARCHIVE])
    told = balance(desk, "archive")
    assert (told.received, told.held) == (5, 5)
    assert desk.ledger.totals["before@archive"] == 10
    assert drain(desk, "archive") == [10, 11, 12, 13, 14]
    (account,) = desk.ledger_report().accounts
    assert {place: seqs.ranges for place, seqs in account.open["archive"].items()} == {"before": ((0, 9),)}
    desk.close()
    desk = open_desk(tmp_path, more=[ARCHIVE])
    assert balance(desk, "archive").delivered == 5
    desk.close()


def test_a_new_destination_may_start_now(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    take(desk, 0, 10)
    desk.close()
    late = DestinationRules("archive", choices=Choices(start_at=StartAt.NOW))
    desk = open_desk(tmp_path, more=[late])
    assert drain(desk, "archive") == []
    take(desk, 10, 2)
    assert drain(desk, "archive") == [10, 11]
    told = balance(desk, "archive")
    assert (told.received, told.delivered) == (2, 2)
    assert drain(desk, "influx") == list(range(12))
    desk.close()


def test_a_removed_destination_keeps_its_place_until_it_is_forgotten(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, more=[ARCHIVE])
    take(desk, 0, 10)
    drain(desk, "influx")
    desk.close()
    desk = open_desk(tmp_path)
    take(desk, 10, 1)
    drain(desk, "influx")
    tidy(desk)
    told = desk.standing(0, T0_MS).destinations["archive"]
    assert told.forwarder is None
    assert told.balance.held == 11
    desk.close()
    desk = open_desk(tmp_path, more=[ARCHIVE])
    assert drain(desk, "archive") == list(range(11)), "a configuration change strands no data"
    take(desk, 11, 1)
    drain(desk, "influx")
    with pytest.raises(UnknownDestination, match="is configured"):
        desk.forget_destination("archive")
    desk.close()
    desk = open_desk(tmp_path)
    assert desk.forget_destination("archive") == 1
    with pytest.raises(UnknownDestination, match="no destination archive"):
        desk.forget_destination("archive")
    tidy(desk)
    assert desk.store.run("SELECT count(*) FROM readings") == [(0,)]
    assert not [name for name in desk.ledger.totals if "archive" in name]
    assert desk.store.run("SELECT entry FROM ledger WHERE entry LIKE '%archive%'") == []
    desk.close()
    desk = open_desk(tmp_path)
    assert list(desk.ledger.destinations) == ["influx"]
    desk.close()


def test_a_destination_takes_what_it_is_to_be_sent_and_nothing_else(tmp_path: Path) -> None:
    rollups = DestinationRules("sums", choices=Choices(send=frozenset({Send.ROLLUPS})))
    desk = open_desk(tmp_path, more=[rollups], windows=WindowRules((10,), 0, 0))
    take(desk, 0, 25)
    tidy(desk, 0, T0_MS + HOUR_MS)
    plan = desk.plan("sums", 0)
    assert isinstance(plan, Batch)
    assert plan.entries == ()
    assert plan.body.count(b"\n") == 3
    assert plan.body.startswith(b"reading_10s,device=d1")
    told = balance(desk, "sums")
    assert (told.suppressed, told.held) == (25, 0)
    assert desk.ledger_report().complete == {"influx": False, "sums": True}
    drain(desk, "influx")
    tidy(desk, HOUR_MS, T0_MS + HOUR_MS)
    assert desk.store.run("SELECT count(*) FROM readings") == [(0,)], "who takes no readings holds none"
    assert desk.store.run("SELECT count(*) FROM rollups") == [(3,)]
    desk.answered("sums", plan, Accepted(), HOUR_MS, T0_MS)
    tidy(desk, 2 * HOUR_MS, T0_MS + HOUR_MS)
    assert desk.store.run("SELECT count(*) FROM rollups") == [(0,)]
    desk.close()


def test_a_deadband_sends_changes_and_a_heartbeat_and_counts_the_rest(tmp_path: Path) -> None:
    band = DeadbandRules({"temperature": Band(absolute=0.5)}, heartbeat_ms=10_000)
    desk = open_desk(tmp_path, choices=Choices(deadband=band), more=[ARCHIVE])
    values = [20.0, 20.4, 20.5, 20.6, 20.7, 20.1, 20.0, *[20.2] * 20]
    desk.take_in([message(*(reading(seq, value=value) for seq, value in enumerate(values)))], 0, T0_MS)
    tidy(desk)
    assert drain(desk, "influx") == [0, 3, 6, 16, 26]
    told = balance(desk, "influx")
    assert (told.received, told.delivered, told.suppressed, told.held) == (27, 5, 22, 0)
    assert len(drain(desk, "archive")) == 27
    tidy(desk, HOUR_MS)
    desk.store.close()
    desk = open_desk(tmp_path, choices=Choices(deadband=band), more=[ARCHIVE])
    told = balance(desk, "influx")
    assert (told.delivered, told.suppressed) == (5, 22)
    desk.close()


def test_a_deadband_in_percent_and_what_it_cannot_compare(tmp_path: Path) -> None:
    band = DeadbandRules({"temperature": Band(percent=10)}, heartbeat_ms=HOUR_MS)
    desk = open_desk(tmp_path, choices=Choices(deadband=band))
    values: list[float | str | bool] = [100.0, 110.0, 111.0, "open", "open", "shut", True, True, False]
    desk.take_in([message(*(reading(seq, value=value) for seq, value in enumerate(values)))], 0, T0_MS)
    tidy(desk)
    assert drain(desk, "influx") == [0, 2, 3, 5, 6, 8]
    take(desk, 100, 1, value=50.0)
    take(desk, 50, 1, value=50.0)  # taken before the last one that was told: nothing to compare it with
    tidy(desk)
    assert drain(desk, "influx") == [100, 50]
    desk.close()


def test_what_a_deadband_compares_with_is_what_passed_even_if_the_commit_failed(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, choices=Choices(deadband=DeadbandRules()))
    take(desk, 0, 1, value=1.0)
    desk.store._db.execute("CREATE TEMP TRIGGER full BEFORE INSERT ON cursors WHEN NEW.name LIKE 'sieve/%'"
                           " BEGIN SELECT RAISE(ABORT, 'full'); END")  # fmt: skip
    with pytest.raises(StoreFailed, match="full"):
        desk.tidy(0)
    desk.store._db.execute("DROP TRIGGER full")
    tidy(desk)
    assert drain(desk, "influx") == [0]
    desk.close()


def test_a_destination_with_a_policy_of_its_own_gives_way_and_the_others_keep_everything(tmp_path: Path) -> None:
    gives_way = DestinationRules("archive", choices=Choices(on_full=OnFull.DROP_OLDEST))
    desk = open_desk(tmp_path, more=[gives_way], budget=StoreLimits(800_000, 0))
    sent: list[int] = []
    for first in range(0, 40_000, 200):  # several times what the store holds; nobody takes anything for the archive
        take(desk, first, 200)
        sent += drain(desk, "influx")
        tidy(desk)
    assert sent == list(range(40_000)), "a dead destination with `drop-oldest` blocks nobody"
    told = balance(desk, "archive")
    assert told.expired > 10_000
    assert balance(desk, "influx").expired == 0
    desk.close()


@pytest.mark.no_cover
def test_thinned_is_what_is_dropped_for_a_destination_that_thins(tmp_path: Path) -> None:
    thins = DestinationRules("archive", choices=Choices(on_full=OnFull.THIN_OLDEST))
    limits = StoreLimits(800_000, 0, None, OnFull.DROP_OLDEST)
    desk = open_desk(tmp_path, more=[thins], budget=limits, windows=WindowRules((60,), 0, 60_000))
    for first in range(0, 20_000, 200):
        take(desk, first, 200)
        tidy(desk)
    influx, archive = balance(desk, "influx"), balance(desk, "archive")
    assert influx.expired == archive.thinned > 0
    assert influx.thinned == archive.expired == 0
    desk.close()


def test_a_store_without_influx_serves_the_others(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, more=[ARCHIVE], with_influx=False)
    take(desk, 0, 3)
    assert desk.destination == "archive"
    plan = desk.next_batch(0)
    assert isinstance(plan, Batch)
    desk.settle(plan, Accepted(), 0, T0_MS)
    assert list(desk.ledger.destinations) == ["archive"]
    assert balance(desk, "archive").delivered == 3
    desk.close()


def test_a_salvage_keeps_every_destination_apart(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, more=[ARCHIVE])
    take(desk, 0, 20)
    plan = desk.plan("archive", 0)
    assert isinstance(plan, Batch)
    desk.answered("archive", plan, Accepted(), 0, T0_MS)
    tidy(desk)
    assert desk.budget.drop("expired/size", 8)
    desk.close()
    path = next(tmp_path.glob("*.sqlite"))
    raw = bytearray(path.read_bytes())
    raw[18] = 9  # no format of SQLite: the file is set aside, and what can be read is recovered
    path.write_bytes(raw)
    desk = open_desk(tmp_path, more=[ARCHIVE])
    influx, archive = balance(desk, "influx"), balance(desk, "archive")
    assert desk.store.salvaged is not None
    assert (desk.store.salvaged.recovered, desk.store.salvaged.lost) == (12, 0)
    assert (influx.received, influx.expired, influx.held) == (20, 8, 12)
    assert (archive.delivered, archive.expired, archive.held) == (5, 3, 12)
    assert drain(desk, "archive") == list(range(8, 20))
    desk.close()


class LedgersSurvive(RuleBasedStateMachine):
    """Two destinations with answers of their own, budgets that drop, also what is on its way, crashes and restarts with
    other destinations: the ledger equals the truth for each."""

    @initialize(newest=st.booleans())
    def start(self, newest: bool) -> None:
        self.directory = tempfile.TemporaryDirectory()
        lanes = LaneRules(backfill_order=Order.NEWEST) if newest else LaneRules(backfill=False)
        self.rules_of_b = DestinationRules("b", batch_rows=3, lanes=lanes)
        self.has_b = True
        self.desk: Desk = self.open()
        self.received: set[tuple[str, int, int]] = set()
        self.truth: dict[str, dict[str, set[tuple[str, int, int]]]] = {
            name: {"delivered": set(), "quarantined": set(), "dropped": set()} for name in ("influx", "b")
        }
        self.now_ms = 0

    def open(self) -> Desk:
        return open_desk(Path(self.directory.name), batch_rows=7, more=[self.rules_of_b] if self.has_b else [])

    @rule(device=st.sampled_from(["a", "z"]), seqs=st.lists(st.integers(0, 30), min_size=1, max_size=12))
    def arrive(self, device: str, seqs: list[int]) -> None:
        self.desk.take_in([message(*(reading(seq, device=device) for seq in seqs))], self.now_ms, T0_MS)
        self.received |= {(device, 1, seq) for seq in seqs}

    @rule(
        to=st.sampled_from(["influx", "b"]),
        answer=st.sampled_from(["accept", "refuse", "fail", "crash"]),
        drop_on_the_way=st.integers(0, 4),
    )
    def send(self, to: str, answer: str, drop_on_the_way: int) -> None:
        if to == "b" and not self.has_b:
            return
        self.now_ms += HOUR_MS
        plan = self.desk.plan(to, self.now_ms)
        if not isinstance(plan, Batch):
            return
        sent = {entry.reading.identity for entry in plan.entries}
        truth = self.truth[to]
        assert not sent & truth["delivered"]
        assert not sent & truth["dropped"], "what was dropped is not sent again"
        if drop_on_the_way:
            self.drop(plan.entries[0].id + drop_on_the_way if plan.entries else drop_on_the_way)
        outcome: Outcome = Accepted()
        if answer == "crash":
            self.crash()
            return
        if answer == "fail":
            outcome = Failed("reset", "gone")
        elif answer == "refuse" and any(seq % 5 == 0 for _, _, seq in sent):
            outcome = Refused(400, "bad")
            if len(sent) == 1:
                truth["quarantined"] |= sent - truth["dropped"]
        else:
            truth["delivered"] |= sent
            truth["dropped"] -= sent
            if answer == "refuse":
                outcome = Accepted()
        self.desk.answered(to, plan, outcome, self.now_ms, T0_MS)

    @rule(through=st.integers(0, 70))
    def drop(self, through: int) -> None:
        self.desk.ledger.refresh()
        tidy(self.desk, self.now_ms)  # so that everything has been looked at for windows
        before = self.in_the_log()
        self.desk.budget.drop("expired/size", through)
        gone = before - self.in_the_log()
        for truth in self.truth.values():
            truth["dropped"] |= gone - truth["delivered"] - truth["quarantined"]

    @rule()
    def tidy_up(self) -> None:
        self.now_ms += 10_000
        tidy(self.desk, self.now_ms)

    @rule()
    def crash(self) -> None:
        self.desk.store.close()
        self.desk = self.open()

    @rule(with_b=st.booleans())
    @precondition(lambda self: self.now_ms > 0)
    def restart(self, with_b: bool) -> None:
        self.desk.close()
        self.has_b = with_b
        self.desk = self.open()

    @invariant()
    def ledgers_equal_truth(self) -> None:
        if not hasattr(self, "desk"):
            return
        for name, truth in self.truth.items():
            found: dict[str, set[tuple[str, int, int]]] = {key: set() for key in (*truth, "received")}
            for key, boot, account in self.desk.ledger.accounts():
                device = self.desk.store.device_name(key)[1]
                for entry, seqs in account.entries.items():
                    kind = self.kind_of(entry, name)
                    if kind is not None:
                        found[kind] |= {(device, boot, seq) for seq in numbers(seqs)}
            assert found == {**truth, "received": self.received}, name
            told = balance(self.desk, name)
            assert (told.received, told.delivered) == (len(self.received), len(truth["delivered"]))
            assert (told.expired, told.quarantined) == (len(truth["dropped"]), len(truth["quarantined"]))
            open_ = self.received - set().union(*truth.values())
            assert self.in_the_log() >= open_, "nobody's rows are deleted before he has them"

    def kind_of(self, entry: str, destination: str) -> str | None:
        if entry in ("received", f"delivered/{destination}"):
            return entry.split("/")[0]
        kind, whose = split_entry(entry)
        if whose != destination or entry.startswith("delivered"):
            return None
        return {"expired/size": "dropped", "quarantined": "quarantined"}.get(kind)

    def in_the_log(self) -> set[tuple[str, int, int]]:
        rows = self.desk.store.run("SELECT device_key, boot, seq FROM readings")
        return {(self.desk.store.device_name(key)[1], boot, seq) for key, boot, seq in rows}

    def teardown(self) -> None:
        if hasattr(self, "desk"):
            self.desk.store.close()
            self.directory.cleanup()


def numbers(seqs: Intervals) -> list[int]:
    return [seq for first, last in seqs for seq in range(first, last + 1)]


@pytest.fixture(autouse=True)
def small_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a short run crosses many of them."""
    monkeypatch.setattr(ledger_module, "CHECKPOINT_ROWS", 10)


TestLedgersSurvive = LedgersSurvive.TestCase
TestLedgersSurvive.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
