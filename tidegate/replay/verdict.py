"""What came of a run, as plain data: made once, never changed, and the same for the same run on every machine."""

from dataclasses import asdict, dataclass
from typing import Any

from tidegate.replay.history import Violation

VIRTUAL, PROCESSES = "virtual", "processes"


@dataclass(frozen=True, slots=True)
class OutageResult:
    """One outage of the uplink. `held`: readings that waited at its end.

    `complete_after_ms`: how long after its end all readings that the gateway had then were in the cloud.
    `fresh_after_ms`: the same of the rollups that the gateway had then: how long until the cloud sees the whole gap.
    None: not within this run.
    """

    start_ms: int
    end_ms: int
    cause: str
    held: int
    fresh_after_ms: int | None
    complete_after_ms: int | None


@dataclass(frozen=True, slots=True)
class Moment:
    """How things stood at one time. None: the gateway was not running, nobody could know."""

    at_ms: int
    link: str | None
    backlog: int | None
    lag_ms: int | None
    """How long ago the gateway received the oldest reading that is not in the cloud."""
    disk_bytes: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a run. Counts are readings, bytes are as sent; `missing` must be 0 and `violations` empty.

    `duplicates` were sent to the cloud again (and overwrote themselves), `redelivered` came to the gateway again.
    `needed_bytes` is what a link without faults would have had to carry in the same requests. `engine` says who lived
    it, `speed` how fast (None: as fast as it could); times are those of the recording at any speed. What the engine
    cannot see is named in `unseen`, and null in JSON.
    """

    seed: int
    valid: bool
    passed: bool
    produced: int
    acknowledged: int
    in_cloud: int
    quarantined: int
    dropped: int
    lost: int
    missing: int
    duplicates: int
    redelivered: int
    out_of_order: int
    rollups: int
    corrections: int
    late_marks: int
    alerts: int
    not_rolled_up: int
    backlog_peak: int
    disk_peak_bytes: int
    outages: tuple[OutageResult, ...]
    converged_after_ms: int | None
    requests: int
    requests_failed: int
    answers_lost: int
    sent_bytes: int
    accepted_bytes: int
    needed_bytes: int
    gateway_lives: int
    faults_met: int
    faults_unmet: tuple[str, ...]
    events: int
    simulated_ms: int
    hash: str
    violations: tuple[Violation, ...]
    story: tuple[str, ...]
    course: tuple[Moment, ...] = ()
    engine: str = VIRTUAL
    speed: float | None = None
    unseen: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Short: an assertion that fails shows it, and its course alone is a thousand moments."""
        result = "passed" if self.passed else "FAILED"
        counts = ("produced", "in_cloud", "missing", "dropped", "lost", "quarantined")
        told = ", ".join(f"{name}={getattr(self, name)}" for name in counts)
        return f"<Verdict {result}{'' if self.valid else ', proves nothing'}: {told}>"

    def to_json(self) -> dict[str, Any]:
        """The verdict as plain data, without its course, and without the story of a run that passed."""
        plain = asdict(self)
        del plain["course"]
        plain |= dict.fromkeys(self.unseen)
        if self.passed:
            del plain["story"]
        return plain

    def to_snapshot(self) -> dict[str, Any]:
        """`to_json` without what another build of SQLite, or a new line in the event log, may change."""
        changing = ("disk_peak_bytes", "hash", "events", "story")
        return {name: value for name, value in self.to_json().items() if name not in changing}

    @property
    def exit_code(self) -> int:
        """0: every promise was kept; 1: one was broken; 2: the run proves nothing."""
        if not self.passed:
            return 1
        return 0 if self.valid else 2
