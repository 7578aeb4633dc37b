"""The verdict on a run of processes, from what devices, gateway, cloud and proxies say at its end. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.status import GatewayStatus
from sensors.reading import Identity
from tidegate.demo.client import Counted
from tidegate.demo.proof import Proof
from tidegate.demo.site import BUCKET
from tidegate.replay.history import Promise, Violation
from tidegate.replay.scenario import Scenario
from tidegate.replay.verdict import PROCESSES, Verdict
from tidegate.replay.world import US_PER_MS, US_PER_S
from tidegate.replay_processes.looks import Looks

UNSEEN = ("hash",)
"""A hash says that two runs were the same, byte for byte. No two runs of processes are."""
BROKEN_BY = {
    "missing": Promise.NOTHING_MISSING,
    "wrong": Promise.EQUAL_VALUES,
    "duplicates": Promise.ONE_POINT,
    "unexpected": Promise.NOTHING_INVENTED,
}


@dataclass(frozen=True, slots=True)
class End:
    """What was found when all was over. `proof` is reading by reading; `readings`, `rollups` and `late_marks` are those
    in the cloud; `log_lines` is what the processes logged; `mishaps`: connections that the proxies ended, turned away,
    took the answer of, or, of others than the uplink, let wait; `unmet_links`: links with outages, of which none did
    any of this to anybody; `tell` tells the story of broken promises.
    """

    at_us: int
    proof: Proof
    status: GatewayStatus
    stats: Mapping[str, Any]
    readings: Counted
    rollups: Counted
    late_marks: Counted
    held_by_devices: int
    mishaps: int
    unmet_links: tuple[str, ...]
    answers_lost: int
    sent_bytes: int
    log_lines: int
    lives: int
    converged_us: int | None
    tell: Callable[[Sequence[Violation]], tuple[str, ...]]


def make_verdict(scenario: Scenario, speed: float, looks: Looks, end: End) -> Verdict:
    """What came of it."""
    ledger, proof = end.status.ledger, end.proof
    bucket, writes = end.stats["buckets"].get(BUCKET, {}), end.stats["writes"]
    dropped = ledger.thinned + ledger.expired
    missing = max(0, proof.missing - ledger.quarantined - dropped - ledger.lost)
    outages = looks.outages()
    crashes = end.lives - 1
    met = sum(outage.held > 0 for outage in outages) + end.mishaps + crashes
    unmet = tuple(f"{each.cause} at {each.start_ms} ms" for each in outages if not each.held) + end.unmet_links
    violations = tuple(_violations(end, missing))
    return Verdict(
        seed=scenario.seed,
        valid=proof.sent > 0 and (met > 0 or not unmet),
        passed=not violations,
        produced=proof.sent,
        acknowledged=proof.sent - end.held_by_devices,
        in_cloud=proof.in_cloud,
        quarantined=ledger.quarantined,
        dropped=dropped,
        lost=ledger.lost,
        missing=missing,
        duplicates=int(bucket.get("rewritten", 0)),
        redelivered=ledger.duplicates,
        out_of_order=end.readings.behind,
        rollups=end.rollups.points,
        corrections=end.rollups.changed,
        late_marks=end.late_marks.points,
        alerts=end.status.alerts.raised,
        not_rolled_up=ledger.not_rolled_up,
        backlog_peak=looks.backlog_peak,
        disk_peak_bytes=looks.disk_peak_bytes,
        outages=outages,
        converged_after_ms=_converged_ms(scenario, end),
        requests=looks.requests,
        requests_failed=looks.requests_failed,
        answers_lost=end.answers_lost,
        sent_bytes=end.sent_bytes,
        accepted_bytes=int(writes["accepted_bytes"]),
        needed_bytes=int(writes["needed_bytes"]),
        gateway_lives=end.lives,
        faults_met=met,
        faults_unmet=unmet,
        events=end.log_lines,
        simulated_ms=end.at_us // US_PER_MS,
        hash="",
        violations=violations,
        story=end.tell(violations),
        course=tuple(looks.course),
        engine=PROCESSES,
        speed=speed,
        unseen=UNSEEN,
    )


def _converged_ms(scenario: Scenario, end: End) -> int | None:
    if end.converged_us is None:
        return None
    return max(0, end.converged_us - scenario.faults_s * US_PER_S) // US_PER_MS


def _violations(end: End, missing: int) -> list[Violation]:
    """The promises that were broken, seen at the end."""

    def broken(promise: Promise, what: str, readings: tuple[Identity, ...] = ()) -> None:
        found.append(Violation(promise, end.at_us, what, readings))

    found: list[Violation] = []
    for name, promise in BROKEN_BY.items():
        count = missing if name == "missing" else getattr(end.proof, name)
        if count:
            broken(promise, f"{count} {name}", end.proof.first.get(name, ()))
    if not end.status.ledger.balances:
        broken(Promise.LEDGER_BALANCES, "the gateway's ledger does not balance")
    if end.converged_us is None:
        broken(Promise.BACKLOG_RETURNS, f"{end.status.forward.backlog} readings still wait")
    if end.held_by_devices:
        broken(Promise.BACKLOG_RETURNS, f"the devices still hold {end.held_by_devices} readings")
    return found
