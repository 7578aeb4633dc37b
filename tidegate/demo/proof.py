"""The proof: what the devices measured against what the cloud holds, reading by reading and value by value.

Promise: a reading counts as in the cloud only if exactly one point has its identity, with its timestamp and all its
values; everything else is named. Pure functions over parsed lines.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge.forward.lines import NS_PER_MS, timestamp_ns
from firmware_sim.truth import TruthLine
from sensors.reading import Identity, column

TRAVEL_MS_MAX = 5_000  # from a device's sending to the gateway's receiving, over a broker on the same machine
EXAMPLES_MAX = 5  # identities shown for each kind of trouble


@dataclass(frozen=True, slots=True)
class Proof:
    """Counts of readings. `unexpected`: points that no device measured. `first`: the first readings of each trouble."""

    sent: int
    in_cloud: int
    missing: int
    wrong: int
    duplicates: int
    unexpected: int
    first: dict[str, tuple[Identity, ...]] = field(default_factory=dict)

    @property
    def examples(self) -> dict[str, list[str]]:
        """The same in words."""
        return {name: [_text(each) for each in readings] for name, readings in self.first.items()}

    @property
    def holds(self) -> bool:
        """Whether every reading is in the cloud once, with the right values, and nothing else is."""
        return self.sent == self.in_cloud and not (self.missing or self.wrong or self.duplicates or self.unexpected)


def prove(truth: Iterable[TruthLine], points: Iterable[Mapping[str, Any]]) -> Proof:
    """Compare. `points` are lines of the cloud's export: {"tags", "fields", "time_ns"}."""
    expected = {Identity(line.device, line.boot, line.seq): line for line in truth}
    seen: Counter[Identity] = Counter()
    wrong: set[Identity] = set()
    for point in points:
        fields = dict(point["fields"])
        identity = Identity(point["tags"]["device"], int(fields.pop("boot")), int(fields.pop("seq")))
        seen[identity] += 1
        line = expected.get(identity)
        if line is not None and not _is_equal(line, fields, int(point["time_ns"])):
            wrong.add(identity)
    found = seen.keys() & expected.keys()
    troubles = {
        "missing": expected.keys() - seen.keys(),
        "wrong": wrong,
        "duplicates": {identity for identity, count in seen.items() if count > 1},
        "unexpected": seen.keys() - expected.keys(),
    }
    return Proof(
        sent=len(expected),
        in_cloud=len(found - wrong),
        missing=len(troubles["missing"]),
        wrong=len(wrong),
        duplicates=sum(count - 1 for count in seen.values()),
        unexpected=len(troubles["unexpected"]),
        first={name: tuple(sorted(ids)[:EXAMPLES_MAX]) for name, ids in troubles.items() if ids},
    )


def _is_equal(line: TruthLine, fields: Mapping[str, Any], time_ns: int) -> bool:
    values = {column(value): value.value for value in line.values}
    if not line.synced:  # the device knew only an age: the gateway reckoned the time from it, within a message's travel
        taken_at_ms = time_ns // NS_PER_MS
        if abs(taken_at_ms - (line.at_ms or taken_at_ms)) > TRAVEL_MS_MAX:
            return False
    else:
        taken_at_ms = line.taken_at_ms
    return fields == values and time_ns == timestamp_ns(taken_at_ms, line.boot, line.seq)


def _text(identity: Identity) -> str:
    return f"{identity.device} boot {identity.boot} seq {identity.seq}"
