"""The ledger as a measurement of its own, so that the cloud can check for completeness without the gateway.

    reading_ledger,boot=3,destination=influx,device=D,gateway=G,site=S received=1200i,delivered=1180i,held=20i,
        missing=2i,lost=0i,expired=0i,thinned=0i,quarantined=0i,suppressed=0i,highest=1201i,contiguous=640i,missing_seqs="641-642"

One line is one account (device and boot) as it stands when the line is made; the newest line of a series counts.
`contiguous` is the highest seq up to which nothing is missing (-1: seq 0 is), `missing_seqs` the first missing ranges.
So in the cloud: received = delivered + held + expired + thinned + quarantined + suppressed, and the points of that
device and boot must be `delivered` many.

Promises: every account that changed is told again, also after a crash (what is owed is written with the ledger); one
line an account and period however much has changed, at most `LINES_MAX` lines a period, who waited longest first.
Synchronous; lives in the store's thread.
"""

from collections.abc import Iterator

from edge.forward.lines import NS_PER_MS, GatewayNames, escape_tag
from edge.intervals import Intervals
from edge.ledger import DELIVERED, EXPIRED, QUARANTINED, THINNED, Account, Ledger
from edge.store import Store
from edge.store.names import BEFORE, SUPPRESSED, split_entry
from edge.store.notices import Notices
from edge.store.rows import CLOCK_SET_MS

DEFAULT_EVERY_MS = 300_000  # a line is twice a reading: one for each reading would cost more than they do
LINES_MAX = 1000  # of one period: 200 KB, 30 KB compressed; 10,000 devices are told within the hour
RANGES_MAX = 16  # of `missing_seqs`
TIDY_LINES = 100  # of one transaction: some 5 ms


class LedgerLines:
    """Writes the lines of one gateway into its log of notices. `every_ms` 0: never."""

    def __init__(self, store: Store, ledger: Ledger, names: GatewayNames, every_ms: int) -> None:
        self._store = store
        self._ledger = ledger
        self._notices = Notices(store)
        self._measurement = f"{escape_tag(names.measurement)}_ledger"
        self._gateway = escape_tag(names.gateway)
        self._every_ms = every_ms
        self._began_ms: int | None = None
        self._left = 0
        self._told_writes = -1  # of the ledger, when nothing was owed any more

    def due_in_ms(self, now_ms: int) -> int | None:
        """In how long `tell` has something to do; None: not before the ledger is written again."""
        if not self._every_ms or self._told_writes == self._ledger.writes:
            return None
        return 0 if self._began_ms is None or self._left else self._began_ms + self._every_ms - now_ms

    def tell(self, now_ms: int, wall_ms: int | None) -> bool:
        """Write what is due, one step of it; whether there is more to do at once. Raises `StoreError`."""
        if not self._every_ms or wall_ms is None or wall_ms < CLOCK_SET_MS:
            return False
        if self._began_ms is None or now_ms - self._began_ms >= self._every_ms:
            self._began_ms, self._left = now_ms, LINES_MAX
        if not self._left or self._told_writes == self._ledger.writes:
            return False
        owed = self._store.query(
            "SELECT id, device_key, boot FROM ledger_untold ORDER BY id LIMIT ?", (min(self._left, TIDY_LINES),)
        )
        if not owed:
            self._left, self._told_writes = 0, self._ledger.writes
            return False
        with self._ledger.transaction():
            lines = [line for _, key, boot in owed for line in self._lines(key, boot, wall_ms)]
            self._notices.append_all(lines)
            self._store.write("DELETE FROM ledger_untold WHERE id = ?", [row[:1] for row in owed])
        self._left -= len(owed)
        return self._left > 0

    def _lines(self, device_key: int, boot: int, wall_ms: int) -> Iterator[str]:
        site, device = self._store.device_name(device_key)
        account = self._ledger.account(device_key, boot)
        for destination in self._ledger.destinations:
            tags = (
                f"boot={boot},destination={escape_tag(destination)},device={escape_tag(device)},"
                f"gateway={self._gateway},site={escape_tag(site)}"
            )
            yield f"{self._measurement},{tags} {_fields(account, destination)} {wall_ms * NS_PER_MS}"


def _fields(account: Account, destination: str) -> str:
    missing = Intervals(account.missing())
    delivered = account.entries.get(f"{DELIVERED}/{destination}", Intervals())
    gone = {kind: _sum(account, kind, destination) for kind in (EXPIRED, THINNED, QUARANTINED, SUPPRESSED)}
    received = account.received.minus(_sum(account, BEFORE, destination))
    settled = Intervals(delivered)
    for seqs in gone.values():
        settled.update(seqs)
    counts = {
        "received": received.count(),
        "delivered": delivered.count(),
        "held": received.minus(settled).count(),
        "missing": missing.count(),
        "lost": account.lost().count(),
        **{kind: seqs.minus(delivered).count() for kind, seqs in gone.items()},
        "highest": -1 if account.received.highest is None else account.received.highest,
        "contiguous": account.received.end_of_run(0),
    }
    return ",".join([*(f"{name}={count}i" for name, count in counts.items()), f'missing_seqs="{_ranges(missing)}"'])


def _sum(account: Account, kind: str, destination: str) -> Intervals:
    together = Intervals()
    for entry, seqs in account.entries.items():
        name, owner = split_entry(entry)
        if name.split("/")[0] == kind and owner == destination:
            together.update(seqs)
    return together


def _ranges(seqs: Intervals) -> str:
    ranges = [f"{first}-{last}" for first, last in seqs]
    return " ".join(ranges[:RANGES_MAX]) + (" ..." if len(ranges) > RANGES_MAX else "")
