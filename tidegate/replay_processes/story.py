"""The story of a run of processes that broke a promise: what links, parts and the reading did around it. Pure.

Told from the logs of the parts, the recording's outages, the kills, and what the devices know of the first reading that
the promise was broken to. Each line begins with its time in microseconds of the recording, as in virtual time.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from firmware_sim.truth import TruthLine
from tidegate.replay.history import Violation, first_with_readings
from tidegate.replay.verdict import OutageResult
from tidegate.replay.world import US_PER_MS

AROUND = 30
"""Lines about the reading, and lines before the end: a screen of each."""
UNSAID = ("event", "logger", "level", "timestamp", "url")
NAMES = {"edge": "gateway"}

Line = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Clock:
    """When the recording began, in microseconds since 1970, and how fast it went."""

    started_unix_us: int
    speed: float

    def at_us(self, unix_us: int) -> int:
        """The instant of the recording."""
        return round((unix_us - self.started_unix_us) * self.speed)


def tell(
    clock: Clock,
    logs: Mapping[str, Iterable[bytes]],
    outages: Sequence[OutageResult],
    kills_us: Sequence[int],
    measured: TruthLine | None,
    violations: Sequence[Violation],
) -> tuple[str, ...]:
    """The story; `logs` by the name of the part, `measured`: the reading that it is about."""
    if not violations:
        return ()
    lines = [(at_us, "gateway killed") for at_us in kills_us]
    for outage in outages:
        lines.append((outage.start_ms * US_PER_MS, f"uplink down: {outage.cause}"))
        lines.append((outage.end_ms * US_PER_MS, f"uplink up, {outage.held} held"))
    for part, log in logs.items():
        lines += _logged(clock, NAMES.get(part, part), log)
    about: list[Line] = []
    if measured is not None:
        at_ms = measured.taken_at_ms if measured.at_ms is None else measured.at_ms
        words = f">>> {measured.device} measures {measured.boot}/{measured.seq}"
        about.append((clock.at_us(at_ms * US_PER_MS), words))
    lines = sorted(line for line in (*lines, *about) if line[0] >= 0)
    first = first_with_readings(violations) or violations[0]
    ending = (first.at_us, f">>> broken: {first.promise}: {first.what}")
    return tuple(f"{at_us} {what}" for at_us, what in (*_nearest(lines, about), ending))


def _nearest(lines: Sequence[Line], about: Sequence[Line]) -> Sequence[Line]:
    """The lines around what it is about, and the last ones."""
    if not about or about[0] not in lines:
        return lines[-2 * AROUND :]
    middle, last = lines.index(about[0]), max(0, len(lines) - AROUND)
    start, end = max(0, middle - AROUND // 2), middle + AROUND // 2
    return (*lines[start:end], *lines[max(end, last) :])


def _logged(clock: Clock, part: str, log: Iterable[bytes]) -> Iterator[Line]:
    """What a part logged; lines that are no entries of a log (a traceback) belong to none."""
    for text in log:
        try:
            entry = json.loads(text)
            at_us = round(datetime.fromisoformat(entry["timestamp"]).timestamp() * 1_000_000)
        except (ValueError, KeyError, TypeError):
            continue
        more = "".join(f" {name}={value}" for name, value in entry.items() if name not in UNSAID and value is not None)
        yield clock.at_us(at_us), f"{part}: {entry.get('event', '')}{more}"
