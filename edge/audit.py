"""The ledger against the cloud: does the cloud have, seq by seq, what the ledger says that it was given.

Pure: what the ledger tells (`edge.ledger_report`) and what the cloud holds come in, the difference comes out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edge.intervals import Intervals
from edge.ledger_report import RANGES_MAX, Seqs
from sensors.reading import FOREIGN_BOOT


@dataclass(frozen=True, slots=True)
class AccountAudit:
    """One boot of one device.

    `missing`: delivered by the ledger, and not in the cloud. `early`: in the cloud, and not yet confirmed (the answer
    is on its way, or was lost). `unknown`: in the cloud, and never received by this gateway (a store before this one,
    or another gateway). `is_exact`: false if the ledger has more ranges than it tells, and then only counts compare.
    """

    site: str
    device: str
    boot: int
    foreign: bool
    delivered: int
    in_cloud: int
    missing: Seqs
    early: int
    unknown: int
    is_exact: bool

    @property
    def agrees(self) -> bool:
        """Whether the cloud has all that the ledger says it has."""
        return self.missing.count == 0


@dataclass(frozen=True, slots=True)
class Delivered:
    """What the ledger says of one account and destination."""

    site: str
    device: str
    boot: int
    received: Intervals
    delivered: Intervals
    delivered_count: int


def compare(told: Delivered, in_cloud: Intervals) -> AccountAudit:
    """One account against the seqs of that device and boot in the cloud."""
    is_exact = told.delivered.count() == told.delivered_count
    missing = told.delivered.minus(in_cloud)
    count = missing.count() if is_exact else max(missing.count(), told.delivered_count - in_cloud.count())
    further = in_cloud.minus(told.delivered)
    unknown = further.minus(told.received)
    return AccountAudit(
        site=told.site,
        device=told.device,
        boot=told.boot,
        foreign=told.boot == FOREIGN_BOOT,
        delivered=told.delivered_count,
        in_cloud=in_cloud.count(),
        missing=Seqs(count, tuple(list(missing)[:RANGES_MAX])),
        early=(further.count() - unknown.count()) if is_exact else 0,
        unknown=unknown.count() if is_exact else 0,
        is_exact=is_exact,
    )


def delivered_of(document: Mapping[str, object], destination: str) -> Delivered:
    """An account of the ledger's report, as it comes by JSON. Raises `KeyError`, `TypeError`, `ValueError`."""
    received, delivered = _part(document["received"]), _part(_mapping(document["delivered"])[destination])
    boot = document["boot"]
    if not isinstance(boot, int):
        raise TypeError("boot: expected a number")
    return Delivered(
        site=str(document["site"]),
        device=str(document["device"]),
        boot=boot,
        received=received[0],
        delivered=delivered[0],
        delivered_count=delivered[1],
    )


def _part(seqs: object) -> tuple[Intervals, int]:
    document = _mapping(seqs)
    ranges, count = document["ranges"], document["count"]
    if not isinstance(ranges, Iterable) or not isinstance(count, int):
        raise TypeError("expected a count and ranges")
    return Intervals((first, last) for first, last in ranges), count


def _mapping(document: object) -> Mapping[str, object]:
    if not isinstance(document, Mapping):
        raise TypeError("expected an object")
    return document
