"""Imports the output of `ping -D` (iputils; `-O` helps): replies become RTT samples, missing ones loss or an outage.

Promises: addresses and host names in the log are never read into the recording. At least `lost_pings` missing replies
in a row are an outage (hysteresis: one lost packet is none): it began when the first of them was sent, at the earliest
with the last good reply, and it ended when the next answered one was sent. Cause `unreachable` when the log says so,
else `timeout`. Pings that it could not send are missing, too. Fewer missing replies are loss, per window of
`LOSS_WINDOW` pings.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low

from edge.outages.events import INTEGER_MAX, PPM, Anchor, Cause, LinkKind, Quantities, Sample, Series
from tidegate.outage.builder import SECOND_US, Began, Provenance, RecordingBuilder
from tidegate.outage.importers.trace import Imported, TraceError, text_lines

LOST_PINGS = 3
"""Independent loss of 5 % makes three in a row one in 8000: then it is the link."""
LOSS_WINDOW = 60
"""One figure a minute at ping's usual pace."""
_SEQUENCES = 65_536
"""icmp_seq has 16 bits and starts over."""
_STAMP = re.compile(r"^\[(?P<seconds>\d{1,12})\.(?P<micros>\d{6})\] (?P<rest>.*)$")
_REPLY = re.compile(r"bytes from .*icmp_seq=(?P<seq>\d+) .*time=(?P<ms>\d+(?:\.\d+)?) ms(?P<dup>.*DUP)?")
_FAILURE = re.compile(r"(?P<who>no answer yet for|From .*) icmp_seq=(?P<seq>\d+)(?P<text>.*)")
_UNSENT = re.compile(r"^ping: send\w*: .*unreachable", re.IGNORECASE)
"""It stands on standard error, without a time; ping counts that ping as sent."""


@dataclass(frozen=True, slots=True)
class _Reply:
    seq: int
    sent_us: int
    rtt_us: int

    @property
    def at_us(self) -> int:
        return self.sent_us + self.rtt_us


@dataclass(slots=True)
class _Log:
    replies: list[_Reply]
    unreachable: set[int]
    last_seq: int = 0
    last_us: int = 0


def import_ping(trace: bytes, link: str, provenance: Provenance, lost_pings: int = LOST_PINGS) -> Imported:
    """Read the log. Raises `TraceError`."""
    log = _parse(trace)
    replies = log.replies
    start_us = replies[0].sent_us
    interval_us = median_low([max(1, (b.sent_us - a.sent_us) // (b.seq - a.seq)) for a, b in pairwise(replies)])
    builder = RecordingBuilder(link, LinkKind.UPLINK, anchor=Anchor(0, start_us))
    builder.up(0)
    facts = {"replies": len(replies), "lost": log.last_seq - replies[0].seq + 1 - len(replies), "outages": 0}
    for before, after in pairwise(replies):
        if after.seq - before.seq - 1 >= lost_pings:
            facts["outages"] += 1
            _add_outage(builder, log, (before, after), start_us, interval_us)
    if log.last_seq - replies[-1].seq >= lost_pings:
        facts["outages"] += 1
        _add_outage(builder, log, (replies[-1], None), start_us, interval_us)
    _add_samples(builder, replies, start_us, lost_pings)
    end_us = max(log.last_us, replies[-1].at_us + (log.last_seq - replies[-1].seq) * interval_us) - start_us
    return Imported(builder.build(end_us, provenance), facts)


def _parse(trace: bytes) -> _Log:
    log = _Log([], set())
    for number, line in text_lines(trace):
        stamp = _STAMP.match(line)
        if stamp is None:
            if line.startswith("["):
                raise TraceError(number, "timestamp", "[seconds.microseconds] as ping -D prints it")
            if _UNSENT.match(line) is not None:
                log.last_seq += 1
                log.unreachable.add(log.last_seq)
            continue
        at_us = int(stamp["seconds"]) * SECOND_US + int(stamp["micros"])
        if not log.last_us <= at_us <= INTEGER_MAX:
            expected = "a time since 1970, not before that of the line above (if the clock was set, cut the log there)"
            raise TraceError(number, "timestamp", expected)
        log.last_us = at_us
        _parse_event(log, stamp["rest"], number)
    if len(log.replies) < 2:  # an interval needs two
        raise TraceError(1, "line", "at least two replies as ping -D prints them")
    return log


def _parse_event(log: _Log, text: str, number: int) -> None:
    reply, failure = _REPLY.search(text), _FAILURE.search(text)
    found = reply or failure
    if found is None:
        raise TraceError(number, "line", f"a reply or a failure with its icmp_seq, found {text[:60]!r}")
    seq = int(found["seq"])
    seq += (log.last_seq - seq + _SEQUENCES // 2) // _SEQUENCES * _SEQUENCES
    if reply is not None and not reply["dup"] and (not log.replies or seq > log.replies[-1].seq):
        whole, _, fraction = reply["ms"].partition(".")
        rtt_us = int(whole) * 1_000 + int(fraction.ljust(3, "0")[:3])
        log.replies.append(_Reply(seq, log.last_us - rtt_us, rtt_us))
    elif failure is not None and failure["who"] != "no answer yet for":
        log.unreachable.add(seq)
    log.last_seq = max(log.last_seq, seq)


def _add_outage(
    builder: RecordingBuilder, log: _Log, around: tuple[_Reply, _Reply | None], start_us: int, interval_us: int
) -> None:
    before, after = around
    first_lost_us = max(before.sent_us + interval_us, before.at_us) - start_us
    missing = range(before.seq + 1, log.last_seq + 1 if after is None else after.seq)
    cause = Cause.UNREACHABLE if any(seq in log.unreachable for seq in missing) else Cause.TIMEOUT
    seen_us = first_lost_us + LOST_PINGS * interval_us
    if after is not None:
        first_lost_us, seen_us = min(first_lost_us, after.sent_us - start_us), min(seen_us, after.at_us - start_us)
    builder.down(seen_us, cause, Began(first_lost_us, min(before.at_us - start_us, first_lost_us), first_lost_us))
    if after is not None:
        back_us = after.sent_us - start_us
        builder.up(
            after.at_us - start_us, Began(back_us, max(first_lost_us, back_us - interval_us), after.at_us - start_us)
        )


def _add_samples(builder: RecordingBuilder, replies: list[_Reply], start_us: int, lost_pings: int) -> None:
    link = builder.link
    for reply in replies:
        builder.add(Sample(reply.at_us - start_us, link, rtt_us=reply.rtt_us))
    for first in range(0, len(replies) - 1, LOSS_WINDOW):
        window = replies[first : first + LOSS_WINDOW + 1]
        lost = sum(b.seq - a.seq - 1 for a, b in pairwise(window) if b.seq - a.seq - 1 < lost_pings)
        loss_ppm = lost * PPM // (len(window) - 1 + lost)
        span_us = window[-1].at_us - window[0].at_us
        builder.add(Series(window[-1].at_us - start_us, link, Quantities.LOSS, max(1, span_us), (loss_ppm,)))
