"""Whether both engines give the same verdict on one recording. Pure.

Counts of readings are equal, and so are the outages. Times are equal within `tolerance_ms`: the gateway tries again
at a moment drawn from its whole back-off (full jitter), and real processes need real time on a machine that has other
work. Which readings are the newest when a try gets through, and so how many others arrive behind them, is drawn with
that moment: within as many as the fleet measures meanwhile. How many tries fail is not compared.
"""

import math

from tidegate.replay.scenario import Scenario
from tidegate.replay.verdict import Verdict
from tidegate.replay_processes.configs import RETRY_CAP_MIN_S

COUNTS = ("passed", "valid", "produced", "acknowledged", "in_cloud", "quarantined", "dropped", "lost", "missing")
TIMES = ("fresh_after_ms", "complete_after_ms")
PROCESS_S = 3.0
"""What processes on one busy machine may be late, in real seconds: a look, a scheduler's turn, an fsync, a request."""


def tolerance_ms(scenario: Scenario, speed: float) -> int:
    """By how much times may differ, in milliseconds of the recording."""
    retry_s = max(scenario.gateway.influx.retry_cap_s, RETRY_CAP_MIN_S * speed)
    return round(1000 * (retry_s + PROCESS_S * speed))


def differences(virtual: Verdict, processes: Verdict, scenario: Scenario, speed: float) -> list[str]:
    """In what they differ, one sentence each; empty if they agree."""
    found = [
        f"{name}: {getattr(virtual, name)} in virtual time, {getattr(processes, name)} by processes"
        for name in COUNTS
        if getattr(virtual, name) != getattr(processes, name)
    ]
    tolerance = tolerance_ms(scenario, speed)
    readings = scenario.fleet.devices * math.ceil(tolerance / scenario.fleet.interval_ms)
    if abs(virtual.out_of_order - processes.out_of_order) > readings:
        found.append(
            f"out_of_order: {virtual.out_of_order} in virtual time, {processes.out_of_order} by processes, "
            f"expected within {readings}"
        )
    spans = [[(each.start_ms, each.end_ms, each.cause) for each in verdict.outages] for verdict in (virtual, processes)]
    if spans[0] != spans[1]:
        return [*found, f"outages: {spans[0]} in virtual time, {spans[1]} by processes"]
    for one, other in zip(virtual.outages, processes.outages, strict=True):
        for name in TIMES:
            here, there = getattr(one, name), getattr(other, name)
            if here is None or there is None or abs(here - there) > tolerance:
                found.append(
                    f"outage at {one.start_ms} ms: {name}: {here} in virtual time, {there} by processes, "
                    f"expected within {tolerance} ms"
                )
    return found
