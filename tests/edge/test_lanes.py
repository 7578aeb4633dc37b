"""Lanes: who is served when, what an outage leaves behind, and that out of order is not out of the ledger."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.desk import DESTINATION, STORE_FILE, Desk
from edge.forward.forwarder import BREAKER_FAILURES, Batch, Wait
from edge.forward.lanes import REQUEST_COST_BYTES, Lane, LaneName, LaneRules, Order, Schedule
from edge.forward.lines import LineEncoder
from edge.forward.outcome import Accepted, Failed, Outcome, Refused
from edge.forward.rollup_lines import RollupEncoder
from edge.forward.sources import ReadingSource
from edge.intervals import Intervals
from edge.ledger import done_ranges, forward_cursor
from edge.stats import Summary
from edge.store.windows import RollupEntry, WindowTables
from edge.windows import WindowRules
from sensors.reading import Reading, Value
from tests.edge.kit import T0_MS, message, open_desk, reading

WINDOWS = WindowRules(sizes_s=(10, 60), grace_ms=0)
HOUR_MS = 3_600_000
BATCH_ROWS = 10
FIRST_ID = 1  # of the log

Answer = Callable[[Batch], Outcome]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path, batch_rows=BATCH_ROWS, windows=WINDOWS, lanes=LaneRules())
    yield opened
    opened.store.close()


def fill(desk: Desk, count: int, first: int = 0) -> None:
    for seq in range(first, first + count):
        desk.take_in([message(reading(seq))], 0, T0_MS + 1000 * seq)


def roll_up(desk: Desk, now_ms: int = 0) -> None:
    while desk.tidy(now_ms, T0_MS + HOUR_MS):
        pass


def drain(desk: Desk, answer: Answer = lambda _: Accepted(), *, tries: int = 1000) -> list[Batch]:
    """Send until nothing is left; what was accepted."""
    accepted: list[Batch] = []
    now_ms = HOUR_MS
    for _ in range(tries):
        plan = desk.next_batch(now_ms)
        if isinstance(plan, Wait):
            if plan.for_ms is None:
                return accepted
            now_ms += plan.for_ms
            continue
        outcome = answer(plan)
        desk.settle(plan, outcome, now_ms, T0_MS)
        accepted += [plan] if isinstance(outcome, Accepted) else []
        assert desk.ledger.balance(DESTINATION).balances
    raise AssertionError(f"still something to send after {tries} requests")


def seqs(batch: Batch) -> list[int]:
    return [entry.reading.seq for entry in batch.entries]


def sent_seqs(batches: list[Batch], lane: str) -> list[int]:
    return [seq for batch in batches if batch.lane == lane for seq in seqs(batch)]


# -- whose turn it is


@pytest.mark.no_cover
@given(
    st.dictionaries(
        st.sampled_from([LaneName.ROLLUPS, LaneName.LIVE, LaneName.BACKFILL]), st.integers(1, 9), min_size=2
    )
)
@settings(deadline=None)
def test_lanes_that_always_have_something_share_the_line_by_weight(weights: dict[LaneName, int]) -> None:
    schedule, sent, turns = Schedule(weights), Counter[LaneName](), 400
    for _ in range(turns):
        name = schedule.choose(weights)
        schedule.charge(name, 4 * REQUEST_COST_BYTES)
        sent[name] += 1
    for name, weight in weights.items():
        assert abs(sent[name] - turns * weight / sum(weights.values())) <= len(weights) * 9


def test_a_lane_that_had_nothing_to_send_gains_no_credit_by_it() -> None:
    schedule = Schedule({LaneName.LIVE: 1, LaneName.BACKFILL: 1})
    for _ in range(100):
        schedule.charge(schedule.choose([LaneName.LIVE]), 1000)
    turns = []
    for _ in range(10):
        turns.append(schedule.choose([LaneName.LIVE, LaneName.BACKFILL]))
        schedule.charge(turns[-1], 1000)
    assert turns.count(LaneName.BACKFILL) <= 6


def test_notices_go_before_everything_else() -> None:
    schedule = Schedule({LaneName.ROLLUPS: 9, LaneName.LIVE: 1})
    assert schedule.choose([LaneName.LIVE, LaneName.ROLLUPS, LaneName.NOTICES]) is LaneName.NOTICES


# -- after an outage


def outage(desk: Desk, count: int) -> None:
    """The cloud is away while readings come; the first batch is in the air again and again."""
    fill(desk, 1)
    for attempt in range(1, BREAKER_FAILURES + 2):
        plan = desk.next_batch(attempt * HOUR_MS)
        assert isinstance(plan, Batch)
        desk.settle(plan, Failed("timeout", "silence"), attempt * HOUR_MS, T0_MS)
    fill(desk, count - 1, first=1)
    roll_up(desk, HOUR_MS)


def test_after_an_outage_rollups_of_the_whole_gap_come_first_the_largest_window_first(desk: Desk) -> None:
    outage(desk, 120)
    batches = drain(desk)
    assert seqs(batches[0]) == [0]  # the one whose fate was unknown, byte for byte
    assert [batch.lane for batch in batches[:3]] == ["live", "notices", "rollups/60"]
    assert not any(batch.lane == "rollups/60" for batch in batches[3:])
    coarse = next(batch for batch in batches if batch.lane == "rollups/60")
    assert [row.start_ms // 60_000 for row in coarse.others if isinstance(row, RollupEntry)] == [
        T0_MS // 60_000 + minute for minute in range(3)
    ]


@pytest.mark.no_cover
def test_rollups_go_first_after_an_outage_even_if_they_have_had_their_share(tmp_path: Path) -> None:
    rules = LaneRules(rollups_weight=1, live_weight=1000, backfill_weight=1000)
    desk = open_desk(tmp_path, batch_rows=BATCH_ROWS, windows=WINDOWS, lanes=rules)
    fill(desk, 100, first=1000)
    roll_up(desk)
    drain(desk)
    outage(desk, 120)
    assert [batch.lane for batch in drain(desk)[:3]] == ["live", "notices", "rollups/60"]
    desk.store.close()


def test_what_live_was_looking_for_does_not_hold_up_live_once_it_is_backfill(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, batch_rows=BATCH_ROWS, lanes=LaneRules())
    fill(desk, BATCH_ROWS)
    refused = desk.next_batch(0)
    assert isinstance(refused, Batch)
    desk.settle(refused, Refused(400, "no"), 0, T0_MS)
    fill(desk, 100, first=BATCH_ROWS)
    batches = drain(desk)
    assert sent_seqs(batches, "live") == list(range(100, 110))
    assert seqs(next(batch for batch in batches if batch.lane == "backfill")) == list(range(BATCH_ROWS // 2))
    desk.store.close()


def test_the_halves_of_one_refused_batch_do_not_replace_those_of_another(desk: Desk) -> None:
    lane = Lane("live", LaneName.LIVE, ReadingSource(desk.store, LineEncoder(desk.store.device_name)))
    lane.split(Intervals(), 1, 8)
    lane.split(Intervals(), 21, 28)
    assert [(part.first, part.last) for part in lane.parts] == [(5, 8), (1, 4), (25, 28), (21, 24)]
    lane.split(Intervals(), 21, 24)
    assert [(part.first, part.last) for part in lane.parts] == [(5, 8), (1, 4), (25, 28), (23, 24), (21, 22)]


@pytest.mark.no_cover
def test_live_readings_go_on_at_once_while_the_backfill_fills_in_behind(desk: Desk) -> None:
    outage(desk, 120)
    first_new = 120
    batches: list[Batch] = []

    def answer(batch: Batch) -> Outcome:
        nonlocal first_new
        fill(desk, 1, first=first_new)  # a reading arrives during every request
        first_new += 1
        return Accepted() if first_new < 160 else Failed("reset", "enough")

    now_ms = 100 * HOUR_MS
    while len(batches) < 30:
        plan = desk.next_batch(now_ms)
        if isinstance(plan, Wait):
            break
        desk.settle(plan, answer(plan), now_ms, T0_MS)
        batches.append(plan)
    order = [batch.lane for batch in batches]
    assert order.index("live", 1) <= order.index("backfill") + 2
    assert order.count("live") > 3
    assert order.count("backfill") > 3
    live = sent_seqs(batches[1:], "live")
    assert live == sorted(live)
    assert live[0] == 111
    assert sent_seqs(batches, "backfill") == list(range(1, 1 + len(sent_seqs(batches, "backfill"))))


def test_the_operator_chooses_which_end_of_the_backfill_goes_first(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, batch_rows=BATCH_ROWS, lanes=LaneRules(backfill_order=Order.NEWEST))
    fill(desk, 100)
    batches = [batch for batch in drain(desk) if batch.lane == "backfill"]
    assert [seqs(batch)[0] for batch in batches] == list(range(80, -1, -10))
    assert sorted(sent_seqs(batches, "backfill")) == list(range(90))
    desk.store.close()


def test_without_backfill_readings_go_in_the_order_of_the_log(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, batch_rows=BATCH_ROWS, lanes=LaneRules(backfill=False))
    fill(desk, 100)
    assert sent_seqs(drain(desk), "live") == list(range(100))
    desk.store.close()


def test_a_jump_of_the_live_point_is_told_by_one_notice_and_changes_no_reading(desk: Desk) -> None:
    fill(desk, 100)
    batches = drain(desk)
    notices = [batch.body for batch in batches if batch.lane == "notices"]
    assert notices == [
        b"reading_late,destination=influx,gateway=tidegate-gateway"
        b" readings=90i,until_ms=%di %d\n" % (T0_MS + 89_000, T0_MS * 1_000_000 + FIRST_ID)
    ]
    lines = {line for batch in batches if batch.entries for line in batch.body.splitlines()}
    assert len(lines) == 100
    assert not any(b"late" in line for line in lines)


def test_two_jumps_that_begin_in_one_millisecond_are_two_points(desk: Desk) -> None:
    """A broker hands over its whole queue at once, and the second jump must not overwrite the first."""
    for first in (0, 100):
        desk.take_in([message(reading(seq)) for seq in range(first, first + 100)], 0, T0_MS)
        assert isinstance(desk.next_batch(0), Batch)
    bodies = [batch.body for batch in drain(desk) if batch.lane == "notices"]
    told = b"".join(bodies).decode().splitlines()
    assert [line.split()[1].partition(",")[0] for line in told] == ["readings=90i", "readings=100i"]
    assert len({line.rpartition(" ")[2] for line in told}) == 2
    desk.store.close()


def test_the_live_point_is_where_it_was_after_a_crash(desk: Desk, tmp_path: Path) -> None:
    fill(desk, 100)
    first = desk.next_batch(0)
    assert isinstance(first, Batch)
    backlog = desk.forwarder.state().backlog
    assert (backlog["live"], backlog["backfill"], backlog["notices"]) == (10, 90, 1)
    desk.store.close()
    again = open_desk(tmp_path, batch_rows=BATCH_ROWS, windows=WINDOWS, lanes=LaneRules())
    assert again.forwarder.state().backlog == backlog
    assert sorted(seq for batch in drain(again) for seq in seqs(batch)) == list(range(100))
    again.store.close()


# -- what is delivered


@pytest.mark.no_cover
@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("poison", [(5,), (42, 43), (0, 99), (90, 95, 99), tuple(range(0, 100, 9))])
def test_bisection_finds_every_poison_point_in_every_lane(
    tmp_path: Path, order: Order, poison: tuple[int, ...]
) -> None:
    desk = open_desk(tmp_path, batch_rows=BATCH_ROWS, windows=WINDOWS, lanes=LaneRules(backfill_order=order))
    fill(desk, 100)
    roll_up(desk)
    batches = drain(desk, lambda batch: Refused(400, "no") if set(poison) & set(seqs(batch)) else Accepted())
    delivered = sorted(seq for batch in batches for seq in seqs(batch))
    assert delivered == [seq for seq in range(100) if seq not in poison]
    balance = desk.ledger.balance(DESTINATION)
    assert (balance.delivered, balance.quarantined, balance.held) == (100 - len(poison), len(poison), 0)
    desk.store.close()


def test_a_refused_rollup_ends_alone_in_quarantine_and_corrections_stay_in_order(desk: Desk) -> None:
    fill(desk, 60)
    roll_up(desk)
    desk.take_in([message(Reading("d1", 1, 60, T0_MS + 5, (Value("temperature", 99.0, "Cel"),)))], 0, T0_MS + HOUR_MS)
    while desk._aggregator.advance(T0_MS + 2 * HOUR_MS):
        pass
    bad = T0_MS + 20_000
    batches = drain(
        desk,
        lambda batch: (
            Refused(422, "no")
            if any(isinstance(row, RollupEntry) and row.start_ms == bad for row in batch.others)
            else Accepted()
        ),
    )
    ids = [row.id for batch in batches if batch.lane == "rollups/10" for row in batch.others]
    assert ids == [1, 2, 4, 5, 6, 7]
    assert desk.store.run("SELECT reason FROM quarantine") == [("422: no",)]
    assert desk.ledger.balance(DESTINATION).quarantined == 0


def test_a_point_that_is_answered_by_500_is_compared_with_a_neighbour_even_if_that_is_delivered(desk: Desk) -> None:
    fill(desk, 100)
    drain(desk, lambda batch: Failed("http 500", "500", 500) if 89 in seqs(batch) else Accepted())
    balance = desk.ledger.balance(DESTINATION)
    assert (balance.delivered, balance.quarantined, balance.held) == (99, 1, 0)


def test_damaged_rows_of_every_log_are_passed_by(desk: Desk) -> None:
    fill(desk, 100)
    roll_up(desk)
    desk.store._execute("UPDATE readings SET taken_at_ms = taken_at_ms + 1 WHERE seq IN (0, 50, 99)")
    desk.store.reopen()  # what was committed just now is not read again
    desk.store._execute("UPDATE rollups SET start_ms = start_ms + 1 WHERE size_s = 60 AND id = 1")
    assert isinstance(desk.next_batch(0), Batch)
    desk.store._execute("UPDATE notices SET crc = crc + 1")
    batches = drain(desk)
    assert len({seq for batch in batches for seq in seqs(batch)}) == 97
    reasons = [row[0] for row in desk.store.run("SELECT reason FROM quarantine")]
    assert sum("readings" in reason for reason in reasons) == 3
    assert sum("rollups/60" in reason for reason in reasons) == 1


def test_rows_that_are_gone_do_not_stop_the_line_and_do_not_balance(desk: Desk) -> None:
    fill(desk, 30)
    desk.store._execute("DELETE FROM readings WHERE seq IN (3, 4, 29)")
    desk.store.reopen()  # what was committed just now is not read again
    now_ms = 0
    while isinstance(plan := desk.next_batch(now_ms), Batch):
        desk.settle(plan, Accepted(), now_ms, T0_MS)
    assert desk.ledger.balance(DESTINATION).delivered == 27
    assert not desk.ledger.balance(DESTINATION).balances


def test_what_waits_in_the_backfill_is_not_deleted_when_newer_readings_are_delivered(
    desk: Desk, tmp_path: Path
) -> None:
    fill(desk, 100)
    sent: list[Batch] = []
    while not sent_seqs(sent, "live"):
        plan = desk.next_batch(0)
        assert isinstance(plan, Batch)
        desk.settle(plan, Accepted(), 0, T0_MS)
        sent.append(plan)
    roll_up(desk)
    desk.close()
    again = open_desk(tmp_path, batch_rows=BATCH_ROWS, windows=WINDOWS, lanes=LaneRules())
    sent += drain(again)
    assert sorted(seq for batch in sent for seq in seqs(batch)) == list(range(100))
    again.store.close()


def test_what_is_delivered_is_deleted_from_every_log(desk: Desk) -> None:
    fill(desk, 100)
    roll_up(desk)
    drain(desk)
    desk.tidy(HOUR_MS, T0_MS + HOUR_MS)
    for table in ("readings", "rollups", "notices"):
        assert desk.store.run(f"SELECT count(*) FROM {table}") == [(0,)]
    assert WindowTables(desk.store).head(10) > 0


def test_rollups_of_a_size_that_is_no_longer_configured_are_still_delivered(desk: Desk, tmp_path: Path) -> None:
    fill(desk, 60)
    roll_up(desk)
    desk.store.close()
    again = open_desk(tmp_path, batch_rows=BATCH_ROWS, lanes=LaneRules())
    assert {"rollups/10", "rollups/60"} <= {batch.lane for batch in drain(again)}
    again.store.close()


def test_a_store_with_cursors_goes_on_where_they_stood(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    fill(desk, 20)
    desk.close()
    with sqlite3.connect(tmp_path / STORE_FILE) as db:
        db.execute("DROP TABLE ranges")
        db.execute("DROP TABLE notices")
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'm0003_delivered_ranges_and_notices'")
        db.execute(
            "INSERT OR REPLACE INTO cursors VALUES (?, 12), (?, 9)",
            (forward_cursor(DESTINATION), "ledger/delivered/influx"),
        )
        db.execute("UPDATE totals SET count = 9 WHERE name = 'delivered/influx'")
    db.close()
    desk = open_desk(tmp_path, lanes=LaneRules())
    balance = desk.ledger.balance(DESTINATION)
    assert (balance.delivered, balance.held, balance.balances) == (12, 8, True)
    assert sent_seqs(drain(desk), "live") == list(range(12, 20))
    assert len(desk.store.ranges(done_ranges(DESTINATION))) == 1
    desk.store.close()


# -- rollups as lines


def test_a_rollup_is_one_line() -> None:
    summaries = (
        Summary("door", None, 2, 1.0, 0.0, 1.0, 1.0),
        Summary("huge", None, 2, 1e308, 1e308, 1e308, None),
        Summary("mode", None, 3, 'a "b"'),
        Summary("temperature", "Cel", 3, 2.0, 0.5, 2.5, 5.0),
        Summary("time", None, 1, 1.0, 1.0, 1.0, 1.0),
    )
    entry = RollupEntry(1, 1, 60, T0_MS, summaries)
    assert RollupEncoder(lambda _: ("of fice", "d,1"), measurement="reading").encode([entry]) == (
        rb"reading_60s,device=d\,1,site=of\ fice "
        b"door_count=2i,door_min=0.0,door_max=1.0,door_last=1.0,door_mean=0.5,door_sum=1.0,"
        b"huge_count=2i,huge_min=1e+308,huge_max=1e+308,huge_last=1e+308,"
        rb'mode_text_count=3i,mode_text_last="a \"b\"",'
        b"temperature_Cel_count=3i,temperature_Cel_min=0.5,temperature_Cel_max=2.5,temperature_Cel_last=2.0,"
        b"temperature_Cel_mean=1.6666666666666667,temperature_Cel_sum=5.0,"
        b"time_value_count=1i,time_value_min=1.0,time_value_max=1.0,time_value_last=1.0,time_value_mean=1.0,"
        b"time_value_sum=1.0 %d000000\n" % T0_MS
    )
