"""What the gateway says of itself: the document behind `GET /api/v1/status`."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Literal

from pydantic import BaseModel, ConfigDict, computed_field

from edge.causes import told
from edge.desk import DestinationStanding, Standing
from edge.forecast import LinkForecast
from edge.forward.forwarder import Breaker
from edge.machine import Machine


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class LinkStatus(_Document):
    """One link: to the broker (`devices`) or to the cloud (`uplink`). Times are milliseconds since 1970.

    `cause` and `message`: why the last try failed, which need not be why the first one did. `why`: that cause in words.
    """

    state: Literal["up", "down", "unknown"]
    since_ms: int
    cause: str | None = None
    message: str | None = None

    @computed_field  # type: ignore[prop-decorator]  # a property that is a field of the document
    @property
    def why(self) -> str | None:
        """For people; null while the link is not down."""
        return told(self.cause) if self.state == "down" else None

    def failed(self, cause: str, message: str, wall_ms: int) -> "LinkStatus":
        """The link after a try that failed: down since it went down, for the reason that keeps it down now."""
        since_ms = self.since_ms if self.state == "down" else wall_ms
        return LinkStatus(state="down", since_ms=since_ms, cause=cause, message=message)


class IngestStatus(_Document):
    """What was special at intake, counted over the store's life; `throttled` since the start, `throttled_devices` now.

    Messages: `retained` (old news of foreign devices, not stored), `over_devices` and `over_series` (in quarantine for
    a limit), `retried`, `purged` and `evicted` (out of quarantine; the last for want of room). Readings: `restamped`
    (their time was impossible). Sparkplug metrics: `unsupported` (of a type that is no value).
    `undecodable_last_minute`: messages that were not understood.
    """

    retained: int
    restamped: int
    over_devices: int
    over_series: int
    unsupported: int
    retried: int
    purged: int
    evicted: int
    throttled: int
    throttled_devices: int
    undecodable_last_minute: int = 0


class LedgerStatus(_Document):
    """The ledger summed up; counts of readings (`undecodable`: of messages).

    It is that of the first destination. `thinned` and `expired` count readings dropped undelivered by the store's
    budgets, `suppressed` those that it is not to be sent, `salvages` damaged stores.
    `not_rolled_up` counts readings that came too late for a window, and values that found no room in one, once a size.
    """

    received: int
    delivered: int
    held: int
    quarantined: int
    duplicates: int
    lost: int
    undecodable: int
    not_rolled_up: int
    balances: bool
    thinned: int = 0
    expired: int = 0
    suppressed: int = 0
    salvages: int = 0


class DestinationStatus(_Document):
    """One destination. `configured` is false for one that was taken out of the configuration and is not forgotten: its
    readings are held. `link`, `breaker`, `paused`, `failures`, `lanes`, `requests` are those of a configured one.
    `requests` were sent since the start; `requests_failed` of them were not accepted.
    """

    name: str
    configured: bool
    link: LinkStatus | None
    received: int
    delivered: int
    held: int
    quarantined: int
    thinned: int
    expired: int
    suppressed: int
    balances: bool
    oldest_unsent_ms: int | None
    drained_per_s: float
    catch_up_s: float | None
    breaker: Breaker | None = None
    paused: bool = False
    failures: int = 0
    last_error: str | None = None
    lanes: dict[str, int] = {}
    requests: int = 0
    requests_failed: int = 0
    forecast: LinkForecast | None = None


class ForwardStatus(_Document):
    """The forwarder. Ages and times in the unit that the name says; rates in readings per second.

    `backlog` counts readings; `lanes` the rows (readings, rollups, notices) that each lane has yet to send;
    `requests` sent since the start, `requests_failed` of them not accepted; `failed_last_minute` requests to any
    destination that were not accepted.
    """

    backlog: int
    oldest_unsent_ms: int | None
    received_per_s: float
    drained_per_s: float
    catch_up_s: float | None
    breaker: Breaker
    paused: bool
    failures: int
    last_error: str | None
    lanes: dict[str, int]
    failed_last_minute: int = 0
    requests: int = 0
    requests_failed: int = 0


class StoreStatus(_Document):
    """The store. `healthy` is false while the disk refuses; nothing is acknowledged then.

    `full_in_s`: until intake stops, or the oldest readings give way, at the rates of now; None: it does not fill up.
    `wal_bytes` is the write-ahead log's part of `bytes`; `wal_held_up`: a reader in another process keeps it from being
    cut back, and it grows. `ballast_released` counts since the start how often the disk was full. `waits_for_clock`:
    readings wait until the gateway's own clock is set. Of the `limit_bytes` that the store may use (by its size or by
    the space of the volume: `limit_reason`) it uses `used_bytes`; it is full at `full_at_bytes`.
    """

    bytes: int
    healthy: bool
    error: str | None
    full_in_s: int | None = None
    used_bytes: int = 0
    limit_bytes: int = 0
    full_at_bytes: int = 0
    limit_reason: str = "size"
    wal_bytes: int = 0
    wal_held_up: bool = False
    ballast_held: bool = False
    ballast_released: int = 0
    waits_for_clock: bool = False


class AlertStatus(_Document):
    """Alerts: active ones by severity, those that nobody has acknowledged, how many were ever raised.

    `revision` rises with every change: who shows alerts need not ask for them while it stands.
    """

    critical: int = 0
    warning: int = 0
    info: int = 0
    unacknowledged: int = 0
    raised: int = 0
    revision: int = 0


class RecordedLink(_Document):
    """One link as the recorder sees it: with hysteresis, and `degraded` too; `outages` counts all there ever were."""

    link: str
    state: Literal["up", "degraded", "down", "unknown"]
    since_ms: int
    cause: str | None = None
    http_status: int | None = None
    rtt_us: int | None = None
    throughput_bytes_per_s: int | None = None
    loss_ppm: int | None = None
    outages: int = 0


class CertificateStatus(_Document):
    """One certificate. `due`: it ends within 30 days, has ended, or cannot be used (`problem` says why)."""

    key: str
    expires_ms: int | None
    problem: str | None
    due: bool


class MaintenanceStatus(_Document):
    """Maintenance mode is on: who began it, and from when to when, since 1970."""

    by: str
    since_ms: int
    until_ms: int


class ClockStatus(_Document):
    """What the kernel knows of its clock: see `edge.machine.KernelClock`."""

    is_synchronised: bool
    offset_us: int
    error_us: int


class MachineStatus(_Document):
    """The machine and this process: see `edge.machine.Machine`. Null: this system does not tell."""

    disk_bytes: int | None = None
    disk_free_bytes: int | None = None
    cpu_seconds: float | None = None
    cpu_percent: float | None = None
    load: float | None = None
    processors: int | None = None
    resident_bytes: int | None = None
    memory_bytes: int | None = None
    memory_available_bytes: int | None = None
    open_files: int | None = None
    open_files_max: int | None = None
    up_s: int | None = None
    clock: ClockStatus | None = None


class DrillOrder(_Document):
    """What a drill makes fail: see `edge.drill`. `destination`: only this one; None: each of them."""

    fault: str
    link: str
    destination: str | None
    latency_ms: int


class RunDrill(_Document):
    """A drill that runs or ran: who began it, and from when to when, since 1970."""

    order: DrillOrder
    by: str
    since_ms: int
    until_ms: int
    held_before: int


class DrillStatus(_Document):
    """Whether a drill may begin; the one that runs; the one that ended last since the gateway started."""

    allowed: bool = False
    running: RunDrill | None = None
    last: RunDrill | None = None


class GatewayStatus(_Document):
    """Everything at one instant (`at_ms`, since 1970)."""

    at_ms: int
    started_ms: int
    version: str
    devices: int
    waiting_messages: int
    sessions_lost: int
    devices_link: LinkStatus
    uplink: LinkStatus
    ingest: IngestStatus
    ledger: LedgerStatus
    forward: ForwardStatus
    store: StoreStatus
    destinations: tuple[DestinationStatus, ...] = ()
    recorded: tuple[RecordedLink, ...] = ()
    certificates: tuple[CertificateStatus, ...] = ()
    maintenance: MaintenanceStatus | None = None
    drill: DrillStatus = DrillStatus()
    machine: MachineStatus = MachineStatus()
    alerts: AlertStatus = AlertStatus()


def ingest_status(standing: Standing) -> IngestStatus:
    """The intake's part."""
    names = ("retained", "restamped", "over_devices", "over_series", "unsupported", "retried", "purged", "evicted")
    counts = {name: standing.totals.get(name, 0) for name in names}
    return IngestStatus(
        **counts,
        throttled=standing.throttled,
        throttled_devices=standing.throttled_devices,
        undecodable_last_minute=standing.undecodable_last_minute,
    )


def ledger_status(standing: Standing) -> LedgerStatus:
    """The ledger's part."""
    balance, totals = standing.balance, standing.totals
    return LedgerStatus(
        received=balance.received,
        delivered=balance.delivered,
        held=balance.held,
        quarantined=balance.quarantined,
        duplicates=totals["duplicates"],
        lost=totals["lost"],
        undecodable=totals["undecodable"],
        not_rolled_up=totals["not_rolled_up"],
        balances=balance.balances,
        thinned=balance.thinned,
        expired=balance.expired,
        suppressed=balance.suppressed,
        salvages=totals.get("salvages", 0),
    )


def destination_status(standing: Standing, links: Mapping[str, LinkStatus]) -> tuple[DestinationStatus, ...]:
    """Every destination's part; `links` of those that are configured."""
    return tuple(_destination(name, told, links.get(name)) for name, told in standing.destinations.items())


def _destination(name: str, told: DestinationStanding, link: LinkStatus | None) -> DestinationStatus:
    balance, state = told.balance, told.forwarder
    status = DestinationStatus(
        name=name,
        configured=state is not None,
        link=link,
        received=balance.received,
        delivered=balance.delivered,
        held=balance.held,
        quarantined=balance.quarantined,
        thinned=balance.thinned,
        expired=balance.expired,
        suppressed=balance.suppressed,
        balances=balance.balances,
        oldest_unsent_ms=told.oldest_unsent_ms,
        drained_per_s=round(told.drained_per_s, 2),
        catch_up_s=round(told.catch_up_s, 1) if told.catch_up_s is not None else None,
        forecast=told.forecast,
    )
    if state is None:
        return status
    names = ("breaker", "paused", "failures", "last_error", "requests", "requests_failed")
    sending = {name: getattr(state, name) for name in names}
    return status.model_copy(update={**sending, "lanes": state.backlog})


def forward_status(standing: Standing) -> ForwardStatus:
    """The forwarder's part."""
    state = standing.forwarder
    return ForwardStatus(
        backlog=standing.balance.held,
        oldest_unsent_ms=standing.oldest_unsent_ms,
        received_per_s=round(standing.received_per_s, 2),
        drained_per_s=round(standing.drained_per_s, 2),
        catch_up_s=round(standing.catch_up_s, 1) if standing.catch_up_s is not None else None,
        breaker=state.breaker,
        paused=state.paused,
        failures=state.failures,
        last_error=state.last_error,
        lanes=state.backlog,
        failed_last_minute=standing.failed_last_minute,
        requests=state.requests,
        requests_failed=state.requests_failed,
    )


def store_status(standing: Standing, error: str | None) -> StoreStatus:
    """The store's part; `error` is why it refuses, if it does."""
    full_in_s = None if standing.full_in_s is None else round(standing.full_in_s)
    care = standing.care._asdict()
    room = standing.room
    return StoreStatus(
        bytes=standing.store_bytes,
        healthy=error is None,
        error=error,
        full_in_s=full_in_s,
        used_bytes=room.used_bytes,
        limit_bytes=room.limit_bytes,
        full_at_bytes=room.full_at_bytes,
        limit_reason=room.reason,
        **care,
    )


def machine_status(machine: Machine) -> MachineStatus:
    """The machine's part."""
    return MachineStatus(**asdict(machine))


def alert_status(standing: Standing) -> AlertStatus:
    """The alerts' part."""
    alerts = standing.alerts
    return AlertStatus(
        **{severity.value: count for severity, count in alerts.active.items()},
        unacknowledged=alerts.unacknowledged,
        raised=alerts.raised,
        revision=alerts.revision,
    )
