"""Whether a store's file is whole, in a time that does not grow with the backlog.

A file of at most `CHECK_BYTES_MAX` is checked page by page. Of a larger one, only the tables that everything else rests
on are (they do not grow with the backlog); damage in its log is met when the log is read, and salvaged then. SQLite
offers no way to stop its check after a time (3.40 asks nobody while it checks), so the size decides.
Neither notices a flipped bit in a value: the rows' checksums do.
"""

import sqlite3
from functools import cache
from pathlib import Path

from edge.lean_imports import Database
from edge.store.schema import migrate

CHECK_BYTES_MAX = 64 * 1024 * 1024  # about 0.2 s from a cold SD card's page cache, 0.1 s from memory
KEY_TABLES = ("cursors", "devices", "ledger", "ranges", "totals")
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR", "SQLITE_CONSTRAINT", "SQLITE_MISMATCH")


class Damaged(Exception):
    """The file is not the store that it should be."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error, met at opening, comes from the file's content (not from the disk or its rights)."""
    return getattr(error, "sqlite_errorname", "").startswith(_DAMAGE)


def is_corruption(error: sqlite3.Error) -> bool:
    """Whether an error, met while a store is in use, says that its pages make no sense."""
    return getattr(error, "sqlite_errorname", "").startswith(_DAMAGE[:2])


def check_files(path: Path) -> None:
    """Before SQLite sees the files: it takes an empty file for a new one, and then deletes a log beside it.

    Raises `Damaged`.
    """
    if path.exists() and not path.is_file():
        return  # a directory: opening it tells
    wal = path.with_name(path.name + "-wal")
    if path.exists() and path.stat().st_size == 0:
        raise Damaged("the file is empty")
    if path.exists():
        with path.open("rb") as file:
            versions = file.read(20)[18:]  # SQLite opens what it reckons a newer format for reading only
        if len(versions) == 2 and not set(versions) <= {1, 2}:
            raise Damaged("its header names a format that is not SQLite's")
    if not path.exists() and wal.exists() and wal.stat().st_size > 0:
        raise Damaged("the file is gone, and its write-ahead log is not")


def check_content(db: sqlite3.Connection, path: Path) -> None:
    """Of a migrated store. Raises `Damaged`, or `sqlite3.Error` for what cannot be read at all."""
    if not expected_schema() <= _schema(db):
        raise Damaged("its tables are not those of a store")
    if path.stat().st_size <= CHECK_BYTES_MAX:
        checks = ["PRAGMA quick_check(1)"]
    else:
        checks = [f"PRAGMA quick_check({table})" for table in KEY_TABLES]
    for check in checks:
        answer = db.execute(check).fetchone()[0]
        if answer != "ok":
            raise Damaged(" ".join(str(answer).split()))


@cache
def expected_schema() -> frozenset[tuple[str, str]]:
    """(name, SQL) of every table and index of this version."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(Database(db, execute_plugins=False), ":memory:")
        return frozenset(_schema(db))
    finally:
        db.close()


def _schema(db: sqlite3.Connection) -> set[tuple[str, str]]:
    return {(name, sql) for name, sql in db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")}
