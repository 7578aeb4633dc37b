"""What to do with a damaged store: set the file aside, and go on with a new one that has every row that can be read.

    PATH --rows that can be read--> PATH.salvaging --complete--> PATH.salvaged --> PATH
    PATH, PATH-wal, PATH-shm --renamed--> PATH.broken-N

What can be read is what SQLite finds, and rows of the log that it does not find on pages that have them all the same
(`edge.store.raw_pages`): a reading is lost only with the page that it is on.

Promises: the damaged file is never changed, only renamed, after the new one is complete and synced, so a kill at any
instant only means that it is done again or finished at the next start; ids stay what they were; no row whose checksum
fails is taken over into the log; the ledger of the new store balances, and what it had as received, not as settled, and
has no row for any more, is in the entry `lost/store`. What came after the ledger was last written and cannot be read is
not known to the new store at all: it shows as a gap in its device's seqs, and is asked for again.
"""

import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from edge.lean_imports import Database
from edge.store.raw_pages import Shape, records
from edge.store.rebuild import Rebuild
from edge.store.schema import StoreTooNew, migrate
from sensors.files import sync_path
from sensors.topics import TopicError, check_level

FAILED_READS_MAX = 20_000  # of one table: about a second; a bad page of a log costs 200 of them
BROKEN_KEPT = 3  # files set aside; the disk is finite
READ_ROWS = 2000  # of one statement, so that memory stays flat
_SIDE_FILES = ("-wal", "-shm")
_PLAIN_TABLES_ARE_NOT = ("sqlite_", "_sqlite")


class Salvage(NamedTuple):
    """What came of a salvage. `lost` counts readings that the ledger knew, and that are gone."""

    why: str
    set_aside: str
    recovered: int
    lost: int


def salvage(path: Path, why: str, destinations: Iterable[str]) -> Salvage:
    """Put a new store in the place of a damaged one; `destinations`: whom its log is for.

    Raises `sqlite3.Error`, `OSError`, `StoreTooNew`.
    """
    building = _beside(path, ".salvaging")
    for name in (building, *(_beside(building, side) for side in (*_SIDE_FILES, "-journal"))):
        name.unlink(missing_ok=True)
    with closing(_new(building)) as new:
        if path.exists() and path.stat().st_size > 0:
            with closing(_broken(path)) as old:
                _refuse_newer(old, path)
                recovered, lost = _copy(old, path, new, destinations)
        else:
            recovered, lost = _copy(None, path, new, destinations)
    sync_path(building)
    building.rename(_beside(path, ".salvaged"))
    return Salvage(why, finish(path), recovered, lost)


def keep_open_copy(db: sqlite3.Connection, path: Path) -> None:
    """Put what a connection still has open in the place of a file that was deleted under it, at the next `finish`.

    Raises `sqlite3.Error`, `OSError`.
    """
    building = _beside(path, ".salvaging")
    building.unlink(missing_ok=True)
    db.execute("VACUUM INTO ?", (str(building),))
    sync_path(building)
    building.rename(_beside(path, ".salvaged"))


def finish(path: Path) -> str:
    """If a new store is complete, put it in place; under which name the damaged one is now (empty: nothing to do)."""
    complete = _beside(path, ".salvaged")
    if not complete.exists():
        return ""
    taken = [aside.name.rpartition("-")[2] for aside in path.parent.glob(f"{path.name}.broken-*")]
    number = max((int(name) for name in taken if name.isdecimal()), default=0) + 1
    aside = _beside(path, f".broken-{number}")
    for side in (*_SIDE_FILES, ""):  # the file itself last: its name is what says that the number is taken
        with suppress(FileNotFoundError):
            _beside(path, side).rename(_beside(aside, side))
    complete.rename(path)
    for side in ("", *_SIDE_FILES):
        _beside(path, f".broken-{number - BROKEN_KEPT}{side}").unlink(missing_ok=True)
    sync_path(path.parent)
    return aside.name


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _new(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA synchronous = OFF")  # one sync at the end: before, it is only a draft
    migrate(Database(db, execute_plugins=False), str(path))
    return db


def _broken(path: Path) -> sqlite3.Connection:
    """Read-only: neither its pages nor its write-ahead log are touched.

    One bit in the words of one table or index would keep SQLite from reading any other: it is told to go by what it
    understands. Its first statement may fail all the same.
    """
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    db.text_factory = lambda raw: raw.decode("utf-8", "replace")
    db.execute("PRAGMA writable_schema = ON")
    with suppress(sqlite3.Error):
        db.execute("SELECT 1 FROM sqlite_master LIMIT 1")
    return db


def _has(old: sqlite3.Connection, table: str) -> bool:
    """Whether there may be rows: in garbage, and in another program's file, every one would be tried in vain."""
    try:
        old.execute(f"SELECT 1 FROM {table} LIMIT 0")  # noqa: S608  # a name of our schema
    except sqlite3.Error as error:
        return getattr(error, "sqlite_errorname", "") not in ("SQLITE_NOTADB", "SQLITE_ERROR")
    return True


def _refuse_newer(old: sqlite3.Connection, path: Path) -> None:
    with suppress(sqlite3.Error):
        known = _migrations_of(old)
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
            migrate(Database(db, execute_plugins=False), ":memory:")
            ours = _migrations_of(db)
        if known - ours:
            raise StoreTooNew(str(path), known - ours)


def _migrations_of(db: sqlite3.Connection) -> set[str]:
    return {row[0] for row in db.execute("SELECT name FROM _sqlite_migrations")}


# -- rows


def _copy(
    old: sqlite3.Connection | None, path: Path, new: sqlite3.Connection, destinations: Iterable[str]
) -> tuple[int, int]:
    """Everything that can be read, and a ledger that fits it; readings recovered and lost."""
    rebuild = Rebuild(new, destinations)
    new.execute("BEGIN")
    if old is not None:
        for table, sql in new.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall():
            if table != "readings" and not table.startswith(_PLAIN_TABLES_ARE_NOT) and _has(old, table):
                _insert(new, table, _rows(old, new, table, "WITHOUT ROWID" in sql))
    rebuild.load()
    if old is not None and _has(old, "readings"):
        _insert(new, "readings", rebuild.sift(_rows(old, new, "readings", without_rowid=False)))
    _insert(new, "readings", rebuild.sift(_rows_of_pages(path, new, rebuild)))
    lost = rebuild.write()
    new.execute("COMMIT")
    return rebuild.recovered, lost


def _insert(new: sqlite3.Connection, table: str, rows: Iterator[tuple[Any, ...]]) -> None:
    for row in rows:
        marks = ", ".join("?" * len(row))
        with suppress(sqlite3.IntegrityError, OverflowError):  # a damaged row may say anything, also what breaks a rule
            new.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608  # a name of our schema


def _rows(
    old: sqlite3.Connection, new: sqlite3.Connection, table: str, without_rowid: bool
) -> Iterator[tuple[Any, ...]]:
    info = new.execute(f"PRAGMA table_info({table})").fetchall()
    columns = ", ".join(column[1] for column in info)
    if without_rowid:
        key = [name for _, name in sorted((column[5], column[1]) for column in info if column[5])]
        for way in ("", " DESC"):
            order = ", ".join(name + way for name in key)
            failed, rows = _read(old, f"SELECT {columns} FROM {table} ORDER BY {order}")  # noqa: S608
            yield from rows
            if not failed:
                return
        return
    for _, *row in _rows_by_id(old, f"SELECT rowid, {columns} FROM {table} NOT INDEXED"):  # noqa: S608
        yield tuple(row)


def _rows_of_pages(path: Path, new: sqlite3.Connection, rebuild: Rebuild) -> Iterator[tuple[Any, ...]]:
    """Rows of the log that SQLite did not find; names of devices that it did not find either are put in on the way.

    A row has its checksum. A name has none: it is believed if it is one, and its place is free.
    """
    log = Shape((int, int, int, int, int, int, bytes, int), rebuild.wants)
    names = Shape((bytes, bytes), lambda key: key > 0)
    for which, record in records(path, log, names):
        if which == 0:  # the log
            yield record
            continue
        key, *levels = record
        with suppress(UnicodeDecodeError, TopicError):
            site, device = (check_level(level.decode(), "name") for level in levels)
            _insert(new, "devices", iter([(key, site, device)]))


def _rows_by_id(old: sqlite3.Connection, select: str) -> Iterator[tuple[Any, ...]]:
    """Read forward up to a bad page, backward down to one, and halve what lies between; the lower half first."""
    if _read(old, f"EXPLAIN {select}")[0]:  # reads nothing of the table: it is not known, and no piece of it will be
        return
    waiting, failures = [(-(2**63), 2**63 - 1)], 0
    while waiting and failures < FAILED_READS_MAX:
        left = yield from _run(old, select, *waiting.pop(), way="")
        if left is not None:
            left = yield from _run(old, select, *left, way=" DESC")
        if left is None:
            continue
        failures += 2
        first, last = left
        if first < last:
            middle = (first + last) // 2
            waiting += [(middle + 1, last), (first, middle)]


def _run(
    old: sqlite3.Connection, select: str, first: int, last: int, *, way: str
) -> Generator[tuple[Any, ...], None, tuple[int, int] | None]:
    """The rows of a range up to an error; the range that is left then, or None."""
    sql = f"{select} WHERE rowid BETWEEN ? AND ? ORDER BY rowid{way} LIMIT {READ_ROWS}"
    while first <= last:
        failed, rows = _read(old, sql, (first, last))
        yield from rows
        if rows and way:
            last = rows[-1][0] - 1
        elif rows:
            first = rows[-1][0] + 1
        if failed:
            return first, last
        if len(rows) < READ_ROWS:
            return None
    return None


def _read(old: sqlite3.Connection, sql: str, bounds: tuple[int, ...] = ()) -> tuple[bool, list[tuple[Any, ...]]]:
    """The rows up to an error, and whether there was one."""
    rows: list[tuple[Any, ...]] = []
    try:
        rows.extend(old.execute(sql, bounds))
    except sqlite3.Error:
        return True, rows
    return False, rows
