"""The book of alerts: raised, cleared, acknowledged; told to the cloud and to MQTT; kept within bounds.

    (none) --raise--> active --clear--> cleared, waits for somebody --acknowledge--> closed
                        |                   |
                        |                   +--raise--> active again: same id, counted
                        +--acknowledge--> active, known --clear--> closed

These are the states of ISA-18.2 (alarm management): an alert stays open until it has passed *and* somebody has said
that they saw it, so one that flaps for a week is one entry and not ten thousand. Open alerts are bounded by what there
is to raise (rules and devices), closed ones by `kept`; an open one, or one that MQTT has not heard of, is
never deleted.

Every change is one line on the lane of notices (measurement `alert`), which goes first and is never dropped by a
budget, and marks its device for MQTT. All of it is written in the transaction of whoever found the change.
Synchronous; lives in the store's thread; keeps nothing in memory.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from msgspec.structs import replace

from edge.feedback import Downlink
from edge.forward.lines import NS_PER_MS, escape_tag, escape_text
from edge.ledger import Ledger
from edge.limits import LimitExceeded
from edge.store import Store
from edge.store.alerts import SEVERITIES, Alert, AlertRow, AlertTables
from edge.store.names import ALERTS_RAISED
from edge.store.notices import Notices
from sensors.alerts import DeviceAlert, DeviceAlerts, Severity, TopicAlert, encode_alert
from sensors.topics import DEFAULT_ROOT, Kind, build_topic

GATEWAYS_SITE = "gateways"
"""The site under which a gateway's own alerts stand; the device is the gateway's name."""
GATEWAY_KEY = 0
KEPT = 10_000  # closed alerts: a year of thirty a day, some 3 MB
TRIM_ROWS = 100  # of one transaction
LIST_MAX = 1000
SHOWN_MAX = 20  # alerts of one MQTT message in each list: about 6 KB
PUBLISH_MAX = 50  # devices of one look
DEVICE_ALERTS_MAX = 32  # open alerts that one device may have raised itself
OVER_ALERTS = "over_alerts"
BY_MAX = 64


class Publication(NamedTuple):
    """What is to be published, retained, of a device; `changed` is told back when the broker has it."""

    device_key: int
    changed: int
    message: Downlink


class Listed(NamedTuple):
    """What a list of alerts is chosen by. `state`: active, unacknowledged, open, closed or all."""

    state: str = "open"
    severity: Severity | None = None
    device_key: int | None = None
    before_id: int = 2**62
    limit: int = 100


_STATES = {
    "active": "is_open = 1 AND is_active = 1",
    "unacknowledged": "is_open = 1 AND is_known = 0",
    "open": "is_open = 1",
    "closed": "is_open = 0",
    "all": "1",
}


class AlertBook:
    """The alerts of one store."""

    def __init__(
        self, store: Store, ledger: Ledger, *, gateway: str, root: str = DEFAULT_ROOT, kept: int = KEPT
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._tables = AlertTables(store)
        self._notices = Notices(store)
        self._gateway = gateway
        self._root = root
        self._kept = kept

    # -- changes, inside a transaction

    def raise_alert(self, device_key: int, alert: Alert, key: str) -> int:
        """Raise an alert, or the open one of the same key again; its id. One that is active already stays as it is.

        `key`: what makes it the same one, of all of one source and device: a rule's fingerprint, or its name.
        """
        name = _name(alert, device_key, key)
        if alert.number is not None and not math.isfinite(alert.number):
            alert = replace(alert, number=None)
        row = self._tables.open_one(name)
        if row is not None and row.alert.is_active:
            return row.id
        self._ledger.count(ALERTS_RAISED)
        changed = self._notices.head() + 1
        if row is None:
            row_id = self._tables.add(name, device_key, changed, alert)
            self._trim()
        else:
            row_id = row.id
            alert = replace(alert, count=row.alert.count + 1)
            self._tables.put(AlertRow(row_id, name, device_key, changed, alert))
        self._tell("raised", row_id, device_key, alert, alert.raised_ms)
        return row_id

    def clear_alert(self, device_key: int, alert: Alert, key: str, at_ms: int, number: float | None = None) -> bool:
        """Clear the active alert of this key; whether there was one."""
        row = self._tables.open_one(_name(alert, device_key, key))
        if row is None or not row.alert.is_active:
            return False
        self._clear(row, at_ms, number)
        return True

    def clear_rules_but(self, fingerprints: Iterable[str], at_ms: int) -> None:
        """Clear every active alert of a rule that is no longer there, or decides differently now."""
        kept = set(fingerprints)
        for row in self._tables.find("is_open = 1 AND is_active = 1 AND name LIKE 'rule/%'", (), 2**31):
            if row.name.split("/")[1] not in kept:
                self._clear(row, at_ms, None)

    def _clear(self, row: AlertRow, at_ms: int, number: float | None) -> None:
        alert = replace(row.alert, cleared_ms=at_ms)
        if number is not None and math.isfinite(number):
            alert = replace(alert, number=number)
        self._tables.put(row._replace(changed=self._notices.head() + 1, alert=alert))
        self._tell("cleared", row.id, row.device_key, alert, at_ms)

    def take(self, device_key: int, said: DeviceAlert, received_at_ms: int) -> bool:
        """Take what a device says of itself; whether it was new. Raises `LimitExceeded`; then nothing has changed."""
        if (said.boot, said.seq) <= self._tables.heard(device_key):
            return False
        site, device = self._store.device_name(device_key)
        since_ms = received_at_ms if said.since_ms is None else said.since_ms
        alert = Alert(
            "device", said.alert, site, device, said.severity, said.message or said.alert, since_ms, received_at_ms
        )
        if said.state == "raised":
            open_now = self._tables.count("device_key = ? AND is_open = 1 AND name LIKE 'device/%'", (device_key,))
            if open_now >= DEVICE_ALERTS_MAX and self._tables.open_one(_name(alert, device_key, said.alert)) is None:
                raise LimitExceeded(OVER_ALERTS, f"{open_now} open alerts: expected at most {DEVICE_ALERTS_MAX}")
            self.raise_alert(device_key, alert, said.alert)
        else:
            self.clear_alert(device_key, alert, said.alert, received_at_ms)
        self._tables.put_heard(device_key, said.boot, said.seq)
        return True

    def _tell(self, event: str, row_id: int, device_key: int, alert: Alert, at_ms: int) -> None:
        changed = self._notices.head() + 1
        self._notices.append(alert_line(alert, event, row_id, at_ms, changed, self._gateway))
        self._tables.touch(device_key, changed)

    def _trim(self) -> None:
        if self._tables.count("is_open = 0") > self._kept:
            self._tables.delete_closed(TRIM_ROWS)

    # -- changes by people and by the broker, each its own transaction

    def acknowledge(self, alert_id: int, by: str, at_ms: int) -> AlertRow | None:
        """Note that somebody has seen it; None if there is no such alert. The first one counts. Raises `StoreError`."""
        row = self._tables.get(alert_id)
        if row is None or row.alert.acknowledged_ms is not None:
            return row
        with self._ledger.transaction():
            alert = replace(row.alert, acknowledged_ms=at_ms, acknowledged_by=by)
            row = row._replace(changed=self._notices.head() + 1, alert=alert)
            self._tables.put(row)
            self._tell("acknowledged", row.id, row.device_key, alert, at_ms)
        return row

    def published(self, done: Iterable[tuple[int, int]]) -> None:
        """The broker has acknowledged these (device_key, changed). Raises `StoreError`."""
        with self._store.transaction():
            self._tables.put_published(done)

    def publish_again(self) -> None:
        """The broker may have forgotten what it retained: say again what is active. Raises `StoreError`."""
        with self._store.transaction():
            self._tables.unpublish_active()

    # -- questions

    def unpublished(self) -> list[Publication]:
        """What is to be published next. Raises `StoreError`."""
        return [self._publication(each.device_key, each.changed, each.published)
                for each in self._tables.unpublished(PUBLISH_MAX)]  # fmt: skip

    def _publication(self, device_key: int, changed: int, published: int) -> Publication:
        active = self._tables.find("device_key = ? AND is_active = 1", (device_key,), SHOWN_MAX)
        cleared = self._tables.find(
            "device_key = ? AND is_active = 0 AND changed > ?", (device_key, published), SHOWN_MAX
        )
        message = DeviceAlerts(
            self._gateway,
            self._tables.count("device_key = ? AND is_active = 1", (device_key,)),
            tuple(map(_topic_alert, active)),
            tuple(map(_topic_alert, cleared)),
        )
        topic = build_topic(*self.name_of(device_key), Kind.ALERT, self._root)
        return Publication(device_key, changed, Downlink(topic, encode_alert(message)))

    def name_of(self, device_key: int) -> tuple[str, str]:
        """(site, device) of a key; also of the gateway's own."""
        return self._store.device_name(device_key) if device_key else (GATEWAYS_SITE, self._gateway)

    def alerts(self, wanted: Listed) -> list[AlertRow]:
        """Some alerts, the newest first. Raises `StoreError`."""
        where, arguments = self._where(wanted)
        return self._tables.page(where, arguments, wanted.before_id, min(wanted.limit, LIST_MAX))

    def worst(self, wanted: Listed) -> list[AlertRow]:
        """Some alerts, those that matter most first. Raises `StoreError`."""
        where, arguments = self._where(wanted)
        return self._tables.find(where, arguments, min(wanted.limit, LIST_MAX))

    def count(self, wanted: Listed) -> int:
        """How many there are, whatever the limit. Raises `StoreError`."""
        return self._tables.count(*self._where(wanted))

    def active_of(self, source: str) -> list[AlertRow]:
        """Every active alert of a source. Raises `StoreError`."""
        return self._tables.find("is_open = 1 AND is_active = 1 AND name LIKE ?", (f"{source}/%",), LIST_MAX)

    def active_counts(self) -> dict[Severity, int]:
        """How many are active, by severity. Raises `StoreError`."""
        return self._tables.active_counts()

    @property
    def revision(self) -> int:
        """Rises with every change."""
        return self._notices.head()

    @staticmethod
    def _where(wanted: Listed) -> tuple[str, tuple[object, ...]]:
        where, arguments = _STATES[wanted.state], []
        if wanted.severity is not None:
            where += " AND severity = ?"
            arguments.append(SEVERITIES.index(wanted.severity))
        if wanted.device_key is not None:
            where += " AND device_key = ?"
            arguments.append(wanted.device_key)
        return where, tuple(arguments)


def alert_line(alert: Alert, event: str, alert_id: int, at_ms: int, changed: int, gateway: str) -> str:
    """One change as a line; the digits below the millisecond keep two of one millisecond apart."""
    tags = {
        "device": alert.device, "gateway": gateway, "rule": alert.rule, "severity": alert.severity, "site": alert.site,
        "source": alert.source,
    }  # fmt: skip
    head = ",".join(["alert", *(f"{key}={escape_tag(text)}" for key, text in tags.items())])
    fields = [f'event="{event}"', f"id={alert_id}i", f"active={str(alert.is_active).lower()}"]
    fields += [f'message="{escape_text(alert.message)}"', f"since_ms={alert.since_ms}i", f"count={alert.count}i"]
    texts = {"value": alert.value, "unit": alert.unit, "acknowledged_by": alert.acknowledged_by}
    fields += [f'{key}="{escape_text(text)}"' for key, text in texts.items() if text]
    numbers = {"number": alert.number, "threshold": alert.threshold}
    fields += [f"{key}={number!r}" for key, number in numbers.items() if number is not None]
    return f"{head} {','.join(fields)} {at_ms * NS_PER_MS + changed % NS_PER_MS}"


def _name(alert: Alert, device_key: int, key: str) -> str:
    """What makes an alert the same one. Only the unit, which stands last, may hold a slash."""
    return "/".join([alert.source, key, str(device_key), alert.unit or ""])


def _topic_alert(row: AlertRow) -> TopicAlert:
    alert = row.alert
    return TopicAlert(
        row.id, alert.rule, alert.severity, alert.message, alert.since_ms, alert.raised_ms, alert.value, alert.unit,
        alert.number, alert.threshold, alert.cleared_ms, alert.acknowledged_ms, alert.acknowledged_by,
    )  # fmt: skip
