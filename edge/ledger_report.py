"""The ledger as an answer: is everything that was ever acknowledged in the cloud; if not, which seqs, where, and why.

Promise: for every account and destination, received = delivered + what `open` names (held, quarantined, and whatever
else the ledger has an entry for), seq by seq.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from edge.intervals import Intervals
from edge.ledger import DELIVERED, LOST, SUPPRESSED, Account, Balance, Ledger, is_settled, split_entry
from edge.store import Store
from sensors.reading import FOREIGN_BOOT

ACCOUNTS_MAX = 1000  # of one answer; more are asked for by naming a site or device
RANGES_MAX = 1000  # of one set of seqs in an answer; `count` counts them all
HELD = "held"


@dataclass(frozen=True, slots=True)
class Seqs:
    """A set of seqs: how many, and its first ranges (both ends included)."""

    count: int
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class AccountReport:
    """One boot of one device. `foreign`: the gateway numbered it, so that missing ones cannot show.

    `lost`: never received, by the reason that the device gave. `delivered` and `open` are by destination; `open` says
    where received readings are that the destination has not: `held` in the store, or the name of the ledger's entry.
    """

    site: str
    device: str
    boot: int
    foreign: bool
    received: Seqs
    missing: Seqs
    lost: dict[str, Seqs]
    delivered: dict[str, Seqs]
    open: dict[str, dict[str, Seqs]]


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """The whole answer. `complete`: by destination, whether it has everything that was ever acknowledged, and that it
    is to be sent."""

    complete: dict[str, bool]
    balances: dict[str, Balance]
    totals: dict[str, int]
    accounts: tuple[AccountReport, ...]
    truncated: bool


def report(
    ledger: Ledger, store: Store, *, site: str | None = None, device: str | None = None, only_open: bool = False
) -> LedgerReport:
    """The ledger of all devices, or of those of a site or name; `only_open`: only accounts with something to tell.

    Raises `StoreError`.
    """
    ledger.refresh()
    destinations = sorted(ledger.destinations)
    wanted = _accounts(ledger, store, destinations, site, device, only_open)
    accounts = tuple(islice(wanted, ACCOUNTS_MAX))
    balances = {name: ledger.balance(name) for name in destinations}
    return LedgerReport(
        complete={
            name: balance.received == balance.delivered + balance.suppressed for name, balance in balances.items()
        },
        balances=balances,
        totals=dict(ledger.totals),
        accounts=accounts,
        truncated=next(wanted, None) is not None,
    )


def _accounts(
    ledger: Ledger, store: Store, destinations: list[str], site: str | None, device: str | None, only_open: bool
) -> Iterator[AccountReport]:
    for key, boot, account in ledger.accounts():
        name = store.device_name(key)
        if (site is not None and name[0] != site) or (device is not None and name[1] != device):
            continue
        told = _account(name, boot, account, destinations)
        if not only_open or told.missing.count or told.lost or any(map(_is_open, told.open.values())):
            yield told


def _account(name: tuple[str, str], boot: int, account: Account, destinations: list[str]) -> AccountReport:
    lost = {entry: seqs for entry, seqs in account.entries.items() if entry.startswith(LOST) and seqs}
    delivered = {each: account.entries.get(f"{DELIVERED}/{each}", Intervals()) for each in destinations}
    return AccountReport(
        site=name[0],
        device=name[1],
        boot=boot,
        foreign=boot == FOREIGN_BOOT,
        received=_seqs(account.received),
        missing=_seqs(Intervals(account.missing())),
        lost={entry.removeprefix(LOST + "/"): _seqs(seqs) for entry, seqs in lost.items()},
        delivered={each: _seqs(seqs) for each, seqs in delivered.items()},
        open={each: _open(account, each, seqs) for each, seqs in delivered.items()},
    )


def _is_open(places: dict[str, Seqs]) -> bool:
    return bool(places.keys() - {SUPPRESSED})


def _open(account: Account, destination: str, delivered: Intervals) -> dict[str, Seqs]:
    left = account.received.minus(delivered)
    found: dict[str, Seqs] = {}
    for name, seqs in account.entries.items():
        entry, whose = split_entry(name)
        if not is_settled(name) or whose != destination:
            continue
        without = left.minus(seqs)
        if here := left.minus(without):
            found[entry] = _seqs(here)
        left = without
    if left:
        found[HELD] = _seqs(left)
    return found


def _seqs(seqs: Intervals) -> Seqs:
    return Seqs(seqs.count(), tuple(islice(seqs, RANGES_MAX)))
