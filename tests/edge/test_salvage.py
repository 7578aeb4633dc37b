"""A damaged store: set aside, what can be read is recovered, and the ledger says what is not."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.desk import DESTINATION, STORE_FILE, Desk
from edge.forward.forwarder import Batch
from edge.forward.outcome import Accepted
from edge.ledger import Account
from edge.store import Store, StoreCorrupt, StoreTooNew, StoreUnusable
from edge.store import check as check_module
from edge.store import salvage as salvage_module
from tests.edge.kit import SITE, T0_MS, message, open_desk, reading

ROWS = 2000
DELIVERED = 300
INTERIOR = 5  # how a page of a table begins that only leads to others
Identity = tuple[str, int, int]


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory: pytest.TempPathFactory, whole: bytes) -> Path:
    """The same as a file: Hypothesis prints arguments."""
    path = tmp_path_factory.mktemp("file") / STORE_FILE
    path.write_bytes(whole)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A closed store with 2000 readings, of which 300 are delivered and deleted."""
    folder = tmp_path_factory.mktemp("whole")
    desk = open_desk(folder, batch_rows=DELIVERED)
    for at in range(0, ROWS, 500):
        desk.take_in([message(*(reading(seq) for seq in range(at, at + 500)))], 0, T0_MS)
    deliver(desk)
    desk.close()
    return (folder / STORE_FILE).read_bytes()


def deliver(desk: Desk, now_ms: int = 0) -> set[int]:
    plan = desk.next_batch(now_ms)
    if not isinstance(plan, Batch):
        return set()
    desk.settle(plan, Accepted(), now_ms, T0_MS)
    while desk.tidy(now_ms):
        pass
    return {entry.reading.seq for entry in plan.entries}


def drain(desk: Desk) -> set[int]:
    sent: set[int] = set()
    for step in range(1, 100):
        seqs = deliver(desk, step * 60_000)
        sent |= seqs
        if not seqs:
            break
    return sent


def account(desk: Desk) -> Account:
    found = [account for _, boot, account in desk.ledger.accounts() if boot == 1]
    return found[0] if found else Account({})


def seqs(desk: Desk, entry: str) -> set[int]:
    return {seq for first, last in account(desk).entries.get(entry, ()) for seq in range(first, last + 1)}


def assert_every_reading_is_somewhere(desk: Desk) -> None:
    """Of a store whose key tables were readable: delivered, sent now, in quarantine or lost; nothing twice."""
    desk.ledger.refresh()
    before, lost = seqs(desk, f"delivered/{DESTINATION}"), seqs(desk, "lost/store")
    assert desk.ledger.balance(DESTINATION).balances
    sent = drain(desk)
    balance = desk.ledger.balance(DESTINATION)
    assert balance.balances
    assert balance.held == 0
    refused = seqs(desk, "quarantined")
    assert before | sent | lost | refused == set(range(ROWS))
    assert not lost & (sent | before)


def assert_salvage_loses_nothing(folder: Path) -> None:
    desk = open_desk(folder)
    salvaged = desk.take_salvage()
    assert salvaged is not None
    assert (salvaged.recovered, salvaged.lost) == (ROWS - DELIVERED, 0)
    assert_every_reading_is_somewhere(desk)
    desk.close()


def tables_of(path: Path) -> dict[str, set[int]]:
    """Page numbers by table, of a whole file."""
    with closing(sqlite3.connect(path)) as db:
        pages: dict[str, set[int]] = {}
        try:
            rows = db.execute("SELECT name, pageno FROM dbstat").fetchall()
        except sqlite3.OperationalError:
            pytest.skip("this SQLite has no dbstat")
        for name, page in rows:
            pages.setdefault(name, set()).add(page)
        return pages


def smash(path: Path, page: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[(page - 1) * 4096 : page * 4096] = random.Random(page).randbytes(4096)
    path.write_bytes(raw)


def test_smashed_pages_of_the_log_cost_their_rows_and_the_ledger_names_them(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / STORE_FILE
    path.write_bytes(whole)
    pages = sorted(tables_of(path)["readings"])
    for page in (pages[len(pages) // 3], pages[len(pages) // 2], pages[-1]):
        smash(path, page)
    desk = open_desk(tmp_path)
    salvaged = desk.take_salvage()
    assert salvaged is not None
    assert desk.take_salvage() is None
    lost = seqs(desk, "lost/store")
    assert 0 < len(lost) < 200
    assert salvaged.lost == len(lost) == desk.ledger.totals["lost"]
    assert salvaged.recovered == ROWS - DELIVERED - len(lost)
    assert desk.ledger.totals["salvages"] == 1
    assert account(desk).acknowledged_through() == ROWS - 1
    assert_every_reading_is_somewhere(desk)
    desk.close()


@pytest.mark.parametrize("words", [b"INDEX alerts_open", b"TABLE quarantine", b"TABLE rollups"])
def test_a_bit_in_the_words_of_one_table_costs_no_row_of_another(tmp_path: Path, whole: bytes, words: bytes) -> None:
    path = tmp_path / STORE_FILE
    assert words in whole
    path.write_bytes(whole.replace(words, bytes([words[0] ^ 1]) + words[1:]))
    with closing(sqlite3.connect(path)) as db, pytest.raises(sqlite3.DatabaseError, match="malformed database schema"):
        db.execute("SELECT count(*) FROM readings")
    assert_salvage_loses_nothing(tmp_path)


def without_page_1(whole: bytes) -> bytes:
    return bytes(4096) + whole[4096:]


def without_the_list_of_tables(whole: bytes) -> bytes:
    return whole[:100] + random.Random(1).randbytes(3996) + whole[4096:]


def with_a_bit_in_the_words_of_the_log(whole: bytes) -> bytes:
    return whole.replace(b"TABLE readings", b"UABLE readings")


@pytest.mark.parametrize("damage", [without_page_1, without_the_list_of_tables, with_a_bit_in_the_words_of_the_log])
def test_rows_that_sqlite_cannot_find_are_found_page_by_page(
    tmp_path: Path, whole: bytes, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / STORE_FILE
    path.write_bytes(damage(whole))
    desk = open_desk(tmp_path)
    salvaged = desk.take_salvage()
    assert salvaged is not None
    assert salvaged.recovered >= ROWS - DELIVERED
    assert drain(desk) >= set(range(DELIVERED, ROWS))
    assert desk.ledger.balance(DESTINATION).balances
    desk.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT key, site, device FROM devices").fetchall() == [(1, SITE, "d1")]


def test_a_page_above_the_rows_costs_none_of_them(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / STORE_FILE
    path.write_bytes(whole)
    above = [page for page in tables_of(path)["readings"] if whole[(page - 1) * 4096] == INTERIOR]
    assert above
    for page in above:
        smash(path, page)
    assert_salvage_loses_nothing(tmp_path)


def test_of_a_store_whose_file_is_gone_the_write_ahead_log_is_recovered(tmp_path: Path) -> None:
    folder, copy = tmp_path / "live", tmp_path / "copy"
    for each in (folder, copy):
        each.mkdir()
    desk = open_desk(folder)
    desk.take_in([message(*(reading(seq) for seq in range(100)))], 0, T0_MS)
    log = STORE_FILE + "-wal"
    (copy / log).write_bytes((folder / log).read_bytes())
    desk.close()
    desk = open_desk(copy)
    salvaged = desk.take_salvage()
    assert salvaged is not None
    assert salvaged.recovered == 100
    assert drain(desk) == set(range(100))
    desk.close()


def test_a_schema_that_nobody_can_read_is_given_up_at_once(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / STORE_FILE
    path.write_bytes(without_the_list_of_tables(whole))
    asked: list[str] = []
    real = salvage_module._read

    def read(old: sqlite3.Connection, sql: str, bounds: tuple[int, ...] = ()) -> tuple[bool, list[tuple[Any, ...]]]:
        asked.append(sql)
        return real(old, sql, bounds)

    monkeypatch.setattr(salvage_module, "_read", read)
    Store(path).close()
    assert len(asked) < 200


@pytest.mark.no_cover
def test_the_damaged_file_is_kept_as_it_was(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / STORE_FILE
    path.write_bytes(whole)
    smash(path, max(tables_of(path)["readings"]))
    before = path.read_bytes()
    with Store(path) as store:
        assert store.salvaged is not None
        assert (tmp_path / store.salvaged.set_aside).read_bytes() == before
    with Store(path) as store:
        assert store.salvaged is None


@pytest.mark.no_cover
def test_ids_go_on_behind_those_that_were_given_out(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / STORE_FILE
    path.write_bytes(whole)
    smash(path, max(tables_of(path)["readings"]))
    desk = open_desk(tmp_path)
    desk.take_in([message(reading(ROWS))], 0, T0_MS)
    assert desk.store.head == ROWS + 1
    assert desk.ledger.balance(DESTINATION).balances
    desk.close()


@pytest.mark.parametrize("cursor", ["windows/log", "rules/log", "live/influx", "sieve/influx", "clock/hold"])
def test_ids_that_only_a_reader_remembers_are_not_given_out_again(tmp_path: Path, whole: bytes, cursor: str) -> None:
    path = tmp_path / STORE_FILE
    path.write_bytes(whole)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (cursor, ROWS + 5))
    smash(path, max(tables_of(path)["readings"]))
    with Store(path) as store:
        assert store.head == ROWS + 5


@pytest.mark.parametrize("table", ["cursors", "devices", "ledger", "ranges", "totals", "windows_next"])
def test_a_smashed_key_table_costs_no_row_of_the_log(tmp_path: Path, whole: bytes, table: str) -> None:
    path = tmp_path / STORE_FILE
    path.write_bytes(whole)
    for page in tables_of(path)[table]:
        smash(path, page)
    desk = open_desk(tmp_path)
    assert desk.take_salvage() is not None
    assert desk.ledger.balance(DESTINATION).balances
    assert seqs(desk, "received") >= set(range(DELIVERED, ROWS))
    assert drain(desk) == set(range(DELIVERED, ROWS))
    assert desk.ledger.balance(DESTINATION).balances
    desk.close()


@pytest.mark.parametrize("content", [b"", b"this is no database, whatever its name says" * 1000, bytes(8192)])
def test_a_file_that_is_no_store_is_set_aside_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / STORE_FILE
    path.write_bytes(content)
    desk = open_desk(tmp_path)
    salvaged = desk.take_salvage()
    assert salvaged is not None
    assert (tmp_path / salvaged.set_aside).read_bytes() == content
    assert desk.take_in([message(reading(0))], 0, T0_MS)[0].stored == 1
    assert desk.ledger.totals["salvages"] == 1
    desk.close()


def test_another_programs_database_is_set_aside_and_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / STORE_FILE
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE devices (what TEXT)")
    with Store(path) as store:
        assert store.salvaged is not None
        with closing(sqlite3.connect(tmp_path / store.salvaged.set_aside)) as db:
            assert db.execute("SELECT sql FROM sqlite_master WHERE name = 'devices'").fetchall() == [
                ("CREATE TABLE devices (what TEXT)",)
            ]


def test_a_log_whose_database_is_gone_is_not_thrown_away(tmp_path: Path) -> None:
    path = tmp_path / STORE_FILE
    path.with_name(STORE_FILE + "-wal").write_bytes(b"x" * 5000)
    with Store(path) as store:
        assert store.salvaged is not None
        assert (tmp_path / f"{store.salvaged.set_aside}-wal").stat().st_size == 5000


def test_a_damaged_store_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / STORE_FILE
    path.write_bytes(whole)
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO _sqlite_migrations VALUES (99, 'tidegate.store', 'm9999_from_the_future', 'now')")
    db.close()
    smash(path, max(tables_of(path)["devices"]))
    before = path.read_bytes()
    with pytest.raises(StoreTooNew, match="m9999_from_the_future"):
        Store(path)
    assert path.read_bytes() == before


def test_a_path_that_cannot_be_opened_stays_an_error(tmp_path: Path) -> None:
    (tmp_path / STORE_FILE).mkdir()
    with pytest.raises(StoreUnusable, match=STORE_FILE):
        Store(tmp_path / STORE_FILE)
    assert not list(tmp_path.glob("*.broken-*"))


def test_damage_met_while_running_is_salvaged_at_reopening(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large file only the key tables are checked at the start."""
    monkeypatch.setattr(check_module, "CHECK_BYTES_MAX", 0)
    path = tmp_path / STORE_FILE
    path.write_bytes(whole)
    pages = sorted(tables_of(path)["readings"])
    smash(path, pages[len(pages) // 2])
    desk = open_desk(tmp_path, batch_rows=ROWS)
    assert desk.take_salvage() is None
    with pytest.raises(StoreCorrupt):
        drain(desk)
    desk.reopen()
    assert desk.take_salvage() is not None
    assert_every_reading_is_somewhere(desk)
    desk.close()


@pytest.mark.parametrize("step", range(6))
def test_a_kill_during_the_salvage_costs_nothing(
    tmp_path: Path, whole: bytes, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / STORE_FILE
    path.write_bytes(whole)
    path.with_name(STORE_FILE + "-wal").write_bytes(b"torn")
    path.with_name(STORE_FILE + "-shm").write_bytes(bytes(32768))
    smash(path, max(tables_of_bytes(whole, tmp_path)))
    calls = 0
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == step:
            raise KeyboardInterrupt
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        if 0 < step < 6:
            with pytest.raises(KeyboardInterrupt):
                Store(path)
    desk = open_desk(tmp_path)
    assert len(list(tmp_path.glob("*.broken-*[0-9]"))) == 1
    assert not list(tmp_path.glob("*.salvag*"))
    assert_every_reading_is_somewhere(desk)
    desk.close()


def tables_of_bytes(whole: bytes, folder: Path) -> set[int]:
    copy = folder / "copy"
    copy.write_bytes(whole)
    return tables_of(copy)["readings"]


def test_only_so_many_damaged_files_are_kept(tmp_path: Path) -> None:
    path = tmp_path / STORE_FILE
    for _ in range(salvage_module.BROKEN_KEPT + 2):
        path.write_bytes(b"junk" * 100)
        Store(path).close()
    names = sorted(found.name for found in tmp_path.glob("*.broken-*"))
    assert [name[-1] for name in names] == ["3", "4", "5"]


@pytest.mark.no_cover
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=3))
def test_whatever_bits_flip_the_gateway_starts_and_drains(
    whole_file: Path, tmp_path_factory: pytest.TempPathFactory, flips: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("flips")
    raw = bytearray(whole_file.read_bytes())
    for flip in flips:
        bit = flip % (8 * len(raw))
        raw[bit // 8] ^= 1 << bit % 8
    (folder / STORE_FILE).write_bytes(raw)
    desk = open_desk(folder, batch_rows=ROWS)
    for _ in range(3):
        try:
            drain(desk)
            break
        except StoreCorrupt:
            desk.reopen()
    assert desk.ledger.balance(DESTINATION).held == 0
    desk.close()


def test_a_truncated_write_ahead_log_is_a_gap_that_devices_are_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "live"
    folder.mkdir()
    desk = open_desk(folder)
    desk.take_in([message(*(reading(seq) for seq in range(100)))], 0, T0_MS)
    desk.take_in([message(*(reading(seq) for seq in range(100, 200)))], 0, T0_MS)
    copy = tmp_path / "copy"
    copy.mkdir()
    for side in ("", "-wal"):
        (copy / (STORE_FILE + side)).write_bytes((folder / (STORE_FILE + side)).read_bytes())
    desk.close()
    wal = copy / (STORE_FILE + "-wal")
    wal.write_bytes(wal.read_bytes()[:-5000])
    desk = open_desk(copy)
    assert desk.ledger.balance(DESTINATION).balances
    assert seqs(desk, "received") == set(range(100))
    desk.take_in([message(reading(200))], 0, T0_MS)
    assert account(desk).missing() == [(100, 199)]
    desk.close()
