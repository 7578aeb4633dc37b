"""The point store: SQLite with InfluxDB's rules for what a write means.

Promises:
- A series is a measurement and its sorted tags. A point is a series and a time; writing it again overwrites it field by
  field (the union of the fields stays).
- A field keeps the type of its first value in its measurement and bucket; a point with another type is dropped and the
  conflict named.
- `write` is one transaction, durable when it returns (WAL, synchronous=FULL): all its accepted points, or none of them.
- Bounded: `points_max` points in all buckets, `disk_bytes_max` bytes of database. At a limit the whole write is refused
  with StoreFullError and nothing of it is kept, so that the sender can try again.
- Every point that met an existing one is counted: `rewritten` when its fields were equal, `changed` when they were not.
  So is, for its series, every new point that came `behind`: its time lies before the newest of its series.

Synchronous; one thread at a time; the only I/O is SQLite. Times are integer nanoseconds since 1970.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from cloud.lineprotocol import TIME_NS_MIN, FieldValue, Point, Series, field_type

SCHEMA_VERSION: Final = 2
BUSY_TIMEOUT_S: Final = 2.0  # long enough for a closing predecessor, short enough for a clear answer
JOURNAL_BYTES_MAX: Final = 16_000_000  # what the WAL file shrinks to after a checkpoint
EXPIRE_POINTS_MAX: Final = 50_000  # one transaction's worth of deleting: about a second for a slow disk
SECOND_NS: Final = 1_000_000_000
RESERVED_NAME: Final = "time"  # InfluxDB's name for the timestamp: refused as a tag, left out as a field

_SCHEMA: Final = """
CREATE TABLE bucket (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    points INTEGER NOT NULL DEFAULT 0, written INTEGER NOT NULL DEFAULT 0, rewritten INTEGER NOT NULL DEFAULT 0,
    changed INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0, expired INTEGER NOT NULL DEFAULT 0,
    requests INTEGER NOT NULL DEFAULT 0, body_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE series (
    id INTEGER PRIMARY KEY, bucket_id INTEGER NOT NULL REFERENCES bucket, measurement TEXT NOT NULL, tags TEXT NOT NULL,
    changed INTEGER NOT NULL DEFAULT 0, behind INTEGER NOT NULL DEFAULT 0,
    UNIQUE (bucket_id, measurement, tags)
) STRICT;
CREATE TABLE field (
    bucket_id INTEGER NOT NULL REFERENCES bucket, measurement TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL,
    PRIMARY KEY (bucket_id, measurement, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE point (
    series_id INTEGER NOT NULL REFERENCES series, time_ns INTEGER NOT NULL, fields BLOB NOT NULL,
    PRIMARY KEY (series_id, time_ns)
) STRICT, WITHOUT ROWID;
"""
_MIGRATIONS: Final = {1: "ALTER TABLE series ADD COLUMN behind INTEGER NOT NULL DEFAULT 0;"}
"""By the version that they begin with."""
# Sorted names: equal fields are equal bytes. UInt is an int subclass, which msgspec leaves to the hook.
_FIELDS_ENCODER: Final = msgspec.json.Encoder(enc_hook=int, order="sorted")


class CloudStoreError(Exception):
    """The point store cannot do what was asked."""


class BucketUnknownError(CloudStoreError):
    """No bucket of this name is configured."""

    def __init__(self, bucket: str) -> None:
        super().__init__(f'bucket "{bucket}" not found')
        self.bucket = bucket


class StoreFullError(CloudStoreError):
    """A limit is reached; nothing of the write was kept."""

    def __init__(self, limit: str) -> None:
        super().__init__(f"the embedded cloud is full: {limit} is reached; raise it or use a real InfluxDB")
        self.limit = limit


class StoreUnusableError(CloudStoreError):
    """The database file cannot be opened, is in use, or is not one of ours."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"db_path: {path}: {reason}")
        self.path = path
        self.reason = reason


class WriteReport(msgspec.Struct, frozen=True):
    """What one write did, in points. `reason` is InfluxDB's wording for the first dropped point, "" when none was."""

    created: int
    rewritten: int
    changed: int
    dropped: int
    reason: str


class BucketStats(msgspec.Struct, frozen=True):
    """One bucket's counters since the database was made, in points, requests and (decompressed) bytes.

    `written` = accepted points = created + rewritten + changed; `points` is how many are held now.
    """

    points: int
    written: int
    rewritten: int
    changed: int
    dropped: int
    expired: int
    requests: int
    body_bytes: int


class PointStore:
    """The buckets of one database file. Raises StoreUnusableError when the file cannot serve."""

    def __init__(
        self, path: Path, retention_s: Mapping[str, int | None], *, points_max: int, disk_bytes_max: int
    ) -> None:
        """Open or make the file. `retention_s` names the buckets; a value is how old a point may be in seconds."""
        self._points_max = points_max
        self._retention_s = dict(retention_s)
        self.connection = _open(path, disk_bytes_max)
        with self._transaction():
            for name in retention_s:
                self.connection.execute("INSERT OR IGNORE INTO bucket (name) VALUES (?)", (name,))
        rows = self.connection.execute("SELECT name, id FROM bucket").fetchall()
        self._bucket_ids: dict[str, int] = {name: key for name, key in rows if name in self._retention_s}

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self.connection.close()

    def bucket_id(self, bucket: str) -> int:
        """Return the row id of a configured bucket. Raises BucketUnknownError."""
        try:
            return self._bucket_ids[bucket]
        except KeyError:
            raise BucketUnknownError(bucket) from None

    def write(self, bucket: str, points: Sequence[Point], *, now_ns: int, body_bytes: int) -> WriteReport:
        """Write points in order, durably. Raises BucketUnknownError and StoreFullError (then nothing was kept)."""
        bucket_id = self.bucket_id(bucket)
        with self._transaction():
            batch = _Batch(self.connection, bucket_id, self._oldest_ns(bucket, now_ns))
            for point in points:
                batch.add(point)
            batch.count_behind()
            (held,) = self.connection.execute("SELECT sum(points) FROM bucket").fetchone()
            if batch.created and held + batch.created > self._points_max:
                raise StoreFullError(f"max_points = {self._points_max}")
            report = batch.report()
            self.connection.execute(
                "UPDATE bucket SET points = points + ?, written = written + ?, rewritten = rewritten + ?,"
                " changed = changed + ?, dropped = dropped + ?, requests = requests + 1, body_bytes = body_bytes + ?"
                " WHERE id = ?",
                (
                    report.created,
                    report.created + report.rewritten + report.changed,
                    report.rewritten,
                    report.changed,
                    report.dropped,
                    body_bytes,
                    bucket_id,
                ),
            )
        return report

    def drop_expired(self, now_ns: int) -> int:
        """Delete points older than their bucket's retention, and series left empty; return how many points.

        At most EXPIRE_POINTS_MAX points a bucket and call: call again until it returns 0.
        """
        total = 0
        for bucket, bucket_id in self._bucket_ids.items():
            oldest_ns = self._oldest_ns(bucket, now_ns)
            if oldest_ns is None:
                continue
            with self._transaction():
                expired = self.connection.execute(
                    "DELETE FROM point WHERE (series_id, time_ns) IN (SELECT series_id, time_ns FROM series"
                    " JOIN point ON series_id = id AND time_ns < ? WHERE bucket_id = ? LIMIT ?)",
                    (oldest_ns, bucket_id, EXPIRE_POINTS_MAX),
                ).rowcount
                self.connection.execute(
                    "DELETE FROM series WHERE bucket_id = ?"
                    " AND NOT EXISTS (SELECT 1 FROM point WHERE point.series_id = series.id)",
                    (bucket_id,),
                )
                self.connection.execute(
                    "UPDATE bucket SET points = points - ?, expired = expired + ? WHERE id = ?",
                    (expired, expired, bucket_id),
                )
            total += expired
        return total

    def stats(self) -> dict[str, BucketStats]:
        """Return each configured bucket's counters."""
        columns = ", ".join(BucketStats.__struct_fields__)
        rows = self.connection.execute(f"SELECT name, {columns} FROM bucket ORDER BY name")  # noqa: S608 (own names)
        return {name: BucketStats(*counts) for name, *counts in rows if name in self._bucket_ids}

    def _oldest_ns(self, bucket: str, now_ns: int) -> int | None:
        retention_s = self._retention_s[bucket]
        return None if retention_s is None else now_ns - retention_s * SECOND_NS

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException as error:
            # SQLite rolls back by itself on some errors (a full disk may be one), so a second ROLLBACK would fail.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise StoreFullError("max_disk_bytes (or the disk itself)") from error
            raise


class _Batch:
    """One write on its way into the open transaction."""

    def __init__(self, connection: sqlite3.Connection, bucket_id: int, oldest_ns: int | None) -> None:
        self.created = 0
        self._rewritten = self._changed = self._dropped = self._too_old = 0
        self._reason = ""
        self._connection = connection
        self._bucket_id = bucket_id
        self._oldest_ns = oldest_ns
        self._series_ids: dict[Series, int] = {}
        self._newest_ns: dict[int, int] = {}
        self._behind: Counter[int] = Counter()
        self._types: dict[str, dict[str, str]] = {}

    def report(self) -> WriteReport:
        # InfluxDB names a dropped point's own fault before its age.
        reason = self._reason or ("points beyond retention policy" if self._too_old else "")
        return WriteReport(self.created, self._rewritten, self._changed, self._dropped + self._too_old, reason)

    def count_behind(self) -> None:
        """Once all points are added: what came behind a newer point, on the account of its series."""
        rows = [(count, series_id) for series_id, count in self._behind.items()]
        self._connection.executemany("UPDATE series SET behind = behind + ? WHERE id = ?", rows)

    def add(self, point: Point) -> None:
        """Store one point, or count it as dropped."""
        if self._oldest_ns is not None and point.time_ns < self._oldest_ns:
            self._too_old += 1
            return
        fields = point.fields
        if RESERVED_NAME in fields:
            fields = {name: value for name, value in fields.items() if name != RESERVED_NAME}
        reason = self._fault(point, fields)
        if reason:
            self._dropped += 1
            self._reason = self._reason or reason
            return
        self._store(self._series_id(point.series), point.time_ns, fields)

    def _fault(self, point: Point, fields: Mapping[str, FieldValue]) -> str:
        """Say why the point must be dropped, in InfluxDB's words, or learn its new fields' types and return ""."""
        measurement = point.series.measurement
        if any(name == RESERVED_NAME for name, _ in point.series.tags):
            return f'invalid tag key: input tag "{RESERVED_NAME}" on measurement "{measurement}" is invalid'
        if not fields:
            return f'invalid field name: input field "{RESERVED_NAME}" on measurement "{measurement}" is invalid'
        types = self._types_of(measurement)
        unknown: list[tuple[str, str]] = []
        for name, value in fields.items():
            given, known = field_type(value), types.get(name)
            if known is None:
                unknown.append((name, given))
            elif known != given:
                return (
                    f'field type conflict: input field "{name}" on measurement "{measurement}" is type {given},'
                    f" already exists as type {known}"
                )
        for name, given in unknown:
            types[name] = given
            row = (self._bucket_id, measurement, name, given)
            self._connection.execute("INSERT INTO field (bucket_id, measurement, name, type) VALUES (?, ?, ?, ?)", row)
        return ""

    def _types_of(self, measurement: str) -> dict[str, str]:
        if measurement not in self._types:
            self._types[measurement] = dict(
                self._connection.execute(
                    "SELECT name, type FROM field WHERE bucket_id = ? AND measurement = ?",
                    (self._bucket_id, measurement),
                ).fetchall()
            )
        return self._types[measurement]

    def _series_id(self, series: Series) -> int:
        known = self._series_ids.get(series)
        if known is not None:
            return known
        key = (self._bucket_id, series.measurement, encode_tags(series.tags))
        self._connection.execute("INSERT OR IGNORE INTO series (bucket_id, measurement, tags) VALUES (?, ?, ?)", key)
        series_id: int
        series_id, newest_ns = self._connection.execute(
            "SELECT id, (SELECT max(time_ns) FROM point WHERE series_id = id) FROM series"
            " WHERE bucket_id = ? AND measurement = ? AND tags = ?",
            key,
        ).fetchone()
        self._series_ids[series] = series_id
        self._newest_ns[series_id] = TIME_NS_MIN if newest_ns is None else newest_ns
        return series_id

    def _store(self, series_id: int, time_ns: int, fields: Mapping[str, FieldValue]) -> None:
        encoded = _FIELDS_ENCODER.encode(fields)
        inserted = self._connection.execute(
            "INSERT OR IGNORE INTO point (series_id, time_ns, fields) VALUES (?, ?, ?)", (series_id, time_ns, encoded)
        )
        if inserted.rowcount == 1:
            self.created += 1
            if time_ns < self._newest_ns[series_id]:
                self._behind[series_id] += 1
            else:
                self._newest_ns[series_id] = time_ns
            return
        (stored,) = self._connection.execute(
            "SELECT fields FROM point WHERE series_id = ? AND time_ns = ?", (series_id, time_ns)
        ).fetchone()
        if stored == encoded:
            self._rewritten += 1
            return
        self._changed += 1
        self._connection.execute("UPDATE series SET changed = changed + 1 WHERE id = ?", (series_id,))
        # Raw: the fields that are not written again keep their very bytes.
        merged = msgspec.json.decode(stored, type=dict[str, msgspec.Raw])
        merged.update({name: msgspec.Raw(_FIELDS_ENCODER.encode(value)) for name, value in fields.items()})
        self._connection.execute(
            "UPDATE point SET fields = ? WHERE series_id = ? AND time_ns = ?",
            (_FIELDS_ENCODER.encode(merged), series_id, time_ns),
        )


def encode_tags(tags: Sequence[tuple[str, str]]) -> str:
    """Return the canonical text of sorted tags: a JSON object, the same for the same tags wherever it is made."""
    return msgspec.json.encode(dict(tags)).decode()


def _open(path: Path, disk_bytes_max: int) -> sqlite3.Connection:
    """Open the database for us alone, with its durability set and read back, and its schema in place."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise StoreUnusableError(path, f"cannot be opened ({error}); expected a writable place") from error
    try:
        _prepare(connection, path, disk_bytes_max)
    except sqlite3.Error as error:
        connection.close()
        locked = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
        reason = "in use by another process" if locked else f"not usable as a database ({error})"
        raise StoreUnusableError(path, reason) from error
    except StoreUnusableError:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, disk_bytes_max: int) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # a second cloud on this file is told so, at once
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("PRAGMA synchronous = FULL")
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    if (mode, synchronous) != ("wal", 2):
        raise StoreUnusableError(path, f"SQLite refused WAL and synchronous=FULL (it is {mode}, {synchronous})")
    connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES_MAX}")
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute(f"PRAGMA max_page_count = {disk_bytes_max // page_bytes}")
    connection.execute("BEGIN EXCLUSIVE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    connection.execute("COMMIT")
    if version == 0 and tables == 0:
        connection.executescript(f"BEGIN EXCLUSIVE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    elif version in _MIGRATIONS:
        connection.executescript(
            f"BEGIN EXCLUSIVE; {_MIGRATIONS[version]} PRAGMA user_version = {version + 1}; COMMIT;"
        )
    elif version != SCHEMA_VERSION:
        raise StoreUnusableError(path, f"schema {version} is not this program's {SCHEMA_VERSION}")
