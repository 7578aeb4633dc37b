"""What the gateway's tests share: readings, messages and a desk on a temporary store."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

from edge.alerts.alerts import AlertRules
from edge.budget import StoreLimits
from edge.desk import Desk
from edge.desk_rules import IN_ORDER, NO_WINDOWS, DeskRules
from edge.forward.destination import Choices, DestinationRules
from edge.forward.lanes import LaneRules
from edge.ingest import Message
from edge.limits import Limits
from edge.mapping.mapper import Mapper
from edge.mapping.rules import MappingRule
from edge.quarantine_bound import QuarantineLimits
from edge.windows import WindowRules
from sensors.reading import Reading, Value
from sensors.senml import encode
from sensors.topics import Kind, build_topic

SITE = "office"
T0_MS = 1_700_000_000_000
DEVICE_LIMITS = Limits()
STORE_LIMITS = StoreLimits()
CHOICES = Choices()
QUARANTINE_LIMITS = QuarantineLimits()
NO_ALERT_RULES = AlertRules()


def reading(seq: int, *, device: str = "d1", boot: int = 1, value: float | bool | str | None = None) -> Reading:
    """A reading whose value tells its seq."""
    content = float(seq) if value is None else value
    return Reading(device, boot, seq, T0_MS + 1000 * seq, (Value("temperature", content, "Cel"),))


def message(*readings: Reading, site: str = SITE) -> Message:
    """One MQTT message of these readings."""
    return Message(build_topic(site, readings[0].device, Kind.READING), encode(readings, sent_at_ms=T0_MS))


def open_desk(
    data_dir: Path,
    *,
    batch_rows: int = 100,
    flush_every_ms: int = 0,
    windows: WindowRules = NO_WINDOWS,
    lanes: LaneRules = IN_ORDER,
    mapping: Sequence[MappingRule] = (),
    limits: Limits = DEVICE_LIMITS,
    budget: StoreLimits = STORE_LIMITS,
    choices: Choices = CHOICES,
    more: Sequence[DestinationRules] = (),
    with_influx: bool = True,
    quarantine: QuarantineLimits = QUARANTINE_LIMITS,
    wait_for_clock: bool = False,
    keep_sent_ms: int = 0,
    ledger_every_ms: int = 0,
    alerts: AlertRules = NO_ALERT_RULES,
    history_bytes_max: int = 0,
) -> Desk:
    """A gateway's core over a store in `data_dir`."""
    rules = DeskRules(
        message_bytes_max=100_000,
        batch_rows=batch_rows,
        flush_every_ms=flush_every_ms,
        windows=windows,
        lanes=lanes,
        mapper=Mapper(mapping),
        limits=limits,
        budget=budget,
        choices=choices,
        more=tuple(more),
        with_influx=with_influx,
        quarantine=quarantine,
        wait_for_clock=wait_for_clock,
        keep_sent_ms=keep_sent_ms,
        ledger_every_ms=ledger_every_ms,
        alerts=alerts,
        history_bytes_max=history_bytes_max,
    )
    return Desk(data_dir, Random(1), rules)
