"""Checkers: each compares what the gateway says with what really happened, and notes the promises that are broken.

Jepsen's total-queue (what went in comes out, nothing else) and set-full (what was acknowledged is never missed again)
are the models. `check_safety` may be asked at any instant at which a gateway runs; `check_complete` when all should be
over. They work on a `Desk` and a `History`, so they serve any test that has both.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from edge.desk import DESTINATION, Desk
from edge.intervals import Intervals
from edge.ledger import DELIVERED, EXPIRED, NOT_ROLLED_UP, QUARANTINED, THINNED
from tidegate.replay.history import Account, AccountKey, History, Promise
from tidegate.replay.points import Points
from tidegate.replay.rollups import compare


@dataclass(frozen=True, slots=True)
class Entry:
    """What the gateway's ledger says of one account; sets of seqs."""

    received: Intervals
    delivered: Intervals
    quarantined: Intervals
    lost: Intervals
    dropped: Intervals
    """Thinned or expired: by a policy that the operator chose, and in the books."""


def ledger_entries(desk: Desk) -> Iterator[tuple[AccountKey, Entry]]:
    """The whole ledger. Raises `StoreError`."""
    desk.ledger.refresh()
    for device_key, boot, account in desk.ledger.accounts():
        entries, empty = account.entries, Intervals()
        key = AccountKey(desk.store.device_name(device_key)[1], boot)
        delivered = entries.get(f"{DELIVERED}/{DESTINATION}", empty)
        dropped = _union(*(seqs for name, seqs in entries.items() if name.split("/")[0] in (THINNED, EXPIRED)))
        yield key, Entry(account.received, delivered, entries.get(QUARANTINED, empty), account.lost(), dropped)


def check_safety(history: History, desk: Desk) -> None:
    """What must hold at any instant. Raises `StoreError`."""
    ledger = dict(ledger_entries(desk))
    check_balance(history, desk, ledger.values())
    for key, entry in ledger.items():
        check_ledger(history, key, entry)
    for key, account in history.accounts.items():
        check_acknowledged(history, key, account, ledger.get(key))


def check_complete(history: History, desk: Desk) -> None:
    """What must hold when every fault is over and everything has caught up. Raises `StoreError`."""
    check_safety(history, desk)
    held = desk.ledger.balance(DESTINATION).held
    if held:
        history.broken(Promise.BACKLOG_RETURNS, f"{held} readings are still held")
    ledger = dict(ledger_entries(desk))
    nothing = Entry(Intervals(), Intervals(), Intervals(), Intervals(), Intervals())
    for key, account in history.accounts.items():
        entry = ledger.get(key, nothing)
        poison = Intervals((seq, seq) for device, boot, seq in sorted(history.poison) if (device, boot) == key)
        history.broken_for(
            Promise.QUARANTINE_IS_DESERVED,
            "readings that the cloud would take are in quarantine",
            key,
            entry.quarantined.minus(poison),
        )
        explained = _union(account.arrived, entry.quarantined, entry.lost, entry.dropped)
        history.broken_for(
            Promise.ACKNOWLEDGED_ARRIVES,
            "acknowledged readings are not in the cloud",
            key,
            account.acknowledged.minus(explained),
        )
        history.broken_for(
            Promise.NOTHING_MISSING,
            "measured readings are neither in the cloud, in quarantine, dropped by policy nor declared lost",
            key,
            account.measured.minus(explained),
        )


def check_rollups(history: History, desk: Desk, points: Points, measurement: str, sizes_s: Sequence[int]) -> None:
    """Every window in the cloud says what its readings say, once all windows are closed. Raises `StoreError`."""
    found = compare(points, measurement, sizes_s)
    for each in found.wrong:
        history.broken(Promise.ROLLUPS_TRUE, each, *found.readings)
    named = "; ".join(found.examples)
    not_rolled_up = desk.ledger.totals[NOT_ROLLED_UP]
    if found.short > not_rolled_up:
        what = f"rollups lack {found.short} readings, the ledger knows of {not_rolled_up}: {named}"
        history.broken(Promise.ROLLUPS_TRUE, what, *found.readings)
    beside = sum(entry.quarantined.count() + entry.dropped.count() for _, entry in ledger_entries(desk))
    if found.over > beside * len(sizes_s):
        history.broken(Promise.ROLLUPS_TRUE, f"rollups have {found.over} readings that are not in the cloud: {named}")


def check_bounds(history: History, desk: Desk, disk_bytes_max: int) -> int:
    """The store keeps within its budget; the bytes that it takes. Raises `StoreError`."""
    size_bytes = desk.store.size_bytes()
    if size_bytes > disk_bytes_max:
        history.broken(Promise.BOUNDED, f"the store takes {size_bytes} of {disk_bytes_max} bytes")
    return size_bytes


def check_balance(history: History, desk: Desk, entries: Iterable[Entry]) -> None:
    """The ledger's sums add up, and are the sums of its sets."""
    balance, totals = desk.ledger.balance(DESTINATION), desk.ledger.totals
    if not balance.balances:
        history.broken(Promise.LEDGER_BALANCES, f"{balance}")
    received = delivered = quarantined = 0
    for entry in entries:
        received += entry.received.count()
        delivered += entry.delivered.count()
        quarantined += entry.quarantined.count()
    sets = {"received": received, f"{DELIVERED}/{DESTINATION}": delivered, QUARANTINED: quarantined}
    told = {name: totals[name] for name in sets}
    if told != sets:
        history.broken(Promise.LEDGER_BALANCES, f"the totals say {told}, the sets hold {sets}")


def check_ledger(history: History, key: AccountKey, entry: Entry) -> None:
    """The ledger claims nothing that did not happen."""
    account = history.accounts.get(key, Account())
    claims = (
        (Promise.NOTHING_INVENTED, "received readings were never measured", entry.received.minus(account.measured)),
        (Promise.LEDGER_TRUE, "readings called delivered are not in the cloud", entry.delivered.minus(account.arrived)),
        (Promise.LEDGER_TRUE, "delivered readings were never received", entry.delivered.minus(entry.received)),
        (Promise.LEDGER_TRUE, "readings called lost were never measured", entry.lost.minus(account.measured)),
    )
    for promise, what, seqs in claims:
        history.broken_for(promise, what, key, seqs)


def check_acknowledged(history: History, key: AccountKey, account: Account, entry: Entry | None) -> None:
    """Whatever was acknowledged is in the store's books: by PUBACK, and by the gateway's own `ack`."""
    received = Intervals() if entry is None else entry.received
    what = "readings were acknowledged and are not in the store"
    history.broken_for(Promise.ACKNOWLEDGED_IS_DURABLE, what, key, account.acknowledged.minus(received))
    if account.acked_through >= 0:
        freed = Intervals([(0, account.acked_through)])
        known = received if entry is None else _union(received, entry.lost)
        what = "readings were freed in the device and are not in the store"
        history.broken_for(Promise.ACKNOWLEDGED_IS_DURABLE, what, key, freed.minus(known))


def _union(*sets: Intervals) -> Intervals:
    """Not to be changed: it may be one of these."""
    held = [each for each in sets if each]
    if len(held) == 1:
        return held[0]
    together = Intervals()
    for each in held:
        together.update(each)
    return together
