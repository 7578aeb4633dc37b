"""What the replay's tests share: scripted outages, and random scenarios that stack every fault."""

from collections.abc import Callable
from pathlib import Path
from random import Random

from edge.config import EdgeConfig, InfluxSettings
from edge.desk import Desk
from edge.outages.events import PPM, Cause, Status
from edge.outages.timeline import LinkTimeline
from firmware_sim.device_clock import TimeSource
from tidegate.outage.phases import Phase
from tidegate.replay.broker import BrokerSpec
from tidegate.replay.cloud import Act, Answer, LoseAnswer, ResetInBody, Rule
from tidegate.replay.devices import OUTBOX_BYTES_MAX
from tidegate.replay.faults import BrokerRestart, ClockStep, DevicePowerCut, DeviceReset, Fault, GatewayCrash
from tidegate.replay.gateway import open_desk
from tidegate.replay.links import scripted
from tidegate.replay.scenario import Fleet, Scenario
from tidegate.replay.world import US_PER_MS, US_PER_S

CAUSES = (Cause.TIMEOUT, Cause.RESET, Cause.REFUSED, Cause.DNS, Cause.UNREACHABLE, Cause.TLS)
HOUR_S = 3600


def outage(from_s: int, until_s: int, cause: Cause = Cause.TIMEOUT, *, end_s: int = HOUR_S) -> LinkTimeline:
    """A link that is down once."""
    phases = [
        Phase(from_s * US_PER_S),
        Phase((until_s - from_s) * US_PER_S, Status.DOWN, cause),
        Phase((end_s - until_s) * US_PER_S),
    ]
    return scripted(phases, end_s * US_PER_S)


def rough(rng: Random, end_s: int) -> LinkTimeline:
    """A link that flaps, loses and crawls."""
    phases, at_s = [], 0
    while at_s < end_s:
        length_s = rng.randint(1, 240)
        if rng.random() < 0.35:
            phases.append(Phase(length_s * US_PER_S, Status.DOWN, rng.choice(CAUSES)))
        else:
            phases.append(
                Phase(
                    length_s * US_PER_S,
                    latency_us=rng.randint(1, 800) * US_PER_MS,
                    capacity_bytes_per_s=rng.choice([None, 3_000, 50_000]),
                    loss_ppm=rng.choice([0, 20_000, 300_000]),
                )
            )
        at_s += length_s
    return scripted(phases, end_s * US_PER_S)


def moody(rng: Random, end_s: int) -> tuple[Rule, ...]:
    """A cloud that answers as it likes."""
    acts: tuple[Act, ...] = (
        Answer(429, retry_after_s=7),
        Answer(429),
        Answer(500),
        Answer(500, stores=True),
        Answer(503, retry_after_s=3),
        Answer(503, stores=True),
        Answer(502),
        Answer(401),
        Answer(200),
        LoseAnswer(),
        LoseAnswer(Cause.TIMEOUT),
        ResetInBody(),
    )
    return tuple(
        Rule(0, end_s * US_PER_S, act, ppm=rng.choice([10_000, 50_000, 150_000])) for act in rng.sample(acts, 5)
    )


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


def random_scenario(seed: int, *, end_s: int = 900) -> Scenario:
    """Everything at once: a few devices, rough links, a moody cloud, and parts that fail."""
    rng = Random(seed)
    devices = rng.randint(1, 6)
    end_us = end_s * US_PER_S
    faults: list[Fault] = list(crashes(rng, rng.randint(0, 8), end_s))
    faults += [
        BrokerRestart(rng.randrange(end_us), rng.randint(0, 30_000), crash=rng.random() < 0.5)
        for _ in range(rng.randint(0, 4))
    ]
    for _ in range(rng.randint(0, 4)):
        faults.append(DeviceReset(rng.randrange(end_us), rng.randrange(devices)))
        faults.append(DevicePowerCut(rng.randrange(end_us), rng.randrange(devices), rng.randint(0, 60_000)))
    if rng.random() < 0.3:
        faults.append(ClockStep(rng.randrange(end_us), rng.choice([-3_600_000, 86_400_000])))
    return Scenario(
        seed=seed,
        fleet=Fleet(
            devices,
            rng.choice([1_000, 5_000, 20_000]),
            rng.choice([1, 1, 5]),
            rng.choice([None, 2_000]),
            rng.choice(list(TimeSource)),
            outbox_bytes_max=rng.choice([4096, OUTBOX_BYTES_MAX]),
        ),
        faults_s=end_s,
        uplink=rough(rng, end_s) if rng.random() < 0.8 else None,
        device_links={n: rough(rng, end_s) for n in range(devices) if rng.random() < 0.4},
        faults=tuple(faults),
        rules=moody(rng, end_s) if rng.random() < 0.6 else (),
        broker=BrokerSpec(
            inflight_max=rng.choice([1, 20, 4096]),
            queue_max=rng.choice([50, 100_000]),
            autosave_s=rng.choice([None, 30, 1800]),
        ),
        gateway=EdgeConfig(
            influx=InfluxSettings(batch_rows=rng.choice([1, 10, 5000]), flush_every_ms=rng.choice([0, 1000]))
        ),
    )
