"""How other gateways lost data in the field, each as a test named after the report: project and number of the issue.

Thin scenarios through the gateway's core; what they rest on has tests of its own in the room.
"""

import sqlite3
from pathlib import Path

import pytest

from edge.budget import StoreLimits
from edge.desk import DESTINATION, REMEMBER_ROWS, STORE_FILE, Desk
from edge.forward.forwarder import Batch
from edge.forward.lanes import LaneRules
from edge.forward.outcome import Accepted, Failed, Outcome, Refused
from edge.store import LogEntry, StoreFailed
from edge.store import store as store_module
from edge.store.rows import StoredRow, unpack
from edge.windows import WindowRules
from sensors.reading import Reading, Value
from tests.edge.kit import T0_MS, message, open_desk, reading

HOUR_MS = 3_600_000
YEAR_MS = 365 * 24 * HOUR_MS
TIMED_OUT = Failed("timeout", "no answer")
LANES = LaneRules()
PACK = 200  # readings of one message


def take(desk: Desk, first: int, count: int = 1, wall_ms: int = T0_MS) -> None:
    packs = [range(at, min(at + PACK, first + count)) for at in range(first, first + count, PACK)]
    desk.take_in([message(*map(reading, pack)) for pack in packs], 0, wall_ms)


def plan(desk: Desk, now_ms: int) -> Batch:
    found = desk.next_batch(now_ms)
    assert isinstance(found, Batch)
    return found


def settle(desk: Desk, batch: Batch, outcome: Outcome, now_ms: int) -> None:
    desk.settle(batch, outcome, now_ms, T0_MS)


def drain(desk: Desk, now_ms: int = 0) -> list[str]:
    lines: list[str] = []
    while isinstance(batch := desk.next_batch(now_ms), Batch):
        lines += batch.body.decode().splitlines()
        settle(desk, batch, Accepted(), now_ms)
        now_ms += HOUR_MS
    return lines


def tidy(desk: Desk, now_ms: int = 0, wall_ms: int | None = None) -> None:
    while desk.tidy(now_ms, wall_ms):
        pass


def seqs(lines: list[str]) -> list[int]:
    return [int(line.partition("seq=")[2].partition("i")[0]) for line in lines if line.startswith("reading,")]


def test_thingsboard_gateway_2157_the_first_seconds_of_an_outage_are_not_lost(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    take(desk, 0, 5)
    on_its_way = plan(desk, 0)
    take(desk, 5, 5)  # nobody has noticed the outage yet
    settle(desk, on_its_way, TIMED_OUT, 30_000)
    tidy(desk, 30_000)
    assert seqs(drain(desk, HOUR_MS)) == list(range(10))
    desk.close()


@pytest.mark.parametrize(
    "other",
    [
        {"windows": WindowRules((10,))},
        {"lanes": LANES},
        {"budget": StoreLimits(2**30)},
        {"batch_rows": 7, "flush_every_ms": 9},
        {"keep_sent_ms": HOUR_MS, "ledger_every_ms": 1},
    ],
)
def test_thingsboard_gateway_2124_and_edgex_a_changed_configuration_strands_no_data(
    tmp_path: Path, other: dict[str, object]
) -> None:
    desk = open_desk(tmp_path, windows=WindowRules((60,)))
    take(desk, 0, 20)
    tidy(desk)
    desk.close()
    desk = open_desk(tmp_path, **other)  # type: ignore[arg-type]  # whatever the parameter says
    assert desk.take_salvage() is None
    assert sorted(seqs(drain(desk))) == list(range(20))
    desk.close()


def test_nanomq_2432_no_row_is_deleted_before_it_is_sent(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    take(desk, 0, 20)
    plan(desk, 0)  # taken to be sent, and no answer yet
    for now_ms in range(0, 100_000, 5_000):
        tidy(desk, now_ms)
    assert desk.store.run("SELECT count(*) FROM readings") == [(20,)]
    desk.close()


def test_thingsboard_sqlite_storage_nothing_is_confirmed_while_it_is_only_in_memory(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    take(desk, 0, 20)  # what returned may be acknowledged
    other = sqlite3.connect(tmp_path / STORE_FILE)
    assert other.execute("SELECT count(*) FROM readings").fetchall() == [(20,)]
    other.close()
    desk.close()


def test_telegraf_tracked_messages_under_way_at_a_restart_are_not_skipped(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, batch_rows=5)
    take(desk, 0, 20)
    settle(desk, plan(desk, 0), Accepted(), 0)
    plan(desk, 0)
    desk.store.close()  # a crash, with the second batch on its way
    desk = open_desk(tmp_path, batch_rows=5)
    assert seqs(drain(desk)) == list(range(5, 20))
    desk.close()


@pytest.mark.parametrize("damage", [b"", b"\0" * 40_000, b"not a database at all" * 2000])
def test_telegraf_18528_mosquitto_3160_and_kura_a_corrupt_store_starts_and_is_not_deleted(
    tmp_path: Path, damage: bytes
) -> None:
    (tmp_path / STORE_FILE).write_bytes(damage)
    desk = open_desk(tmp_path)
    take(desk, 0)
    assert (tmp_path / f"{STORE_FILE}.broken-1").read_bytes() == damage
    desk.close()


def test_telegraf_18085_many_messages_share_one_commit(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    asked: list[str] = []
    desk.store._db.set_trace_callback(asked.append)
    desk.take_in([message(reading(seq)) for seq in range(1000)], 0, T0_MS)
    assert asked.count("COMMIT") == 1
    desk.close()


def test_thingsboard_gateway_1446_a_locked_database_costs_no_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "BUSY_TIMEOUT_MS", 1)
    desk = open_desk(tmp_path)
    other = sqlite3.connect(tmp_path / STORE_FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreFailed, match="locked"):
        take(desk, 0, 5)  # not acknowledged, so it comes again
    other.execute("ROLLBACK")
    other.close()
    take(desk, 0, 5)
    assert seqs(drain(desk)) == list(range(5))
    desk.close()


def test_thingsboard_gateway_2094_and_iotedge_3981_the_file_shrinks_after_a_drain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "KEPT_PAGES", 16)
    desk = open_desk(tmp_path, batch_rows=5000)
    take(desk, 0, 20_000)
    tidy(desk)
    full = desk.store.pages().total
    drain(desk)
    tidy(desk, HOUR_MS)
    tidy(desk, 2 * HOUR_MS)
    assert desk.store.pages().total < full / 2
    desk.close()


@pytest.mark.no_cover
def test_vector_26035_a_start_does_not_read_the_backlog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = open_desk(tmp_path)
    take(desk, 0, 20_000)
    desk.close()
    read: list[int] = []

    def counted(row: StoredRow, device: str) -> LogEntry:
        read.append(row[0])
        return unpack(row, device)

    monkeypatch.setattr(store_module, "unpack", counted)
    desk = open_desk(tmp_path)
    assert desk.ledger.balance(DESTINATION).held == 20_000
    assert 0 < len(read) <= REMEMBER_ROWS
    desk.close()


def after_an_outage(folder: Path) -> Desk:
    desk = open_desk(folder, lanes=LANES, batch_rows=100)
    for first in range(0, 5000, 100):
        take(desk, first, 100)
    return desk


def test_iotedge_2486_operators_are_not_blind_until_the_backlog_is_through(tmp_path: Path) -> None:
    desk = after_an_outage(tmp_path)
    lines: list[str] = []
    for _ in range(4):
        batch = plan(desk, 0)
        lines += batch.body.decode().splitlines()
        settle(desk, batch, Accepted(), 0)
    assert 4999 in seqs(lines), "the newest reading is among the first"
    desk.close()


def test_strict_priority_the_backlog_gets_through_although_there_is_always_something_newer(tmp_path: Path) -> None:
    desk = after_an_outage(tmp_path)
    sent: list[int] = []
    for first in range(5000, 8000, 100):
        take(desk, first, 100)
        batch = plan(desk, 0)
        sent += seqs(batch.body.decode().splitlines())
        settle(desk, batch, Accepted(), 0)
    oldest_first = [seq for seq in sent if seq < 4900]
    assert oldest_first == list(range(len(oldest_first)))
    assert len(oldest_first) >= 500
    desk.close()


def test_telegraf_11005_one_poison_point_neither_blocks_nor_drops_its_batch(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    take(desk, 0, 50)
    now_ms, sent = 0, 0
    while isinstance(batch := desk.next_batch(now_ms), Batch):
        poisoned = b"seq=17i" in batch.body
        settle(desk, batch, Refused(400, "bad point") if poisoned else Accepted(), now_ms)
        now_ms, sent = now_ms + HOUR_MS, sent + 1
    balance = desk.ledger.balance(DESTINATION)
    assert (balance.delivered, balance.quarantined, balance.held) == (49, 1, 0)
    assert sent <= 14
    desk.close()


def test_telegraf_8571_points_older_than_retention_are_not_retried_for_ever(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    take(desk, 0, 10)
    too_old = [f"seq={seq}i,".encode() for seq in range(4)]
    asked: dict[bytes, int] = {}
    now_ms = 0
    while isinstance(batch := desk.next_batch(now_ms), Batch):
        asked[batch.body] = asked.get(batch.body, 0) + 1
        is_refused = any(old in batch.body for old in too_old)
        settle(desk, batch, Refused(422, "points beyond retention policy") if is_refused else Accepted(), now_ms)
        now_ms += HOUR_MS
    assert max(asked.values()) == 1, "nothing is asked twice"
    balance = desk.ledger.balance(DESTINATION)
    assert (balance.delivered, balance.quarantined, balance.balances) == (6, 4, True)
    assert {item.reason for item in desk.quarantine.items()} == {"422: points beyond retention policy"}
    desk.close()


def test_ttl_by_wall_clock_a_step_of_ntp_expires_nothing(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, budget=StoreLimits(2**30, 0, HOUR_MS))
    take(desk, 0, 10)
    for wall_ms in (T0_MS + YEAR_MS, T0_MS - YEAR_MS):
        tidy(desk, HOUR_MS // 2, wall_ms)
    assert desk.ledger.balance(DESTINATION).expired == 0
    assert desk.ledger.balance(DESTINATION).held == 10
    desk.close()


def test_telegraf_13403_no_window_is_stuck_in_the_past_after_sleep(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, windows=WindowRules((10,), 0, HOUR_MS))
    take(desk, 0)
    tidy(desk, 0, T0_MS)
    woken_ms = T0_MS + 8 * HOUR_MS
    late = Reading("d1", 1, 1, woken_ms, (Value("temperature", 5.0, "Cel"),))
    desk.take_in([message(late)], 1_000, woken_ms)
    tidy(desk, 1_000, woken_ms)
    tidy(desk, 21_000, woken_ms + 20_000)
    starts = [row[0] for row in desk.store.run("SELECT start_ms FROM rollups ORDER BY start_ms")]
    assert starts == [T0_MS - T0_MS % 10_000, woken_ms - woken_ms % 10_000]
    desk.close()


def test_thingsboard_gateway_2119_a_resend_keeps_the_original_time(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    take(desk, 0)
    first = plan(desk, 0)
    settle(desk, first, TIMED_OUT, 0)
    take(desk, 0, wall_ms=T0_MS + HOUR_MS)  # the device, too, sends it again
    again = plan(desk, HOUR_MS)
    assert again.body == first.body
    assert f" {T0_MS}".encode() in again.body
    desk.close()


def test_thingsboard_gateway_1579_two_readings_of_one_millisecond_stay_two(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    twins = [Reading("d1", 1, seq, T0_MS, (Value("temperature", float(seq), "Cel"),)) for seq in (0, 1)]
    desk.take_in([message(*twins)], 0, T0_MS)
    stamps = {line.rpartition(" ")[2] for line in drain(desk)}
    assert len(stamps) == 2
    desk.close()


def test_telegraf_15219_a_gap_that_was_filled_still_shows_that_there_was_one(tmp_path: Path) -> None:
    desk = after_an_outage(tmp_path)
    lines = drain(desk)
    assert sorted(seqs(lines)) == list(range(5000))
    told = [line for line in lines if line.startswith("reading_late,")]
    assert len(told) == 1
    assert "readings=4900i" in told[0]
    desk.close()
