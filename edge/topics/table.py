"""The topics seen while somebody looks: how often each speaks, and what it said last.

Promises: bounded: at most `TOPICS_MAX` topics, of each the first `SAMPLE_BYTES_MAX` bytes of one payload; messages of
further topics are counted, not kept. Rates are by the time that was listened, which may have pauses. Synchronous and
sans-IO.
"""

from collections.abc import Iterator
from dataclasses import dataclass

TOPICS_MAX = 5_000  # with a sample of usual size some 5 MB; nobody reads further in a tree
SAMPLE_BYTES_MAX = 4_096  # more than any reading of one device; whoever needs the rest has `tidegate edge listen`
RATE_OVER_MS_MIN = 1_000  # one message a moment ago is no rate of a thousand a second
RATE_WINDOW_MS = 60_000  # over which a rate is the mean: a device that speaks once a minute still has one


@dataclass(slots=True)
class TopicRow:
    """One topic. `sample`: the beginning of the last payload, of `payload_bytes`, which came at `last_wall_ms`."""

    topic: str
    messages: int = 0
    last_wall_ms: int = 0
    payload_bytes: int = 0
    sample: bytes = b""
    retained: bool = False
    window_from_ms: int = 0
    in_window: int = 0
    per_s_before: float | None = None

    def per_s(self, listened_ms: int) -> float:
        """Messages a second: of the last whole window, or since the first message."""
        spent_ms = listened_ms - self.window_from_ms
        if self.per_s_before is not None and spent_ms < RATE_WINDOW_MS:
            return self.per_s_before
        return 1000 * self.in_window / max(spent_ms, RATE_OVER_MS_MIN)

    def note(self, payload: bytes, *, retained: bool, listened_ms: int, wall_ms: int) -> None:
        """One more message."""
        spent_ms = listened_ms - self.window_from_ms
        if spent_ms >= RATE_WINDOW_MS:
            self.per_s_before = 1000 * self.in_window / spent_ms
            self.window_from_ms, self.in_window = listened_ms, 0
        self.messages += 1
        self.in_window += not retained  # the broker's memory of a message is not one more of it
        self.last_wall_ms, self.payload_bytes, self.retained = wall_ms, len(payload), retained
        self.sample = payload[:SAMPLE_BYTES_MAX]


class TopicTable:
    """The topics that were seen since `clear`."""

    def __init__(self) -> None:
        self._rows: dict[str, TopicRow] = {}
        self.beyond = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[TopicRow]:
        return iter(sorted(self._rows.values(), key=lambda row: row.topic))

    def note(self, topic: str, payload: bytes, *, retained: bool, listened_ms: int, wall_ms: int) -> None:
        """A message arrived, after so much listening. One of a topic beyond the bound is counted in `beyond`."""
        row = self._rows.get(topic)
        if row is None:
            if len(self._rows) >= TOPICS_MAX:
                self.beyond += 1
                return
            row = self._rows[topic] = TopicRow(topic, window_from_ms=listened_ms)
        row.note(payload, retained=retained, listened_ms=listened_ms, wall_ms=wall_ms)

    def get(self, topic: str) -> TopicRow | None:
        """One topic, if it was seen."""
        return self._rows.get(topic)

    def clear(self) -> None:
        """Start over."""
        self._rows.clear()
        self.beyond = 0
