"""What a desk goes by: the configuration in the core's own words, and the defaults of a desk without one."""

from dataclasses import dataclass, field

from edge.alerts.alerts import AlertRules
from edge.alerts.operations import DAY_MS, OperationLimits
from edge.budget import StoreLimits
from edge.config import EdgeConfig
from edge.forward.destination import Choices, DestinationRules
from edge.forward.lanes import LaneRules
from edge.forward.lines import GatewayNames
from edge.limits import Limits
from edge.mapping.mapper import Mapper
from edge.quarantine_bound import QuarantineLimits
from edge.store.names import FIRST_DESTINATION
from edge.windows import WindowRules
from sensors.topics import DEFAULT_ROOT

NO_WINDOWS = WindowRules(sizes_s=())
IN_ORDER = LaneRules(backfill=False)


@dataclass(frozen=True, slots=True)
class DeskRules:
    """All of it; the defaults make the plainest desk: no rollups, one lane in the order of the log.

    `gateway`: the name by which this gateway's own lines can be told from another's. `measurement` to `lanes`, and
    `choices`, are those of the destination `influx`, if there is `with_influx`; `more`: the others.
    """

    root: str = DEFAULT_ROOT
    message_bytes_max: int = 256 * 1024
    measurement: str = "reading"
    batch_rows: int = 5000
    flush_every_ms: int = 0
    retry_cap_ms: int = 60_000
    windows: WindowRules = NO_WINDOWS
    lanes: LaneRules = IN_ORDER
    gateway: str = "tidegate-gateway"
    mapper: Mapper | None = None
    limits: Limits = field(default_factory=Limits)
    budget: StoreLimits = field(default_factory=StoreLimits)
    with_influx: bool = True
    choices: Choices = field(default_factory=Choices)
    more: tuple[DestinationRules, ...] = ()
    alerts: AlertRules = field(default_factory=AlertRules)
    firmware_public_key: str | None = None
    wait_for_clock: bool = False
    keep_sent_ms: int = 0
    ledger_every_ms: int = 0
    quarantine: QuarantineLimits = field(default_factory=QuarantineLimits)
    history_bytes_max: int = 0

    @property
    def names(self) -> GatewayNames:
        """What the gateway's own lines are called."""
        return GatewayNames(self.gateway, self.measurement)

    def destinations(self) -> tuple[DestinationRules, ...]:
        """All destinations, the first one first."""
        first = DestinationRules(
            name=FIRST_DESTINATION,
            measurement=self.measurement,
            batch_rows=self.batch_rows,
            flush_every_ms=self.flush_every_ms,
            retry_cap_ms=self.retry_cap_ms,
            lanes=self.lanes,
            choices=self.choices,
        )
        return (first, *self.more) if self.with_influx else self.more


def desk_rules(config: EdgeConfig) -> DeskRules:
    """What `tidegate edge run` gives its desk."""
    return DeskRules(
        root=config.mqtt.topic_root,
        message_bytes_max=config.mqtt.message_bytes_max,
        measurement=config.influx.measurement,
        batch_rows=config.influx.batch_rows,
        flush_every_ms=config.influx.flush_every_ms,
        retry_cap_ms=round(config.influx.retry_cap_s * 1000),
        windows=config.windows.rules(),
        lanes=config.influx.lanes.rules(),
        gateway=config.mqtt.client_id,
        mapper=Mapper(config.mapping),
        limits=Limits(**config.limits.model_dump()),
        budget=config.store.limits(),
        with_influx=config.influx.enabled,
        choices=config.influx.choices(),
        more=tuple(each.rules(config.mqtt.client_id) for each in config.destinations),
        keep_sent_ms=1000 * config.store.keep_sent_s,
        ledger_every_ms=1000 * config.store.tell_ledger_every_s,
        wait_for_clock=config.store.wait_for_clock,
        quarantine=config.store.quarantine_limits(),
        history_bytes_max=config.history.disk_bytes_max,
        alerts=_alert_rules(config),
        firmware_public_key=config.firmware.public_key,
    )


def _alert_rules(config: EdgeConfig) -> AlertRules:
    settings, tls = config.alerts, config.mqtt.tls
    limits = OperationLimits(
        uplink_down_ms=1000 * settings.uplink_down_s,
        quarantine_per_hour=settings.quarantine_per_hour,
        certificate_ms=DAY_MS * settings.certificate_days,
        certificates=(tls.cert_file,) if tls is not None and tls.cert_file is not None else (),
    )
    return AlertRules(config.rules, limits, settings.kept)
