"""The tables of the store, and how an older file becomes a newer one.

Promises: every migration runs in one transaction together with the note that it ran, so a kill leaves either the old
schema or the new one; a file written by a newer Tidegate is refused and left as it is.
"""

import functools

from edge.intervals import Intervals
from edge.lean_imports import Database, Migrations

migrations = Migrations("tidegate.store")


class StoreTooNew(Exception):
    """The file was written by a newer Tidegate. Who must act: the operator, by installing that version again."""

    def __init__(self, path: str, unknown: set[str]) -> None:
        super().__init__(
            f"{path} was written by a newer Tidegate (it knows {', '.join(sorted(unknown))}): install that version"
        )
        self.path = path
        self.unknown = unknown


@migrations()
def m0001_log_cursors_quarantine_ledger(db: Database) -> None:
    """The log of readings, how far each consumer has got, what was not understood, and the ledger.

    `readings.id` is assigned by the writer, without holes, and never used twice (see `m0014_head_in_the_log`), so
    that a position in the log stays true when rows behind it are deleted.
    """
    db.conn.execute(
        "CREATE TABLE devices (key INTEGER PRIMARY KEY, site TEXT NOT NULL, device TEXT NOT NULL,"
        " UNIQUE (site, device)) STRICT"
    )
    db.conn.execute(
        "CREATE TABLE readings (id INTEGER PRIMARY KEY, device_key INTEGER NOT NULL, boot INTEGER NOT NULL,"
        " seq INTEGER NOT NULL,"
        " taken_at_ms INTEGER NOT NULL, received_at_ms INTEGER NOT NULL, flags INTEGER NOT NULL, body BLOB NOT NULL,"
        " crc INTEGER NOT NULL) STRICT"
    )
    db.conn.execute("CREATE TABLE cursors (name TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID")
    db.conn.execute(
        "CREATE TABLE quarantine (id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, source TEXT NOT NULL,"
        " reason TEXT NOT NULL, topic BLOB NOT NULL, payload BLOB NOT NULL, reading_id INTEGER UNIQUE) STRICT"
    )
    db.conn.execute(
        "CREATE TABLE ledger (device_key INTEGER NOT NULL, boot INTEGER NOT NULL, entry TEXT NOT NULL,"
        " ranges BLOB NOT NULL,"
        " PRIMARY KEY (device_key, boot, entry)) STRICT, WITHOUT ROWID"
    )
    db.conn.execute("CREATE TABLE totals (name TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT, WITHOUT ROWID")


@migrations()
def m0002_windows_and_rollups(db: Database) -> None:
    """Windows that are open or may still be corrected, those that are forgotten, and the log of what they emitted.

    `rollups.id` rises by one within one size, so that each size is a log of its own, with cursors of its own.
    """
    db.conn.execute(
        "CREATE TABLE windows (device_key INTEGER NOT NULL, size_s INTEGER NOT NULL, start_ms INTEGER NOT NULL,"
        " dirty INTEGER NOT NULL, touched_ms INTEGER NOT NULL, next_ms INTEGER NOT NULL, body BLOB NOT NULL,"
        " crc INTEGER NOT NULL, PRIMARY KEY (device_key, size_s, start_ms)) STRICT, WITHOUT ROWID"
    )
    db.conn.execute("CREATE INDEX windows_next ON windows (next_ms)")
    db.conn.execute(
        "CREATE TABLE forgotten_windows (device_key INTEGER NOT NULL, size_s INTEGER NOT NULL, ranges BLOB NOT NULL,"
        " PRIMARY KEY (device_key, size_s)) STRICT, WITHOUT ROWID"
    )
    db.conn.execute(
        "CREATE TABLE rollups (size_s INTEGER NOT NULL, id INTEGER NOT NULL, device_key INTEGER NOT NULL,"
        " start_ms INTEGER NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL,"
        " PRIMARY KEY (size_s, id)) STRICT, WITHOUT ROWID"
    )


@migrations()
def m0003_delivered_ranges_and_notices(db: Database) -> None:
    """What a destination has is a set of ids, not a prefix of the log: a cursor becomes the range from 1 to it.

    And the log of notices: lines that go first.
    """
    db.conn.execute("CREATE TABLE ranges (name TEXT PRIMARY KEY, ranges BLOB NOT NULL) STRICT, WITHOUT ROWID")
    rows = db.conn.execute(
        "SELECT name, position FROM cursors WHERE position > 0"
        " AND (name LIKE 'forward/%' OR name LIKE 'ledger/delivered/%')"
    ).fetchall()
    for name, position in rows:
        new_name = f"{name}/readings" if name.startswith("forward/") else name
        db.conn.execute("INSERT INTO ranges VALUES (?, ?)", (new_name, Intervals([(1, position)]).encode()))
    db.conn.execute("DELETE FROM cursors WHERE name LIKE 'ledger/delivered/%'")
    db.conn.execute("CREATE TABLE notices (id INTEGER PRIMARY KEY, line BLOB NOT NULL, crc INTEGER NOT NULL) STRICT")


@migrations()
def m0004_foreign_devices(db: Database) -> None:
    """What recognises a repeat of a message that has no identity: the digests of recent ones (edge.mapping.recent)."""
    db.conn.execute("CREATE TABLE foreign_seen (id INTEGER PRIMARY KEY, digest BLOB NOT NULL) STRICT")


@migrations()
def m0005_series_and_sparkplug(db: Database) -> None:
    """What a device measures (edge.limits), and what Sparkplug nodes announced (edge.mapping.sparkplug)."""
    db.conn.execute(
        "CREATE TABLE device_series (device_key INTEGER NOT NULL, name TEXT NOT NULL, unit TEXT NOT NULL,"
        " PRIMARY KEY (device_key, name, unit)) STRICT, WITHOUT ROWID"
    )
    db.conn.execute(
        "CREATE TABLE sparkplug_nodes (node TEXT PRIMARY KEY, seq INTEGER, bd_seq INTEGER, born INTEGER NOT NULL,"
        " metrics BLOB NOT NULL) STRICT, WITHOUT ROWID"
    )


@migrations()
def m0006_link_events_and_outages(db: Database) -> None:
    """What the recorder saw: lines of the recording format on its own clock, outages, and until when it was on."""
    db.conn.execute(
        "CREATE TABLE link_events (id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, link TEXT, kind TEXT NOT NULL,"
        " line BLOB NOT NULL) STRICT"
    )
    db.conn.execute("CREATE INDEX link_events_at ON link_events (at_us)")
    db.conn.execute(
        "CREATE TABLE outages (link TEXT NOT NULL, number INTEGER NOT NULL, seen_us INTEGER NOT NULL,"
        " end_us INTEGER, document BLOB NOT NULL, PRIMARY KEY (link, number)) STRICT, WITHOUT ROWID"
    )
    db.conn.execute(
        "CREATE TABLE recorder (one INTEGER PRIMARY KEY CHECK (one = 1), alive_us INTEGER NOT NULL,"
        " alive_wall_ms INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT"
    )


@migrations()
def m0007_age_marks(db: Database) -> None:
    """Which ids of the log had come when the age clock (milliseconds in which the gateway ran) showed what."""
    db.conn.execute("CREATE TABLE age_marks (at_ms INTEGER PRIMARY KEY, head INTEGER NOT NULL) STRICT")


@migrations()
def m0008_alerts(db: Database) -> None:
    """Alerts, what is published of them by device, and what rules remember of a device (edge.alerts)."""
    db.conn.execute(
        "CREATE TABLE alerts (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, device_key INTEGER NOT NULL,"
        " severity INTEGER NOT NULL, is_active INTEGER NOT NULL, is_known INTEGER NOT NULL,"
        " is_open INTEGER NOT NULL, changed INTEGER NOT NULL,"
        " body BLOB NOT NULL, crc INTEGER NOT NULL) STRICT"
    )
    db.conn.execute("CREATE UNIQUE INDEX alerts_open ON alerts (name) WHERE is_open = 1")
    db.conn.execute("CREATE INDEX alerts_of_device ON alerts (device_key, changed)")
    db.conn.execute(
        "CREATE TABLE alert_devices (device_key INTEGER PRIMARY KEY, changed INTEGER NOT NULL,"
        " published INTEGER NOT NULL, boot INTEGER NOT NULL, seq INTEGER NOT NULL) STRICT"
    )
    db.conn.execute("CREATE INDEX alerts_unpublished ON alert_devices (changed) WHERE changed > published")
    db.conn.execute(
        "CREATE TABLE rule_states (device_key INTEGER PRIMARY KEY, body BLOB NOT NULL, crc INTEGER NOT NULL) STRICT"
    )


@migrations()
def m0009_quarantine_by_destination(db: Database) -> None:
    """One reading may be refused by several destinations, once by each."""
    db.conn.execute("ALTER TABLE quarantine RENAME TO quarantine_before")
    db.conn.execute(
        "CREATE TABLE quarantine (id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, source TEXT NOT NULL,"
        " reason TEXT NOT NULL, topic BLOB NOT NULL, payload BLOB NOT NULL, reading_id INTEGER,"
        " UNIQUE (source, reading_id)) STRICT"
    )
    db.conn.execute("INSERT INTO quarantine SELECT * FROM quarantine_before")
    db.conn.execute("DELETE FROM sqlite_sequence WHERE name = 'quarantine'")
    db.conn.execute(  # a number that was given once is never given again
        "INSERT INTO sqlite_sequence SELECT 'quarantine', seq FROM sqlite_sequence WHERE name = 'quarantine_before'"
    )
    db.conn.execute("DROP TABLE quarantine_before")


@migrations()
def m0010_link_months(db: Database) -> None:
    """What each destination was sent in each month (12 * year + month - 1), and which level of its budget was told."""
    db.conn.execute(
        "CREATE TABLE link_months (destination TEXT NOT NULL, month INTEGER NOT NULL, bytes INTEGER NOT NULL,"
        " level INTEGER NOT NULL, from_ms INTEGER, PRIMARY KEY (destination, month)) STRICT, WITHOUT ROWID"
    )


@migrations()
def m0011_commands_and_firmware(db: Database) -> None:
    """Commands to devices (edge.commands), what devices say of their firmware, images and rollouts (edge.firmware).

    All without rowid: of a damaged file, a salvage reads such tables from both ends, and not by halving.
    """
    db.conn.execute(
        "CREATE TABLE commands (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, site TEXT NOT NULL,"
        " device TEXT NOT NULL, name TEXT NOT NULL, args BLOB NOT NULL, state TEXT NOT NULL, detail TEXT NOT NULL,"
        " issued_at_ms INTEGER NOT NULL, expires_clock_ms INTEGER NOT NULL, attempts INTEGER NOT NULL,"
        " sent_clock_ms INTEGER, sent_at_ms INTEGER, done_at_ms INTEGER) STRICT, WITHOUT ROWID"
    )
    db.conn.execute("CREATE INDEX commands_of_device ON commands (site, device, number)")
    db.conn.execute("CREATE INDEX commands_open ON commands (expires_clock_ms) WHERE state IN ('waiting', 'sent')")
    db.conn.execute(
        "CREATE TABLE device_reports (site TEXT NOT NULL, device TEXT NOT NULL, firmware TEXT,"
        " update_version TEXT, update_phase TEXT, update_detail TEXT NOT NULL, update_done INTEGER NOT NULL,"
        " update_chunks INTEGER NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (site, device)) STRICT, WITHOUT ROWID"
    )
    db.conn.execute(
        "CREATE TABLE firmware_images (sha256 TEXT PRIMARY KEY, version TEXT NOT NULL, added_at_ms INTEGER NOT NULL,"
        " manifest BLOB NOT NULL, image BLOB NOT NULL) STRICT, WITHOUT ROWID"
    )
    db.conn.execute(
        "CREATE TABLE rollouts (id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, version TEXT NOT NULL,"
        " devices TEXT NOT NULL, percent INTEGER NOT NULL, halt_percent INTEGER NOT NULL, state TEXT NOT NULL,"
        " detail TEXT NOT NULL, started_at_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID"
    )
    db.conn.execute(
        "CREATE TABLE rollout_devices (rollout INTEGER NOT NULL, site TEXT NOT NULL, device TEXT NOT NULL,"
        " command TEXT NOT NULL, result TEXT NOT NULL, detail TEXT NOT NULL,"
        " PRIMARY KEY (rollout, site, device)) STRICT, WITHOUT ROWID"
    )


@migrations()
def m0012_ledger_untold(db: Database) -> None:
    """Accounts of the ledger that changed since the cloud was last told (edge.ledger_lines): at first, all of them."""
    db.conn.execute(
        "CREATE TABLE ledger_untold (id INTEGER PRIMARY KEY AUTOINCREMENT, device_key INTEGER NOT NULL,"
        " boot INTEGER NOT NULL, UNIQUE (device_key, boot)) STRICT"
    )
    db.conn.execute("INSERT INTO ledger_untold (device_key, boot) SELECT DISTINCT device_key, boot FROM ledger")


@migrations()
def m0012_quarantine_by_source(db: Database) -> None:
    """What was not understood can be summed up and evicted without a look at what a destination refused."""
    db.conn.execute("CREATE INDEX quarantine_source ON quarantine (source, id)")


@migrations()
def m0013_windows_by_time(db: Database) -> None:
    """Windows lie in the order of their time: those that are open now are on the same few pages, whoever's they are.

    By device, every window of a page of the log was on a page of the file of its own, and so was each one forgotten.
    """
    db.conn.execute("DROP INDEX windows_next")
    db.conn.execute("ALTER TABLE windows RENAME TO windows_by_device")
    db.conn.execute(
        "CREATE TABLE windows (device_key INTEGER NOT NULL, size_s INTEGER NOT NULL, start_ms INTEGER NOT NULL,"
        " dirty INTEGER NOT NULL, touched_ms INTEGER NOT NULL, next_ms INTEGER NOT NULL, body BLOB NOT NULL,"
        " crc INTEGER NOT NULL, PRIMARY KEY (size_s, start_ms, device_key)) STRICT, WITHOUT ROWID"
    )
    db.conn.execute("INSERT INTO windows SELECT * FROM windows_by_device ORDER BY size_s, start_ms, device_key")
    db.conn.execute("DROP TABLE windows_by_device")
    db.conn.execute("CREATE INDEX windows_next ON windows (next_ms)")


@migrations()
def m0014_head_in_the_log(_db: Database) -> None:
    """The newest row of the log says which ids were given out; `cursors` says it only where that row was deleted.

    One page less is written with every reading. An older version would give ids a second time.
    """


def migrate(db: Database, path: str, wanted: Migrations = migrations) -> list[str]:
    """Bring the file up to date; the names of the migrations that ran. Raises `StoreTooNew`."""
    done = {each.name for each in wanted.applied(db)}
    names = _names(wanted)
    if unknown := done.difference(names):
        raise StoreTooNew(path, unknown)
    pending = [name for name in names if name not in done]
    if pending:
        wanted.apply(db)
    return pending


@functools.cache
def _names(wanted: Migrations) -> tuple[str, ...]:
    """Those of every migration of this version: all are pending on an empty file."""
    return tuple(each.name for each in wanted.pending(Database(memory=True)))
