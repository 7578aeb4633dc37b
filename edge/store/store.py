"""The gateway's store: one SQLite file with an append-only log of readings and the positions of those who read it.

Promises: what `transaction` returned from is on the disk (WAL, `synchronous=FULL`, read back at opening); a failed
transaction leaves nothing behind; ids of the log rise by one and are never used twice; reading does not delete.
Synchronous and for one thread: the shell owns that thread. A second process is refused by a lock.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from sqlite_utils import Database

from edge.intervals import Intervals, IntervalsError
from edge.store.check import Damaged, check_content, check_files, is_corruption, is_damage
from edge.store.errors import StoreCorrupt, StoreFailed, StoreFull, StoreUnusable
from edge.store.lock import StoreLock
from edge.store.names import HEAD_CURSOR
from edge.store.rows import LogEntry, RowCorrupt, StoredRow, pack, unpack
from edge.store.salvage import Salvage, finish, salvage
from edge.store.schema import StoreTooNew, migrate
from sensors.reading import Reading

WAL_AUTOCHECKPOINT_PAGES = 1000  # about 4 MB: SQLite's own default, written down because WAL growth is a promise
WAL_BYTES_MAX = 16 * 1024 * 1024  # the WAL file is cut back to this after a burst; counts within disk_bytes_max
KEPT_PAGES = 256  # 1 MiB: giving back and taking again costs writes
SHRINK_PAGES = 500  # of one transaction: 2 MB of writes, about 20 ms in which ingest waits
PAGES_MAX = 2**32 - 2  # SQLite's own limit
BUSY_TIMEOUT_MS = 5000  # readers of ours hold the file for a second at most
_SYNCHRONOUS_FULL = 2
UNKNOWN_DEVICE = ("", "")


class Page(NamedTuple):
    """Entries of the log in order, and the damaged row that stands behind them, if it is one that ended the page."""

    entries: list[LogEntry]
    damaged: StoredRow | None


class Pages(NamedTuple):
    """The file's pages, how many of them hold nothing, and the size of one."""

    total: int
    free: int
    size_bytes: int


class Store:
    """The open store. Use as a context manager, or call `close`.

    A file that is damaged is salvaged when it is opened, see `edge.store.salvage`; `salvaged` says what came of it.
    Raises on construction: `StoreLocked`, `StoreUnusable`, `StoreTooNew`.
    """

    def __init__(self, path: Path, destinations: Sequence[str] = (), *, disk_bytes_max: int | None = None) -> None:
        """`destinations`: whom the log is for; a salvage says for each of them what it is done with.

        `disk_bytes_max`: what file and write-ahead log may take together; beyond it `StoreFull` is raised.
        """
        self._disk_bytes_max = disk_bytes_max
        self.pages_max: int | None = None
        self.path = path
        self.free_bytes: Callable[[Path], int] = free_bytes
        """Asks the volume; a simulated disk puts its own answer here."""
        self._heard: Callable[[str], None] | None = None
        self.salvaged: Salvage | None = None
        self._destinations = tuple(destinations)
        self._corrupt: str | None = None
        if not path.parent.is_dir():
            raise StoreUnusable(str(path), f"{path.parent} is not a directory")
        self._lock = StoreLock(path)
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        try:
            finish(self.path)
            why = self._corrupt or self._connect()
            if why is not None:
                self.salvaged = salvage(self.path, why, self._destinations)
                self._corrupt = None
                why = self._connect()
        except (sqlite3.Error, StoreFailed, OSError) as error:
            raise StoreUnusable(str(self.path), str(error)) from error
        if why is not None:
            raise StoreUnusable(str(self.path), why)

    def _connect(self) -> str | None:
        """Open the file; or why it is to be salvaged."""
        try:
            check_files(self.path)
            self._db = sqlite3.connect(
                self.path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000, check_same_thread=False
            )
            try:
                _configure(self._db)
                self._limit_pages()
                migrate(Database(self._db, execute_plugins=False), str(self.path))
                check_content(self._db, self.path)
                rows = self._db.execute("SELECT key, site, device FROM devices ORDER BY key").fetchall()
                self._names: dict[int, tuple[str, str]] = {key: (site, device) for key, site, device in rows}
                self._keys = {name: key for key, name in self._names.items()}
                self.head = self.cursor(HEAD_CURSOR)
                self._in_doubt = False
            except BaseException:
                self._db.close()
                raise
        except (Damaged, StoreCorrupt) as error:
            return str(error)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            return str(error)
        return None

    def limit_pages(self, pages_max: int | None) -> None:
        """Let the file have so many pages, or as many as it has now if those are more; None: as `disk_bytes_max` says.

        Holds until the file is opened again. Raises `StoreError`.
        """
        if pages_max is None:
            pages_max = self.pages_max or PAGES_MAX
        self._execute(f"PRAGMA max_page_count = {pages_max}")

    def _limit_pages(self) -> None:
        if self._disk_bytes_max is not None:
            wal_bytes = min(WAL_BYTES_MAX, self._disk_bytes_max // 4)
            pages_max = (self._disk_bytes_max - wal_bytes) // self.pages().size_bytes
            self.pages_max = self._db.execute(f"PRAGMA max_page_count = {pages_max}").fetchone()[0]

    def trace(self, heard: Callable[[str], None] | None) -> None:
        """Tell each statement before it is carried out, also over `reopen`; None: no longer. What it raises is lost."""
        self._heard = heard
        self._db.set_trace_callback(heard)

    def reopen(self) -> None:
        """Close and open again: after a failed fsync the connection's view of the file is not to be trusted.

        A file that was found to be damaged is salvaged.
        """
        self._db.close()
        self._open()
        self._db.set_trace_callback(self._heard)

    def close(self) -> None:
        """Close the file and let the next gateway in. Closing twice is harmless."""
        self._db.close()
        self._lock.release()

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One durable transaction: leaving the block normally means committed and synced.

        Raises `StoreFull` or `StoreFailed`; then nothing of the block was kept, and what the block had assigned (ids,
        device keys) is taken back. If it was the COMMIT that failed (an fsync, say), nobody knows whether the block was
        kept: every further transaction raises until `reopen` has read what the file holds.
        """
        if self._in_doubt:
            raise StoreFailed("the last commit failed, and may have been one all the same: the store must be reopened")
        head, devices = self.head, len(self._keys)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            if self.head != head:
                self.set_cursor(HEAD_CURSOR, self.head)
            self._in_doubt = True
            self._db.execute("COMMIT")
            self._in_doubt = False
        except BaseException as error:
            self._roll_back(head, devices)
            if isinstance(error, sqlite3.Error):
                raise self._named(error) from error
            raise

    def _roll_back(self, head: int, devices: int) -> None:
        if self._db.in_transaction:
            with suppress(sqlite3.Error):  # SQLite has rolled back by itself, or the file is gone: reopening will tell
                self._db.execute("ROLLBACK")
        self.head = head
        while len(self._keys) > devices:
            _, key = self._keys.popitem()
            del self._names[key]

    # -- devices

    def device_key(self, site: str, device: str) -> int:
        """The short number that rows use for a device; a new device gets one (inside a transaction)."""
        key = self._keys.get((site, device))
        if key is None:
            key = len(self._keys) + 1
            self._db.execute("INSERT INTO devices (key, site, device) VALUES (?, ?, ?)", (key, site, device))
            self._keys[site, device] = key
            self._names[key] = (site, device)
        return key

    def known_key(self, site: str, device: str) -> int | None:
        """The number of a device that was heard before, or None."""
        return self._keys.get((site, device))

    def device_name(self, key: int) -> tuple[str, str]:
        """(site, device) of a number. Raises `KeyError` for one that was never given."""
        return self._names[key]

    @property
    def device_count(self) -> int:
        """How many devices were ever heard."""
        return len(self._keys)

    # -- the log

    def append(self, readings: Sequence[tuple[int, Reading]], received_at_ms: int) -> None:
        """Append (device_key, reading) pairs to the log, inside a transaction."""
        first = self.head + 1
        rows = [pack(first + at, key, received_at_ms, reading) for at, (key, reading) in enumerate(readings)]
        self._db.executemany("INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self.head += len(rows)

    def read(self, after_id: int, limit: int) -> Page:
        """The next entries behind a position, oldest first, up to the first damaged row."""
        rows = self._execute("SELECT * FROM readings WHERE id > ? ORDER BY id LIMIT ?", (after_id, limit))
        entries: list[LogEntry] = []
        names = self._names
        for row in rows:
            try:
                entries.append(unpack(row, names.get(row[1], UNKNOWN_DEVICE)[1]))
            except RowCorrupt:
                return Page(entries, row)
        return Page(entries, None)

    def oldest_received_ms(self, after_id: int) -> int | None:
        """When the first entry behind a position was received, or None if there is none."""
        rows = self._execute("SELECT received_at_ms FROM readings WHERE id > ? ORDER BY id LIMIT 1", (after_id,))
        return int(rows[0][0]) if rows else None

    def delete_through(self, position: int, limit: int) -> int:
        """Delete at most `limit` entries up to `position`, oldest first; how many went. Its own transaction."""
        with self.transaction():
            done = self._db.execute(
                "DELETE FROM readings WHERE id IN (SELECT id FROM readings WHERE id <= ? ORDER BY id LIMIT ?)",
                (position, limit),
            )
            return done.rowcount

    # -- positions, ledger, quarantine

    def cursor(self, name: str) -> int:
        """How far a consumer has durably got: the id of the last entry it is done with; 0 at the start."""
        rows = self._execute("SELECT position FROM cursors WHERE name = ?", (name,))
        return int(rows[0][0]) if rows else 0

    def set_cursor(self, name: str, position: int) -> None:
        """Move a consumer, inside a transaction."""
        self._db.execute("INSERT OR REPLACE INTO cursors (name, position) VALUES (?, ?)", (name, position))

    def cursors(self) -> dict[str, int]:
        """Every consumer and its position."""
        return dict(self._execute("SELECT name, position FROM cursors ORDER BY name"))

    def ranges(self, name: str) -> Intervals:
        """A set of ids; empty at the start."""
        rows = self._execute("SELECT ranges FROM ranges WHERE name = ?", (name,))
        return self.decode(rows[0][0]) if rows else Intervals()

    def put_ranges(self, name: str, ids: Intervals) -> None:
        """Write a set of ids, inside a transaction."""
        self._db.execute("INSERT OR REPLACE INTO ranges VALUES (?, ?)", (name, ids.encode()))

    def ledger_entries(self, device_key: int, boot: int) -> dict[str, Intervals]:
        """What the ledger holds of one boot of one device: entry name -> seqs."""
        rows = self._execute("SELECT entry, ranges FROM ledger WHERE device_key = ? AND boot = ?", (device_key, boot))
        return {entry: self.decode(ranges) for entry, ranges in rows}

    def ledger_accounts(self) -> list[tuple[int, int]]:
        """Every (device_key, boot) that the ledger has heard of, in order."""
        return self._execute("SELECT DISTINCT device_key, boot FROM ledger ORDER BY device_key, boot")

    def ledger_boots(self, device_key: int) -> list[int]:
        """The boots of one device that the ledger has heard of, in order."""
        rows = self._execute("SELECT DISTINCT boot FROM ledger WHERE device_key = ? ORDER BY boot", (device_key,))
        return [row[0] for row in rows]

    def put_ledger(self, rows: Sequence[tuple[int, int, str, bytes]], totals: dict[str, int]) -> None:
        """Write (device_key, boot, entry, ranges) rows and the totals, inside a transaction."""
        self._db.executemany("INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?)", rows)
        self._db.executemany("INSERT OR REPLACE INTO totals VALUES (?, ?)", sorted(totals.items()))

    def totals(self) -> dict[str, int]:
        """The ledger's totals as last written."""
        return dict(self._execute("SELECT name, count FROM totals"))

    def quarantine(
        self, *, at_ms: int, source: str, reason: str, topic: bytes, payload: bytes, reading_id: int | None = None
    ) -> None:
        """Keep a message (or a reading that the cloud refuses) that can never be accepted, inside a transaction.

        `source` is `ingest` or the destination; `reading_id` makes keeping the same reading twice harmless.
        """
        self._db.execute(
            "INSERT OR IGNORE INTO quarantine (at_ms, source, reason, topic, payload, reading_id)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (at_ms, source, reason, topic, payload, reading_id),
        )

    def quarantined_ids(self, after_id: int) -> set[int]:
        """Log ids above a position that are in quarantine."""
        return {row[0] for row in self._execute("SELECT reading_id FROM quarantine WHERE reading_id > ?", (after_id,))}

    def query(self, sql: str, arguments: tuple[object, ...] = ()) -> list[Any]:
        """The rows of a SELECT, for those who keep a table of their own in the store. Raises `StoreError`."""
        return self._execute(sql, arguments)

    def write(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Carry out one statement for each row, inside a transaction, for those who keep a table of their own."""
        self._db.executemany(sql, rows)

    def size_bytes(self) -> int:
        """What the store takes on the disk: the database and its write-ahead log."""
        names = (self.path.name, self.path.name + "-wal")
        return sum(path.stat().st_size for path in map(self.path.with_name, names) if path.exists())

    def pages(self) -> "Pages":
        """How many pages the file has."""
        names = ("page_count", "freelist_count", "page_size")
        return Pages(*(int(self._execute(f"PRAGMA {name}")[0][0]) for name in names))

    def shrink(self) -> bool:
        """Give pages that hold nothing back to the volume, some at a time; whether any went.

        As many as a quarter of the file stay, for what comes next. Its own transaction.
        """
        pages = self.pages()
        if pages.free <= max(KEPT_PAGES, pages.total // 4):
            return False
        with self.transaction():
            self._execute(f"PRAGMA incremental_vacuum({SHRINK_PAGES})")
        return self.pages().total < pages.total

    def volume_free_bytes(self) -> int:
        """What the volume has left for us."""
        return self.free_bytes(self.path.parent)

    # -- for the modules of this folder that have tables of their own

    def run(self, sql: str, arguments: tuple[object, ...] = ()) -> list[Any]:
        """The rows of one statement."""
        return self._execute(sql, arguments)

    def run_many(self, sql: str, rows: Iterable[tuple[object, ...]]) -> None:
        """One statement for each row, inside a transaction."""
        self._db.executemany(sql, rows)

    def change(self, sql: str, arguments: tuple[object, ...]) -> int:
        """One statement, inside a transaction; how many rows it changed."""
        return self._db.execute(sql, arguments).rowcount

    def _execute(self, sql: str, arguments: tuple[object, ...] = ()) -> list[Any]:
        try:
            return self._db.execute(sql, arguments).fetchall()
        except sqlite3.Error as error:
            raise self._named(error) from error

    def decode(self, raw: bytes) -> Intervals:
        """A stored set. Raises `StoreCorrupt`."""
        try:
            return Intervals.decode(raw)
        except IntervalsError as error:
            self._corrupt = str(error)
            raise StoreCorrupt(f"the store is damaged: {error}") from error

    def _named(self, error: sqlite3.Error) -> StoreFull | StoreFailed:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            return StoreFull(f"the store is full: {error}")
        if is_corruption(error):
            self._corrupt = str(error)
            return StoreCorrupt(f"the store is damaged ({name}): {error}")
        return StoreFailed(f"the store failed ({name or 'no code'}): {error}")


def free_bytes(folder: Path) -> int:
    """What the volume of a folder has left for us."""
    volume = os.statvfs(folder)
    return volume.f_bavail * volume.f_frsize


def _configure(db: sqlite3.Connection) -> None:
    """Set what durability rests on, and read it back: builds of SQLite differ in their defaults."""
    if db.execute("PRAGMA page_count").fetchone()[0] == 0:  # of an older file it would be a write, and change nothing
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA cell_size_check = ON")  # notice a page that makes no sense when it is read
    db.execute(f"PRAGMA wal_autocheckpoint = {WAL_AUTOCHECKPOINT_PAGES}")
    db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
    synchronous = db.execute("PRAGMA synchronous").fetchone()[0]
    if mode != "wal" or synchronous != _SYNCHRONOUS_FULL:
        raise StoreFailed(
            f"SQLite gave journal_mode {mode} and synchronous {synchronous}: expected wal and {_SYNCHRONOUS_FULL}"
        )


__all__ = ["HEAD_CURSOR", "Store", "StoreTooNew"]
