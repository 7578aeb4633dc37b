"""Imports mahimahi packet-delivery traces: one line per 1500-byte packet, the millisecond at which it crossed the link.

The format is the one of mahimahi's traces/README: timestamps from the beginning of the trace, equal ones for several
packets in one millisecond. Promises: capacity becomes a series per second; each silence of at least `silence_s` becomes
an outage from its last packet to its next, exact to the millisecond of the trace.
"""

from collections import Counter
from itertools import pairwise

from edge.outages.events import Cause, LinkKind, Quantities
from tidegate.outage.builder import MS_US, SECOND_US, Began, Provenance, RecordingBuilder
from tidegate.outage.importers.trace import Imported, TraceError, text_lines, whole_number

PACKET_BYTES = 1500
"""One MTU: what one delivery opportunity of a mahimahi trace carries."""
_SECOND_MS = 1_000
SPAN_MS_MAX = 31 * 86_400 * _SECOND_MS
"""A month: every second of a trace becomes a value, and mahimahi's own traces last minutes."""


def import_mahimahi(trace: bytes, link: str, provenance: Provenance, silence_s: int = 1) -> Imported:
    """Read the trace. Raises `TraceError`."""
    deliveries_ms = _deliveries(trace)
    end_s = deliveries_ms[-1] // _SECOND_MS + 1
    per_second = Counter(at_ms // _SECOND_MS for at_ms in deliveries_ms)
    builder = RecordingBuilder(link, LinkKind.UPLINK)
    builder.series(Quantities.CAPACITY, 0, SECOND_US, [per_second[second] * PACKET_BYTES for second in range(end_s)])
    silence_ms = max(1, silence_s) * _SECOND_MS
    silences = [(a, b) for a, b in pairwise([0, *deliveries_ms]) if b - a >= silence_ms]
    if not silences or silences[0][0] > 0:
        builder.up(0)
    for last_ms, next_ms in silences:
        began_us = last_ms * MS_US
        builder.down((last_ms + silence_ms) * MS_US, Cause.TIMEOUT, Began(began_us, began_us, began_us + MS_US))
        builder.up(next_ms * MS_US)
    facts = {"packets": len(deliveries_ms), "outages": len(silences)}
    return Imported(builder.build(end_s * SECOND_US, provenance), facts)


def _deliveries(trace: bytes) -> list[int]:
    deliveries_ms: list[int] = []
    for number, line in text_lines(trace):
        at_ms = whole_number(line, number, "timestamp", SPAN_MS_MAX)
        if deliveries_ms and at_ms < deliveries_ms[-1]:
            raise TraceError(number, "timestamp", f"a millisecond not before {deliveries_ms[-1]}, found {at_ms}")
        deliveries_ms.append(at_ms)
    if not deliveries_ms:
        raise TraceError(1, "line", "at least one packet")
    return deliveries_ms
