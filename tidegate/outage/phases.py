"""Writes a recording from a stream of phases: spans in which a link stays as it is. What every generator is made of.

Promises: phases follow each other without holes from 0 to the end, the last one is cut there; only what changes is
written. Equal phases give equal recordings.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from edge.outages.events import Cause, Close, Ending, LinkKind, Sample, Status, Transition
from edge.outages.recording import Recording
from tidegate.outage.builder import Provenance, RecordingBuilder


@dataclass(frozen=True, slots=True)
class Phase:
    """A span of `length_us` in which the link stays as it is; None means not known."""

    length_us: int
    status: Status = Status.UP
    cause: Cause | None = None
    http_status: int | None = None
    latency_us: int | None = None
    capacity_bytes_per_s: int | None = None
    loss_ppm: int | None = None


def record_phases(phases: Iterable[Phase], end_us: int, link: str, provenance: Provenance) -> Recording:
    """The recording of these phases up to `end_us`. Phases may go on for ever."""
    builder = RecordingBuilder(link, LinkKind.UPLINK)
    before: Phase | None = None
    at_us = 0
    for phase in phases:
        if at_us >= end_us:
            break
        if phase.length_us > 0:
            _write_change(builder, before, phase, at_us)
            before = phase
            at_us += phase.length_us
    return builder.build(end_us, provenance)


def _write_change(builder: RecordingBuilder, before: Phase | None, phase: Phase, at_us: int) -> None:
    def status_of(of: Phase) -> tuple[Status, Cause | None, int | None]:
        return of.status, of.cause, of.http_status

    if before is None or status_of(before) != status_of(phase):
        builder.add(Transition(at_us, builder.link, phase.status, phase.cause, phase.http_status))
        if phase.cause is Cause.RESET:
            builder.add(Close(at_us, builder.link, Ending.RST))
    names = ("latency_us", "capacity_bytes_per_s", "loss_ppm")
    old = Phase(0) if before is None else before
    changed = {name: getattr(phase, name) for name in names if getattr(phase, name) != getattr(old, name)}
    if changed:
        builder.add(Sample(at_us, builder.link, **changed))
