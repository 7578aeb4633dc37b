"""What the dashboard's API answers, as documents. Times are milliseconds since 1970; counts are of readings."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from edge.history.battery import DaysLeft
from edge.status import GatewayStatus


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class Verdict(_Document):
    """How the gateway does, in one sentence. `stuck_at` names the hop where readings do not get further."""

    level: Literal["ok", "busy", "warn", "bad"]
    headline: str
    detail: str
    stuck_at: Literal["devices", "gateway", "cloud"] | None = None


class Now(_Document):
    """The status and what to make of it."""

    verdict: Verdict
    status: GatewayStatus


class History(_Document):
    """The last minutes as columns of equal length; null where nobody looked or the store did not answer."""

    step_ms: int
    at_ms: list[int]
    backlog: list[int | None]
    oldest_unsent_ms: list[int | None]
    received_per_s: list[float | None]
    drained_per_s: list[float | None]


class DeviceValue(_Document):
    """One value as last measured. Texts are cut to 256 characters."""

    name: str
    unit: str | None
    value: float | bool | str
    taken_at_ms: int


class DeviceRow(_Document):
    """One device. What comes from memory is null if it was not heard since the gateway started.

    `firmware`: what it says that it runs; `update`: the version and phase of its newest update; `days_left`: until its
    battery is empty; `link`: what it says of its radio link (an RSSI or the like); `clock_offset_ms`: positive if its
    clock is behind, or its messages late.
    """

    key: int
    site: str
    device: str
    last_seen_ms: int | None
    taken_at_ms: int | None
    boot: int | None
    seq: int | None
    values: list[DeviceValue]
    battery_v: float | None
    battery_percent: float | None
    days_left: DaysLeft | None
    link: DeviceValue | None
    clock_offset_ms: int | None
    firmware: str | None
    update: str | None
    received: int
    missing: int
    lost: int
    held: int
    quarantined: int


class DevicePage(_Document):
    """Some of the devices that were asked for: `total` match, these start at `offset`.

    `site_counts`: every site there is, with how many devices it has.
    """

    total: int
    offset: int
    site_counts: dict[str, int]
    items: list[DeviceRow]


class Column(_Document):
    """What one column of `Readings.numbers` holds."""

    name: str
    unit: str | None


class Readings(_Document):
    """Recent readings as columns of equal length, in the order of their arrival; `numbers` has one list a column."""

    columns: list[Column]
    received_at_ms: list[int]
    taken_at_ms: list[int]
    boot: list[int]
    seq: list[int]
    synced: list[bool]
    numbers: list[list[float | None]]


class Ranges(_Document):
    """How many seqs, and where: ranges [first, last], the newest; `truncated` if there are more."""

    count: int
    ranges: list[tuple[int, int]]
    truncated: bool


class BootLedger(_Document):
    """What became of every seq of one boot: they are disjoint.

    Of what was received: delivered, held, quarantined; given up by a policy, thinned or expired; not to be sent,
    suppressed.
    """

    boot: int
    last_seq: int | None
    delivered: Ranges
    held: Ranges
    quarantined: Ranges
    thinned: Ranges
    expired: Ranges
    suppressed: Ranges
    lost: Ranges
    missing: Ranges


class DeviceDetail(_Document):
    """One device whole. `boots` are the newest, newest first; `boots_total` is how many there are."""

    row: DeviceRow
    readings: Readings
    boots: list[BootLedger]
    boots_total: int


class DeviceUpdate(_Document):
    """What changed of one device since the last look."""

    row: DeviceRow
    readings: Readings


class DevicesChanged(_Document):
    """Rows that changed since the last look; `truncated`: too many did, none is listed, ask for those that you show."""

    rows: list[DeviceRow]
    truncated: bool


class Cursor(_Document):
    """How far a consumer of the log is, and how many readings it has before it."""

    name: str
    position: int
    behind: int


class Retention(_Document):
    """What may stay in the store, and for how long: what the configuration says. None: without a limit."""

    disk_bytes_max: int
    free_bytes_min: int
    age_s_max: int | None
    on_full: str
    keep_sent_s: int
    quarantine_bytes_max: int
    quarantine_rows_max: int


class StoreDetail(_Document):
    """The store: what it takes on the disk and may take, who has got how far, and the ledger's totals.

    `quarantine` is how many items are in it.
    """

    at_ms: int
    bytes: int
    head: int
    devices: int
    quarantine: int
    retention: Retention
    cursors: list[Cursor]
    totals: dict[str, int]
