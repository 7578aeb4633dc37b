"""What people and machines are told about a recording: figures per link, outages as rows, the timeline as text.

Promises: pure; the same recording gives the same text; times are seconds since the recording's start, with the wall
clock (UTC) beside them when the recording has an anchor.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from edge.outages.events import PPM, Close, Gap, Status, UnknownWrite
from edge.outages.recording import Recording
from edge.outages.timeline import LinkState, Outage, Segment

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_H = 24


def header_facts(recording: Recording) -> dict[str, Any]:
    """What the header says, and how long and large the recording is."""
    header = recording.header
    facts: dict[str, Any] = {
        "version": header.version,
        "duration_us": recording.end_us,
        "events": len(recording.events),
    }
    facts["started"] = wall_clock(recording, 0)
    facts["links"] = [{"name": link.name, "kind": link.kind.value} for link in header.links]
    texts = {"title": header.title, "source": header.source, "licence": header.licence}
    return facts | {name: text for name, text in texts.items() if text}


def written_line(path: Path, recording: Recording) -> str:
    """What was written, in one line."""
    outages = sum(len(recording.timeline(link).outages()) for link in recording.link_names)
    return f"{path}: {length(recording.end_us)}, {outages} outages, {path.stat().st_size} bytes"


def outage_rows(recording: Recording) -> list[dict[str, Any]]:
    """All outages of all links in order of their start, as plain data."""
    outages = [outage for link in recording.link_names for outage in recording.timeline(link).outages()]
    return [_outage_row(recording, outage) for outage in sorted(outages, key=lambda outage: outage.start_us)]


def link_stats(recording: Recording, link: str) -> dict[str, Any]:
    """Figures of one link. Availability is the share of the *known* time in which the link was up or degraded."""
    timeline = recording.timeline(link)
    spans_us: Counter[str] = Counter()
    for segment in timeline.segments():
        spans_us[segment.state.status or "unknown"] += segment.end_us - segment.start_us
    known_us = recording.end_us - spans_us["unknown"]
    outages = timeline.outages()
    return {
        "link": link,
        "duration_us": recording.end_us,
        "up_us": spans_us[Status.UP],
        "degraded_us": spans_us[Status.DEGRADED],
        "down_us": spans_us[Status.DOWN],
        "unknown_us": spans_us["unknown"],
        "availability_ppm": (known_us - spans_us[Status.DOWN]) * PPM // known_us if known_us else None,
        "outages": len(outages),
        "longest_outage_us": max((outage.duration_us for outage in outages), default=0),
        "outages_by_cause": dict(sorted(Counter(outage.cause.value for outage in outages).items())),
        "mean_capacity_bytes_per_s": _mean_capacity(timeline.segments()),
        "unknown_writes": _count(recording, link, UnknownWrite),
        "closes": _count(recording, link, Close),
        "gaps": sum(isinstance(event, Gap) for event in recording.events),
    }


def segment_rows(recording: Recording, link: str) -> list[dict[str, Any]]:
    """All segments of one link as plain data. Raises `UnknownLinkError`."""
    segments = recording.timeline(link).segments()
    return [{"start_us": s.start_us, "end_us": s.end_us} | msgspec.to_builtins(s.state) for s in segments]


def timeline_text(recording: Recording, link: str) -> Iterator[str]:
    """One line per change of status or cause: start, length, status, and what the link was like when it began."""
    spans = _by_status(recording.timeline(link).segments())
    for start, after in pairwise([*spans, None]):
        if start is None:
            continue
        end_us = recording.end_us if after is None else after.start_us
        length_s = (end_us - start.start_us) / SECOND_US
        wall = wall_clock(recording, start.start_us)
        when = f"{start.start_us / SECOND_US:14.3f}" + (f"  {wall}" if wall else "")
        yield f"{when}  {length_s:12.3f} s  {describe_state(start.state)}"


def describe_state(state: LinkState) -> str:
    """A state in words."""
    words = [state.status.value if state.status else "unknown"]
    if state.cause is not None:
        words.append(state.cause.value + (f" {state.http_status}" if state.http_status else ""))
    if state.status is not Status.DOWN:
        if state.latency_us is not None:
            words.append(f"latency {state.latency_us / 1000:.1f} ms")
        if state.bandwidth_bytes_per_s is not None:
            words.append(f"bandwidth {state.bandwidth_bytes_per_s} B/s")
        if state.loss_ppm:
            words.append(f"loss {state.loss_ppm / 10_000:.2f} %")
    return "  ".join(words)


def length(microseconds: int) -> str:
    """A length of time for people: seconds; hours and minutes from 3 h on, days and hours from 3 days on."""
    if microseconds < 3 * HOUR_US:
        return f"{microseconds / SECOND_US:.1f} s"
    hours, rest_us = divmod(microseconds, HOUR_US)
    if hours < 3 * DAY_H:
        return f"{hours} h {rest_us // MINUTE_US} min"
    return f"{hours // DAY_H} d {hours % DAY_H} h"


def wall_clock(recording: Recording, at_us: int) -> str | None:
    """UTC time of an instant of the recording in ISO 8601 with milliseconds, or None without an anchor."""
    unix_us = recording.unix_us(at_us)
    if unix_us is None:
        return None
    return datetime.fromtimestamp(unix_us / SECOND_US, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _outage_row(recording: Recording, outage: Outage) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(outage)
    row["duration_us"] = outage.duration_us
    row["duration_bounds_us"] = list(outage.duration_bounds_us)
    row["started"] = wall_clock(recording, outage.start_us)
    return row


def _by_status(segments: tuple[Segment, ...]) -> list[Segment]:
    """The first segment of each run of equal status and cause."""
    first = list(segments[:1])
    first += [
        after
        for before, after in pairwise(segments)
        if (before.state.status, before.state.cause) != (after.state.status, after.state.cause)
    ]
    return first


def _mean_capacity(segments: tuple[Segment, ...]) -> int | None:
    known = [s for s in segments if s.state.bandwidth_bytes_per_s is not None]
    total_us = sum(s.end_us - s.start_us for s in known)
    carried = sum((s.state.bandwidth_bytes_per_s or 0) * (s.end_us - s.start_us) for s in known)
    return carried // total_us if total_us else None


def _count(recording: Recording, link: str, kind: type[UnknownWrite] | type[Close]) -> int:
    return sum(isinstance(event, kind) and event.link == link for event in recording.events)
