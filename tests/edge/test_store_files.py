"""What others do to the store's files and its volume: deleted under it, held open for ever, no room, no rights."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.budget import StoreLimits
from edge.desk import DESTINATION, STORE_FILE, Desk
from edge.store import Store, StoreFailed, StoreFull, StoreUnusable
from edge.store import ballast as ballast_module
from edge.store import store as store_module
from edge.store.ballast import Ballast
from edge.store.wal import WAL_BYTES_MAX
from tests.edge.kit import T0_MS, message, open_desk, reading

MIB = 1024**2
ROOMY = StoreLimits(64 * MIB, 0)


def take(desk: Desk, first: int, count: int = 1) -> None:
    desk.take_in([message(*(reading(seq) for seq in range(first, first + count)))], 0, T0_MS)


def received(desk: Desk) -> int:
    return desk.ledger.balance(DESTINATION).received


def tidy(desk: Desk, now_ms: int = 0) -> None:
    while desk.tidy(now_ms):
        pass


def side(folder: Path, suffix: str) -> Path:
    return folder / f"{STORE_FILE}{suffix}"


# -- files that are deleted (F15)


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_a_file_deleted_under_a_running_gateway_stops_the_acks_and_costs_nothing(tmp_path: Path, suffix: str) -> None:
    desk = open_desk(tmp_path)
    take(desk, 0)
    side(tmp_path, suffix).unlink()
    with pytest.raises(StoreFailed, match=f"{STORE_FILE}{suffix} was deleted or replaced"):
        take(desk, 1)
    with pytest.raises(StoreFailed):
        take(desk, 1)
    desk.reopen()
    take(desk, 1)
    assert received(desk) == 2
    assert desk.ledger.balance(DESTINATION).balances
    side(tmp_path, suffix).unlink()
    with pytest.raises(StoreFailed, match="was deleted or replaced"):
        desk.tidy(0)  # also while nothing comes
    desk.reopen()
    desk.close()
    desk = open_desk(tmp_path)
    assert received(desk) == 2
    assert desk.store.run("SELECT seq FROM readings ORDER BY id") == [(0,), (1,)]
    desk.close()


def test_a_folder_that_is_gone_is_named_until_it_is_there_again(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    desk = open_desk(folder)
    take(desk, 0)
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreFailed, match="was deleted or replaced"):
        take(desk, 1)
    for _ in range(2):
        with pytest.raises(StoreUnusable, match="No such file or directory"):
            desk.reopen()
        with pytest.raises(StoreFailed, match=r"cannot be opened again: .*No such file or directory"):
            take(desk, 1)
    (tmp_path / "elsewhere").rename(folder)
    desk.reopen()
    take(desk, 1)
    assert received(desk) == 2
    desk.close()


def crash(folder: Path, into: Path) -> Desk:
    """A store as a kill leaves it: with a write-ahead log that holds the newest reading. The first life goes on."""
    desk = open_desk(folder)
    take(desk, 0)
    desk.reopen()
    take(desk, 1)
    into.mkdir()
    for file in folder.iterdir():
        shutil.copy(file, into)
    return desk


def test_a_log_deleted_while_the_gateway_was_off_is_noticed_and_told(tmp_path: Path) -> None:
    left = tmp_path / "left"
    (tmp_path / "first").mkdir()
    desk = crash(tmp_path / "first", left)
    desk.close()
    side(left, "-wal").unlink()
    desk = open_desk(left)
    salvage = desk.take_salvage()
    assert salvage is not None
    assert "write-ahead log is gone" in salvage.why
    assert desk.ledger.totals["salvages"] == 1
    take(desk, 2)
    assert desk.ledger.missing(1, 1) == [(1, 1)], "its device is asked for it again"
    desk.close()
    desk = open_desk(left)
    assert desk.take_salvage() is None, "told once"
    desk.close()


def test_a_shared_index_deleted_while_the_gateway_was_off_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    desk = crash(tmp_path / "first", tmp_path / "left")
    desk.close()
    side(tmp_path / "left", "-shm").unlink()
    desk = open_desk(tmp_path / "left")
    assert desk.take_salvage() is None
    assert received(desk) == 2
    desk.close()


def test_a_store_deleted_while_the_gateway_was_off_is_no_silent_empty_start(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    take(desk, 0)
    desk.close()
    assert not side(tmp_path, "-wal").exists()
    side(tmp_path, "").unlink()
    desk = open_desk(tmp_path)
    salvage = desk.take_salvage()
    assert salvage is not None
    assert "the file is gone" in salvage.why
    desk.close()


def test_a_clean_end_leaves_nothing_to_be_alarmed_about(tmp_path: Path) -> None:
    for first in range(3):
        desk = open_desk(tmp_path)
        assert desk.take_salvage() is None
        take(desk, first)
        desk.reopen()
        desk.close()


def test_a_salvage_that_was_killed_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = open_desk(tmp_path)
    take(desk, 0)
    desk.close()
    content = side(tmp_path, "").read_bytes()
    side(tmp_path, "").write_bytes(b"")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "salvage", killed)
        with pytest.raises(KeyboardInterrupt):
            open_desk(tmp_path)
    side(tmp_path, "").write_bytes(content)
    desk = open_desk(tmp_path)
    salvage = desk.take_salvage()
    assert salvage is not None
    assert (salvage.why, salvage.recovered) == ("a salvage of it was interrupted", 1)
    desk.close()


def test_a_file_without_rights_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path / STORE_FILE).close()
    monkeypatch.setattr(os, "access", lambda name, _mode: not str(name).endswith(STORE_FILE))  # root may do anything
    with pytest.raises(StoreUnusable, match=f"{STORE_FILE} may not be read and written by this user"):
        Store(tmp_path / STORE_FILE)


# -- readers that never end (F17)

READER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN")
db.execute("SELECT count(*) FROM readings").fetchall()
print("reading", flush=True)
sys.stdin.read()
"""


@contextmanager
def endless_reader(path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", READER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
        try:
            yield reader
        finally:
            reader.kill()


def take_until_full(desk: Desk) -> int:
    """The seq that found no room."""
    for first in range(1, 100_000, 100):
        try:
            take(desk, first, 100)
        except StoreFull as error:
            assert "a reader in another process" in str(error)  # noqa: PT017  # which of many is the question
            return first
        tidy(desk)
    raise AssertionError("it never was full")


def test_an_endless_reader_of_another_process_stops_intake_before_the_disk_and_is_told(tmp_path: Path) -> None:
    cap = 2 * MIB
    desk = open_desk(tmp_path, budget=StoreLimits(cap, 0))
    take(desk, 0)
    with endless_reader(side(tmp_path, "")):
        first = take_until_full(desk)
        standing = desk.standing(0, T0_MS)
        assert standing.care.wal_held_up
        assert cap // 4 < standing.care.wal_bytes < cap
        assert standing.store_bytes < cap + cap // 4
    tidy(desk)
    assert not desk.store.wal.held_up
    assert desk.store.wal.size_bytes() <= cap // 4
    take(desk, first, 100)
    assert received(desk) == first + 100
    desk.close()


@pytest.mark.no_cover
def test_the_log_is_cut_back_as_soon_as_it_is_above_its_bar(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, budget=ROOMY)
    desk.store.run("PRAGMA wal_autocheckpoint = 0")
    first = 0
    while desk.store.wal.size_bytes() <= WAL_BYTES_MAX:
        take(desk, first, 2000)
        first += 2000
    desk.store.look_after()
    assert desk.store.wal.size_bytes() == 0
    assert (desk.store.wal.held_up, desk.store.wal.blocked) == (False, 0)
    desk.close()


def test_looking_at_the_log_waits_for_nobody(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, budget=StoreLimits(MIB, 0))
    take(desk, 0, 100)
    other = sqlite3.connect(side(tmp_path, ""), isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM readings").fetchall()
    for first in range(100, 2000, 100):
        take(desk, first, 100)
    asked: list[str] = []
    desk.store._db.set_trace_callback(asked.append)
    desk.store.look_after()
    assert asked[0] == "PRAGMA busy_timeout = 0"
    assert desk.store.wal.held_up
    assert desk.store.run("PRAGMA busy_timeout") == [(store_module.BUSY_TIMEOUT_MS,)]
    other.close()
    desk.close()


# -- the ballast (F10)


def test_the_ballast_is_a_hundredth_of_the_cap_and_at_least_4_mib(tmp_path: Path) -> None:
    assert Ballast(tmp_path / STORE_FILE, 16 * MIB).size_bytes == 4 * MIB
    assert Ballast(tmp_path / STORE_FILE, 1024 * MIB).size_bytes == 1024 * MIB // 100


def test_a_volume_without_room_for_it_gets_no_ballast(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / STORE_FILE, 16 * MIB)
    assert not ballast.make(2 * ballast.size_bytes - 1)
    assert list(tmp_path.iterdir()) == []
    assert ballast.owed_bytes == ballast.size_bytes
    assert ballast.make(2 * ballast.size_bytes)
    assert (ballast.owed_bytes, Ballast(tmp_path / STORE_FILE, 16 * MIB).is_held) == (0, True)
    assert ballast.release()
    assert not ballast.release()
    assert list(tmp_path.iterdir()) == []


def test_a_ballast_that_holds_no_space_is_none(tmp_path: Path) -> None:
    path = tmp_path / f"{STORE_FILE}.ballast"
    with path.open("wb") as file:
        file.truncate(4 * MIB)  # a copy of a folder may make holes of it
    ballast = Ballast(tmp_path / STORE_FILE, 16 * MIB)
    assert not ballast.is_held
    assert ballast.make(100 * MIB)
    assert path.stat().st_blocks * 512 >= 4 * MIB


def test_a_disk_that_fills_up_releases_the_ballast_and_what_it_frees_is_not_for_readings(
    tmp_path: Path,
) -> None:
    desk = open_desk(tmp_path, budget=ROOMY)
    tidy(desk)
    ballast = desk.store.ballast
    assert ballast is not None
    assert ballast.is_held
    desk.store.free_bytes = lambda _: MIB
    desk.store.run("PRAGMA max_page_count = 1")  # SQLITE_FULL
    with pytest.raises(StoreFull):
        take(desk, 0, 1000)
    assert not ballast.is_held
    desk.store.free_bytes = lambda _: ballast_module.ROOM_FACTOR * ballast.size_bytes - 1
    desk.reopen()
    assert desk.store.volume_free_bytes() == ballast.size_bytes - 1
    tidy(desk)
    assert not ballast.is_held
    desk.store.free_bytes = lambda _: ballast_module.ROOM_FACTOR * ballast.size_bytes
    tidy(desk)
    assert ballast.is_held
    assert ballast.released == 1
    desk.close()


def test_reaching_the_stores_own_limit_keeps_the_ballast(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, budget=ROOMY)
    tidy(desk)
    desk.store.run("PRAGMA max_page_count = 1")
    with pytest.raises(StoreFull):
        take(desk, 0, 1000)
    assert desk.store.ballast is not None
    assert desk.store.ballast.is_held
    desk.close()
