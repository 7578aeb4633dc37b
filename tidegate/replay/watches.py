"""Stop watches: for each outage of the uplink, how long after its end the cloud was fresh, and complete."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tidegate.replay.life import Life
from tidegate.replay.links import Down
from tidegate.replay.verdict import OutageResult
from tidegate.replay.world import US_PER_MS


def outage_result(down: Down, held: int, fresh_us: int | None, complete_us: int | None) -> OutageResult:
    """What came of an outage whose end was made up for at these moments; None: not within the run."""

    def after_ms(at_us: int | None) -> int | None:
        return None if at_us is None else (at_us - down.end_us) // US_PER_MS

    start_ms, end_ms = down.start_us // US_PER_MS, down.end_us // US_PER_MS
    return OutageResult(start_ms, end_ms, down.cause, held, after_ms(fresh_us), after_ms(complete_us))


@dataclass(slots=True)
class Watch:
    """For one outage. `target` and `targets`: how far the logs of readings and of rollups reached at its end."""

    down: Down
    held: int = 0
    failed_before: int = 0
    target: int | None = None
    targets: dict[str, int] = field(default_factory=dict)
    fresh_us: int | None = None
    complete_us: int | None = None

    def result(self) -> OutageResult:
        """What it shows."""
        return outage_result(self.down, self.held, self.fresh_us, self.complete_us)


class Watches:
    """All of them; those that run are few."""

    def __init__(self, downs: Iterable[Down]) -> None:
        self.all = tuple(Watch(down) for down in downs)
        self._running: list[Watch] = []

    def start(self, watch: Watch, life: Life | None, committed: int, now_us: int) -> None:
        """Its outage is over; `committed`: how many readings a gateway that is down now had."""
        if life is None:
            watch.target = committed
        else:
            watch.held, watch.target = life.backlog, life.desk.store.head
            watch.targets = {name: head for name, (head, _) in life.rollups_done().items()}
        self._running.append(watch)
        if life is not None:
            self.look(life, now_us)

    def look(self, life: Life, now_us: int) -> None:
        """The cloud took something."""
        if not self._running:
            return
        cursor, done = life.cursor, life.rollups_done()
        for watch in self._running:
            if watch.complete_us is None and watch.target is not None and cursor >= watch.target:
                watch.complete_us = now_us
            if watch.fresh_us is None and all(done[name][1] >= head for name, head in watch.targets.items()):
                watch.fresh_us = now_us
        self._running = [watch for watch in self._running if watch.complete_us is None or watch.fresh_us is None]
