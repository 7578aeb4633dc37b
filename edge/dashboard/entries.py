"""What a device is found and sorted by, and the search over all of them. Pure.

Promise: `select` looks at each entry once; what has no value to sort by stands last either way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

LEDGER_SORTS = frozenset({"received", "missing", "lost", "held"})
SORTS = LEDGER_SORTS | {"device", "site", "seen", "battery"}


class Sums(NamedTuple):
    """The ledger of one device, summed up over its boots."""

    received: int = 0
    missing: int = 0
    lost: int = 0
    held: int = 0
    quarantined: int = 0


class Entry(NamedTuple):
    """What a device is found and sorted by."""

    key: int
    site: str
    device: str
    seen_ms: int | None
    battery: tuple[int, float] | None
    """(0, percent) or (1, volts): a level and a voltage do not compare."""
    sums: Sums | None


@dataclass(frozen=True, slots=True)
class Query:
    """Which devices, in what order. `sort` is one of `SORTS`."""

    text: str = ""
    site: str | None = None
    sort: str = "device"
    descending: bool = False
    offset: int = 0
    limit: int = 100


def select(entries: Sequence[Entry], query: Query) -> tuple[int, list[int]]:
    """How many entries match, and the keys of the page asked for. What has no value stands last either way."""
    text = query.text.casefold()
    found = [
        entry
        for entry in entries
        if (query.site is None or entry.site == query.site)
        and (not text or text in entry.device.casefold() or text in entry.site.casefold())
    ]
    known, unknown = [], []
    for entry in found:
        value = _sort_value(entry, query.sort)
        if value is None:
            unknown.append(entry.key)
        else:
            known.append((value, entry.key))
    known.sort(reverse=query.descending)
    ordered = [key for _, key in known] + unknown
    return len(found), ordered[query.offset : query.offset + query.limit]


def _sort_value(entry: Entry, sort: str) -> tuple[str, str] | tuple[int, float] | None:
    if sort == "device":
        return entry.device.casefold(), entry.site
    if sort == "site":
        return entry.site.casefold(), entry.device
    if sort == "battery":
        return entry.battery
    number = entry.seen_ms
    if sort in LEDGER_SORTS and entry.sums is not None:
        number = getattr(entry.sums, sort)
    return None if number is None else (number, entry.key)
