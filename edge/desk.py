"""The store's desk: everything that the one store thread does for the gateway, as plain calls.

The shells ask, the desk answers: take this batch in, what is next for the cloud, this was its answer, tidy up, how do
things stand. Synchronous; every method is called from the store thread only, so the core needs no locks.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from edge.alerts.alerts import Alerts, AlertStanding
from edge.budget import Budget, RoomBytes
from edge.desk_rules import DeskRules
from edge.destinations import Destinations
from edge.device_clocks import ClockEstimate
from edge.downlinks import Downlinks
from edge.feedback import Downlink, Feedback
from edge.forecast import LinkForecast, full_in_s, growth_rows_per_s, link_forecast
from edge.forward.forwarder import Batch, Forwarder, ForwarderState, Wait
from edge.forward.outcome import Accepted, Outcome
from edge.history.keep import HISTORY_FILE, History
from edge.ingest import Ingest, Ingested, Message
from edge.latest import Latest
from edge.ledger import RECEIVED, Balance
from edge.ledger_lines import LedgerLines
from edge.ledger_report import LedgerReport, report
from edge.limits import Throttle
from edge.mapping.rebirths import Rebirths
from edge.meter import LastMinute, Meter, seconds_to_catch_up
from edge.own_clock import OwnClock
from edge.quarantine import Quarantine
from edge.quarantine_bound import QuarantineBound
from edge.resend import Grace, Resend
from edge.store import Salvage, Store, StoreCare, StoreCorrupt
from edge.store.names import FIRST_DESTINATION, HEAD_CURSOR
from edge.store.outage_log import OutageLog
from edge.store.rows import CLOCK_SET_MS
from edge.windows import READ_ROWS, Aggregator
from sensors.topics import Topic

STORE_FILE = "gateway.sqlite"
DELETE_ROWS_MAX = 5000  # of one transaction, so that tidying never holds up an ingest commit for long
LEDGER_EVERY_MS = 5_000
"""How much of the ledger a restart reads again, in time (in rows, see the ledger); and how often what is delivered is
deleted: with every answer it would be an fsync for each."""
LEDGER_ROWS = 64  # less than this is read again in a millisecond, and may wait longer: one fsync instead of six
LEDGER_LATEST_MS = 30_000
AGGREGATE_EVERY_MS = 1_000  # one fsync a second for the windows while little comes; a full page does not wait
AGGREGATE_LATEST_MS = 30_000  # readings gather for a window so long, whatever the wall clock does meanwhile
DESTINATION = FIRST_DESTINATION
REMEMBER_ROWS = 2000  # of the log's end, read at the start so that the pages are not empty: some 10 ms
DEVICES_SHOWN_MAX = 1000


@dataclass(frozen=True, slots=True)
class DeviceStanding:
    """One device; `clock` is None until it has told its own time since the gateway's start."""

    key: int
    site: str
    device: str
    clock: ClockEstimate | None


@dataclass(frozen=True, slots=True)
class DestinationStanding:
    """How one destination does. `forwarder` is None for one that is not configured any more."""

    balance: Balance
    forwarder: ForwarderState | None
    oldest_unsent_ms: int | None
    drained_per_s: float
    catch_up_s: float | None
    forecast: LinkForecast | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How the gateway's data stands, at one instant. What is not of the whole gateway is the first destination's."""

    balance: Balance
    forwarder: ForwarderState
    destinations: dict[str, DestinationStanding]
    totals: dict[str, int]
    devices: int
    throttled_devices: int
    throttled: int
    oldest_unsent_ms: int | None
    received_per_s: float
    drained_per_s: float
    failed_last_minute: int
    undecodable_last_minute: int
    catch_up_s: float | None
    store_bytes: int
    room: RoomBytes
    full_in_s: float | None
    care: StoreCare
    alerts: AlertStanding


class Desk:
    """The gateway's core, whole: also what a replay drives."""

    def __init__(self, data_dir: Path, rng: Random, rules: DeskRules) -> None:
        self.rules = rules
        asked = rules.destinations()
        names = [each.name for each in asked]
        self.store = Store(data_dir / STORE_FILE, names, disk_bytes_max=rules.budget.disk_bytes_max)
        try:
            self.destinations = Destinations(
                self.store, asked, rules.windows.sizes_s, rules.gateway, rng, rules.alerts.readers()
            )
            self.ledger = self.destinations.ledger
            self.latest = self._remembered()
        except BaseException:
            self.store.close()
            raise
        limits = rules.limits
        self.alerts = Alerts(self.store, self.ledger, rules.alerts, gateway=rules.gateway, root=rules.root)
        self._throttle = Throttle(limits.readings_per_s_per_device, limits.readings_burst_per_device)
        self.downlinks = Downlinks(
            self.store, rng, devices_max=limits.devices_max, public_key=rules.firmware_public_key, root=rules.root
        )
        self._ingest = Ingest(
            self.store,
            self.ledger,
            root=rules.root,
            message_bytes_max=rules.message_bytes_max,
            mapper=rules.mapper,
            limits=limits,
            alerts=self.alerts.book,
            downlinks=self.downlinks,
        )
        self.quarantine = Quarantine(self.store, self.ledger, self._ingest)
        self._quarantine_bound = QuarantineBound(self.store, self.ledger, rules.quarantine)
        self._feedback = Feedback(self.ledger, self._throttle, root=rules.root)
        self._rebirths = Rebirths()
        policies = {each.name: each.choices.on_full for each in asked if each.choices.on_full is not None}
        self.budget = Budget(self.store, self.ledger, rules.budget, policies, rules.alerts.readers())
        self._own_clock = OwnClock(self.store, self.ledger, rules.names, waits=rules.wait_for_clock)
        self._ledger_lines = LedgerLines(self.store, self.ledger, rules.names, rules.ledger_every_ms)
        self.resend = Resend(self.store, self.ledger, self.destination)
        self._grace = Grace(rules.keep_sent_ms)
        self._aggregator = Aggregator(self.store, self.ledger, rules.windows)
        self.history = History(data_dir / HISTORY_FILE, rules.history_bytes_max, rules.windows.sizes_s)
        self._aggregated_ms: int | None = None
        self.outage_log = OutageLog(self.store)
        self._received = Meter()
        self._failed, self._undecodable = LastMinute(), LastMinute()
        self._drained = {name: Meter() for name in self.ledger.destinations}
        self._ledger_written_ms: int | None = None
        self._deleted_through = 0
        self._deleting = False
        self._answered = False  # since something was last deleted
        self._is_news = True  # since the last tidying

    def take_in(self, messages: Sequence[Message], now_ms: int, wall_ms: int) -> tuple[Ingested, list[Downlink]]:
        """Commit a batch; afterwards its messages may be acknowledged, and the downlinks sent. Raises `StoreError`."""
        self.budget.admit()
        self._own_clock.note(now_ms, wall_ms)
        self._is_news = True
        ingested = self._ingest.process(messages, wall_ms)
        self._undecodable.add(ingested.undecodable, now_ms)
        self.latest.note(ingested.rows, wall_ms)
        self._throttle.note(ingested.by_device, now_ms)
        rebirths = self._rebirths.ask(ingested.rebirths, now_ms, wall_ms) if ingested.rebirths else []
        answers = self._feedback.heard(ingested.heard, now_ms)
        return ingested, answers + rebirths + self.downlinks.heard(ingested.contacts, now_ms, wall_ms)

    def take_readings(
        self, topic: Topic, payload: bytes, now_ms: int, wall_ms: int
    ) -> tuple[Ingested, dict[int, int], list[Downlink]]:
        """Commit one native payload that came by another way than MQTT: what it did, and the acks (boot -> seq).

        Raises `NotUnderstood` and `StoreError`; then nothing was kept.
        """
        self.budget.admit()
        self._own_clock.note(now_ms, wall_ms)
        self._is_news = True
        ingested = self._ingest.accept(topic, payload, wall_ms)
        self.latest.note(ingested.rows, wall_ms)
        self._throttle.note(ingested.by_device, now_ms)
        acks = {boot: self.ledger.acknowledged_through(key, boot) for key, _, _, boot in ingested.heard}
        return ingested, acks, self._feedback.heard(ingested.heard, now_ms)

    def ledger_report(
        self, *, site: str | None = None, device: str | None = None, only_open: bool = False
    ) -> LedgerReport:
        """See `edge.ledger_report.report`. Raises `StoreError`."""
        return report(self.ledger, self.store, site=site, device=device, only_open=only_open)

    def devices(self, after_key: int = 0, limit: int = DEVICES_SHOWN_MAX) -> list[DeviceStanding]:
        """Devices in the order in which they were first heard, behind a key, with what is known of their clocks."""
        keys = range(after_key + 1, min(after_key + limit, self.store.device_count) + 1)
        return [DeviceStanding(key, *self.store.device_name(key), self._ingest.clocks.estimate(key)) for key in keys]

    def clock_offset_ms(self, key: int) -> int | None:
        """How far a device's clock is behind (or its messages late), or None while nobody knows."""
        return self._ingest.clocks.offset_ms(key)

    def owed(self, now_ms: int) -> list[Downlink]:
        """Acks that have become due since. Raises `StoreError`."""
        self.ledger.refresh()
        return self._feedback.due(now_ms)

    @property
    def forwarder(self) -> Forwarder:
        """The first destination's."""
        return self.destinations.first.forwarder

    @property
    def destination(self) -> str:
        """The first destination's name."""
        return self.destinations.first.name

    def next_batch(self, now_ms: int) -> Batch | Wait:
        """`plan` for the first destination. Raises `StoreError`."""
        return self.plan(self.destination, now_ms)

    def settle(self, batch: Batch, outcome: Outcome, now_ms: int, wall_ms: int) -> None:
        """`answered` for the first destination. Raises `StoreError`."""
        self.answered(self.destination, batch, outcome, now_ms, wall_ms)

    def plan(self, destination: str, now_ms: int) -> Batch | Wait:
        """See `Forwarder.plan`. Raises `StoreError`."""
        return self.destinations.get(destination).forwarder.plan(now_ms)

    def answered(
        self,
        destination: str,
        batch: Batch,
        outcome: Outcome,
        now_ms: int,
        wall_ms: int,
        sent_bytes: int | None = None,
    ) -> None:
        """See `Forwarder.settle`. Raises `StoreError`."""
        self._failed.add(not isinstance(outcome, Accepted), now_ms)
        self._answered = self._is_news = True
        self.destinations.get(destination).forwarder.settle(batch, outcome, now_ms, wall_ms, sent_bytes)

    def forget_destination(self, name: str) -> int:
        """See `Destinations.forget`. Raises `UnknownDestination`, `StoreError`."""
        self.ledger.refresh()
        held = self.destinations.forget(name)
        self._drained.pop(name)
        return held

    def tidy(self, now_ms: int, wall_ms: int | None = None) -> bool:
        """Keep within budgets, roll up, see to alerts, write the ledger, delete what all have passed; is there more?

        `wall_ms`: the wall clock, by which windows of silent devices are closed; None if it is not known.
        Raises `StoreError`.
        """
        self.ledger.refresh()
        self._is_news = False
        self.downlinks.tidy(now_ms, wall_ms or 0)
        self.store.look_after()
        if self.budget.enforce(now_ms) or self._quarantine_bound.enforce():
            return True
        if wall_ms is not None:
            self.destinations.keep_accounts(now_ms, wall_ms)
        more = self._own_clock.correct(now_ms, wall_ms) or self._aggregate(now_ms, wall_ms)
        more = self.destinations.sift() or more
        more = self.alerts.tend(self.forwarder.health, now_ms, wall_ms) or more
        is_due = self._ledger_in_ms(now_ms) <= 0
        if is_due:
            self._write_ledger()
            self._ledger_written_ms = now_ms
        more = self._ledger_lines.tell(now_ms, wall_ms) or more
        if not (is_due or self._deleting):
            return more  # what is delivered is deleted when the ledger is written, not with every answer
        self._deleting = self._delete(now_ms)
        return more or self._deleting

    def _delete(self, now_ms: int) -> bool:
        """Delete some of what everybody has passed; whether there is more."""
        self._answered = False
        more = self.destinations.retire(DELETE_ROWS_MAX)
        through = self._grace.allowed(self.ledger.deletable_through(), now_ms, is_pressed=self.budget.is_pressed())
        if through == self._deleted_through:
            return more or self.store.shrink()
        if self.store.delete_through(through, DELETE_ROWS_MAX) < DELETE_ROWS_MAX:
            self._deleted_through = through
            return more
        return True

    def _ledger_in_ms(self, now_ms: int) -> int:
        """In how long the ledger is to be written."""
        if self._ledger_written_ms is None:
            return 0
        every_ms = LEDGER_EVERY_MS if self.ledger.uncovered >= LEDGER_ROWS else LEDGER_LATEST_MS
        return self._ledger_written_ms + every_ms - now_ms

    def tidy_in_ms(self, now_ms: int, wall_ms: int) -> int | None:
        """In how long `tidy` has something to do, as things stand; 0: now; None: not before something new comes.

        For a driver that does not ask every quarter of a second. Raises `StoreError`.
        """
        is_released = self.store.hold_from is not None and wall_ms >= CLOCK_SET_MS
        is_watched = self._is_news and (self.budget.is_watchful or self.destinations.has_sieve)
        if self._deleting or is_released or is_watched or self._quarantine_bound.is_due:
            return 0
        waits = (
            self.budget.mark_in_ms(now_ms),
            self.alerts.look_in_ms(self.forwarder.is_well, now_ms),
            self.downlinks.look_in_ms(now_ms),
            self._ledger_lines.due_in_ms(now_ms),
            self._ledger_in_ms(now_ms) if self._answered or self.ledger.has_changes() else None,
            self._aggregate_in_ms(now_ms, wall_ms),
        )
        return min([wait_ms for wait_ms in waits if wait_ms is not None], default=None)

    def _aggregate_in_ms(self, now_ms: int, wall_ms: int) -> int | None:
        """In how long readings are to be rolled up; None: not before new ones come."""
        due_ms = None if self.store.hold_from is not None else self._aggregator.due_ms()
        if due_ms is None:
            return None
        if self._aggregated_ms is None or due_ms == 0:
            return 0
        latest_ms = self._aggregated_ms + AGGREGATE_LATEST_MS - now_ms
        wait_ms = max(due_ms - wall_ms, self._aggregated_ms + AGGREGATE_EVERY_MS - now_ms)
        return min(wait_ms, latest_ms) if self._aggregator.waiting else wait_ms

    def rollups_pending(self) -> bool:
        """Whether anything in the log is not yet in an emitted rollup. Raises `StoreError`."""
        return self._aggregator.waiting > 0 or self._aggregator.has_open()

    def _aggregate(self, now_ms: int, wall_ms: int | None) -> bool:
        if self.store.hold_from is not None or not self._is_rollup_due(now_ms, wall_ms):
            return False
        more = self._aggregator.advance(wall_ms)
        self.history.note(self._aggregator.emitted)
        left = self._aggregator.waiting
        more = more and not 0 < left < READ_ROWS  # what came meanwhile may gather
        self._aggregated_ms = None if more else now_ms
        return more

    def _is_rollup_due(self, now_ms: int, wall_ms: int | None) -> bool:
        if self._aggregated_ms is None or self._aggregator.waiting >= READ_ROWS:
            return True
        since_ms = now_ms - self._aggregated_ms
        if since_ms < AGGREGATE_EVERY_MS:
            return False
        if wall_ms is None or since_ms >= AGGREGATE_LATEST_MS or self.budget.is_dropping:
            return True
        due_ms = self._aggregator.due_ms()
        return due_ms is not None and due_ms <= wall_ms

    def standing(self, now_ms: int, wall_ms: int) -> Standing:
        """How things stand; also what the rates are measured by, so ask about once a second. Raises `StoreError`."""
        self.ledger.refresh()
        self._received.note(self.ledger.totals[RECEIVED], now_ms)
        received_per_s = self._received.per_second()
        forwarders = {one.name: one.forwarder.state() for one in self.destinations.active}
        told = {
            name: self._destination_standing(name, forwarders.get(name), received_per_s, now_ms, wall_ms)
            for name in self.ledger.destinations
        }
        first, room = told[self.destination], self.budget.room_bytes()
        return Standing(
            balance=first.balance,
            forwarder=forwarders[self.destination],
            destinations=told,
            totals=dict(self.ledger.totals),
            devices=self.store.device_count,
            throttled_devices=self._throttle.closed(now_ms),
            throttled=self._throttle.throttled,
            oldest_unsent_ms=first.oldest_unsent_ms,
            received_per_s=received_per_s,
            drained_per_s=first.drained_per_s,
            failed_last_minute=self._failed.count(now_ms),
            undecodable_last_minute=self._undecodable.count(now_ms),
            catch_up_s=first.catch_up_s,
            store_bytes=self.store.size_bytes(),
            room=room,
            full_in_s=self._full_in_s(room, received_per_s, told),
            care=self.store.care(),
            alerts=self.alerts.standing(),
        )

    def _full_in_s(self, room: RoomBytes, received_per_s: float, told: dict[str, DestinationStanding]) -> float | None:
        """Until intake stops, or the oldest readings give way."""
        drained = {name: each.drained_per_s for name, each in told.items()}
        rows_per_s = growth_rows_per_s(
            received_per_s, drained, {name: each.balance.held for name, each in told.items()}
        )
        row_bytes = self.budget.row_bytes()
        left_bytes = max(0, room.full_at_bytes - room.used_bytes)
        return None if row_bytes is None else full_in_s(left_bytes, rows_per_s * row_bytes)

    def _destination_standing(
        self, name: str, forwarder: ForwarderState | None, received_per_s: float, now_ms: int, wall_ms: int
    ) -> DestinationStanding:
        balance, meter = self.ledger.balance(name), self._drained[name]
        meter.note(balance.delivered + balance.quarantined + balance.suppressed, now_ms)
        drained_per_s = meter.per_second()
        catch_up_s = seconds_to_catch_up(balance.held, drained_per_s, received_per_s)
        link = None if forwarder is None else self.destinations.get(name).link.state()
        oldest_ms = self.store.oldest_received_ms(self.ledger.passed(name))
        return DestinationStanding(
            balance=balance,
            forwarder=forwarder,
            oldest_unsent_ms=max(0, wall_ms - oldest_ms) if oldest_ms is not None else None,
            drained_per_s=drained_per_s,
            catch_up_s=catch_up_s,
            forecast=None if link is None else link_forecast(balance.held, catch_up_s, link, wall_ms),
        )

    def held(self) -> int:
        """How many readings wait for the first destination. Raises `StoreError`."""
        return self.ledger.held(self.destination)

    def held_for(self, destinations: Sequence[str]) -> dict[str, int]:
        """How many readings wait for each of these destinations. Raises `StoreError`."""
        return {name: self.ledger.held(name) for name in destinations}

    def reopen(self) -> None:
        """Open the file again after it failed. Raises `StoreError` while it still does."""
        self.ledger.forget_uncommitted()
        self.store.reopen()

    def take_salvage(self) -> Salvage | None:
        """What came of a salvage, told once."""
        salvage, self.store.salvaged = self.store.salvaged, None
        self.alerts.operations.salvage = salvage or self.alerts.operations.salvage
        return salvage

    def prove_writable(self) -> None:
        """One small durable transaction, and room for readings. Raises `StoreError`."""
        self.ledger.refresh()
        self.budget.admit()
        with self.store.transaction():
            self.store.set_cursor(HEAD_CURSOR, self.store.head)

    def close(self) -> None:
        """Write the ledger and close the store. Raises `StoreError` if it cannot be written; nothing is lost then."""
        try:
            self.ledger.refresh()
            self._write_ledger()
        finally:
            self.history.close()
            self.store.close()

    def _remembered(self) -> Latest:
        latest = Latest()
        with suppress(StoreCorrupt):  # the pages start empty; who needs these rows will have the file salvaged
            for entry in self.store.read(max(0, self.store.head - REMEMBER_ROWS), REMEMBER_ROWS).entries:
                latest.note([(entry.device_key, entry.reading)], entry.received_at_ms)
        return latest

    def _write_ledger(self) -> None:
        """The ledger, what was spent on links, and what destinations accepted, if they changed."""
        links = self.destinations.unwritten()
        if not links and not self.ledger.has_changes() and not self.store.waiting_ids:
            return
        with self.ledger.transaction():
            for link in links:
                link.write()
            if self.ledger.has_changes():
                self.ledger.write()
        for link in links:
            link.written()
