"""What people are told about the outages that a gateway recorded: a table of all, or one in words."""

from collections.abc import Iterator

from rich.console import Console

from edge.outage_report import OutageDocument, OutageList
from tidegate.console import make_table
from tidegate.outage.report import length


def print_field_outages(console: Console, kept: OutageList, shown: int) -> None:
    """The newest outages as a table."""
    table = make_table("id", "started (UTC)", "duration", "cause", "ended", "held", "caught up in")
    for outage in kept.outages[:shown]:
        table.add_row(
            outage.id,
            length(outage.start_us) if outage.started is None else _to_the_second(outage.started),
            _duration(outage),
            _cause(outage),
            outage.how_ended or "under way",
            "-" if outage.held_max is None else str(outage.held_max),
            "-" if outage.catch_up_us is None else length(outage.catch_up_us),
        )
    console.print(table)
    if kept.total > shown:
        console.print(f"and {kept.total - shown} more outages (--json shows all)")


def outage_lines(outage: OutageDocument) -> Iterator[str]:
    """One outage, a fact per line."""
    earliest_us, latest_us = outage.start_bounds_us
    yield f"{outage.id}: {outage.link} down by {_cause(outage)} ({outage.why}) for {_duration(outage)}"
    yield f"began: {outage.started or length(outage.start_us)}, within {length(latest_us - earliest_us)}"
    yield f"seen: {length(outage.seen_us - outage.start_us)} later"
    if outage.end_us is None or outage.end_bounds_us is None:
        yield "ended: not yet"
    else:
        earliest_us, latest_us = outage.end_bounds_us
        when = outage.ended or length(outage.end_us)
        yield f"ended: {when} ({outage.how_ended}), within {length(latest_us - earliest_us)}"
    if outage.held_max is not None:
        before = "" if outage.held_before is None else f", usually {outage.held_before}"
        yield f"held meanwhile: at most {outage.held_max} readings{before}"
    if outage.catch_up_us is not None:
        yield f"caught up: {length(outage.catch_up_us)} after the end"


def _to_the_second(iso: str) -> str:
    """A UTC time without its milliseconds: on a narrow terminal its date and its time stand below each other."""
    return iso[: len("2024-01-01T00:00:00")].replace("T", " ")


def _duration(outage: OutageDocument) -> str:
    """Of one that is under way what the store knows of it: it is written once a minute when nothing happens."""
    told = length(outage.duration_us)
    return told if outage.how_ended is not None else f"at least {told}"


def _cause(outage: OutageDocument) -> str:
    cause = outage.cause + (f" {outage.http_status}" if outage.http_status else "")
    return f"drill: {cause}" if outage.is_drill else cause
