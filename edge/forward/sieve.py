"""What of the readings a destination is not to be sent at all: by a deadband, or because it takes no raw readings.

A sieve is a reader of the log: it judges every reading once, in the order of the log, before the destination's lanes
may send it. What it holds back is told to the ledger as `suppressed`, in the transaction that moves its cursor.

A deadband lets a reading pass, whole, if one of its values changed by more than its band since the last reading of the
device that passed, if a value is new or changed its kind, or if that reading was taken `heartbeat_ms` ago or longer
(device time). A late reading, taken before that one, passes: there is nothing to compare it with.

Promises: every reading either passes or is in the ledger as suppressed; what was compared with is what passed. The
values compared with are in memory only (one per device and value): after a restart the first reading of each device
passes.
Synchronous; lives in the store's thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge.intervals import Intervals
from edge.ledger import SUPPRESSED, Ledger, done_ranges
from edge.store import LogEntry, Store
from sensors.reading import Reading, Value

SIEVE_ROWS = 2048  # of one transaction: some 20 ms in which ingest waits
DEFAULT_HEARTBEAT_MS = 900_000  # so that silence is never longer than a quarter of an hour, and one is not mistaken


def sieve_cursor(destination: str) -> str:
    """The name of the cursor that says how far a destination's sieve has judged the log."""
    return f"sieve/{destination}"


@dataclass(frozen=True, slots=True)
class Band:
    """How far a number may move without being told: by `absolute`, or by `percent` of what was told last."""

    absolute: float = 0.0
    percent: float = 0.0

    def holds(self, old: float, new: float) -> bool:
        """Whether the move is within the band."""
        return abs(new - old) <= max(self.absolute, abs(old) * self.percent / 100)


@dataclass(frozen=True, slots=True)
class DeadbandRules:
    """Bands by the name of the value; a value without one may not move at all."""

    bands: Mapping[str, Band] = field(default_factory=dict)
    heartbeat_ms: int = DEFAULT_HEARTBEAT_MS


Told = dict[int, tuple[int, dict[tuple[str, str | None], float | str]]]
"""Of each device: when the reading was taken that passed last, and its values."""
_EXACT = Band()


class Sieve:
    """Judges the log for one destination. Without `rules` nothing passes: the destination takes no raw readings."""

    def __init__(self, store: Store, ledger: Ledger, destination: str, rules: DeadbandRules | None) -> None:
        self._store = store
        self._ledger = ledger
        self._destination = destination
        self._rules = rules
        self._cursor = sieve_cursor(destination)
        self._told: Told = {}

    def advance(self) -> bool:
        """Judge the next readings, in one transaction; whether there is more. Raises `StoreError`."""
        position = self._store.cursor(self._cursor)
        if position >= self._store.head or self._store.hold_from is not None:
            return False
        page = self._store.read(position, SIEVE_ROWS)
        if page.damaged is not None:
            position = page.damaged[0]  # the forwarder puts it into quarantine
        elif page.entries:
            position = page.entries[-1].id
        else:
            position = self._store.head
        done = self._store.ranges(done_ranges(self._destination))
        told: Told = {}
        held_back = self._held_back([entry for entry in page.entries if entry.id not in done], told)
        with self._ledger.transaction():
            if held_back:
                self._ledger.drop(self._destination, SUPPRESSED, held_back)
                done.update(Intervals((entry.id, entry.id) for entry in held_back))
                self._store.put_ranges(done_ranges(self._destination), done)
            self._store.set_cursor(self._cursor, position)
        self._told.update(told)
        return position < self._store.head

    def _held_back(self, entries: Sequence[LogEntry], told: Told) -> Sequence[LogEntry]:
        if self._rules is None:
            return entries
        held_back = []
        for entry in entries:
            key, reading = entry.device_key, entry.reading
            last = told.get(key) or self._told.get(key)
            if last is not None and reading.taken_at_ms < last[0]:
                continue
            if last is not None and not _is_news(reading, last[0], last[1], self._rules):
                held_back.append(entry)
                continue
            values = dict(last[1]) if last is not None else {}
            values.update(((value.name, value.unit), _comparable(value)) for value in reading.values)
            told[key] = (reading.taken_at_ms, values)
        return held_back


def _is_news(
    reading: Reading, told_ms: int, values: Mapping[tuple[str, str | None], float | str], rules: DeadbandRules
) -> bool:
    if reading.taken_at_ms - told_ms >= rules.heartbeat_ms:
        return True
    return any(_moved(value, values.get((value.name, value.unit)), rules) for value in reading.values)


def _moved(value: Value, old: float | str | None, rules: DeadbandRules) -> bool:
    new = _comparable(value)
    if isinstance(new, str) or old is None or isinstance(old, str):
        return new != old
    return not rules.bands.get(value.name, _EXACT).holds(old, new)


def _comparable(value: Value) -> float | str:
    return value.value if isinstance(value.value, str) else float(value.value)
