"""Random runs, each named by its seed: a fleet, links, a cloud's moods and faults, stacked on each other.

What makes a good seed: short (a few hundred readings), and everything at once. Links flap, lose and crawl, or follow
one of the generators, and single connections on them end or lose an answer; the cloud says 429, 500 or nothing;
processes die between and inside transactions; disks are full, clocks jump, brokers and devices restart.
"""

from random import Random

from edge.config import EdgeConfig, InfluxSettings, StoreSettings, WindowSettings
from edge.outages.events import Cause, Close, Ending, Status, UnknownWrite
from edge.outages.recording import Recording
from edge.outages.timeline import LinkTimeline
from firmware_sim.device_clock import TimeSource
from sensors.seeds import derive_seed
from tidegate.outage.builder import Provenance
from tidegate.outage.generators import GENERATORS, generate, make_generator
from tidegate.outage.phases import Phase, record_phases
from tidegate.replay.broker import BrokerSpec
from tidegate.replay.cloud import Act, Answer, LoseAnswer, ResetInBody, Rule
from tidegate.replay.devices import OUTBOX_BYTES_MAX
from tidegate.replay.faults import (
    BrokerRestart,
    ClockStep,
    DevicePowerCut,
    DeviceReset,
    DiskFull,
    Fault,
    GatewayCrash,
    StoreCrash,
)
from tidegate.replay.scenario import Fleet, Scenario
from tidegate.replay.world import US_PER_MS, US_PER_S

CAUSES = (Cause.TIMEOUT, Cause.RESET, Cause.REFUSED, Cause.DNS, Cause.UNREACHABLE, Cause.TLS)
LENGTHS_S = (120, 300, 600)
READINGS_MAX = 900  # of one run: a second or so of a core
MISHAPS_MAX = 4
UNKNOWN_US_MAX = 30 * US_PER_S
OPERATIONS_MAX = 150  # of a store between two commits of readings there are some 30
ACTS: tuple[Act, ...] = (
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


def random_scenario(seed: int) -> Scenario:
    """The run of a seed."""
    rng = Random(derive_seed(seed, "swarm"))  # noqa: S311  # chance of a simulation, repeatable on purpose
    end_s = rng.choice(LENGTHS_S)
    fleet = _fleet(rng, end_s)
    mishaps = Random(derive_seed(seed, "mishaps"))  # noqa: S311
    return Scenario(
        seed=seed,
        fleet=fleet,
        faults_s=end_s,
        uplink=_link(rng, mishaps, end_s) if rng.random() < 0.8 else None,
        broker_link=_timeline(_rough(rng, end_s), mishaps) if rng.random() < 0.2 else None,
        device_links={
            number: _timeline(_rough(rng, end_s), mishaps) for number in range(fleet.devices) if rng.random() < 0.4
        },
        faults=tuple(_faults(rng, end_s, fleet.devices)),
        rules=_moods(rng, end_s) if rng.random() < 0.6 else (),
        broker=BrokerSpec(
            inflight_max=rng.choice([1, 20, 4096]),
            queue_max=rng.choice([50, 100_000]),
            autosave_s=rng.choice([None, 30, 1800]),
        ),
        gateway=_config(rng),
    )


def _fleet(rng: Random, end_s: int) -> Fleet:
    devices = rng.randint(1, 6)
    intervals_ms = [each for each in (1_000, 5_000, 20_000) if devices * end_s * 1000 // each <= READINGS_MAX]
    return Fleet(
        devices,
        rng.choice(intervals_ms),
        rng.choice([1, 1, 5]),
        rng.choice([None, 2_000]),
        rng.choice(list(TimeSource)),
        outbox_bytes_max=rng.choice([4096, OUTBOX_BYTES_MAX]),
    )


def _config(rng: Random) -> EdgeConfig:
    return EdgeConfig(
        influx=InfluxSettings(batch_rows=rng.choice([1, 10, 100, 5000]), flush_every_ms=rng.choice([0, 1000])),
        store=StoreSettings(commit_wait_ms=rng.choice([0, 5, 500])),
        windows=WindowSettings(sizes_s=rng.choice([(10, 60, 900), (5,), (30, 60), ()])),
    )


def _link(rng: Random, mishaps: Random, end_s: int) -> LinkTimeline:
    if rng.random() < 0.6:
        return _timeline(_rough(rng, end_s), mishaps)
    return _timeline(generate(make_generator(rng.choice(sorted(GENERATORS)), {}), rng, end_s), mishaps)


def _timeline(recording: Recording, rng: Random) -> LinkTimeline:
    """The link of a recording, with a few mishaps of connections besides."""
    (link,) = recording.link_names
    *events, end = recording.events
    for _ in range(rng.randint(0, MISHAPS_MAX)):
        at_us = rng.randrange(end.at_us)
        if rng.random() < 0.5:
            events.append(Close(at_us, link, rng.choice(list(Ending))))
        else:
            events.append(UnknownWrite(at_us, link, max(0, at_us - rng.randint(0, UNKNOWN_US_MAX))))
    return LinkTimeline(link, (*sorted(events, key=lambda event: event.at_us), end))


def _rough(rng: Random, end_s: int) -> Recording:
    """A link that flaps, loses and crawls."""
    phases, at_s = [], 0
    while at_s < end_s:
        length_s = rng.randint(1, 120)
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
    return record_phases(phases, end_s * US_PER_S, "uplink", Provenance(title="rough"))


def _moods(rng: Random, end_s: int) -> tuple[Rule, ...]:
    return tuple(
        Rule(0, end_s * US_PER_S, act, ppm=rng.choice([10_000, 50_000, 150_000])) for act in rng.sample(ACTS, 5)
    )


def _faults(rng: Random, end_s: int, devices: int) -> list[Fault]:
    def at_us() -> int:
        return rng.randrange(end_s * US_PER_S)

    def some(most: int) -> range:
        return range(rng.randint(0, most))

    faults: list[Fault] = [GatewayCrash(at_us(), rng.randint(0, 20_000)) for _ in some(4)]
    faults += [StoreCrash(at_us(), rng.randint(1, OPERATIONS_MAX), rng.randint(0, 5_000)) for _ in some(4)]
    faults += [BrokerRestart(at_us(), rng.randint(0, 30_000), crash=rng.random() < 0.5) for _ in some(3)]
    faults += [DeviceReset(at_us(), rng.randrange(devices)) for _ in some(3)]
    faults += [DevicePowerCut(at_us(), rng.randrange(devices), rng.randint(0, 60_000)) for _ in some(3)]
    if rng.random() < 0.25:
        faults.append(DiskFull(at_us(), rng.randint(1_000, 90_000)))
    if rng.random() < 0.25:
        faults.append(ClockStep(at_us(), rng.choice([-3_600_000, -5_000, 30_000, 86_400_000])))
    return faults
