"""Imports the log of a device link: messages with a counter, as they arrived. Wi-Fi control logs and LoRaWAN frames.

Promises: a silence of at least `silence_s` (default: four usual intervals, at least 2 s) is an outage, from the last
message before it to the first after it; the link may have died up to one interval later than that last message, which
is the upper bound. Messages missing elsewhere become loss per window of `LOSS_WINDOW` arrivals. A counter that falls
back is a restart of the device and one that repeats is a repeat: both are counted, neither is loss. Delay is
relative: the smallest in the log counts as 0, because the two clocks were never compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low
from typing import Annotated, TypeVar

import msgspec

from edge.outages.events import INTEGER_MAX, PPM, Anchor, Cause, LinkKind, Quantities, Sample, Series
from tidegate.outage.builder import MS_US, SECOND_US, Began, Provenance, RecordingBuilder
from tidegate.outage.importers.trace import Imported, TraceError, decoding_error, text_lines

SILENCE_INTERVALS = 4
"""Three messages in a row missing: rarer than single losses by far, so that one lost packet is no outage."""
SILENCE_MIN_US = 2 * SECOND_US
"""Below 2 s a Wi-Fi link merely roams or backs off."""
LOSS_WINDOW = 50
"""Arrivals per loss figure: one lost message is 2 %, fine enough for a replay to draw from."""
_NS_PER_US = 1_000
_Line = TypeVar("_Line")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message: when it arrived (Unix microseconds), its counter, and when it was sent, if it says so."""

    at_us: int
    counter: int
    sent_us: int | None = None


class _WifiPayload(msgspec.Struct, frozen=True):
    seqnum: Annotated[int, msgspec.Meta(ge=0)]
    src_timestamp_ns: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,19}$")]


class _WifiLine(msgspec.Struct, frozen=True):
    timestamp: Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX * _NS_PER_US)]
    payload: _WifiPayload


class _LorawanLine(msgspec.Struct, frozen=True):
    fcnt: Annotated[int, msgspec.Meta(ge=0)]
    arrived_ms: Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX // MS_US)] = msgspec.field(name="_timestamp")


def import_wifi_sequence(trace: bytes, link: str, provenance: Provenance, silence_s: int | None = None) -> Imported:
    """Read JSON lines with `timestamp` (ns), `payload.seqnum`, `payload.src_timestamp_ns`. Raises `TraceError`."""
    decoder = msgspec.json.Decoder(_WifiLine)
    lines = [_decode(decoder, text, number) for number, text in text_lines(trace)]
    arrivals = [
        Arrival(line.timestamp // _NS_PER_US, line.payload.seqnum, int(line.payload.src_timestamp_ns) // _NS_PER_US)
        for line in lines
    ]
    return sequence_recording(arrivals, link, provenance, silence_s)


def import_lorawan(trace: bytes, link: str, provenance: Provenance, silence_s: int | None = None) -> Imported:
    """Read JSON lines with `_timestamp` (ms) and the frame counter `fcnt`. Raises `TraceError`."""
    decoder = msgspec.json.Decoder(_LorawanLine)
    lines = [_decode(decoder, text, number) for number, text in text_lines(trace)]
    return sequence_recording(
        [Arrival(line.arrived_ms * MS_US, line.fcnt) for line in lines], link, provenance, silence_s
    )


def sequence_recording(
    arrivals: Sequence[Arrival], link: str, provenance: Provenance, silence_s: int | None = None
) -> Imported:
    """The recording of a device link from its arrivals in order. Raises `TraceError` for fewer than two."""
    _check_order(arrivals)
    start_us = arrivals[0].at_us
    interval_us = median_low([b.at_us - a.at_us for a, b in pairwise(arrivals)])
    silence_us = max(SILENCE_MIN_US, SILENCE_INTERVALS * interval_us) if silence_s is None else silence_s * SECOND_US
    builder = RecordingBuilder(link, LinkKind.DEVICE, anchor=Anchor(0, start_us))
    builder.up(0)
    facts = {"messages": len(arrivals), "lost": 0, "restarts": 0, "repeats": 0, "outages": 0}
    window = _LossWindow(builder, link, 0)
    for before, after in pairwise(arrivals):
        lost = _count(before, after, facts)
        at_us, last_us = after.at_us - start_us, before.at_us - start_us
        silent = after.at_us - before.at_us >= silence_us
        if silent:
            facts["outages"] += 1
            window.close(last_us)
            died = Began(last_us, last_us, min(last_us + interval_us, at_us))
            builder.down(max(last_us + silence_us, died.latest_us), Cause.TIMEOUT, died)
            builder.up(at_us, Began(at_us, max(last_us, at_us - interval_us), at_us))
            window = _LossWindow(builder, link, at_us)
        else:
            window.take(at_us, lost)
    _add_delays(builder, link, arrivals, start_us)
    return Imported(builder.build(arrivals[-1].at_us - start_us, provenance), facts)


def _decode(decoder: msgspec.json.Decoder[_Line], text: str, number: int) -> _Line:
    try:
        return decoder.decode(text)
    except msgspec.DecodeError as error:
        raise decoding_error(error, number, "line", "a message with its counter and times") from error


def _check_order(arrivals: Sequence[Arrival]) -> None:
    for number, (before, after) in enumerate(pairwise(arrivals), start=2):
        if after.at_us < before.at_us:
            raise TraceError(number, "timestamp", "a time not before the line above")
    if len(arrivals) < 2 or arrivals[-1].at_us == arrivals[0].at_us:
        raise TraceError(len(arrivals) + 1, "line", "at least two messages at different times")


def _count(before: Arrival, after: Arrival, facts: dict[str, int]) -> int:
    """Add to the facts what this pair says about the counter; return how many messages are missing between them."""
    step = after.counter - before.counter
    if step < 0:
        facts["restarts"] += 1
    elif step == 0:
        facts["repeats"] += 1
    lost = max(0, step - 1)
    facts["lost"] += lost
    return lost


def _add_delays(builder: RecordingBuilder, link: str, arrivals: Sequence[Arrival], start_us: int) -> None:
    delays = [(arrival.at_us, arrival.at_us - arrival.sent_us) for arrival in arrivals if arrival.sent_us is not None]
    smallest_us = min((delay for _, delay in delays), default=0)
    for at_us, delay_us in delays:
        builder.add(Sample(at_us - start_us, link, latency_us=delay_us - smallest_us))


class _LossWindow:
    """Counts arrivals and losses, and writes one loss figure per window."""

    def __init__(self, builder: RecordingBuilder, link: str, start_us: int) -> None:
        self._builder = builder
        self._link = link
        self._start_us = start_us
        self._arrived = 0
        self._lost = 0

    def take(self, at_us: int, lost: int) -> None:
        self._arrived += 1
        self._lost += lost
        if self._arrived >= LOSS_WINDOW:
            self.close(at_us)

    def close(self, at_us: int) -> None:
        if self._arrived and at_us > self._start_us:
            loss_ppm = self._lost * PPM // (self._arrived + self._lost)
            self._builder.add(Series(at_us, self._link, Quantities.LOSS, at_us - self._start_us, (loss_ppm,)))
        self._start_us, self._arrived, self._lost = at_us, 0, 0
