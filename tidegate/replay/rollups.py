"""Whether the rollups in the cloud are those of the readings in the cloud: recomputed, window by window, by other code.

What a rollup must say is in docs/rollups.md: count, min, max, last, mean and sum of each value of one device over the
readings whose device time lies in the window; a text has a count and a last value. Exact: sums are rounded once.

What the gateway itself declares may differ, and no more: readings that came too late for their window (the ledger's
`not_rolled_up`), and readings that are in a window but not in the cloud (quarantined, or dropped for room or age).
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from cloud.lineprotocol import FieldValue
from sensors.reading import Identity
from tidegate.replay.cloud import NS_PER_MS
from tidegate.replay.points import Points, encode_fields

IDENTITY_FIELDS = frozenset({"boot", "seq"})
NAMED_MAX = 5
QUANTILE = re.compile(r"_p[0-9]+(_[0-9]+)?$")
_decoder = msgspec.json.Decoder(dict[str, float | int | str | bool])

Row = tuple[tuple[int, int, int], Mapping[str, float | int | str | bool]]
"""((taken_at_ms, boot, seq), values by column)."""


@dataclass(slots=True)
class Differences:
    """What is not as recomputed. `short`: readings that rollups lack; `over`: readings that only rollups have."""

    short: int = 0
    over: int = 0
    wrong: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    readings: list[Identity] = field(default_factory=list)
    """Those of the first window that is not as it should be, the last one first."""

    def note(self, window: str, expected: int, found: int) -> None:
        """A window with another number of readings."""
        self.short += max(0, expected - found)
        self.over += max(0, found - expected)
        if len(self.examples) < NAMED_MAX:
            self.examples.append(f"{window} has {found} of {expected} readings")


def compare(points: Points, measurement: str, sizes_s: Iterable[int]) -> Differences:
    """Recompute every window from the readings, and compare."""
    found = Differences()
    readings = {series.tags: held for series, held in points.of(measurement)}
    sizes_s = tuple(sizes_s)
    stored = {
        (size_s, series.tags): held for size_s in sizes_s for series, held in points.of(f"{measurement}_{size_s}s")
    }
    for tags in sorted({*readings, *(tags for _, tags in stored)}):
        rows = _rows(readings.get(tags, {}))
        for size_s in sizes_s:
            device = dict(tags).get("device", "")
            _compare_series(device, size_s, stored.get((size_s, tags), {}), _windows(rows, 1000 * size_s), found)
    return found


def summarise(rows: Sequence[Row]) -> dict[str, FieldValue]:
    """The fields of one window's rollup."""
    if len(rows) == 1:  # most windows of a device that measures rarely
        return _of_one(rows[0][1])
    fields: dict[str, FieldValue] = {}
    columns = {name: None for _, values in rows for name in values if name not in IDENTITY_FIELDS}
    for name in columns:
        at_values = [(at, values[name]) for at, values in rows if name in values]
        last = max(at_values, key=_at)[1]
        if isinstance(last, str):
            fields |= {f"{name}_text_count": len(at_values), f"{name}_text_last": last}
            continue
        numbers = [float(value) + 0.0 for _, value in at_values]  # no negative zero: see `edge.stats`
        total = math.fsum(numbers)
        fields |= {
            f"{name}_count": len(numbers),
            f"{name}_min": min(numbers),
            f"{name}_max": max(numbers),
            f"{name}_last": float(last) + 0.0,
            f"{name}_mean": total / len(numbers),
            f"{name}_sum": total,
        }
    return fields


def _of_one(values: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    fields: dict[str, FieldValue] = {}
    for name, value in values.items():
        if name in IDENTITY_FIELDS:
            continue
        if isinstance(value, str):
            fields[f"{name}_text_count"], fields[f"{name}_text_last"] = 1, value
            continue
        number = float(value) + 0.0
        fields[f"{name}_count"] = 1
        for what in ("min", "max", "last", "mean", "sum"):
            fields[f"{name}_{what}"] = number
    return fields


def _compare_series(
    device: str,
    size_s: int,
    stored: Mapping[int, bytes],
    windows: Iterator[tuple[int, Sequence[Row]]],
    found: Differences,
) -> None:
    seen, name = 0, f"{device}, {size_s} s from"
    for start_ms, rows in windows:
        is_there = stored.get(start_ms * NS_PER_MS)
        if is_there is None:
            found.note(f"{name} {start_ms}", len(rows), 0)
            found.readings = found.readings or _identities(device, rows)
            continue
        seen += 1
        expected = summarise(rows)
        if is_there != encode_fields(expected) and (fields := _comparable(is_there)) != expected:
            count, has = _most(expected), _most(fields)
            if count == has and len(found.wrong) < NAMED_MAX:
                found.wrong.append(f"{name} {start_ms} is {is_there.decode()}, recomputed {expected}")
            found.note(f"{name} {start_ms}", count, has)
            found.readings = found.readings or _identities(device, rows)
    if seen < len(stored):
        found.note(f"{name} some time without any reading", 0, len(stored) - seen)


def _comparable(stored: bytes) -> dict[str, float | int | str | bool]:
    """A rollup's fields without its quantiles, which are estimates."""
    return {name: value for name, value in _decoder.decode(stored).items() if not QUANTILE.search(name)}


def _identities(device: str, rows: Sequence[Row]) -> list[Identity]:
    return [Identity(device, boot, seq) for (_, boot, seq), _ in reversed(rows)]


def _rows(held: Mapping[int, bytes]) -> list[Row]:
    """The readings of one device, in the order of their times."""
    rows: list[Row] = []
    for time_ns in sorted(held):
        values = _decoder.decode(held[time_ns])
        rows.append(((time_ns // NS_PER_MS, int(values.get("boot", 0)), int(values.get("seq", 0))), values))
    return rows


def _windows(rows: Sequence[Row], size_ms: int) -> Iterator[tuple[int, Sequence[Row]]]:
    """(start_ms, rows) of every window of one size that holds any."""
    first = 0
    for number in range(1, len(rows) + 1):
        start_ms = rows[first][0][0] // size_ms * size_ms
        if number == len(rows) or rows[number][0][0] >= start_ms + size_ms:
            yield start_ms, rows[first:number]
            first = number


def _most(fields: Mapping[str, FieldValue]) -> int:
    """How many readings a rollup is of: the most that any of its values has."""
    return max((int(value) for name, value in fields.items() if name.endswith("_count")), default=0)


def _at(at_value: tuple[tuple[int, int, int], FieldValue]) -> tuple[int, int, int]:
    return at_value[0]
