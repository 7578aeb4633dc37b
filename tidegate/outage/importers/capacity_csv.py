"""Imports capacity per second: CSV with the columns `second,capacity_bytes`, seconds without holes.

Promises: each run of at least `silence_s` empty seconds becomes one outage. A second that carried bytes says only that
the link died or came back *somewhere in it*, so the bounds are that second and the estimate is its middle: n empty
seconds mean an outage of n to n + 2 seconds, n + 1 estimated. (Against the millisecond traces behind
tests/recordings/data/saturator-cellular this estimate is the better one: 77 empty seconds were 78.3 s.)
"""

from collections.abc import Sequence
from itertools import pairwise

from edge.outages.events import Cause, LinkKind, Quantities
from tidegate.outage.builder import SECOND_US, Began, Provenance, RecordingBuilder
from tidegate.outage.importers.trace import Imported, TraceError, text_lines, whole_number

COLUMNS = "second,capacity_bytes"


def import_capacity_csv(trace: bytes, link: str, provenance: Provenance, silence_s: int = 1) -> Imported:
    """Read the trace. Raises `TraceError`."""
    capacities = _capacities(trace)
    builder = RecordingBuilder(link, LinkKind.UPLINK)
    builder.series(Quantities.CAPACITY, 0, SECOND_US, capacities)
    runs = _empty_runs(capacities, max(1, silence_s))
    if not runs or runs[0][0] > 0:
        builder.up(0)
    last_second = len(capacities)
    for (first, after), (following, _) in pairwise([*runs, (last_second + 1, last_second + 1)]):
        preceding = max((end for _, end in runs if end <= first), default=0)
        builder.down((first + 1) * SECOND_US, Cause.TIMEOUT, _died(first, alive_s=first - preceding))
        if after < last_second:
            builder.up((after + 1) * SECOND_US, _returned(after, alive_s=following - after))
    return Imported(builder.build(last_second * SECOND_US, provenance), {"seconds": last_second, "outages": len(runs)})


def _capacities(trace: bytes) -> list[int]:
    lines = text_lines(trace)
    number, header = next(lines, (1, ""))
    if header != COLUMNS:
        raise TraceError(number, "header", f"the columns {COLUMNS}, found {header[:60]!r}")
    capacities: list[int] = []
    for number, line in lines:
        fields = line.split(",")
        if len(fields) != len(COLUMNS.split(",")):
            raise TraceError(number, "line", f"two fields, {COLUMNS}")
        if whole_number(fields[0], number, "second") != len(capacities):
            raise TraceError(number, "second", f"{len(capacities)}, found {fields[0]}")
        capacities.append(whole_number(fields[1], number, "capacity_bytes"))
    if not capacities:
        raise TraceError(number, "line", "at least one second")
    return capacities


def _empty_runs(capacities: Sequence[int], shortest: int) -> list[tuple[int, int]]:
    """Runs [first, after) of at least `shortest` seconds without a byte."""
    edges = [-1, *(second for second, capacity in enumerate(capacities) if capacity), len(capacities)]
    return [(before + 1, after) for before, after in pairwise(edges) if after - before - 1 >= shortest]


def _died(first_empty: int, alive_s: int) -> Began:
    """Somewhere in the last second with bytes; when that is the only one between two outages, in its last half."""
    if first_empty == 0:
        return Began(0, 0, 0)
    before_us = SECOND_US // 4 if alive_s == 1 else SECOND_US // 2
    end_us = first_empty * SECOND_US
    return Began(end_us - before_us, end_us - SECOND_US, end_us)


def _returned(first_alive: int, alive_s: int) -> Began:
    """Somewhere in the first second with bytes; when that is the only one between two outages, in its first half."""
    after_us = SECOND_US // 4 if alive_s == 1 else SECOND_US // 2
    start_us = first_alive * SECOND_US
    return Began(start_us + after_us, start_us, start_us + SECOND_US)
