"""The gateway's own troubles as alerts, by the same book: they reach the cloud, MQTT and people like any other.

    uplink-refuses      the cloud refuses token, organisation or bucket (401, 403, 404): a person must act
    uplink-down         nothing was accepted for `uplink_down_s`
    store-refuses       the store is full, or the disk refuses: nothing is acknowledged
    store-salvaged      the store was damaged, and what could be read went into a new one (passes at once; stays open)
    quarantine-grows    more than `quarantine_per_hour` messages or readings were quarantined within an hour
    certificate-expires a client certificate ends within `certificate_days`

A look costs some microseconds; spans run on the monotonic clock. While the disk refuses, no alert can be written
either: it is raised as soon as one can, and until then the status, `/readyz` and the metrics say so.
Synchronous; lives in the store's thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge.alerts.book import GATEWAY_KEY, AlertBook
from edge.alerts.certificates import expires_ms
from edge.forward.forwarder import ForwarderHealth
from edge.ledger import QUARANTINED, UNDECODABLE, Ledger
from edge.store import Salvage
from edge.store.alerts import Alert
from sensors.alerts import TEXT_MAX, Severity

LOOK_EVERY_MS = 5_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SOURCE = "gateway"


@dataclass(frozen=True, slots=True)
class OperationLimits:
    """From when on something is worth an alert. `certificates`: PEM files."""

    uplink_down_ms: int = 600_000
    quarantine_per_hour: int = 10
    certificate_ms: int = 21 * DAY_MS
    certificates: tuple[Path, ...] = ()


class Trouble(NamedTuple):
    """Something that holds now."""

    name: str
    severity: Severity
    message: str


class Operations:
    """Looks after one gateway. `refused` is set by whoever met a store that refuses, with why."""

    def __init__(self, ledger: Ledger, book: AlertBook, limits: OperationLimits) -> None:
        self._ledger = ledger
        self._book = book
        self._limits = limits
        self.refused: str | None = None
        self.salvage: Salvage | None = None
        self._active: dict[str, Alert] | None = None
        self._looked_ms: int | None = None
        self._failing_from_ms: int | None = None
        self._hour: tuple[int, int] | None = None
        self._certificates: tuple[int, list[tuple[Path, int]]] | None = None

    def is_due(self, now_ms: int) -> bool:
        """Whether it is time to look again."""
        return self.look_in_ms(now_ms) <= 0

    def look_in_ms(self, now_ms: int) -> int:
        """In how long it is time to look again."""
        return 0 if self._looked_ms is None else self._looked_ms + LOOK_EVERY_MS - now_ms

    @property
    def is_worried(self) -> bool:
        """Whether the next look may find something else than the last, if the destination is well."""
        return bool(self._active is None or self._active or self.refused is not None or self.salvage is not None)

    def look(self, forwarder: ForwarderHealth, now_ms: int, wall_ms: int) -> None:
        """Raise what is new and clear what has passed. Raises `StoreError`: then it is found again."""
        if self._active is None:
            self._active = {row.alert.rule: row.alert for row in self._book.active_of(SOURCE)}
        found = {trouble.name: trouble for trouble in self._troubles(forwarder, now_ms, wall_ms)}
        begun = [self._alert(found[name], wall_ms) for name in found if name not in self._active]
        ended = [alert for name, alert in self._active.items() if name not in found]
        if begun or ended or self.salvage is not None:
            with self._ledger.transaction():
                for alert in begun:
                    self._book.raise_alert(GATEWAY_KEY, alert, alert.rule)
                for alert in ended:
                    self._book.clear_alert(GATEWAY_KEY, alert, alert.rule, wall_ms)
                self._tell_salvage(wall_ms)
        self.refused = self.salvage = None
        self._active.update({alert.rule: alert for alert in begun})
        for alert in ended:
            del self._active[alert.rule]
        self._looked_ms = now_ms

    def _tell_salvage(self, wall_ms: int) -> None:
        """An event, not a condition: it has passed at once, and waits for somebody to see it."""
        salvage = self.salvage
        if salvage is not None:
            words = f"the store was damaged: {salvage.recovered} readings recovered, {salvage.lost} lost; {salvage.why}"
            alert = self._alert(Trouble("store-salvaged", Severity.CRITICAL, words), wall_ms)
            self._book.raise_alert(GATEWAY_KEY, alert, alert.rule)
            self._book.clear_alert(GATEWAY_KEY, alert, alert.rule, wall_ms)

    def _alert(self, trouble: Trouble, wall_ms: int) -> Alert:
        site, name = self._book.name_of(GATEWAY_KEY)
        words = "".join(char if char.isprintable() else " " for char in trouble.message)[:TEXT_MAX]
        return Alert(SOURCE, trouble.name, site, name, trouble.severity, words, wall_ms, wall_ms)

    def _troubles(self, forwarder: ForwarderHealth, now_ms: int, wall_ms: int) -> list[Trouble]:
        found = [*self._of_the_uplink(forwarder, now_ms), *self._of_quarantine(now_ms)]
        if self.refused is not None:
            words = f"nothing is acknowledged: {self.refused}"
            found.append(Trouble("store-refuses", Severity.CRITICAL, words))
        for path, until_ms in self._certificates_of(now_ms):
            if until_ms - wall_ms < self._limits.certificate_ms:
                words = f"{path.name} ends in {max(0, until_ms - wall_ms) // DAY_MS} days"
                found.append(Trouble("certificate-expires", Severity.WARNING, words))
        return found

    def _of_the_uplink(self, forwarder: ForwarderHealth, now_ms: int) -> Sequence[Trouble]:
        if forwarder.paused:
            words = f"the cloud refuses the gateway: {forwarder.last_error or 'no reason given'}"
            return [Trouble("uplink-refuses", Severity.CRITICAL, words)]
        if forwarder.failures == 0:
            self._failing_from_ms = None
            return ()
        if self._failing_from_ms is None:
            self._failing_from_ms = now_ms
        if now_ms - self._failing_from_ms < self._limits.uplink_down_ms:
            return ()
        minutes = self._limits.uplink_down_ms // 60_000
        words = f"{forwarder.destination} has accepted nothing for {minutes} min: {forwarder.last_error or ''}"
        return [Trouble("uplink-down", Severity.WARNING, words)]

    def _of_quarantine(self, now_ms: int) -> Sequence[Trouble]:
        count = self._ledger.totals[QUARANTINED] + self._ledger.totals[UNDECODABLE]
        if self._hour is None or now_ms - self._hour[0] >= HOUR_MS:
            self._hour = (now_ms, count)
        if count - self._hour[1] <= self._limits.quarantine_per_hour:
            return ()
        words = f"more than {self._limits.quarantine_per_hour} messages or readings went to quarantine within an hour"
        return [Trouble("quarantine-grows", Severity.WARNING, words)]

    def _certificates_of(self, now_ms: int) -> list[tuple[Path, int]]:
        if not self._limits.certificates:
            return []
        if self._certificates is None or now_ms - self._certificates[0] >= HOUR_MS:
            found = [(path, until_ms) for path in self._limits.certificates if (until_ms := expires_ms(path))]
            self._certificates = (now_ms, found)
        return self._certificates[1]
