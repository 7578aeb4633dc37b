"""How much faster than life a replay is, on one core: CPU seconds, so that a busy machine changes less.

    python -m bench.replay [--days 1] [--site NAME] [--once] [--json]

Each site is lived twice, and the two event logs must be the same, byte for byte (`--once`: only once, for a look). The
recording has ten minutes without an uplink every six hours. Beside each run stands the raw limit of the same machine at
the same time: so many rows of the log's own table, each in a transaction of its own, into a bare SQLite file in memory
with the stage's settings, and nothing else.
"""

import argparse
import json
import resource
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from edge.outages.events import Cause, Status
from edge.outages.recording import Recording
from tidegate.outage.builder import Provenance
from tidegate.outage.phases import Phase, record_phases
from tidegate.replay import SiteConfig, replay
from tidegate.replay.gateway import STAGE_PRAGMAS

DAY_S = 86_400
US_PER_S = 1_000_000
MINUTES, SECONDS = {"devices": 20, "interval_s": 60}, {"devices": 10, "interval_s": 1}
QUARTERS = {"influx": {"flush_every_ms": 60_000}, "windows": {"sizes_s": [900]}}  # as for a link that costs money
SITES: dict[str, dict[str, object]] = {
    "20 devices, one a minute": {"fleet": MINUTES},
    "20 devices, one a minute, ten a message": {"fleet": {**MINUTES, "batch": 10}},
    "20 devices, one a minute, thrifty": {"fleet": MINUTES, **QUARTERS},
    "20 devices, one a minute, ten a message, thrifty": {"fleet": {**MINUTES, "batch": 10}, **QUARTERS},
    "10 readings a second": {"fleet": SECONDS},
    "10 readings a second, ten a message": {"fleet": {**SECONDS, "batch": 10}},
}
BODY_BYTES = 52  # of a reading of two values


@dataclass(frozen=True, slots=True)
class Measured:
    """One site. `ratio`: virtual seconds for each CPU second."""

    site: str
    readings: int
    cpu_s: float
    ratio: int
    us_per_reading: int
    raw_us_per_reading: int
    memory_mb: int
    hash: str


def recording(days: float) -> Recording:
    """The uplink of so many days."""
    end_us = round(days * DAY_S) * US_PER_S
    well = Phase(21_000 * US_PER_S, latency_us=40_000)
    away = Phase(600 * US_PER_S, Status.DOWN, Cause.TIMEOUT)
    return record_phases([well, away] * (2 + round(4 * days)), end_us, "uplink", Provenance("every six hours"))


def bare_s(readings: int) -> float:
    """CPU seconds for so many rows in a table like the log's, each committed."""
    folder = Path("/dev/shm")  # a folder of our own is made in it
    with tempfile.TemporaryDirectory(dir=folder if folder.is_dir() else None) as name:
        db = sqlite3.connect(Path(name) / "bare.sqlite", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        for pragma in STAGE_PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
        columns = ("device_key", "boot", "seq", "taken_at_ms", "received_at_ms", "flags", "body", "crc")
        db.execute(f"CREATE TABLE readings (id INTEGER PRIMARY KEY, {', '.join(columns)})")
        body, began_s = bytes(BODY_BYTES), time.process_time()
        for row_id in range(readings):
            db.execute("BEGIN IMMEDIATE")
            row = (row_id, row_id % 20, 1, row_id // 20, row_id, row_id, 0, body, row_id)
            db.execute("INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            db.execute("COMMIT")
        spent_s = time.process_time() - began_s
        db.close()
    return spent_s


def measure(name: str, days: float, *, once: bool) -> Measured:
    """Live one site, twice unless `once`."""
    site = SiteConfig.model_validate(SITES[name])
    began_s = time.process_time()
    verdict = replay(recording(days), site)
    cpu_s = time.process_time() - began_s
    raw_s = bare_s(verdict.produced)
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    again = verdict.hash if once else replay(recording(days), site).hash
    if again != verdict.hash or not verdict.passed:
        raise SystemExit(f"{name}: expected two runs that pass with one hash, found {verdict.hash}, {again}")
    return Measured(
        name,
        verdict.produced,
        round(cpu_s, 1),
        round(days * DAY_S / cpu_s),
        round(1e6 * cpu_s / verdict.produced),
        round(1e6 * raw_s / verdict.produced),
        memory_mb,
        verdict.hash[:16],
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="how much faster than life a replay is")
    parser.add_argument("--days", type=float, default=1)
    parser.add_argument("--site", choices=SITES, action="append", help="only this one; default: all")
    parser.add_argument("--once", action="store_true", help="do not live it a second time")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for name in options.site or SITES:
        found = measure(name, options.days, once=options.once)
        if options.json:
            print(json.dumps({each: getattr(found, each) for each in found.__slots__}), flush=True)
            continue
        print(
            f"{found.site:<50}{found.readings:>9,} readings {found.cpu_s:>8,.1f} s {found.ratio:>8,} x"
            f" {found.us_per_reading:>6,} us each (bare SQLite {found.raw_us_per_reading:,})"
            f" {found.memory_mb:>6,} MB  {found.hash}",
            flush=True,
        )


if __name__ == "__main__":
    main()
