"""One destination as the desk knows it: what it is sent and how, put together from its rules.

A destination has lanes, delivered sets, cursors, breaker and back-off of its own: nothing that happens to one is seen
by another (telegraf#16537). What they share is the log, and its rows go when every destination is done with them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random

from edge.budget import OnFull
from edge.forward.forwarder import Forwarder
from edge.forward.lanes import Lane, LaneName, LaneRules
from edge.forward.lines import LineEncoder, NoticeEncoder
from edge.forward.messages import MessageFormat, NoticeMessages, ReadingMessages, RollupMessages
from edge.forward.queue import LaneQueue
from edge.forward.rollup_lines import RollupEncoder
from edge.forward.sieve import DeadbandRules, Sieve, sieve_cursor
from edge.forward.sources import Encoder, NoticeSource, ReadingSource, RollupSource
from edge.ledger import Ledger
from edge.link_budget import LinkBudget, notice_head
from edge.link_rules import LinkRules
from edge.store import LogEntry, Store
from edge.store.notices import Notice, Notices
from edge.store.windows import RollupEntry, WindowTables


class Send(StrEnum):
    """What a destination takes."""

    RAW = "raw"
    ROLLUPS = "rollups"
    ALERTS = "alerts"


class StartAt(StrEnum):
    """Where a destination begins that the store does not know yet."""

    OLDEST = "oldest"
    NOW = "now"


EVERYTHING = frozenset(Send)


@dataclass(frozen=True, slots=True)
class Choices:
    """What the operator chose for one destination. `on_full`: None is the store's own policy."""

    send: frozenset[Send] = EVERYTHING
    deadband: DeadbandRules | None = None
    start_at: StartAt = StartAt.OLDEST
    on_full: OnFull | None = None
    link: LinkRules = field(default_factory=LinkRules)


@dataclass(frozen=True, slots=True)
class DestinationRules:
    """One destination. With a `format` it is sent messages, without one lines of line protocol.

    `overwrites`: a point that comes twice is there once; else every repeat stays to be seen.
    """

    name: str
    measurement: str = "reading"
    batch_rows: int = 5000
    flush_every_ms: int = 0
    retry_cap_ms: int = 60_000
    lanes: LaneRules = field(default_factory=lambda: LaneRules(backfill=False))
    choices: Choices = field(default_factory=Choices)
    format: MessageFormat | None = None
    overwrites: bool = True


@dataclass(frozen=True, slots=True)
class Destination:
    """One destination at work. `sieve` is None if every reading is to be sent."""

    rules: DestinationRules
    queue: LaneQueue
    forwarder: Forwarder
    link: LinkBudget
    sieve: Sieve | None

    @property
    def name(self) -> str:
        """Its name."""
        return self.rules.name

    def takes(self, source: str) -> bool:
        """Whether it is sent what is in a log."""
        return any(source == each.name for each in self.queue.sources())


def build(
    store: Store, ledger: Ledger, rules: DestinationRules, sizes_s: tuple[int, ...], gateway: str, rng: Random
) -> Destination:
    """A destination over the store. `sizes_s`: the windows that are configured; `gateway`: its name in notices."""
    choices = rules.choices
    takes_raw = Send.RAW in choices.send
    sieve = None
    if choices.deadband is not None or not takes_raw:
        sieve = Sieve(store, ledger, rules.name, choices.deadband if takes_raw else None)
    queue = LaneQueue(
        store,
        ledger,
        _lanes(store, rules, sizes_s, None if sieve is None else sieve_cursor(rules.name)),
        rules.lanes if takes_raw else replace(rules.lanes, backfill=False),
        rules.name,
        gateway=gateway,
        measurement=rules.measurement,
        batch_rows=rules.batch_rows,
    )
    link = LinkBudget(store, rules.name, choices.link, notice_head(rules.measurement, rules.name, gateway))
    forwarder = Forwarder(
        store,
        ledger,
        queue,
        rules.name,
        rng,
        link,
        batch_rows=rules.batch_rows,
        flush_every_ms=rules.flush_every_ms,
        retry_cap_ms=rules.retry_cap_ms,
        overwrites=rules.overwrites,
    )
    return Destination(rules, queue, forwarder, link, sieve)


def _lanes(store: Store, rules: DestinationRules, sizes_s: tuple[int, ...], cursor: str | None) -> list[Lane]:
    """Every lane of the destination; a window size that is no longer configured keeps its lane while it has rollups."""
    readings, rollups, notices = _encoders(store.device_name, rules)
    lanes = []
    if Send.ALERTS in rules.choices.send:
        lanes.append(Lane(LaneName.NOTICES, LaneName.NOTICES, NoticeSource(Notices(store), notices)))
    if Send.ROLLUPS in rules.choices.send:
        sizes = sorted({*sizes_s, *WindowTables(store).sizes_s()}, reverse=True)
        lanes += [Lane(f"rollups/{each}", LaneName.ROLLUPS, RollupSource(store, rollups, each)) for each in sizes]
    if Send.RAW in rules.choices.send:
        source = ReadingSource(store, readings, cursor)
        lanes.append(Lane(LaneName.LIVE, LaneName.LIVE, source))
        lanes.append(Lane(LaneName.BACKFILL, LaneName.BACKFILL, source, rules.lanes.backfill_order))
    return lanes


def _encoders(
    name_of: Callable[[int], tuple[str, str]], rules: DestinationRules
) -> tuple[Encoder[LogEntry], Encoder[RollupEntry], Encoder[Notice]]:
    lines = LineEncoder(name_of, measurement=rules.measurement)
    rollup_lines = RollupEncoder(name_of, measurement=rules.measurement)
    if rules.format is None:
        return lines, rollup_lines, NoticeEncoder()
    return (
        ReadingMessages(name_of, rules.format, lines),
        RollupMessages(name_of, rules.format, rollup_lines),
        NoticeMessages(rules.format),
    )
