"""The story of a run of processes: what is told, in the recording's time, and what is left out."""

import json
from datetime import UTC, datetime

from firmware_sim.truth import TruthLine
from sensors.reading import Identity
from tidegate.replay.history import Promise, Violation
from tidegate.replay.verdict import OutageResult
from tidegate.replay_processes.story import AROUND, Clock, tell

STARTED_US = 1_700_000_000_000_000
CLOCK = Clock(STARTED_US, speed=10.0)
OUTAGE = OutageResult(60_000, 80_000, "timeout", held=6, fresh_after_ms=None, complete_after_ms=None)
MEASURED = TruthLine("room-1", 1, 7, 0, synced=False, values=(), at_ms=STARTED_US // 1000 + 6_500)
MISSING = Violation(Promise.NOTHING_MISSING, 150_000_000, "1 missing", (Identity("room-1", 1, 7),))


def entry(real_s: float, event: str, **more: object) -> bytes:
    stamp = datetime.fromtimestamp(STARTED_US / 1e6 + real_s, UTC).isoformat()
    return json.dumps({"event": event, "level": "info", "logger": "x", "timestamp": stamp, **more}).encode()


def test_links_parts_kills_and_the_reading_are_told_in_the_recordings_time() -> None:
    logs = {
        "edge": [
            entry(-2, "before it began"),
            entry(6.1, "uplink down", destination="influx", url="http://a/#token"),
            b"Traceback (most recent call last):",
            b"5",
            entry(9.0, "ready", part="edge"),
        ],
        "sensors-0": [entry(0.5, "connected")],
    }
    held = Violation(Promise.BACKLOG_RETURNS, 150_000_000, "3 readings still wait")
    assert tell(CLOCK, logs, [OUTAGE], [70_000_000], MEASURED, [held, MISSING]) == (
        "5000000 sensors-0: connected",
        "60000000 uplink down: timeout",
        "61000000 gateway: uplink down destination=influx",
        "65000000 >>> room-1 measures 1/7",
        "70000000 gateway killed",
        "80000000 uplink up, 6 held",
        "90000000 gateway: ready part=edge",
        "150000000 >>> broken: nothing measured is missing: 1 missing",
    )


def test_of_a_long_log_what_is_around_the_reading_and_before_the_end_is_told() -> None:
    log = [entry(0.01 * number, f"line {number}") for number in range(1, 2000)]
    story = tell(CLOCK, {"edge": log}, [], [], MEASURED, [MISSING])
    assert len(story) == 2 * AROUND + 1
    assert story[AROUND // 2] == "65000000 >>> room-1 measures 1/7"
    assert story[-2].endswith("line 1999")
    short = tell(CLOCK, {"edge": log}, [], [], None, [MISSING])
    assert [line.rpartition(" ")[2] for line in (short[0], short[-2])] == [str(2000 - 2 * AROUND), "1999"]


def test_a_run_that_kept_its_promises_has_no_story() -> None:
    assert tell(CLOCK, {"edge": [entry(1, "ready")]}, [OUTAGE], [], None, []) == ()
