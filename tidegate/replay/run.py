"""One run: faults with safety checked all along, then everything heals and must converge within a budget.

`run(scenario)` builds the world, lives it and returns the `Verdict`. The same scenario gives the same verdict and the
same event log, byte for byte. A run whose faults never met traffic proves nothing and says so (`valid`).
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from edge.config import EdgeConfig
from edge.ledger import DUPLICATES
from edge.outages.timeline import LinkTimeline
from firmware_sim.device_clock import ClockSpec, TimeSource
from firmware_sim.device_spec import DeviceSpec
from tidegate.replay.broker import Broker, BrokerSpec
from tidegate.replay.checkers import check_complete, check_safety, ledger_entries
from tidegate.replay.cloud import Cloud, Poison, Rule
from tidegate.replay.devices import OUTBOX_BYTES_MAX, SimDevice, Site
from tidegate.replay.faults import Fault, Parts
from tidegate.replay.gateway import COMMIT_US, Gateway, Life, MakeDesk, open_desk
from tidegate.replay.history import History, Promise, Violation
from tidegate.replay.links import Down, Link
from tidegate.replay.uplink import Uplink
from tidegate.replay.world import US_PER_MS, US_PER_S, World

MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108  # where a folder of our own is made: an fsync there costs 15 us, not 1 ms
DEVICE_LINK_LATENCY_US = 5 * US_PER_MS  # a Wi-Fi hop
LOCAL_LATENCY_US = 200  # broker and gateway on one machine
CONVERGED_LOOK_US = 1 * US_PER_S  # how exactly the end is found


@dataclass(frozen=True, slots=True)
class Fleet:
    """The devices: each measures every `interval_ms` and sends `batch` readings at a time."""

    devices: int = 20
    interval_ms: int = 60_000
    batch: int = 1
    receive_window_ms: int | None = None
    clock: TimeSource = TimeSource.RTC
    outbox_bytes_max: int = OUTBOX_BYTES_MAX
    site: str = "site"

    def spec(self, number: int) -> DeviceSpec:
        """The specification of one of them."""
        return DeviceSpec(
            name=f"device-{number:03}",
            interval_ms=self.interval_ms,
            batch=self.batch,
            receive_window_ms=self.receive_window_ms,
            clock=ClockSpec(source=self.clock),
        )


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run, whole. Times are virtual, from the start of the world.

    Timelines rule their links for `faults_s`; `device_links` are by device number, those not named are well.
    """

    seed: int = 1
    fleet: Fleet = field(default_factory=Fleet)
    faults_s: int = 3_600
    converge_s: int = 1_800
    check_every_s: int = 60
    uplink: LinkTimeline | None = None
    device_links: Mapping[int, LinkTimeline] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    rules: tuple[Rule, ...] = ()
    poison: Poison | None = None
    broker: BrokerSpec = field(default_factory=BrokerSpec)
    gateway: EdgeConfig = field(default_factory=EdgeConfig)
    commit_us: int = COMMIT_US
    body_bytes_max: int = 50_000_000


@dataclass(frozen=True, slots=True)
class OutageResult:
    """One outage of the uplink, and how long after its end everything received until then was in the cloud."""

    start_ms: int
    end_ms: int
    cause: str
    held: int
    complete_after_ms: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a run. Counts are readings, bytes are as sent; `missing` must be 0 and `violations` empty.

    `duplicates` were sent to the cloud again (and overwrote themselves), `redelivered` came to the gateway again.
    """

    seed: int
    valid: bool
    passed: bool
    produced: int
    acknowledged: int
    in_cloud: int
    quarantined: int
    lost: int
    missing: int
    duplicates: int
    redelivered: int
    out_of_order: int
    backlog_peak: int
    disk_peak_bytes: int
    outages: tuple[OutageResult, ...]
    converged_after_ms: int | None
    requests: int
    requests_failed: int
    answers_lost: int
    sent_bytes: int
    accepted_bytes: int
    gateway_lives: int
    faults_met: int
    faults_unmet: tuple[str, ...]
    events: int
    simulated_ms: int
    hash: str
    violations: tuple[Violation, ...]
    story: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The verdict as plain data, without the story of a run that passed."""
        plain = asdict(self)
        if self.passed:
            del plain["story"]
        return plain


def run(scenario: Scenario, *, make_desk: MakeDesk = open_desk, parent: Path | None = None) -> Verdict:
    """Live a scenario. `parent` is where the gateway's files go for that time; by default into memory, where that is.

    Raises what a fault of this program raises; what the gateway does wrong is in the verdict.
    """
    with _folder(parent) as folder:
        return Run(scenario, make_desk, folder).live()


@contextmanager
def _folder(parent: Path | None) -> Iterator[Path]:
    if parent is None and MEMORY_FOLDER.is_dir():
        parent = MEMORY_FOLDER
    with tempfile.TemporaryDirectory(dir=parent, prefix="tidegate-replay-") as name:
        yield Path(name)


@dataclass(slots=True)
class _Watch:
    """A stop watch for one outage of the uplink."""

    down: Down
    held: int = 0
    target: int | None = None
    complete_us: int | None = None
    requests: int = 0


class Run:
    """The world of one scenario, being lived. Tests that need to reach into it use it in place of `run`."""

    def __init__(self, scenario: Scenario, make_desk: MakeDesk, folder: Path) -> None:
        self.scenario = scenario
        self.world = world = World(scenario.seed)
        self._end_us = scenario.faults_s * US_PER_S
        config = scenario.gateway
        self.history = History(
            lambda: world.now_us,
            site=scenario.fleet.site,
            measurement=config.influx.measurement,
            poison=frozenset() if scenario.poison is None else scenario.poison.readings,
        )
        self.broker = Broker(world, scenario.broker)
        self.cloud = Cloud(
            world,
            self.history.stored,
            rules=scenario.rules,
            poison=scenario.poison,
            body_bytes_max=scenario.body_bytes_max,
        )
        self.link = Link(scenario.uplink, healed_at_us=self._end_us)
        self.uplink = Uplink(world, self.link, self.cloud, config.influx)
        self.gateway = Gateway(
            world,
            config,
            self.broker,
            Link(latency_us=LOCAL_LATENCY_US),
            self.uplink,
            self.history,
            folder,
            make_desk=make_desk,
            commit_us=scenario.commit_us,
            moved=self._moved,
        )
        site = Site(scenario.fleet.site, config.mqtt.topic_root)
        self.devices = tuple(self._device(number, site) for number in range(scenario.fleet.devices))
        self.parts = Parts(world, self.devices, self.broker, self.gateway)
        self._watches = [_Watch(down) for down in self.link.downs]
        self._unmet: list[str] = []
        self._met = 0
        self._converged_us: int | None = None

    def _device(self, number: int, site: Site) -> SimDevice:
        timeline = self.scenario.device_links.get(number)
        link = Link(timeline, healed_at_us=self._end_us, latency_us=DEVICE_LINK_LATENCY_US)
        fleet = self.scenario.fleet
        return SimDevice(
            self.world,
            self.broker,
            link,
            site,
            fleet.spec(number),
            self.history,
            outbox_bytes_max=fleet.outbox_bytes_max,
        )

    def live(self) -> Verdict:
        """Both phases, and the verdict."""
        self.start()
        self.world.run_until(self._end_us)
        self._look()
        self.converge()
        verdict = self.verdict()
        self.gateway.close()
        return verdict

    # -- phase 1: faults, and safety all along

    def start(self) -> None:
        """Switch everything on and arrange what goes wrong."""
        world = self.world
        self.broker.start()
        self.gateway.start()
        for device in self.devices:
            device.switch_on()
        for fault in self.scenario.faults:
            world.at(fault.at_us, partial(self._happen, fault))
        for watch in self._watches:
            world.at(watch.down.start_us, partial(self._outage_starts, watch))
            world.at(watch.down.end_us, partial(self._outage_ends, watch))
        world.after(self.scenario.check_every_s * US_PER_S, self._check_regularly)

    def _check_regularly(self) -> None:
        self._look()
        if self.world.now_us < self._end_us:
            self.world.after(self.scenario.check_every_s * US_PER_S, self._check_regularly)

    def _look(self) -> None:
        life = self.gateway.life
        if life is not None:
            check_safety(self.history, life.desk)
            self.gateway.disk_peak_bytes = max(self.gateway.disk_peak_bytes, life.desk.store.size_bytes())

    def _happen(self, fault: Fault) -> None:
        """A fault meets traffic if anything was measured, or is on its way, before it."""
        if self.history.accounts and (self.history.waiting or self.history.count("arrived")):
            self._met += 1
        else:
            self._unmet.append(f"{fault}")
        fault.happen(self.parts)

    def _outage_starts(self, watch: _Watch) -> None:
        self.world.note(f"uplink down: {watch.down.cause}")
        watch.requests = self.uplink.traffic.failed

    def _outage_ends(self, watch: _Watch) -> None:
        life = self.gateway.life
        watch.held = 0 if life is None else life.backlog
        watch.target = self._head()
        self.world.note(f"uplink up, {watch.held} held")
        if watch.held or self.uplink.traffic.failed > watch.requests or life is None:
            self._met += 1
        else:
            self._unmet.append(f"{watch.down}")
        if life is not None:
            self._moved(life)

    def _head(self) -> int:
        life = self.gateway.life
        return self.history.count("committed") if life is None else life.desk.store.head

    def _moved(self, life: Life) -> None:
        for watch in self._watches:
            if watch.target is not None and watch.complete_us is None and life.cursor >= watch.target:
                watch.complete_us = self.world.now_us

    # -- phase 2: healed

    def converge(self) -> None:
        """Measure no more, and wait until all is in the cloud, or the budget is spent."""
        self.world.note("healed")
        for device in self.devices:
            device.stop_sampling()
        until_us = self._end_us + self.scenario.converge_s * US_PER_S
        while self.world.now_us < until_us and not self.is_converged():
            self.world.run_until(self.world.now_us + CONVERGED_LOOK_US)
        if self.is_converged():
            self._converged_us = self.world.now_us
        else:
            self.history.broken(Promise.BACKLOG_RETURNS, f"not converged within {self.scenario.converge_s} s")
        life = self.gateway.life
        if life is not None:
            check_complete(self.history, life.desk)

    def is_converged(self) -> bool:
        """Whether nothing is on its way anywhere."""
        life = self.gateway.life
        if life is None or life.backlog or any(device.held for device in self.devices):
            return False
        return self.broker.waiting(self.scenario.gateway.mqtt.client_id) == 0

    # -- the verdict

    def verdict(self) -> Verdict:
        """What came of it so far."""
        history, traffic, life = self.history, self.uplink.traffic, self.gateway.life
        quarantined, lost, missing = self._explained()
        faults = self._met + len(self._unmet) + self.cloud.acts
        violations = tuple(history.violations)
        return Verdict(
            seed=self.scenario.seed,
            valid=history.count("measured") > 0 and (faults == 0 or self._met + self.cloud.acts > 0),
            passed=not violations and missing == 0,
            produced=history.count("measured"),
            acknowledged=history.count("acknowledged"),
            in_cloud=history.count("arrived"),
            quarantined=quarantined,
            lost=lost,
            missing=missing,
            duplicates=history.rewrites,
            redelivered=0 if life is None else life.desk.ledger.totals[DUPLICATES],
            out_of_order=history.out_of_order,
            backlog_peak=self.gateway.backlog_peak,
            disk_peak_bytes=self.gateway.disk_peak_bytes,
            outages=tuple(self._outage(watch) for watch in self._watches),
            converged_after_ms=None if self._converged_us is None else (self._converged_us - self._end_us) // US_PER_MS,
            requests=traffic.requests,
            requests_failed=traffic.failed,
            answers_lost=traffic.unknown,
            sent_bytes=traffic.sent_bytes,
            accepted_bytes=traffic.accepted_bytes,
            gateway_lives=self.gateway.lives,
            faults_met=self._met + self.cloud.acts,
            faults_unmet=tuple(self._unmet),
            events=self.world.events,
            simulated_ms=self.world.now_ms,
            hash=self.world.hash,
            violations=violations,
            story=() if not violations else self.world.story(),
        )

    def _explained(self) -> tuple[int, int, int]:
        """(in quarantine, declared lost, missing without a word)."""
        life = self.gateway.life
        ledger = {} if life is None else dict(ledger_entries(life.desk))
        quarantined = lost = missing = 0
        for key, account in self.history.accounts.items():
            left = account.measured.minus(account.arrived)
            entry = ledger.get(key)
            if entry is not None:
                quarantined += entry.quarantined.count()
                lost += entry.lost.minus(entry.received).count()
                left = left.minus(entry.quarantined).minus(entry.lost)
            missing += left.count()
        return quarantined, lost, missing

    def _outage(self, watch: _Watch) -> OutageResult:
        down = watch.down
        after_us = None if watch.complete_us is None else watch.complete_us - down.end_us
        return OutageResult(
            start_ms=down.start_us // US_PER_MS,
            end_ms=down.end_us // US_PER_MS,
            cause=down.cause,
            held=watch.held,
            complete_after_ms=None if after_us is None else after_us // US_PER_MS,
        )
