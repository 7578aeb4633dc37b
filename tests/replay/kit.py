"""What the replay's tests share: scripted outages, crashes, and stores that fail."""

from collections.abc import Callable
from pathlib import Path
from random import Random

from edge.config import EdgeConfig
from edge.desk import Desk
from edge.outages.events import PPM, Cause, Status
from edge.outages.timeline import LinkTimeline
from tidegate.outage.phases import Phase
from tidegate.replay.faults import Fault, GatewayCrash
from tidegate.replay.gateway import open_desk
from tidegate.replay.links import scripted
from tidegate.replay.world import US_PER_S

HOUR_S = 3600


def outage(from_s: int, until_s: int, cause: Cause = Cause.TIMEOUT, *, end_s: int = HOUR_S) -> LinkTimeline:
    """A link that is down once."""
    phases = [
        Phase(from_s * US_PER_S),
        Phase((until_s - from_s) * US_PER_S, Status.DOWN, cause),
        Phase((end_s - until_s) * US_PER_S),
    ]
    return scripted(phases, end_s * US_PER_S)


def crashes(rng: Random, count: int, end_s: int) -> tuple[Fault, ...]:
    """The gateway killed at any microsecond."""
    return tuple(GatewayCrash(rng.randrange(end_s * US_PER_S), rng.randint(0, 20_000)) for _ in range(count))


class FailingStores:
    """Opens desks whose store fails now and then, at any statement save COMMIT, while the gateway uses it."""

    CALLS = ("take_in", "settle", "next_batch", "owed", "tidy", "prove_writable")

    def __init__(self, seed: int, *, ppm: int) -> None:
        self.failures = 0
        self._rng = Random(seed)
        self._ppm = ppm
        self._statement = ""

    def make(self, config: EdgeConfig, data_dir: Path, rng: Random) -> Desk:
        """See `MakeDesk`."""
        desk = open_desk(config, data_dir, rng)
        for name in self.CALLS:
            setattr(desk, name, self._unreliable(desk, getattr(desk, name)))
        return desk

    def _unreliable(self, desk: Desk, call: Callable[..., object]) -> Callable[..., object]:
        def unreliable(*arguments: object) -> object:
            database = desk.store._db
            database.set_trace_callback(self._begins)
            database.set_progress_handler(self._fails, 20)
            try:
                return call(*arguments)
            finally:
                desk.store._db.set_progress_handler(None, 0)
                desk.store._db.set_trace_callback(None)

        return unreliable

    def _begins(self, statement: str) -> None:
        self._statement = statement

    def _fails(self) -> int:
        fails = self._statement != "COMMIT" and self._rng.randrange(PPM) < self._ppm
        self.failures += fails
        return int(fails)
