"""A verdict in words, for a terminal: what was asked, what came of it, and the story if a promise was broken."""

from collections.abc import Iterator

from tidegate.replay.verdict import OutageResult, Verdict

OUTAGES_SHOWN = 20
VIOLATIONS_SHOWN = 10
UNMET_SHOWN = 5
_SPANS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))
_BYTES = ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB"))


def headline(name: str, verdict: Verdict) -> str:
    """One line: passed, failed or invalid."""
    by = "" if verdict.speed is None else f" by {verdict.engine} at speed {verdict.speed:g}"
    lived = f"{span(verdict.simulated_ms)} lived{by}, seed {verdict.seed}"
    if not verdict.passed:
        return f"{name}: FAILED ({lived})"
    if not verdict.valid:
        return f"{name}: INVALID: the faults met no traffic, so this proves nothing ({lived})"
    return f"{name}: passed ({lived})"


def verdict_lines(name: str, verdict: Verdict) -> Iterator[str]:
    """The whole report."""
    yield headline(name, verdict)
    yield (
        f"  readings    {verdict.produced:,} produced, {verdict.acknowledged:,} acknowledged, "
        f"{verdict.in_cloud:,} in the cloud, {verdict.missing:,} missing"
    )
    others = {
        "quarantined": verdict.quarantined,
        "dropped by policy": verdict.dropped,
        "lost in devices": verdict.lost,
    }
    for what, count in others.items():
        if count:
            yield f"              {count:,} {what}"
    yield (
        f"  repeated    {verdict.duplicates:,} points sent again, {verdict.redelivered:,} readings received again"
        f", {verdict.out_of_order:,} out of order"
    )
    yield (
        f"  rollups     {verdict.rollups:,} windows, {verdict.corrections:,} corrections, "
        f"{verdict.not_rolled_up:,} readings too late, {verdict.late_marks:,} late marks"
    )
    yield f"  at most     {verdict.backlog_peak:,} readings held, {size(verdict.disk_peak_bytes)} on the disk"
    needed = f"at least {size(verdict.needed_bytes)} needed{_more(verdict)}"
    yield (
        f"  uplink      {size(verdict.sent_bytes)} sent, {needed}; {verdict.requests:,} requests, "
        f"{verdict.requests_failed:,} failed, {verdict.answers_lost:,} answers lost"
    )
    yield from _outages(verdict.outages)
    if verdict.converged_after_ms is not None:
        yield f"  healed      complete {span(verdict.converged_after_ms)} after the last fault"
    met = f"{verdict.faults_met:,} met traffic"
    yield f"  faults      {met}, {len(verdict.faults_unmet):,} did not; {verdict.gateway_lives:,} lives of the gateway"
    yield from (f"              met nothing: {fault}" for fault in verdict.faults_unmet[:UNMET_SHOWN])
    if len(verdict.faults_unmet) > UNMET_SHOWN:
        yield f"              and {len(verdict.faults_unmet) - UNMET_SHOWN:,} more (--json shows all)"
    said = f"events, sha256 {verdict.hash}" if verdict.hash else "lines in the logs of the processes"
    yield f"  event log   {verdict.events:,} {said}"
    yield from _failure(verdict)


def _outages(outages: tuple[OutageResult, ...]) -> Iterator[str]:
    if not outages:
        return
    yield f"  outages     {len(outages):,} of the uplink"
    for each in outages[:OUTAGES_SHOWN]:
        length = span(each.end_ms - each.start_ms)
        yield (
            f"              at {span(each.start_ms)}: {each.cause} for {length}, {each.held:,} held, "
            f"fresh {_after(each.fresh_after_ms)}, complete {_after(each.complete_after_ms)}"
        )
    if len(outages) > OUTAGES_SHOWN:
        yield f"              and {len(outages) - OUTAGES_SHOWN:,} more (--json shows all)"


def _failure(verdict: Verdict) -> Iterator[str]:
    if not verdict.violations:
        return
    yield "broken promises:"
    for violation in verdict.violations[:VIOLATIONS_SHOWN]:
        yield f"  {violation}"
    if len(verdict.violations) > VIOLATIONS_SHOWN:
        yield f"  and {len(verdict.violations) - VIOLATIONS_SHOWN} more (--json shows all)"
    if verdict.story:
        yield "the story (seconds, what happened; >>> is what it is about):"
    for line in verdict.story:
        at_us, _, what = line.partition(" ")
        yield f"  {int(at_us) / 1e6:14.6f}  {what}"


def _more(verdict: Verdict) -> str:
    if not verdict.needed_bytes:
        return ""
    return f" (+{100 * (verdict.sent_bytes / verdict.needed_bytes - 1):.1f} %)"


def _after(after_ms: int | None) -> str:
    return "never in this run" if after_ms is None else f"after {span(after_ms)}"


def span(span_ms: int) -> str:
    """A length of time in its fitting unit."""
    size_ms, unit = next((each for each in _SPANS if span_ms >= each[0]), (1, "ms"))
    return f"{span_ms / size_ms:.3g} {unit}" if size_ms > 1 else f"{span_ms} ms"


def size(size_bytes: int) -> str:
    """Bytes in their fitting unit."""
    each, unit = next((one for one in _BYTES if size_bytes >= one[0]), (1, "B"))
    return f"{size_bytes / each:.3g} {unit}" if each > 1 else f"{size_bytes} B"
