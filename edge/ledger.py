"""The delivery ledger: for every device and boot, what became of every seq.

Entries of one account (device, boot), each a set of seqs:

    received                 committed to the log
    delivered/DESTINATION    covered by that destination's acceptance
    thinned                  received and rolled up, but dropped for want of room before it was delivered
    expired/REASON           received, but dropped before it was delivered: for its age, or for want of room
    quarantined              received, but can never be delivered (the cloud refuses it, or its row is damaged)
    suppressed               received, but not to be sent: a deadband, or a destination that takes no raw readings
    before                   received and gone before the destination was there, or before it was to start
    lost/REASON              never received, and the device says that it no longer holds it; with the reason `store`:
                             received, but a damaged store had it no more (and it is received no more)

Thinned, expired, quarantined, suppressed and before are a destination's own: another may well have the same reading.
Those of `influx` have these names, those of any other its name as well: `expired@archive/size` (`names.entry_of`).

Promise: for every destination, received = delivered + held + thinned + expired + quarantined + suppressed (less what
was `before` it), at any instant and after any crash: for one that was removed from the configuration too, until it is
forgotten.

The ledger is a reader of the log: its sets live in memory (those of the `ACCOUNTS_MAX` accounts that changed last) and
are written every `CHECKPOINT_ROWS` rows together with the ids that they cover; after a crash the few rows that they do
not cover are read again. Only covered rows are deleted.
Synchronous; lives in the store's thread.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from edge.intervals import Intervals
from edge.store.names import BEFORE as BEFORE
from edge.store.names import DELIVERED as DELIVERED
from edge.store.names import DUPLICATES as DUPLICATES
from edge.store.names import EXPIRED as EXPIRED
from edge.store.names import LOST as LOST
from edge.store.names import NOT_ROLLED_UP as NOT_ROLLED_UP
from edge.store.names import QUARANTINED as QUARANTINED
from edge.store.names import RECEIVED as RECEIVED
from edge.store.names import RECEIVED_CURSOR as RECEIVED_CURSOR
from edge.store.names import SUPPRESSED as SUPPRESSED
from edge.store.names import THINNED as THINNED
from edge.store.names import UNDECODABLE as UNDECODABLE
from edge.store.names import covered_ranges as covered_ranges
from edge.store.names import done_ranges as done_ranges
from edge.store.names import entry_of as entry_of
from edge.store.names import forward_cursor as forward_cursor
from edge.store.names import is_settled as is_settled
from edge.store.names import split_entry as split_entry
from edge.store.rows import LogEntry
from edge.store.store import Store

CHECKPOINT_ROWS = 8192  # rows read again after a crash: about 50 ms; and one ledger write per so many readings
ACCOUNTS_MAX = 20_000  # kept in memory, some 1 KB each: every boot of the largest fleet that is heard these days
RECOVER_ROWS = 2048  # of one read while recovering, so that memory stays flat


@dataclass(frozen=True, slots=True)
class Balance:
    """The ledger summed up for one destination; counts of readings. `received` leaves out what was before it."""

    destination: str
    received: int
    delivered: int
    held: int
    quarantined: int
    thinned: int = 0
    expired: int = 0
    suppressed: int = 0

    @property
    def balances(self) -> bool:
        """Whether every received reading is accounted for."""
        settled = self.delivered + self.quarantined + self.thinned + self.expired + self.suppressed
        return self.received == settled + self.held


class Account:
    """The sets of one boot of one device."""

    __slots__ = ("dirty", "entries", "received")

    def __init__(self, entries: dict[str, Intervals]) -> None:
        self.entries = entries
        self.received = entries.setdefault(RECEIVED, Intervals())
        self.dirty = False

    def entry(self, name: str) -> Intervals:
        """The set of that name, made if there is none."""
        return self.entries.setdefault(name, Intervals())

    def lost(self) -> Intervals:
        """Every seq that the device says it no longer holds."""
        together = Intervals()
        for name, seqs in self.entries.items():
            if name.startswith(LOST):
                together.update(seqs)
        return together

    def acknowledged_through(self) -> int:
        """The highest seq up to which nothing is outstanding (received, or lost for good); -1 if seq 0 is."""
        end = self.received.end_of_run(0)
        if self._has_lost():
            lost = self.lost()
            while (further := self.received.end_of_run(lost.end_of_run(end + 1) + 1)) > end:
                end = further
            end = max(end, lost.end_of_run(end + 1))
        return end

    def _has_lost(self) -> bool:
        for name in self.entries:  # noqa: SIM110  # a loop: asked several times for each message
            if name.startswith(LOST):
                return True
        return False

    def missing(self) -> list[tuple[int, int]]:
        """Ranges below the highest received seq that neither arrived nor were given up."""
        highest = self.received.highest
        if highest is None or self.received.end_of_run(0) == highest or self.acknowledged_through() >= highest:
            return []
        known = Intervals(self.received)
        known.update(self.lost())
        return list(known.gaps(0, highest))


class LedgerTransaction:
    """See `Ledger.transaction`. A class, because it is entered several times for each reading of a quiet site."""

    __slots__ = ("_inner", "_ledger")

    def __init__(self, ledger: "Ledger", store: Store, *, leaves_waiting: bool) -> None:
        self._ledger = ledger
        self._inner = store.transaction(leaves_waiting=leaves_waiting)

    def __enter__(self) -> None:
        self._ledger.refresh()
        try:
            self._inner.__enter__()
        except BaseException:
            self._ledger.forget_uncommitted()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._write_and_leave()
            else:
                self._inner.__exit__(kind, error, trace)
        except BaseException:
            self._ledger.forget_uncommitted()
            raise
        if error is not None:
            self._ledger.forget_uncommitted()

    def _write_and_leave(self) -> None:
        try:
            self._ledger.write_if_due()
        except BaseException as failure:
            self._inner.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._inner.__exit__(None, None, None)


class Ledger:
    """The accounts of all devices, over one store."""

    def __init__(self, store: Store, destinations: Iterable[str], readers: Iterable[str] = ()) -> None:
        """`readers`: cursors of the log's other readers, for whom rows must be kept as well."""
        self._store = store
        self._destinations = tuple(destinations)
        self._readers = tuple(readers)
        self.writes = 0
        """How often it was written, or read anew: what is owed to the cloud may have changed."""
        self._recover()

    def _recover(self) -> None:
        """Load what was written, and read the rows that it does not cover."""
        store = self._store
        self.writes += 1
        self._stale = True
        self._uncovered = 0
        self._counted = False
        self._accounts: dict[tuple[int, int], Account] = {}
        self._boots: dict[int, list[int]] = {}
        self._dirty: dict[tuple[int, int], Account] = {}
        self.totals = dict.fromkeys((RECEIVED, DUPLICATES, UNDECODABLE, LOST, NOT_ROLLED_UP), 0)
        for name in self._destinations:
            self.totals.update(dict.fromkeys(self._total_names(name), 0))
        self.totals.update(store.totals())
        for entries in self._log(store.cursor(RECEIVED_CURSOR), store.head):
            for entry in entries:
                self._account(entry.device_key, entry.reading.boot).received.add(entry.reading.seq)
                self._touch(entry.device_key, entry.reading.boot)
                self.totals[RECEIVED] += 1
        for name in self._destinations:
            covered = store.ranges(covered_ranges(name))
            refused = store.quarantined_ids(name, covered.end_of_run(1))
            for first, last in store.ranges(done_ranges(name)).minus(covered):
                for entries in self._log(first - 1, last):
                    self.deliver(name, (entry for entry in entries if entry.id not in refused))
        self._stale = False

    @staticmethod
    def _total_names(destination: str) -> list[str]:
        kinds = (QUARANTINED, THINNED, EXPIRED, SUPPRESSED, BEFORE)
        return [f"{DELIVERED}/{destination}", *(entry_of(kind, destination) for kind in kinds)]

    def _log(self, after_id: int, through_id: int) -> Iterator[list[LogEntry]]:
        while after_id < through_id:
            page = self._store.read(after_id, min(RECOVER_ROWS, through_id - after_id))
            if page.damaged is not None:
                after_id = page.damaged[0]
            elif page.entries:
                after_id = page.entries[-1].id
            else:
                return
            yield [entry for entry in page.entries if entry.id <= through_id]

    def forget_uncommitted(self) -> None:
        """After a failed transaction: memory is not what the store holds. `refresh` makes it so again."""
        self._stale = True

    def refresh(self) -> None:
        """Before a transaction: return to what the store holds, if the one before failed. Raises `StoreError`."""
        if self._stale:
            self._recover()

    def transaction(self, *, leaves_waiting: bool = False) -> "LedgerTransaction":
        """One durable transaction of the store in which things are told to the ledger; it writes itself if it is time.

        `leaves_waiting`: see `Store.transaction`.

        Raises `StoreError`: then nothing of the block was kept, here and there.
        """
        return LedgerTransaction(self, self._store, leaves_waiting=leaves_waiting)

    def write_if_due(self) -> None:
        """At the end of a transaction: write, if there is a count that no row tells, or if it is time."""
        if self._counted or self.checkpoint_due():
            self.write()

    # -- what happened, told inside the transaction in which it happened

    def receive(self, device_key: int, boot: int, seq: int) -> bool:
        """Note one reading; whether it is new. A duplicate is counted, and must not be appended to the log."""
        account = self._accounts.get((device_key, boot)) or self._account(device_key, boot)
        if not account.dirty:
            self._touch(device_key, boot)
        if account.received.add(seq):
            self.totals[RECEIVED] += 1
            self._uncovered += 1
            return True
        self.totals[DUPLICATES] += 1
        return False

    def receive_next(self, device_key: int, boot: int) -> int:
        """Note one reading of a device that does not number them; the seq that it gets."""
        highest = self._account(device_key, boot).received.highest
        seq = 0 if highest is None else highest + 1
        self.receive(device_key, boot, seq)
        return seq

    def lose(self, device_key: int, boot: int, first: int, last: int, reason: str) -> None:
        """Note that the device no longer holds these seqs. What was received or lost before stays as it was."""
        account = self._account(device_key, boot)
        known = Intervals(account.received)
        known.update(account.lost())
        for gap_first, gap_last in list(known.gaps(first, last)):
            account.entry(f"{LOST}/{reason}").add_range(gap_first, gap_last)
            self.totals[LOST] += gap_last - gap_first + 1
        self._touch(device_key, boot)

    def deliver(self, destination: str, entries: Iterable[LogEntry]) -> None:
        """Note that a destination accepted these entries."""
        name, count = f"{DELIVERED}/{destination}", 0
        sets: dict[tuple[int, int], Intervals] = {}
        for entry in entries:
            key = entry.device_key, entry.reading.boot
            seqs = sets.get(key)
            if seqs is None:
                seqs = sets[key] = self._account(*key).entry(name)
                self._touch(*key)
            seqs.add(entry.reading.seq)
            count += 1
        self.totals[name] += count
        self._uncovered += count

    def take_back(self, destination: str, entries: Iterable[LogEntry]) -> int:
        """Note that a destination turns out not to have these entries after all; how many it was believed to have."""
        name, back = f"{DELIVERED}/{destination}", dict[tuple[int, int], Intervals]()
        for entry in entries:
            back.setdefault((entry.device_key, entry.reading.boot), Intervals()).add(entry.reading.seq)
        count = 0
        for (device_key, boot), seqs in back.items():
            account = self._account(device_key, boot)
            delivered = account.entry(name)
            account.entries[name] = left = delivered.minus(seqs)
            count += delivered.count() - left.count()
            self._touch(device_key, boot)
        self.totals[name] -= count
        return count

    def quarantine(self, destination: str, device_key: int, boot: int, seq: int) -> None:
        """Note that this reading went to quarantine. The names of a damaged row may be wrong; the count is not."""
        account, name = self._account(device_key, boot), entry_of(QUARANTINED, destination)
        if seq in account.received:
            account.entry(name).add(seq)
            self._touch(device_key, boot)
        self.totals[name] += 1

    def drop(self, destination: str, entry: str, entries: Iterable[LogEntry]) -> None:
        """Note that these entries will not go to a destination: `thinned`, `expired/REASON` or `suppressed`.

        The ledger is written with this very transaction: there may be no rows to read again.
        """
        name = entry_of(entry, destination)
        for one in entries:
            self._account(one.device_key, one.reading.boot).entry(name).add(one.reading.seq)
            self._touch(one.device_key, one.reading.boot)
            self.totals[name.split("/")[0]] += 1
        self._counted = True

    def reclaim(self, destination: str, entries: Iterable[LogEntry]) -> None:
        """Note that a destination accepted entries that it was done with: what was dropped meanwhile is delivered."""
        names = {entry_of(kind, destination) for kind in (THINNED, EXPIRED)}
        for one in entries:
            account, seq = self._account(one.device_key, one.reading.boot), one.reading.seq
            for name, seqs in account.entries.items():
                if name.split("/")[0] in names and seqs.discard(seq):
                    self.totals[name.split("/")[0]] -= 1
                    self.deliver(destination, [one])
                    self._counted = True
                    break

    def skip_before(self, destination: str, waiting: Mapping[tuple[int, int], Intervals]) -> None:
        """Note that a new destination gets, of what was received, only these seqs, by (device_key, boot).

        The ledger is written with this very transaction.
        """
        name = entry_of(BEFORE, destination)
        for device_key, boot, account in self.accounts():
            gone = account.received.minus(waiting.get((device_key, boot), Intervals()))
            if gone:
                self._account(device_key, boot).entry(name).update(gone)
                self._touch(device_key, boot)
                self.totals[name] += gone.count()
        self._counted = True

    def forget(self, destination: str) -> None:
        """Leave out whatever there is of a destination, inside a transaction."""
        self._destinations = tuple(name for name in self._destinations if name != destination)
        for _, _, account in self.accounts():
            for entry in [entry for entry in account.entries if _is_of(entry, destination)]:
                del account.entries[entry]
        rows = self._store.run("SELECT DISTINCT entry FROM ledger UNION SELECT name FROM totals")
        ours = [name for (name,) in rows if _is_of(name, destination)]
        self._store.run_many("DELETE FROM ledger WHERE entry = ?", [(name,) for name in ours])
        self._store.forget_totals(ours)
        self.totals = {name: count for name, count in self.totals.items() if not _is_of(name, destination)}
        self._counted = True

    def undecodable(self) -> None:
        """Note a message that never became readings."""
        self.totals[UNDECODABLE] += 1

    def count(self, total: str, count: int = 1) -> None:
        """Add to a total that no row of the log tells, so that it is written with this very transaction."""
        self.totals[total] = self.totals.get(total, 0) + count
        self._counted = True

    # -- the ledger's own durability

    def has_changes(self) -> bool:
        """Whether anything is held in memory that is not yet written."""
        return bool(self._dirty)

    @property
    def uncovered(self) -> int:
        """How many readings were received or delivered since the ledger was last written."""
        return self._uncovered

    def checkpoint_due(self) -> bool:
        """Whether enough has happened to write the ledger."""
        return self._uncovered >= CHECKPOINT_ROWS

    def write(self) -> None:
        """Write what changed and the positions that it covers, inside a transaction.

        If that transaction fails, call `forget_uncommitted`.
        """
        rows = [
            (key, boot, name, seqs.encode())
            for (key, boot), account in self._dirty.items()
            for name, seqs in account.entries.items()
        ]
        self._store.write_waiting()  # what is covered must not be more than what is done
        self._store.put_ledger(rows, self.totals)
        self._store.set_cursor(RECEIVED_CURSOR, self._store.head)
        for name in self._destinations:
            self._store.put_ranges(covered_ranges(name), self._store.look_at_ranges(done_ranges(name)))
        self.writes += 1
        self._uncovered = 0
        self._counted = False
        for account in self._dirty.values():
            account.dirty = False
        self._dirty.clear()
        self._let_go()

    def _let_go(self) -> None:
        """Keep only the accounts that changed last: the others are as the store has them, and are read when asked."""
        for key in list(self._accounts)[: max(0, len(self._accounts) - ACCOUNTS_MAX)]:
            del self._accounts[key]
            self._boots[key[0]].remove(key[1])

    def deletable_through(self) -> int:
        """The highest position that every destination, every other reader and the written ledger have passed."""
        positions = [self._store.cursor(name) for name in (RECEIVED_CURSOR, *self._readers)]
        covered = [self._store.look_at_ranges(covered_ranges(name)) for name in self._destinations]
        return min(positions + [ids.end_of_run(1) for ids in covered])

    # -- questions

    def acknowledged_through(self, device_key: int, boot: int) -> int:
        """See `Account.acknowledged_through`."""
        return self._account(device_key, boot).acknowledged_through()

    def missing(self, device_key: int, boot: int) -> list[tuple[int, int]]:
        """See `Account.missing`."""
        return self._account(device_key, boot).missing()

    @property
    def destinations(self) -> Sequence[str]:
        """Every destination whose readings are accounted for, those that were removed but not forgotten among them."""
        return self._destinations

    def balance(self, destination: str) -> Balance:
        """The sums for one destination."""
        delivered, quarantined, thinned, expired, suppressed, before = (
            self.totals[name] for name in self._total_names(destination)
        )
        held = self.held(destination)
        received = self.totals[RECEIVED] - before
        return Balance(destination, received, delivered, held, quarantined, thinned, expired, suppressed)

    def passed(self, destination: str) -> int:
        """Up to where one destination is done with the log without a gap."""
        return self._store.look_at_ranges(done_ranges(destination)).end_of_run(1)

    def held(self, destination: str) -> int:
        """How many readings wait for one destination."""
        return self._store.head - self._store.look_at_ranges(done_ranges(destination)).count()

    def account(self, device_key: int, boot: int) -> Account:
        """One account; an empty one if it was never heard of."""
        return self._seen(device_key, boot)

    def accounts(self) -> Iterator[tuple[int, int, Account]]:
        """Every (device_key, boot, account), in order."""
        for key in sorted({*self._store.ledger_accounts(), *self._accounts}):
            yield *key, self._seen(*key)

    def accounts_of(self, device_key: int) -> Iterator[tuple[int, Account]]:
        """Every (boot, account) of one device, in order."""
        for boot in sorted({*self._store.ledger_boots(device_key), *self._boots.get(device_key, ())}):
            yield boot, self._seen(device_key, boot)

    def _seen(self, device_key: int, boot: int) -> Account:
        """An account to look at: a question keeps nothing in memory."""
        return self._accounts.get((device_key, boot)) or Account(self._store.ledger_entries(device_key, boot))

    def _account(self, device_key: int, boot: int) -> Account:
        account = self._accounts.get((device_key, boot))
        if account is None:
            account = Account(self._store.ledger_entries(device_key, boot))
            self._accounts[device_key, boot] = account
            self._boots.setdefault(device_key, []).append(boot)
        return account

    def _touch(self, device_key: int, boot: int) -> None:
        key = device_key, boot
        account = self._accounts[key]
        if not account.dirty:
            account.dirty = True
            self._dirty[key] = account
            self._accounts[key] = self._accounts.pop(key)  # the last to be let go


def _is_of(entry: str, destination: str) -> bool:
    """Whether an entry, or a total, is a destination's own."""
    if entry.split("/")[0] == DELIVERED:
        return entry == f"{DELIVERED}/{destination}"
    return is_settled(entry) and split_entry(entry)[1] == destination
