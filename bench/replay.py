"""How much faster than life a replay is, on one core: CPU seconds, so that a busy machine changes little.

    python -m bench.replay [--days 1] [--json]

Each site is lived twice, and the two event logs must be the same, byte for byte. The recording has ten minutes without
an uplink every six hours. Readings per second, lanes, windows and commits are those of the default configuration.
"""

import argparse
import json
import resource
import time
from dataclasses import dataclass

from edge.outages.events import Cause, Status
from edge.outages.recording import Recording
from tidegate.outage.builder import Provenance
from tidegate.outage.phases import Phase, record_phases
from tidegate.replay import SiteConfig, replay

DAY_S = 86_400
US_PER_S = 1_000_000
SITES = {
    "20 devices, one a minute": {"devices": 20, "interval_s": 60},
    "20 devices, one a minute, ten a message": {"devices": 20, "interval_s": 60, "batch": 10},
    "10 readings a second": {"devices": 10, "interval_s": 1},
    "10 readings a second, ten a message": {"devices": 10, "interval_s": 1, "batch": 10},
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One site. `ratio`: virtual seconds for each CPU second."""

    site: str
    readings: int
    cpu_s: float
    ratio: int
    us_per_reading: int
    memory_mb: int
    hash: str


def recording(days: float) -> Recording:
    """The uplink of so many days."""
    end_us = round(days * DAY_S) * US_PER_S
    well = Phase(21_000 * US_PER_S, latency_us=40_000)
    away = Phase(600 * US_PER_S, Status.DOWN, Cause.TIMEOUT)
    return record_phases([well, away] * (2 + round(4 * days)), end_us, "uplink", Provenance("every six hours"))


def measure(name: str, days: float) -> Measured:
    """Live one site twice."""
    site = SiteConfig.model_validate({"fleet": SITES[name]})
    began_s = time.process_time()
    verdict = replay(recording(days), site)
    cpu_s = time.process_time() - began_s
    again = replay(recording(days), site)
    if again.hash != verdict.hash or not verdict.passed:
        raise SystemExit(f"{name}: expected two runs that pass with one hash, found {verdict.hash}, {again.hash}")
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Measured(
        name,
        verdict.produced,
        round(cpu_s, 1),
        round(days * DAY_S / cpu_s),
        round(1e6 * cpu_s / verdict.produced),
        memory_mb,
        verdict.hash[:16],
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="how much faster than life a replay is")
    parser.add_argument("--days", type=float, default=1)
    parser.add_argument("--site", choices=SITES, action="append", help="only this one; default: all")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for name in options.site or SITES:
        found = measure(name, options.days)
        if options.json:
            print(json.dumps({each: getattr(found, each) for each in found.__slots__}), flush=True)
            continue
        print(
            f"{found.site:<42}{found.readings:>9,} readings {found.cpu_s:>8,.1f} s {found.ratio:>8,} x"
            f" {found.us_per_reading:>6,} us each {found.memory_mb:>6,} MB  {found.hash}",
            flush=True,
        )


if __name__ == "__main__":
    main()
