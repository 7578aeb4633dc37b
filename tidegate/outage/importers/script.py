"""Imports a scripted outage: a JSON list of `{"at_s", "toxic", "attributes", "duration_s"}` with Toxiproxy's names.

Promises: what a link can do becomes a recording: `latency`, `bandwidth`, `timeout`, `reset_peer`, `down` and
`lose_answers`. What only one connection can do (`slow_close`, `slicer`, `limit_data`) is refused with an error that
says so: add those to the running proxy. Without `duration_s` an entry lasts to the end, which is the end of the last
entry. Overlapping entries add up: the latencies are summed, the narrowest bandwidth wins, any one that is down wins.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from edge.outages.events import Cause, Close, Ending, LinkKind, Sample, UnknownWrite
from tidegate.outage.builder import MS_US, SECOND_US, Provenance, RecordingBuilder
from tidegate.outage.importers.trace import Imported, TraceError, decoding_error
from tidegate.outage.toxics import Bandwidth, Latency, ToxicError, parse_attributes

_DOWN_CAUSES = {"timeout": Cause.TIMEOUT, "reset_peer": Cause.RESET, "down": Cause.REFUSED}
_KINDS = ("latency", "bandwidth", "lose_answers", *_DOWN_CAUSES)
_TAIL_S = 1.0
"""A script whose last entry never ends needs an end all the same: one second after the last start."""


_SPAN_S_MAX = 400 * 86_400
"""A year and a month, as long as a generated recording may be."""


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    at_s: Annotated[float, msgspec.Meta(ge=0, le=_SPAN_S_MAX)]
    toxic: str
    attributes: dict[str, Any] = {}
    duration_s: Annotated[float, msgspec.Meta(gt=0, le=_SPAN_S_MAX)] | None = None


class _Span(msgspec.Struct, frozen=True):
    """One entry in microseconds, with what it does to the link."""

    start_us: int
    end_us: int
    toxic: str
    latency_us: int = 0
    rate_bytes_per_s: int | None = None


def import_script(trace: bytes, link: str, provenance: Provenance) -> Imported:
    """Read the script. Raises `TraceError`; its `line` is the number of the entry."""
    try:
        entries = msgspec.json.decode(trace, type=list[_Entry])
    except msgspec.DecodeError as error:
        raise decoding_error(error, 1, "script", "a list of at_s, toxic, attributes, duration_s") from error
    if not entries:
        raise TraceError(1, "script", "at least one entry")
    end_s = max(entry.at_s + (entry.duration_s or _TAIL_S) for entry in entries)
    spans = [_span(entry, number, end_s) for number, entry in enumerate(entries, start=1)]
    builder = RecordingBuilder(link, LinkKind.UPLINK)
    edges = sorted({0, *(span.start_us for span in spans), *(span.end_us for span in spans)})
    for at_us in edges[:-1] if len(edges) > 1 else edges:
        _add_state(builder, [span for span in spans if span.start_us <= at_us < span.end_us], at_us)
    for span in spans:
        if span.toxic == "reset_peer":
            builder.add(Close(span.start_us, link, Ending.RST))
        elif span.toxic == "lose_answers":
            builder.add(UnknownWrite(span.end_us, link, sent_us=span.start_us))
    return Imported(builder.build(edges[-1], provenance), {"entries": len(spans)})


def _span(entry: _Entry, number: int, end_s: float) -> _Span:
    if entry.toxic not in _KINDS:
        raise TraceError(number, "toxic", f"one of {', '.join(_KINDS)} (a link cannot do {entry.toxic!r})")
    start_us = round(entry.at_s * SECOND_US)
    end_us = round((end_s if entry.duration_s is None else entry.at_s + entry.duration_s) * SECOND_US)
    if entry.toxic == "down":
        if entry.attributes:
            raise TraceError(number, "attributes", "none for down")
        return _Span(start_us, end_us, entry.toxic)
    try:
        attributes = parse_attributes(entry.toxic, entry.attributes)
    except ToxicError as error:
        raise TraceError(number, error.field, error.expected) from error
    if isinstance(attributes, Latency):
        return _Span(start_us, end_us, entry.toxic, latency_us=attributes.latency * MS_US)
    if isinstance(attributes, Bandwidth):
        return _Span(start_us, end_us, entry.toxic, rate_bytes_per_s=attributes.rate_bytes_per_s)
    return _Span(start_us, end_us, entry.toxic)


def _add_state(builder: RecordingBuilder, active: Sequence[_Span], at_us: int) -> None:
    """Write the link's state from `at_us` on, as all active entries together make it."""
    causes = [_DOWN_CAUSES[span.toxic] for span in active if span.toxic in _DOWN_CAUSES]
    rates = [span.rate_bytes_per_s for span in active if span.rate_bytes_per_s is not None]
    latency_us = sum(span.latency_us for span in active)
    if causes:
        builder.down(at_us, causes[0])
    elif rates or latency_us:
        builder.degraded(at_us, Cause.SLOW)
    else:
        builder.up(at_us)
    builder.add(Sample(at_us, builder.link, latency_us=latency_us, capacity_bytes_per_s=min(rates) if rates else None))
