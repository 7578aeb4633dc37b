"""The devices as rows and pages, read from the desk: names, latest values, and the ledger's sums.

Promises: reads only, in steps (`keys_per_step`) small enough that no ingest commit waits long behind one; what is
answered is bounded (`RANGES_MAX`, `BOOTS_MAX`). Lives in the store's thread; its methods are the questions of
`edge.dashboard.questions`.
"""

import json
from collections.abc import Iterable

from edge.commands.documents import device_commands
from edge.dashboard.documents import (
    BootLedger,
    Column,
    Cursor,
    DeviceDetail,
    DeviceRow,
    DevicesChanged,
    DeviceUpdate,
    DeviceValue,
    Ranges,
    Readings,
    StoreDetail,
)
from edge.dashboard.entries import Entry, Sums
from edge.dashboard.raw_log import raw_point
from edge.dashboard.retention import retention
from edge.desk import Desk
from edge.device_reports import DeviceReport
from edge.history.series import Point
from edge.intervals import Intervals
from edge.latest import DeviceLatest, Recent
from edge.ledger import (
    DELIVERED,
    EXPIRED,
    QUARANTINED,
    SUPPRESSED,
    THINNED,
    Account,
    entry_of,
    forward_cursor,
    is_settled,
    split_entry,
)

READERS = ("forward/", "sieve/", "live/", "windows/", "rules/", "ledger/received", "log/head")
"""Cursors of the log of readings; others count something else (rollups, months, a clock)."""
KEYS_PER_STEP = 1000  # devices of one look at what is in memory: 3 ms of the store's thread on a small machine
SUMS_PER_STEP = 100  # the same of one look at the ledger
CHANGED_MAX = 100  # rows of one live event; of a fleet that says more, a page asks for the rows that it shows
RANGES_MAX = 200  # of one ledger entry: more than a strip of a wall screen can tell apart
BOOTS_MAX = 20

LINK_VALUES = ("rssi", "rssi_dbm", "link_quality", "linkquality", "lqi", "snr", "snr_db")


class Directory:
    """Reads a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def count(self) -> int:
        """Devices ever heard; their keys are 1 to this."""
        return self._desk.store.device_count

    def entries(self, first_key: int, with_sums: bool) -> list[Entry]:
        """The entries of one step of keys. Raises `StoreError`."""
        last_key = min(first_key + keys_per_step(with_sums) - 1, self.count())
        return [self._entry(key, with_sums) for key in range(first_key, last_key + 1)]

    def rows(self, keys: Iterable[int]) -> list[DeviceRow]:
        """The rows of these devices. Raises `StoreError`."""
        return [self._row(key) for key in keys]

    def device(self, key: int) -> DeviceDetail | None:
        """One device whole, or None if no device has that key. Raises `StoreError`."""
        if not 0 < key <= self.count():
            return None
        accounts = list(self._desk.ledger.accounts_of(key))
        latest = self._desk.latest.get(key)
        return DeviceDetail(
            row=self._row(key),
            readings=_readings(latest, latest.ring if latest else ()),
            boots=[_boot(boot, account, self._desk.destination) for boot, account in accounts[: -BOOTS_MAX - 1 : -1]],
            boots_total=len(accounts),
        )

    def changed(self, since: int) -> tuple[int, DevicesChanged]:
        """The version now, and what changed since another. Raises `StoreError`."""
        keys: list[int] = []
        for device in self._desk.latest.changed_since(since):
            if len(keys) == CHANGED_MAX:
                return self.version(), DevicesChanged(rows=[], truncated=True)
            keys.append(device.key)
        return self.version(), DevicesChanged(rows=self.rows(keys), truncated=False)

    def update(self, key: int, since: int) -> tuple[int, DeviceUpdate | None]:
        """The version now, and what changed of one device since another; None if nothing. Raises `StoreError`."""
        latest = self._desk.latest.get(key)
        if latest is None or latest.version <= since:
            return self.version(), None
        return self.version(), DeviceUpdate(
            row=self._row(key), readings=_readings(latest, latest.readings_since(since))
        )

    def commands(self, key: int, now_ms: int) -> str:
        """The newest commands of one device, as JSON. Raises `StoreError`."""
        if not 0 < key <= self.count():
            return '{"commands": []}'
        site, device = self._desk.store.device_name(key)
        return json.dumps(device_commands(self._desk.downlinks.commands, site, device, now_ms))

    def commands_version(self) -> int:
        """Grows with every change of a command."""
        return self._desk.downlinks.commands.version

    def version(self) -> int:
        """The version now."""
        return self._desk.latest.version

    def names(self, key: int) -> list[tuple[str, str | None]]:
        """(name, unit) of every number that a device sent since the start."""
        latest = self._desk.latest.get(key)
        return [] if latest is None else list(latest.columns)

    def ring(self, key: int, name: str, unit: str | None) -> list[tuple[Point, tuple[int, int]]]:
        """The recent readings of one value, each with its boot and seq. `unit` None: any."""
        latest = self._desk.latest.get(key)
        if latest is None:
            return []
        at = next((at for (known, its), at in latest.columns.items() if known == name and unit in (None, its)), None)
        if at is None:
            return []
        return [
            (raw_point(each.taken_at_ms, each.received_at_ms, number), (each.boot, each.seq))
            for each in latest.ring
            if at < len(each.numbers) and (number := each.numbers[at]) is not None
        ]

    def store(self, at_ms: int) -> StoreDetail:
        """The store. Raises `StoreError`."""
        store, ledger = self._desk.store, self._desk.ledger
        cursors = store.cursors() | {forward_cursor(name): ledger.passed(name) for name in ledger.destinations}
        return StoreDetail(
            at_ms=at_ms,
            bytes=store.size_bytes(),
            head=store.head,
            devices=store.device_count,
            quarantine=self._desk.quarantine.count(),
            retention=retention(self._desk.rules),
            cursors=[
                Cursor(name=name, position=position, behind=store.head - position)
                for name, position in cursors.items()
                if name.startswith(READERS)
            ],
            totals=dict(self._desk.ledger.totals),
        )

    def _entry(self, key: int, with_sums: bool) -> Entry:
        site, device = self._desk.store.device_name(key)
        latest = self._desk.latest.get(key)
        seen_ms = latest.received_at_ms if latest else None
        volts, percent = _battery(latest)
        battery = (0, percent) if percent is not None else (1, volts) if volts is not None else None
        return Entry(key, site, device, seen_ms, battery, self._sums(key) if with_sums else None)

    def _sums(self, key: int) -> Sums:
        sums = [_sums(account, self._desk.destination) for _, account in self._desk.ledger.accounts_of(key)]
        return Sums(*map(sum, zip(*sums, strict=True))) if sums else Sums()

    def _row(self, key: int) -> DeviceRow:
        site, device = self._desk.store.device_name(key)
        latest = self._desk.latest.get(key)
        volts, percent = _battery(latest)
        report = self._desk.downlinks.reports.get(site, device)
        return DeviceRow(
            key=key,
            site=site,
            device=device,
            last_seen_ms=latest.received_at_ms if latest else None,
            taken_at_ms=latest.taken_at_ms if latest else None,
            boot=latest.boot if latest else None,
            seq=latest.seq if latest else None,
            values=_values(latest),
            battery_v=volts,
            battery_percent=percent,
            days_left=None,  # the dashboard knows it, from the history's file
            link=_link(latest),
            clock_offset_ms=self._desk.clock_offset_ms(key),
            firmware=None if report is None else report.firmware,
            update=None if report is None or report.update_phase is None else _update(report),
            **self._sums(key)._asdict(),
        )


def keys_per_step(with_sums: bool) -> int:
    """How many devices are looked at in one step."""
    return SUMS_PER_STEP if with_sums else KEYS_PER_STEP


def _update(report: DeviceReport) -> str:
    share = f" {report.update_done} of {report.update_chunks}" if report.update_chunks else ""
    return f"{report.update_version} {report.update_phase}{share}"


def _settled(account: Account, destination: str) -> Intervals:
    """Received and no longer held: delivered, quarantined, or given up by a policy."""
    settled = Intervals()
    for name, seqs in account.entries.items():
        if name == f"{DELIVERED}/{destination}" or (is_settled(name) and split_entry(name)[1] == destination):
            settled.update(seqs)
    return settled


def _sums(account: Account, destination: str) -> Sums:
    received = account.received.count()
    quarantined = account.entries.get(entry_of(QUARANTINED, destination))
    return Sums(
        received=received,
        missing=sum(last - first + 1 for first, last in account.missing()),
        lost=account.lost().count(),
        held=received - _settled(account, destination).count(),
        quarantined=quarantined.count() if quarantined else 0,
    )


def _boot(boot: int, account: Account, destination: str) -> BootLedger:
    return BootLedger(
        boot=boot,
        last_seq=account.received.highest,
        delivered=_ranges(account.entries.get(f"{DELIVERED}/{destination}", Intervals())),
        held=_ranges(account.received.minus(_settled(account, destination))),
        quarantined=_ranges(account.entries.get(entry_of(QUARANTINED, destination), Intervals())),
        thinned=_ranges(_of_kind(account, THINNED, destination)),
        expired=_ranges(_of_kind(account, EXPIRED, destination)),
        suppressed=_ranges(_of_kind(account, SUPPRESSED, destination)),
        lost=_ranges(account.lost()),
        missing=_ranges(Intervals(account.missing())),
    )


def _of_kind(account: Account, kind: str, destination: str) -> Intervals:
    """The seqs of one of a destination's own entries, whatever the reason."""
    found = Intervals()
    for name, seqs in account.entries.items():
        if is_settled(name):
            entry, whose = split_entry(name)
            if whose == destination and entry.partition("/")[0] == kind:
                found.update(seqs)
    return found


def _ranges(seqs: Intervals) -> Ranges:
    ranges = list(seqs)
    return Ranges(count=seqs.count(), ranges=ranges[-RANGES_MAX:], truncated=len(ranges) > RANGES_MAX)


def _values(latest: DeviceLatest | None) -> list[DeviceValue]:
    if latest is None:
        return []
    return [
        DeviceValue(name=name, unit=unit, value=last.value, taken_at_ms=last.taken_at_ms)
        for (name, unit), last in latest.values.items()
    ]


def _battery(latest: DeviceLatest | None) -> tuple[float | None, float | None]:
    """(volts, percent), each None where the device does not report it."""
    if latest is None:
        return None, None
    volts, percent = latest.number("battery_voltage"), latest.number("battery_level")
    return (
        None if volts is None else volts[0] / 1000 if volts[1] == "mV" else volts[0],
        None if percent is None else percent[0] * 100 if percent[1] == "/" else percent[0],
    )


def _link(latest: DeviceLatest | None) -> DeviceValue | None:
    """What the device, or who maps it, says of its radio link: the best known of such values."""
    told = {} if latest is None else {name: (name, unit, last) for (name, unit), last in latest.values.items()}
    for wanted in LINK_VALUES:
        if wanted in told and isinstance(told[wanted][2].value, float):
            name, unit, last = told[wanted]
            return DeviceValue(name=name, unit=unit, value=last.value, taken_at_ms=last.taken_at_ms)
    return None


def _readings(latest: DeviceLatest | None, ring: Iterable[Recent]) -> Readings:
    columns = list(latest.columns) if latest else []
    recent = list(ring)
    return Readings(
        columns=[Column(name=name, unit=unit) for name, unit in columns],
        received_at_ms=[each.received_at_ms for each in recent],
        taken_at_ms=[each.taken_at_ms for each in recent],
        boot=[each.boot for each in recent],
        seq=[each.seq for each in recent],
        synced=[each.synced for each in recent],
        numbers=[
            [each.numbers[at] if at < len(each.numbers) else None for each in recent] for at in range(len(columns))
        ],
    )
