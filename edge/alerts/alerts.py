"""All that a desk has to do with alerts: the book, the rules over the log, and the gateway's own troubles."""

from collections.abc import Callable
from dataclasses import dataclass, field

from edge.alerts.book import KEPT, AlertBook, Listed
from edge.alerts.evaluator import PAGE_ROWS, Rules
from edge.alerts.operations import OperationLimits, Operations
from edge.alerts.rules import AlertRule
from edge.forward.forwarder import ForwarderHealth
from edge.ledger import Ledger
from edge.store import Store
from edge.store.names import ALERTS_RAISED, RULES_CURSOR
from sensors.alerts import Severity
from sensors.topics import LEVEL_BYTES_MAX, TopicError, check_level

LOOK_EVERY_MS = 1_000  # one fsync a second for the rules while little comes; a full page does not wait


@dataclass(frozen=True, slots=True)
class AlertRules:
    """What a desk's alerts go by."""

    rules: tuple[AlertRule, ...] = ()
    operations: OperationLimits = field(default_factory=OperationLimits)
    kept: int = KEPT

    def readers(self) -> tuple[str, ...]:
        """The cursors for which rows of the log must be kept."""
        return (RULES_CURSOR,) if self.rules else ()


@dataclass(frozen=True, slots=True)
class AlertStanding:
    """How alerts stand. `raised` counts over the store's life; `revision` rises with every change."""

    active: dict[Severity, int]
    unacknowledged: int
    raised: int
    revision: int


class Alerts:
    """The alerts of one desk."""

    def __init__(self, store: Store, ledger: Ledger, rules: AlertRules, *, gateway: str, root: str) -> None:
        self._ledger = ledger
        self.book = AlertBook(store, ledger, gateway=gateway_level(gateway), root=root, kept=rules.kept)
        self._rules = Rules(store, ledger, self.book, rules.rules)
        self.operations = Operations(ledger, self.book, rules.operations)
        self._looked_ms: int | None = None

    def tend(self, forwarder: Callable[[], ForwarderHealth], now_ms: int, wall_ms: int | None) -> bool:
        """Look at the log and at the gateway; whether there is more to do at once. Raises `StoreError`."""
        if wall_ms is not None and self.operations.is_due(now_ms):
            self.operations.look(forwarder(), now_ms, wall_ms)
        if self._looked_ms is not None and now_ms - self._looked_ms < LOOK_EVERY_MS and self._rules.behind < PAGE_ROWS:
            return False
        more = self._rules.advance(now_ms, wall_ms)
        self._looked_ms = None if more else now_ms
        return more

    def look_in_ms(self, is_well: bool, now_ms: int) -> int | None:
        """In how long `tend` has something to look at; None: not before new readings. `is_well`: the destination is."""
        wait_ms = 0 if self._rules.behind else self._rules.silent_in_ms(now_ms)
        if wait_ms is not None:
            wait_ms = max(wait_ms, 0 if self._looked_ms is None else self._looked_ms + LOOK_EVERY_MS - now_ms)
        if is_well and not self.operations.is_worried:
            return wait_ms
        look_in_ms = self.operations.look_in_ms(now_ms)
        return look_in_ms if wait_ms is None else min(wait_ms, look_in_ms)

    def standing(self) -> AlertStanding:
        """How they stand. Raises `StoreError`."""
        return AlertStanding(
            self.book.active_counts(),
            self.book.count(Listed("unacknowledged")),
            self._ledger.totals.get(ALERTS_RAISED, 0),
            self.book.revision,
        )


def gateway_level(name: str) -> str:
    """A gateway's name as a level of a topic."""
    try:
        return check_level(name, "gateway")
    except TopicError:
        plain = "".join(char if char.isalnum() or char in "-_.:" else "-" for char in name)
        return plain.encode()[:LEVEL_BYTES_MAX].decode(errors="ignore") or "gateway"
