"""The gateway's store: one SQLite file with an append-only log of readings and the positions of those who read it.

Promises: what `transaction` returned from is on the disk (WAL, `synchronous=FULL`, read back at opening); a failed
transaction leaves nothing behind; ids of the log rise by one and are never used twice; reading does not delete.
Synchronous and for one thread: the shell owns that thread. A second process is refused by a lock.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from edge.lean_imports import Database
from edge.store.ballast import Ballast
from edge.store.check import Damaged, check_content, check_files, is_corruption, is_damage
from edge.store.device_names import UNKNOWN_DEVICE, DeviceNames
from edge.store.errors import StoreCorrupt, StoreFailed, StoreFull, StoreUnusable
from edge.store.files import OpenFiles, check_access
from edge.store.lock import Left, StoreLock
from edge.store.names import HEAD_CURSOR
from edge.store.records import Records
from edge.store.rows import LogEntry, RowCorrupt, StoredRow, pack, unpack
from edge.store.salvage import Salvage, finish, keep_open_copy, salvage
from edge.store.schema import StoreTooNew, migrate
from edge.store.tail import Tail
from edge.store.transaction import Transaction
from edge.store.wal import WalWatch, cut_back, wal_bytes_max
from sensors.reading import Reading

WAL_AUTOCHECKPOINT_PAGES = 1000  # about 4 MB: SQLite's own default, written down because WAL growth is a promise
KEPT_PAGES = 256  # 1 MiB: giving back and taking again costs writes
SHRINK_PAGES = 500  # of one transaction: 2 MB of writes, about 20 ms in which ingest waits
PAGES_MAX = 2**32 - 2  # SQLite's own limit
BUSY_TIMEOUT_MS = 5000  # readers of ours hold the file for a second at most
ROW_BYTES = 80  # of a row of the log beside its body
_SYNCHRONOUS_FULL = 2
_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR")  # on a full disk the log's index cannot grow: an I/O error


class Page(NamedTuple):
    """Entries of the log in order, and the damaged row that stands behind them, if it is one that ended the page."""

    entries: list[LogEntry]
    damaged: StoredRow | None


class Pages(NamedTuple):
    """The file's pages, how many of them hold nothing, and the size of one."""

    total: int
    free: int
    size_bytes: int


class StoreCare(NamedTuple):
    """What surrounds the file: the write-ahead log, and whether a reader keeps it from being cut back; the ballast.

    `waits_for_clock`: whether readings wait for the gateway's own clock.
    """

    wal_bytes: int
    wal_held_up: bool
    ballast_held: bool
    ballast_released: int
    waits_for_clock: bool


class Store(Records, DeviceNames):
    """The open store. Use as a context manager, or call `close`.

    A file that is damaged is salvaged when it is opened, see `edge.store.salvage`; `salvaged` says what came of it.
    Raises on construction: `StoreLocked`, `StoreUnusable`, `StoreTooNew`.
    """

    def __init__(self, path: Path, destinations: Sequence[str] = (), *, disk_bytes_max: int | None = None) -> None:
        """`destinations`: whom the log is for; a salvage says for each of them what it is done with.

        `disk_bytes_max`: what file and write-ahead log may take together; beyond it `StoreFull` is raised. Such a store
        has a ballast beside it.
        """
        super().__init__()
        self.disk_bytes_max = disk_bytes_max
        self.pages_max: int | None = None
        self.appended_bytes = 0
        """Of rows and of what went to quarantine, since the start: what the file may have grown by."""
        self.hold_from: int | None = None
        """The first reading that nobody may send or roll up yet, see `edge.own_clock`; None: there is none."""
        self.path = path
        self._folder = path.parent
        self.free_bytes: Callable[[Path], int] = free_bytes
        """Asks the volume; a simulated disk puts its own answer here."""
        self.strayed: Callable[[], str | None]
        """Asks for a file that was deleted or replaced; on a simulated disk nobody does."""
        self._heard: Callable[[str], None] | None = None
        self.salvaged: Salvage | None = None
        self._destinations = tuple(destinations)
        self._corrupt: str | None = None
        self._unopened: str | None = None
        if not path.parent.is_dir():
            raise StoreUnusable(str(path), f"{path.parent} is not a directory")
        self.wal = WalWatch(path, wal_bytes_max(disk_bytes_max))
        self.ballast = None if disk_bytes_max is None else Ballast(path, disk_bytes_max)
        self._files = OpenFiles(path)
        self.strayed = self._files.strayed
        self._lock = StoreLock(path)
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        try:
            if finish(self.path):
                self._lock.mark(Left.CLOSED)
            why = self._corrupt or self._gone() or self._connect()
            if why is not None:
                self._lock.mark(Left.DAMAGED)
                self.salvaged = salvage(self.path, why, self._destinations)
                self._corrupt = None
                self._lock.mark(Left.CLOSED)
                why = self._connect()
        except (sqlite3.Error, StoreFailed, OSError) as error:
            raise StoreUnusable(str(self.path), str(error)) from error
        if why is not None:
            raise StoreUnusable(str(self.path), why)

    def _gone(self) -> str | None:
        """What somebody has deleted since the store was last used, as a reason to salvage the rest; None: nothing."""
        left = self._lock.left
        if left is Left.DAMAGED:
            return "a salvage of it was interrupted"
        if not self.path.exists():
            return None if left is Left.UNKNOWN else "the file is gone, and there was one"
        if left is Left.OPEN and not self.path.with_name(self.path.name + "-wal").exists():
            return "its write-ahead log is gone, with what was committed last"
        return None

    def _connect(self) -> str | None:
        """Open the file; or why it is to be salvaged."""
        try:
            check_access(self.path)
            check_files(self.path)
            self._db = sqlite3.connect(
                self.path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000, check_same_thread=False
            )
            try:
                _configure(self._db)
                self._page_bytes: int = self._db.execute("PRAGMA page_size").fetchone()[0]
                self._limit_pages()
                migrate(Database(self._db, execute_plugins=False), str(self.path))
                check_content(self._db, self.path)
                self._forget_waiting()
                self._forget()
                self._read_names()
                self.head = self._head()
                self._in_doubt = False
                self._files.note()
                self._lock.mark(Left.OPEN)
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

    def _head(self) -> int:
        """The highest id ever given out: the log's own, or, where that row was deleted, the cursor's."""
        newest: int | None = self._db.execute("SELECT max(id) FROM readings").fetchone()[0]
        return max(self.cursor(HEAD_CURSOR), newest or 0)

    def limit_pages(self, pages_max: int | None) -> None:
        """Let the file have so many pages, or as many as it has now if those are more; None: as `disk_bytes_max` says.

        Holds until the file is opened again. Raises `StoreError`.
        """
        if pages_max is None:
            pages_max = self.pages_max or PAGES_MAX
        self._execute(f"PRAGMA max_page_count = {pages_max}")

    def _limit_pages(self) -> None:
        self._db.execute(f"PRAGMA journal_size_limit = {self.wal.bytes_max}")  # what it is cut back to after a burst
        if self.disk_bytes_max is not None:
            pages_max = (self.disk_bytes_max - self.wal.bytes_max) // self.pages().size_bytes
            self.pages_max = self._db.execute(f"PRAGMA max_page_count = {pages_max}").fetchone()[0]

    def trace(self, heard: Callable[[str], None] | None) -> None:
        """Tell each statement before it is carried out, also over `reopen`; None: no longer. What it raises is lost."""
        self._heard = heard
        self._db.set_trace_callback(heard)

    def reopen(self) -> None:
        """Close and open again: after a failed fsync the connection's view of the file is not to be trusted.

        A file that was found to be damaged is salvaged; one that was deleted is written again from what is still open.
        Raises `StoreUnusable`; what is asked of the store then is refused with the same reason.
        """
        if self.strayed() == str(self.path):
            with suppress(sqlite3.Error, OSError):  # without room, say: opening tells that the file is gone
                keep_open_copy(self._db, self.path)
        self._disconnect()
        try:
            self._open()
        except StoreUnusable as error:
            self._unopened = error.why
            raise
        self._unopened = None
        self._db.set_trace_callback(self._heard)

    def ensure_open(self) -> None:
        """Raises `StoreFailed` if `reopen` has failed: it is closed, whatever else there is to say of it."""
        if self._unopened is not None:
            raise StoreFailed(f"the store cannot be opened again: {self._unopened}")

    def close(self) -> None:
        """Close the file and let the next gateway in. Closing twice is harmless."""
        if self._waiting:
            with suppress(StoreFull, StoreFailed, sqlite3.Error), self.transaction():  # not written, it is done again
                pass
        self._disconnect()
        self._lock.release()

    def _disconnect(self) -> None:
        """Close the file, and say first that it needs no write-ahead log, if all of that is in the file."""
        with suppress(sqlite3.Error, OSError):
            if cut_back(self._db, 0):
                self._lock.mark(Left.CLOSED)
        self._db.close()
        with suppress(OSError):
            if not self.path.with_name(self.path.name + "-wal").exists():
                self._lock.mark(Left.CLOSED)

    def look_after(self) -> None:
        """To be called now and then: the files are there, the write-ahead log is within its bar, the ballast is made.

        Raises `StoreFailed` if somebody has deleted a file: reopening mends that.
        """
        self.ensure_files()
        try:
            self.wal.look(self._db, BUSY_TIMEOUT_MS)
        except sqlite3.Error as error:
            raise self.named(error) from error
        if self.ballast is not None:
            self.ballast.make(self.free_bytes(self._folder))

    def care(self) -> StoreCare:
        """How `look_after` found things."""
        ballast = self.ballast
        held, released = (False, 0) if ballast is None else (ballast.is_held, ballast.released)
        return StoreCare(self.wal.size_bytes(), self.wal.held_up, held, released, self.hold_from is not None)

    def ensure_files(self) -> None:
        """Raises `StoreFailed` if somebody has deleted or replaced a file, or its folder: reopening mends that."""
        strayed = self.strayed()
        if strayed is not None:
            self._in_doubt = True
            raise StoreFailed(f"{strayed} was deleted or replaced while it was in use: the store must be reopened")

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def transaction(self, *, leaves_waiting: bool = False) -> "Transaction":
        """One durable transaction: leaving the block normally means committed and synced.

        `leaves_waiting`: sets of ids that may wait (`put_ranges_later`) wait for another one.

        Raises `StoreFull` or `StoreFailed`; then nothing of the block was kept, and what the block had assigned (ids,
        device keys) is taken back. If it was the COMMIT that failed (an fsync, say), nobody knows whether the block was
        kept: every further transaction raises until `reopen` has read what the file holds.
        """
        return Transaction(self, leaves_waiting=leaves_waiting)

    def begin(self) -> tuple[int, int]:
        """Begin a transaction; what `roll_back` is to return to. For `Transaction`."""
        self.ensure_open()
        if self._in_doubt:
            raise StoreFailed("the last commit failed, and may have been one all the same: the store must be reopened")
        before = self.head, self.device_count
        self._is_waiting_written = False
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self.roll_back(*before)
            raise self.named(error) from error
        return before

    def commit(self, *, leaves_waiting: bool) -> None:
        """Commit what began. For `Transaction`."""
        if self._waiting and not (leaves_waiting or self._is_waiting_written):
            self.write_waiting()
        self._in_doubt = True
        self._db.execute("COMMIT")
        self.ensure_files()
        self._in_doubt = False
        if self._is_waiting_written:
            self._forget_waiting()

    def _forget(self) -> None:
        """Ask the file again for what is looked at more often than it changes."""
        self._tail: Tail[LogEntry] = Tail()
        self.tails: dict[str, Tail[Any]] = {}
        """The ends of other logs in the store, by name: for those who keep them."""
        self._forget_records()

    def roll_back(self, head: int, devices: int) -> None:
        """Undo what was done since. For `Transaction`."""
        self._forget()
        if self._db.in_transaction:
            with suppress(sqlite3.Error):  # SQLite has rolled back by itself, or the file is gone: reopening will tell
                self._db.execute("ROLLBACK")
        self.head = head
        self._forget_newest(devices)

    # -- the log

    def append(self, readings: Sequence[tuple[int, Reading]], received_at_ms: int) -> None:
        """Append (device_key, reading) pairs to the log, inside a transaction."""
        first = self.head + 1
        entries = [LogEntry(at, key, received_at_ms, reading) for at, (key, reading) in enumerate(readings, first)]
        rows = list(map(pack, entries))
        self._db.executemany("INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self.head += len(rows)
        self.moves += 1
        body_bytes = sum([len(row[7]) for row in rows])
        self.appended_bytes += body_bytes + ROW_BYTES * len(rows)
        self._tail.append(entries, body_bytes)

    @property
    def ready_through(self) -> int:
        """The highest id that may be sent and rolled up."""
        return self.head if self.hold_from is None else self.hold_from - 1

    def read(self, after_id: int, limit: int) -> Page:
        """The next entries behind a position, oldest first, up to the first damaged row."""
        recent = self._tail.read(after_id, limit)
        if recent is not None:
            return Page(recent, None)
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
            self._cut(position)
            return done.rowcount

    def drop_through(self, position: int) -> None:
        """Delete every entry up to `position`, inside a transaction."""
        self._db.execute("DELETE FROM readings WHERE id <= ?", (position,))
        self._cut(position)

    def _cut(self, position: int) -> None:
        """Rows up to a position are deleted; with the newest goes what told which ids were given out."""
        self._tail.forget_through(position)
        if position >= self.head:
            self.set_cursor(HEAD_CURSOR, self.head)

    def rewrite_times(self, rows: Sequence[StoredRow]) -> None:
        """Give rows of the log other times, inside a transaction."""
        self._db.executemany(
            "UPDATE readings SET taken_at_ms = ?, received_at_ms = ?, flags = ?, crc = ? WHERE id = ?",
            [(row[4], row[5], row[6], row[8], row[0]) for row in rows],
        )
        self._tail.clear()

    # -- for those who have tables of their own

    def query(self, sql: str, arguments: tuple[object, ...] = ()) -> list[Any]:
        """The rows of a SELECT, for those who keep a table of their own in the store. Raises `StoreError`."""
        return self._execute(sql, arguments)

    def write(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Carry out one statement for each row, inside a transaction, for those who keep a table of their own."""
        self._db.executemany(sql, rows)

    def size_bytes(self) -> int:
        """What the store takes on the disk: the database and its write-ahead log."""
        with suppress(FileNotFoundError):
            return self.path.stat().st_size + self.wal.size_bytes()
        return self.wal.size_bytes()

    def pages(self) -> "Pages":
        """How many pages the file has."""
        total, free = (self._execute(sql)[0][0] for sql in ("PRAGMA page_count", "PRAGMA freelist_count"))
        return Pages(total, free, self._page_bytes)

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
        """What the volume has left for readings: not what the ballast takes back."""
        owed = 0 if self.ballast is None else self.ballast.owed_bytes
        return max(0, self.free_bytes(self._folder) - owed)

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
            raise self.named(error) from error

    def named(self, error: sqlite3.Error) -> StoreFull | StoreFailed:
        """What an error of SQLite is to a caller."""
        name = getattr(error, "sqlite_errorname", "")
        ballast = self.ballast
        if name.startswith(_NO_ROOM) and ballast and self.free_bytes(self.path.parent) < ballast.size_bytes:
            ballast.release()
        if name == "SQLITE_FULL":
            return StoreFull(f"the store is full: {error}")
        if is_corruption(error):
            self._corrupt = str(error)
            return StoreCorrupt(f"the store is damaged ({name}): {error}")
        return StoreFailed(f"the store failed ({name or 'no code'}): {error}")


def free_bytes(folder: Path) -> int:
    """What the volume of a folder has left for us; 0 if the folder itself is gone."""
    try:
        volume = os.statvfs(folder)
    except OSError:
        return 0
    return volume.f_bavail * volume.f_frsize


def _configure(db: sqlite3.Connection) -> None:
    """Set what durability rests on, and read it back: builds of SQLite differ in their defaults."""
    if db.execute("PRAGMA page_count").fetchone()[0] == 0:  # of an older file it would be a write, and change nothing
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA cell_size_check = ON")  # notice a page that makes no sense when it is read
    db.execute(f"PRAGMA wal_autocheckpoint = {WAL_AUTOCHECKPOINT_PAGES}")
    synchronous = db.execute("PRAGMA synchronous").fetchone()[0]
    if mode != "wal" or synchronous != _SYNCHRONOUS_FULL:
        raise StoreFailed(
            f"SQLite gave journal_mode {mode} and synchronous {synchronous}: expected wal and {_SYNCHRONOUS_FULL}"
        )


__all__ = ["HEAD_CURSOR", "Store", "StoreCare", "StoreTooNew"]
