"""The store's tables of alerts: the alerts, what is published of them by device, and what rules remember of a device.

Promises: every row of an alert or of a rule's memory carries a CRC32 over all that it means, and a damaged one counts
as not there; ids are never used twice. Methods that write are called inside `Store.transaction`.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from edge.store.store import Store
from sensors.alerts import Severity

SEVERITIES = tuple(Severity)
_head = struct.Struct("<qqqqqqq")
_encoder = msgspec.msgpack.Encoder()


class Alert(msgspec.Struct, frozen=True, array_like=True):
    """One alert. It is open while it is active or not acknowledged; raised again while open, it keeps its id.

    `source` is `rule`, `device` or `gateway`; `since_ms` is by the clock of what it is about, other times by the
    gateway's. `count`: how often it was raised since it was opened.
    """

    source: str
    rule: str
    site: str
    device: str
    severity: Severity
    message: str
    since_ms: int
    raised_ms: int
    value: str | None = None
    unit: str | None = None
    number: float | None = None
    threshold: float | None = None
    count: int = 1
    cleared_ms: int | None = None
    acknowledged_ms: int | None = None
    acknowledged_by: str | None = None

    @property
    def is_active(self) -> bool:
        """Whether what it is about still holds."""
        return self.cleared_ms is None

    @property
    def is_open(self) -> bool:
        """Whether it still needs somebody, or has not passed."""
        return self.is_active or self.acknowledged_ms is None


class AlertRow(NamedTuple):
    """An alert in its place. `device_key` 0 is the gateway itself; `changed` is the notice of its last change."""

    id: int
    name: str
    device_key: int
    changed: int
    alert: Alert


class Unpublished(NamedTuple):
    """A device of which something is to be published: what changed after `published`, up to `changed`."""

    device_key: int
    changed: int
    published: int


_decoder = msgspec.msgpack.Decoder(Alert)
_COLUMNS = "SELECT id, name, device_key, severity, is_active, is_known, is_open, changed, body, crc FROM alerts"


class AlertTables:
    """The tables of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # -- alerts

    def add(self, name: str, device_key: int, changed: int, alert: Alert) -> int:
        """Write a new alert; its id."""
        sql = (
            "INSERT INTO alerts (name, device_key, severity, is_active, is_known, is_open, changed, body, crc)"
            " VALUES (?, ?, 0, 0, 0, 0, 0, x'', 0) RETURNING id"
        )
        row_id = int(self._store.run(sql, (name, device_key))[0][0])
        self.put(AlertRow(row_id, name, device_key, changed, alert))
        return row_id

    def put(self, row: AlertRow) -> None:
        """Write an alert over its older self."""
        alert, body = row.alert, _encoder.encode(row.alert)
        is_known = int(alert.acknowledged_ms is not None)
        marks = (SEVERITIES.index(alert.severity), int(alert.is_active), is_known, int(alert.is_open))
        crc = _crc(row.id, row.name, row.device_key, marks, row.changed, body)
        sql = (
            "UPDATE alerts SET severity = ?, is_active = ?, is_known = ?, is_open = ?, changed = ?, body = ?, crc = ?"
            " WHERE id = ?"
        )
        self._store.run_many(sql, [(*marks, row.changed, body, crc, row.id)])

    def open_one(self, name: str) -> AlertRow | None:
        """The open alert of that name; a damaged one makes room for the next."""
        rows = self._store.run(f"{_COLUMNS} WHERE name = ? AND is_open = 1", (name,))
        found = next(iter(_alerts(rows)), None)
        if rows and found is None:
            self._store.run("DELETE FROM alerts WHERE id = ?", (rows[0][0],))
        return found

    def get(self, alert_id: int) -> AlertRow | None:
        """One alert, or None."""
        return next(_alerts(self._store.run(f"{_COLUMNS} WHERE id = ?", (alert_id,))), None)

    def find(self, where: str, arguments: tuple[object, ...], limit: int) -> list[AlertRow]:
        """At most `limit` alerts of a condition, the active ones first, of these the worst, of these the newest."""
        order = "ORDER BY is_active DESC, severity DESC, id DESC LIMIT ?"
        return list(_alerts(self._store.run(f"{_COLUMNS} WHERE {where} {order}", (*arguments, limit))))

    def page(self, where: str, arguments: tuple[object, ...], before_id: int, limit: int) -> list[AlertRow]:
        """At most `limit` alerts of a condition with an id below `before_id`, the newest first."""
        rows = self._store.run(
            f"{_COLUMNS} WHERE {where} AND id < ? ORDER BY id DESC LIMIT ?", (*arguments, before_id, limit)
        )
        return list(_alerts(rows))

    def count(self, where: str = "1", arguments: tuple[object, ...] = ()) -> int:
        """How many alerts meet a condition."""
        return int(self._store.run(f"SELECT count(*) FROM alerts WHERE {where}", arguments)[0][0])  # noqa: S608

    def active_counts(self) -> dict[Severity, int]:
        """How many are active, by severity."""
        rows = self._store.run("SELECT severity, count(*) FROM alerts WHERE is_open = 1 AND is_active = 1 GROUP BY 1")
        return {SEVERITIES[severity]: count for severity, count in rows}

    def delete_closed(self, limit: int) -> int:
        """Delete the oldest alerts that are closed and published; how many went."""
        sql = (
            "DELETE FROM alerts WHERE id IN (SELECT id FROM alerts JOIN alert_devices USING (device_key)"
            " WHERE is_open = 0 AND alerts.changed <= published ORDER BY id LIMIT ?)"
        )
        return self._store.change(sql, (limit,))

    # -- what is published

    def touch(self, device_key: int, changed: int) -> None:
        """Note that something of a device is to be published."""
        self._store.run(
            "INSERT INTO alert_devices VALUES (?, ?, 0, -1, -1)"
            " ON CONFLICT (device_key) DO UPDATE SET changed = excluded.changed",
            (device_key, changed),
        )

    def unpublished(self, limit: int) -> list[Unpublished]:
        """Devices of which something is to be published, the longest waiting first."""
        rows = self._store.run(
            "SELECT device_key, changed, published FROM alert_devices WHERE changed > published ORDER BY changed"
            " LIMIT ?",
            (limit,),
        )
        return [Unpublished(*row) for row in rows]

    def put_published(self, done: Iterable[tuple[int, int]]) -> None:
        """Note up to which change the broker has what is said of a device: (device_key, changed)."""
        self._store.run_many(
            "UPDATE alert_devices SET published = max(published, ?) WHERE device_key = ?",
            [(changed, device_key) for device_key, changed in done],
        )

    def unpublish_active(self) -> None:
        """Note that what is said of devices with an active alert is to be published again."""
        self._store.run(
            "UPDATE alert_devices SET published = min(published, changed - 1)"
            " WHERE device_key IN (SELECT device_key FROM alerts WHERE is_open = 1 AND is_active = 1)"
        )

    def heard(self, device_key: int) -> tuple[int, int]:
        """(boot, seq) of the last alert that a device sent; (-1, -1): none yet."""
        rows = self._store.run("SELECT boot, seq FROM alert_devices WHERE device_key = ?", (device_key,))
        return (rows[0][0], rows[0][1]) if rows else (-1, -1)

    def put_heard(self, device_key: int, boot: int, seq: int) -> None:
        """Note the last alert that a device sent."""
        self._store.run(
            "INSERT INTO alert_devices VALUES (?, 0, 0, ?, ?)"
            " ON CONFLICT (device_key) DO UPDATE SET boot = excluded.boot, seq = excluded.seq",
            (device_key, boot, seq),
        )

    # -- what rules remember

    def memory(self, device_key: int) -> bytes | None:
        """What rules remember of a device, or None."""
        rows = self._store.run("SELECT body, crc FROM rule_states WHERE device_key = ?", (device_key,))
        return rows[0][0] if rows and rows[0][1] == zlib.crc32(rows[0][0], device_key) else None

    def memories(self, after_key: int, limit: int) -> list[tuple[int, bytes]]:
        """(device_key, what rules remember of it), by key."""
        rows = self._store.run(
            "SELECT device_key, body, crc FROM rule_states WHERE device_key > ? ORDER BY device_key LIMIT ?",
            (after_key, limit),
        )
        return [(key, body if crc == zlib.crc32(body, key) else b"") for key, body, crc in rows]

    def put_memories(self, memories: Sequence[tuple[int, bytes]]) -> None:
        """Write what rules remember, by device_key."""
        rows = [(key, body, zlib.crc32(body, key)) for key, body in memories]
        self._store.run_many("INSERT OR REPLACE INTO rule_states VALUES (?, ?, ?)", rows)

    def forget_memories(self) -> None:
        """Delete all that rules remember."""
        self._store.run("DELETE FROM rule_states")


def _crc(row_id: int, name: str, device_key: int, marks: Sequence[int], changed: int, body: bytes) -> int:
    head = _head.pack(row_id, device_key, *marks, changed)
    return zlib.crc32(body, zlib.crc32(name.encode(), zlib.crc32(head)))


def _alerts(rows: Iterable[tuple[Any, ...]]) -> Iterator[AlertRow]:
    for row_id, name, device_key, *marks, changed, body, crc in rows:
        if crc == _crc(row_id, name, device_key, marks, changed, body):
            yield AlertRow(row_id, name, device_key, changed, _decoder.decode(body))
