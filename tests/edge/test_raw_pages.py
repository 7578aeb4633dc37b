"""Records found page by page: all that SQLite has, and nothing in garbage."""

import errno
import io
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.store import raw_pages
from edge.store.raw_pages import Shape, records

LOG = Shape((int, bytes, int), lambda _: True)
NAMES = Shape((bytes, bytes), lambda _: True)
Row = tuple[int, int, bytes, int]

ints = st.one_of(st.integers(-2, 2), st.integers(-(2**63), 2**63 - 1), st.sampled_from([127, -129, 2**31, -(2**47)]))
bodies = st.one_of(st.binary(max_size=40), st.builds(random.Random(1).randbytes, st.integers(0, 9000)))
rows_of_a_log = st.lists(st.tuples(ints, ints, bodies, ints), max_size=40, unique_by=lambda row: row[0])


def filled(path: Path, page_size: int, rows: list[Row]) -> sqlite3.Connection:
    """A database with these rows, and a table of two texts, in a write-ahead log that is still open."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f"PRAGMA page_size = {page_size}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, a INTEGER, body BLOB, b INTEGER)")
    db.execute("CREATE TABLE names (id INTEGER PRIMARY KEY, site TEXT, device TEXT)")
    db.executemany("INSERT INTO log VALUES (?, ?, ?, ?)", rows)
    db.execute("INSERT INTO names VALUES (7, 'Büro', 'room-1')")
    return db


def found(path: Path, *shapes: Shape) -> dict[int, list[tuple[object, ...]]]:
    """The records, by shape; what an older page has too counts once."""
    seen: dict[int, list[tuple[object, ...]]] = {which: [] for which in range(len(shapes))}
    for which, record in records(path, *shapes):
        if record not in seen[which]:
            seen[which].append(record)
    return seen


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=rows_of_a_log,
    page_size=st.sampled_from([512, 1024, 4096, 65536]),
    is_open=st.booleans(),
    has_tree=st.booleans(),
)
def test_every_row_is_found_whether_or_not_the_tree_above_it_is_left(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], page_size: int, *, is_open: bool, has_tree: bool
) -> None:
    path = tmp_path_factory.mktemp("pages") / "db"
    with closing(filled(path, page_size, rows)) as db:
        if not is_open:
            db.close()
        if not has_tree:
            with path.open("r+b") as file:
                file.seek(100)
                file.write(bytes(page_size - 100))
        seen = found(path, LOG, NAMES)
    assert sorted(seen[0], key=lambda row: int(str(row[0]))) == sorted(rows)
    assert seen[1] == [(7, "Büro".encode(), b"room-1")]


def test_the_newest_state_of_a_row_comes_first_and_what_was_not_committed_does_not_come(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with closing(filled(path, 4096, [(1, 1, b"old", 1)])) as db:
        db.execute("PRAGMA wal_checkpoint")
        db.execute("UPDATE log SET body = 'new!' WHERE id = 1")
        db.execute("PRAGMA cache_size = 1")
        db.execute("BEGIN")
        db.executemany("INSERT INTO log VALUES (?, 0, ?, 0)", [(n, bytes(3000)) for n in range(2, 60)])
        states = [record for _, record in records(path, LOG)]
    assert [body for _, _, body, _ in states] == [b"new!", b"old"]


def test_a_log_is_read_on_behind_a_frame_that_is_damaged(tmp_path: Path) -> None:
    path, log = tmp_path / "db", tmp_path / "db-wal"
    with closing(filled(path, 4096, [])) as db:
        for n in range(40):
            db.execute("INSERT INTO log VALUES (?, 0, ?, 0)", (n, bytes(3000)))
        raw = bytearray(log.read_bytes())
    frame = 24 + 4096
    raw[32 + frame * 20 + 24 : 32 + frame * 21] = random.Random(2).randbytes(4096)
    log.write_bytes(raw)
    path.unlink()  # closing the database emptied its log into it
    assert len(found(path, LOG)[0]) >= 39


def test_only_records_that_are_wanted_are_read(tmp_path: Path) -> None:
    path = tmp_path / "db"
    filled(path, 4096, [(n, 0, b"", 0) for n in range(10)]).close()
    odd = Shape(LOG.columns, lambda row_id: row_id % 2 == 1)
    assert [record[0] for _, record in records(path, odd)] == [1, 3, 5, 7, 9]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), size=st.integers(0, 20_000), flips=st.lists(st.integers(0, 2**32), max_size=30))
def test_garbage_and_flipped_bits_raise_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, size: int, flips: list[int]
) -> None:
    path = tmp_path_factory.mktemp("garbage") / "db"
    if flips:
        filled(path, 512, [(n, n, bytes(n * 40), n) for n in range(30)]).close()
        raw = bytearray(path.read_bytes())
        for flip in flips:
            raw[flip // 8 % len(raw)] ^= 1 << flip % 8
    else:
        raw = bytearray(b"\r" + random.Random(seed).randbytes(size))  # as a leaf begins
    path.write_bytes(raw)
    path.with_name("db-wal").write_bytes(random.Random(seed).randbytes(size))
    for _ in records(path, LOG, NAMES):
        pass


class Worn(io.BytesIO):
    """A medium with one bad sector."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() == 10 * 4096:
            raise OSError(errno.EIO, "bad sector")
        return super().read(size)


def test_a_page_that_the_medium_does_not_give_costs_what_is_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "db"
    filled(path, 4096, [(n, 0, bytes(1000), 0) for n in range(100)]).close()
    monkeypatch.setattr(raw_pages, "_opened", lambda of, _: Worn(path.read_bytes()) if of == path else None)
    assert 100 - 4 <= len(found(path, LOG)[0]) < 100


def test_neither_file_may_be_there(tmp_path: Path) -> None:
    assert list(records(tmp_path / "db", LOG)) == []
