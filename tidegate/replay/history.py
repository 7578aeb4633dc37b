"""What really happened in a run, as an all-seeing witness notes it: the truth that the checkers compare with.

For each account (device, boot): which seqs were measured, committed, acknowledged, and arrived in the cloud. Sets are
ranges, so a month of readings takes little room; a reading's values are kept until they arrive. What is wrong already
when it happens (a changed rewrite, an invented point, a wrong value, live data out of order) is noted at once.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from cloud.lineprotocol import FieldValue, Point
from edge.forward.lines import timestamp_ns
from edge.intervals import Intervals
from sensors.reading import Identity, Reading, column
from tidegate.replay.cloud import NS_PER_MS, identity_of
from tidegate.replay.points import Met

VIOLATIONS_MAX = 100  # of one run: the first say what is wrong, the rest only fill the memory
IDENTITIES_SHOWN = 20
ALERTS = "alert"  # the measurement of edge/alerts/book.py
LEDGER_PARTS = ("delivered", "held", "expired", "thinned", "quarantined", "suppressed")  # edge/ledger_lines.py


class Promise(StrEnum):
    """What can be violated; the words of a verdict."""

    ACKNOWLEDGED_IS_DURABLE = "acknowledged is durable"
    ACKNOWLEDGED_ARRIVES = "acknowledged arrives in the cloud"
    EQUAL_VALUES = "values in the cloud equal what was measured"
    NOTHING_INVENTED = "nothing is invented"
    NO_CHANGED_REWRITES = "a rewrite changes nothing"
    ONE_POINT = "one reading is one point"
    LIVE_ORDER = "live data keeps its order"
    LEDGER_BALANCES = "the ledger balances"
    LEDGER_TRUE = "the ledger equals the truth"
    BACKLOG_RETURNS = "the backlog returns to zero"
    NOTHING_MISSING = "nothing measured is missing"
    QUARANTINE_IS_DESERVED = "only what the cloud refuses for ever is in quarantine"
    ROLLUPS_TRUE = "rollups equal a recomputation from the readings"
    BOUNDED = "memory and disk stay within their bounds"


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken: when it was seen, what exactly, and the readings involved (the first of them)."""

    promise: Promise
    at_us: int
    what: str
    readings: tuple[Identity, ...] = ()

    def __str__(self) -> str:
        names = ", ".join(f"{device}/{boot}/{seq}" for device, boot, seq in self.readings)
        return f"{self.promise}: at {self.at_us / 1e6:.3f} s: {self.what}" + (f": {names}" if names else "")


def first_with_readings(violations: Iterable[Violation]) -> Violation | None:
    """The first that names readings, if one does: a story is told of a reading."""
    return next((violation for violation in violations if violation.readings), None)


class AccountKey(NamedTuple):
    """One boot of one device."""

    device: str
    boot: int


@dataclass(slots=True)
class Account:
    """What happened to the readings of one boot; sets of seqs."""

    measured: Intervals = field(default_factory=Intervals)
    committed: Intervals = field(default_factory=Intervals)
    late: Intervals = field(default_factory=Intervals)
    """Committed behind a later one: a filled gap, which may arrive out of order."""
    acknowledged: Intervals = field(default_factory=Intervals)
    arrived: Intervals = field(default_factory=Intervals)
    live_through: int = -1
    """The highest seq that arrived by the live lane."""
    acked_through: int = -1


def _tell_nobody(_what: str) -> None:
    """For a history that nobody reads."""


class History:
    """The witness of one run. Seqs of an account are measured in order, from 0."""

    def __init__(
        self,
        now_us: Callable[[], int],
        *,
        site: str,
        measurement: str = "reading",
        time_tolerance_ms: int = 0,
        poison: frozenset[Identity] = frozenset(),
        focus: Identity | None = None,
        tell: Callable[[str], None] = _tell_nobody,
    ) -> None:
        """`time_tolerance_ms`: how far a point's time may be off the true one, by the devices' clocks.

        The time of a reading that was taken before its device had wall time is not judged: what a device slept through
        without power, and what a message waited on its way, nobody can know. `poison`: what the cloud refuses for ever.
        `tell` is told the first broken promise, or, with a `focus`, all that happens to this reading, and which
        promises are broken to it.
        """
        self.accounts: dict[AccountKey, Account] = {}
        self.waiting: dict[Identity, tuple[Reading, int]] = {}
        self.violations: list[Violation] = []
        self.poison = poison
        self.rewrites = 0
        self.out_of_order = 0
        self.rollups = 0
        self.corrections = 0
        self.late_marks = 0
        self.alerts = 0
        self._now_us = now_us
        self._focus = focus
        self._tell = tell
        self._site = site
        self._measurement = measurement
        self._rollup = re.compile(re.escape(measurement) + r"_[1-9][0-9]*s")
        self._rollups: set[str] = set()
        self._late_mark = f"{measurement}_late"
        self._ledger_line = f"{measurement}_ledger"
        self._tolerance_ns = time_tolerance_ms * NS_PER_MS

    def measured(self, reading: Reading, at_ms: int) -> None:
        """A device took a reading and holds it in its flash; `at_ms` is true time since 1970."""
        if reading.identity == self._focus:
            self._tell(f"{reading.device} measures {reading.boot}/{reading.seq}")
        self._account(reading.device, reading.boot).measured.add(reading.seq)
        self.waiting[reading.identity] = (reading, at_ms)

    def committed(self, readings: Iterable[Identity]) -> None:
        """The gateway took these in, in this order, and says that they are durable."""
        for device, boot, seq in self._seen(readings, "is committed by the gateway"):
            account = self._account(device, boot)
            highest = account.committed.highest
            if account.committed.add(seq) and highest is not None and seq < highest:
                account.late.add(seq)

    def doubtful(self, readings: Iterable[Identity]) -> None:
        """The gateway died while it took these in: nobody knows whether, and so in which order, they are in its log."""
        for device, boot, seq in self._seen(readings, "is being committed as the gateway dies"):
            self._account(device, boot).late.add(seq)

    def acknowledged(self, readings: Iterable[Identity]) -> None:
        """The gateway sends the PUBACKs of messages that hold these."""
        for device, boot, seq in self._seen(readings, "is acknowledged by the gateway"):
            self._account(device, boot).acknowledged.add(seq)

    def freed(self, device: str, boot: int, through: int) -> None:
        """The gateway tells a device that it may forget everything of this boot up to `through`."""
        focus = self._focus
        if (
            focus is not None
            and (device, boot) == focus[:2]
            and self._account(device, boot).acked_through < focus.seq <= through
        ):
            self._tell(f"the gateway tells {device} to forget {boot}/{focus.seq}")
        account = self._account(device, boot)
        account.acked_through = max(account.acked_through, through)

    def stored(self, point: Point, met: Met, *, live: bool = True) -> None:
        """The cloud stored a point; `live`: it came by the live lane."""
        if point.series.measurement != self._measurement:
            self._beside(point, met)
            return
        identity = identity_of(point)
        if identity is not None and identity == self._focus:
            self._tell(f"the cloud stores {identity.device} {identity.boot}/{identity.seq}: meets {met.value}")
        account = None if identity is None else self.accounts.get(AccountKey(identity.device, identity.boot))
        if identity is None or account is None or identity.seq not in account.measured:
            self.broken(Promise.NOTHING_INVENTED, f"nobody measured {point.fields} at {point.time_ns}", identity)
        elif met is Met.ITSELF:
            self.rewrites += 1
        elif met is Met.ANOTHER:
            self.broken(Promise.NO_CHANGED_REWRITES, f"a point at {point.time_ns} ns was overwritten", identity)
        elif not account.arrived.add(identity.seq):
            self.broken(Promise.ONE_POINT, f"a second point of one reading, at {point.time_ns} ns", identity)
        else:
            self._first(point, identity, account, live=live)

    def _beside(self, point: Point, met: Met) -> None:
        """A rollup, a late mark, an alert or a line of the ledger.

        Whether a rollup is right is asked in the end: it may yet be corrected.
        """
        measurement, fields = point.series.measurement, point.fields
        if measurement in self._rollups or self._rollup.fullmatch(measurement):
            self._rollups.add(measurement)
            if met is Met.ITSELF:
                self.rewrites += 1
            elif met is Met.ANOTHER:
                self.corrections += 1
            else:
                self.rollups += 1
        elif measurement == self._late_mark:
            self.late_marks += met is Met.NOTHING
            count, until_ms = fields.get("readings"), fields.get("until_ms")
            is_sane = isinstance(count, int) and isinstance(until_ms, int) and count > 0
            if not is_sane or int(str(until_ms)) < point.time_ns // NS_PER_MS:  # below that, jumps are told apart
                self.broken(Promise.NOTHING_INVENTED, f"a late mark that marks nothing: {fields} at {point.time_ns}")
        elif measurement == ALERTS:
            self.alerts += met is Met.NOTHING
        elif measurement == self._ledger_line:
            if fields.get("received") != sum(int(str(fields.get(name))) for name in LEDGER_PARTS):
                self.broken(Promise.LEDGER_BALANCES, f"the cloud is told of a ledger that does not balance: {fields}")
        else:
            self.broken(Promise.NOTHING_INVENTED, f"a point of a measurement that nobody knows: {measurement}")

    def _first(self, point: Point, identity: Identity, account: Account, *, live: bool) -> None:
        highest = account.arrived.highest  # it has just arrived itself
        if highest is not None and identity.seq < highest:
            self.out_of_order += 1
        if live and identity.seq < account.live_through and identity.seq not in account.late:
            what = f"arrived live behind seq {account.live_through}, was committed before it"
            self.broken(Promise.LIVE_ORDER, what, identity)
        if live:
            account.live_through = max(account.live_through, identity.seq)
        reading, at_ms = self.waiting.pop(identity)
        expected: dict[str, FieldValue] = {column(value): value.value for value in reading.values}
        expected |= {"boot": reading.boot, "seq": reading.seq}
        tags = (("device", reading.device), ("site", self._site))
        if point.fields != expected or point.series.tags != tags or point.series.measurement != self._measurement:
            self.broken(Promise.EQUAL_VALUES, f"{point.series} {point.fields}, measured {expected}", identity)
        off_ns = abs(point.time_ns - timestamp_ns(at_ms, reading.boot, reading.seq))
        if reading.synced and off_ns > self._tolerance_ns:
            self.broken(Promise.EQUAL_VALUES, f"its time is {off_ns} ns off", identity)

    def broken(self, promise: Promise, what: str, *readings: Identity | None) -> None:
        """Note a broken promise."""
        named = tuple(reading for reading in readings[:IDENTITIES_SHOWN] if reading is not None)
        if self._focus in named if self._focus is not None else not self.violations:
            self._tell(f"broken: {promise}: {what}")
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(Violation(promise, self._now_us(), what, named))

    def broken_for(self, promise: Promise, what: str, key: AccountKey, seqs: Intervals) -> None:
        """Note a promise broken for these seqs of an account, if there are any."""
        if seqs.count() == 0:
            return
        named = [
            Identity(*key, seq) for first, last in seqs for seq in range(first, min(last + 1, first + IDENTITIES_SHOWN))
        ]
        self.broken(promise, f"{seqs.count()} {what}", *named)

    def _seen(self, readings: Iterable[Identity], what: str) -> Iterable[Identity]:
        """The same readings; that one of them which the story is about is told."""
        if self._focus is None:
            return readings
        known = tuple(readings)
        if self._focus in known:
            self._tell(f"{self._focus.device} {self._focus.boot}/{self._focus.seq} {what}")
        return known

    def count(self, kind: str) -> int:
        """How many readings were `measured`, `committed`, `acknowledged` or `arrived`."""
        return sum(getattr(account, kind).count() for account in self.accounts.values())

    def _account(self, device: str, boot: int) -> Account:
        accounts: dict[Any, Account] = self.accounts  # a plain tuple finds its key, and is made sooner
        account = accounts.get((device, boot))
        if account is None:
            account = accounts[AccountKey(device, boot)] = Account()
        return account
