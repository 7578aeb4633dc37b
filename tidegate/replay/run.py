"""One run: faults with safety checked all along, then everything heals and must converge within a budget.

`run(scenario)` builds the world, lives it and returns the `Verdict`. The same scenario gives the same verdict and the
same event log, byte for byte. A run whose faults never met traffic proves nothing and says so (`valid`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Protocol

from cloud.lineprotocol import Point
from edge.forward.lanes import LaneName
from edge.ledger import DUPLICATES, NOT_ROLLED_UP
from edge.windows import FORGET_EVERY_MS, WindowRules
from sensors.reading import Identity
from tidegate.replay.broker import Broker
from tidegate.replay.checkers import check_bounds, check_complete, check_rollups, check_safety, ledger_entries
from tidegate.replay.cloud import Cloud
from tidegate.replay.devices import SimDevice, Site
from tidegate.replay.faults import SHOWS_LATER, Fault, Parts
from tidegate.replay.gateway import Gateway, MakeDesk, open_desk
from tidegate.replay.history import History, Promise, first_with_readings
from tidegate.replay.life import Life
from tidegate.replay.links import Link
from tidegate.replay.points import Met
from tidegate.replay.scenario import Fleet as Fleet
from tidegate.replay.scenario import Scenario as Scenario
from tidegate.replay.stage_folder import stage_folder
from tidegate.replay.uplink import Uplink
from tidegate.replay.verdict import Moment
from tidegate.replay.verdict import Verdict as Verdict
from tidegate.replay.watches import Watch, Watches
from tidegate.replay.world import US_PER_MS, US_PER_S, World

DEVICE_LINK_LATENCY_US = 5 * US_PER_MS  # a Wi-Fi hop
LOCAL_LATENCY_US = 200  # broker and gateway on one machine
CONVERGED_LOOK_US = 1 * US_PER_S  # how exactly the end is found
MOMENTS = 1_000  # of the course of a run: one for each pixel of a wide plot


def run(
    scenario: Scenario,
    *,
    make_desk: MakeDesk = open_desk,
    parent: Path | None = None,
    tell: bool = True,
    make_run: "MakeRun | None" = None,
) -> Verdict:
    """Live a scenario. `parent` is where the gateway's files go for that time; by default into memory, where that is.

    A run that breaks a promise to readings is lived a second time, to tell the story of the first of them, if `tell`.
    `make_run` makes the runs, for who wants to keep one.
    Raises what a fault of this program raises; what the gateway does wrong is in the verdict.
    """
    make_run = make_run or Run
    with stage_folder(parent) as folder:
        verdict = make_run(scenario, make_desk, folder).live()
    first = first_with_readings(verdict.violations)
    if not tell or first is None:
        return verdict
    with stage_folder(parent) as folder:
        again = make_run(scenario, make_desk, folder, focus=first.readings[0]).live()
    return replace(verdict, story=again.story)


class MakeRun(Protocol):
    """Makes a run: `Run` itself does."""

    def __call__(
        self, scenario: Scenario, make_desk: MakeDesk, folder: Path, *, focus: Identity | None = None
    ) -> "Run":
        """A run that is to be lived."""
        ...


class Run:
    """The world of one scenario, being lived. Tests that need to reach into it use it in place of `run`."""

    def __init__(self, scenario: Scenario, make_desk: MakeDesk, folder: Path, *, focus: Identity | None = None) -> None:
        """`focus`: the reading whose story is told, if promises are broken; None: the first broken promise."""
        self.scenario = scenario
        self.world = world = World(scenario.seed)
        self._end_us = scenario.faults_s * US_PER_S
        config = scenario.gateway
        self.history = History(
            lambda: world.now_us,
            site=scenario.fleet.site,
            measurement=config.influx.measurement,
            poison=frozenset() if scenario.poison is None else scenario.poison.readings,
            focus=focus,
            tell=world.tell,
        )
        self.broker = Broker(world, scenario.broker)
        self.cloud = Cloud(
            world, self._stored, rules=scenario.rules, poison=scenario.poison, body_bytes_max=scenario.body_bytes_max
        )
        self.link = Link(scenario.uplink, healed_at_us=self._end_us)
        broker_link = Link(scenario.broker_link, healed_at_us=self._end_us, latency_us=LOCAL_LATENCY_US)
        self._links = [self.link, broker_link]
        self.uplink = Uplink(world, self.link, self.cloud, config.influx)
        self.gateway = Gateway(
            world,
            config,
            self.broker,
            broker_link,
            self.uplink,
            self.history,
            folder,
            make_desk=make_desk,
            commit_us=scenario.commit_us,
            moved=self._moved,
        )
        site = Site(scenario.fleet.site, config.mqtt.topic_root)
        self.devices = tuple(self._device(number, site) for number in range(scenario.fleet.devices))
        self._met_later: set[Fault] = set()
        self.parts = Parts(world, self.devices, self.broker, self.gateway, self._met_later.add)
        self.watches = Watches(self.link.downs)
        self._unmet: list[str] = []
        self._met = 0
        self._converged_us: int | None = None
        self._course: list[Moment] = []

    def _stored(self, point: Point, met: Met) -> None:
        self.history.stored(point, met, live=self.cloud.lane == LaneName.LIVE)

    def _device(self, number: int, site: Site) -> SimDevice:
        timeline = self.scenario.device_links.get(number)
        link = Link(timeline, healed_at_us=self._end_us, latency_us=DEVICE_LINK_LATENCY_US)
        self._links.append(link)
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
            if fault.at_us < self._end_us:
                world.at(fault.at_us, partial(self._happen, fault))
            elif not isinstance(fault, SHOWS_LATER):
                self._unmet.append(f"{fault}")
        for watch in self.watches.all:
            world.at(watch.down.start_us, partial(self._outage_starts, watch))
            world.at(watch.down.end_us, partial(self._outage_ends, watch))
        world.after(self.scenario.check_every_s * US_PER_S, self._check_regularly)
        self._note_regularly()

    def _check_regularly(self) -> None:
        self._look()
        if self.world.now_us < self._end_us:
            self.world.after(self.scenario.check_every_s * US_PER_S, self._check_regularly)

    def _look(self) -> None:
        life, gateway = self.gateway.life, self.gateway
        if life is not None:
            check_safety(self.history, life.desk)
            size_bytes = check_bounds(self.history, life.desk, self.scenario.gateway.store.disk_bytes_max)
            gateway.disk_peak_bytes = max(gateway.disk_peak_bytes, size_bytes)

    def _note_regularly(self) -> None:
        self._note_moment()
        if self._converged_us is None:
            self.world.after(max(US_PER_S, self._end_us // MOMENTS), self._note_regularly)

    def _note_moment(self) -> None:
        """One more point of the course; looking leaves no trace in the run."""
        world, life, down = self.world, self.gateway.life, self.link.down_at(self.world.now_us)
        link = str(down.cause) if down is not None else None
        if life is None:
            self._course.append(Moment(world.now_ms, link, None, None, None))
        else:
            store = life.desk.store
            oldest_ms = store.oldest_received_ms(life.cursor) if life.backlog else None
            lag_ms = 0 if oldest_ms is None else max(0, self.gateway.wall_ms - oldest_ms)
            self._course.append(Moment(world.now_ms, link, life.backlog, lag_ms, store.size_bytes()))

    def _happen(self, fault: Fault) -> None:
        """A fault meets traffic if anything was measured, or is on its way, before it; of some it shows later."""
        if isinstance(fault, SHOWS_LATER):
            pass
        elif self.history.accounts and (self.history.waiting or self.history.count("arrived")):
            self._met += 1
        else:
            self._unmet.append(f"{fault}")
        fault.happen(self.parts)

    def _outage_starts(self, watch: Watch) -> None:
        self.world.note(f"uplink down: {watch.down.cause}")
        watch.failed_before = self.uplink.traffic.failed

    def _outage_ends(self, watch: Watch) -> None:
        life = self.gateway.life
        self.watches.start(watch, life, self.history.count("committed"), self.world.now_us)
        self.world.note(f"uplink up, {watch.held} held")
        self._note_moment()  # the peak of a short outage would fall between two others
        if watch.held or self.uplink.traffic.failed > watch.failed_before or life is None:
            self._met += 1
        else:
            self._unmet.append(f"{watch.down}")

    def _moved(self, life: Life) -> None:
        self.watches.look(life, self.world.now_us)

    # -- phase 2: healed

    def converge(self) -> None:
        """Measure no more, and wait until all is in the cloud, or the budget is spent."""
        self.world.note("healed")
        for device in self.devices:
            device.stop_sampling()
        budget_us = self.scenario.converge_s * US_PER_S
        if self._live_until(self.is_converged, self._end_us + budget_us):
            self._converged_us = self.world.now_us
        else:
            self.history.broken(Promise.BACKLOG_RETURNS, f"not converged within {self.scenario.converge_s} s")
        config = self.scenario.gateway
        windows = config.windows.rules()
        longest_us = windows_horizon_ms(windows) * US_PER_MS
        is_rolled_up = self._live_until(self.is_rolled_up, self.world.now_us + longest_us + budget_us)
        life = self.gateway.life
        if life is not None:
            check_complete(self.history, life.desk)
            check_bounds(self.history, life.desk, config.store.disk_bytes_max)
            if not is_rolled_up:
                self.history.broken(Promise.BACKLOG_RETURNS, "rollups still wait although every window is over")
            elif windows.sizes_s:
                sizes_s, measurement = windows.sizes_s, config.influx.measurement
                check_rollups(self.history, life.desk, self.cloud.points, measurement, sizes_s)

    def _live_until(self, is_reached: Callable[[], bool], until_us: int) -> bool:
        """Live on until something is reached, or the time is up; whether it was."""
        while not (reached := is_reached()) and self.world.now_us < until_us:
            self.world.run_until(min(until_us, self.world.now_us + CONVERGED_LOOK_US))
        return reached

    def is_converged(self) -> bool:
        """Whether no reading is on its way anywhere."""
        life = self.gateway.life
        if life is None or life.backlog or any(device.held for device in self.devices):
            return False
        return self.broker.waiting(self.scenario.gateway.mqtt.client_id) == 0

    def is_rolled_up(self) -> bool:
        """Whether every window is emitted as it is now, and every rollup in the cloud."""
        life = self.gateway.life
        if life is None or any(head != done for head, done in life.rollups_done().values()):
            return False
        return not life.desk.rollups_pending()

    # -- the verdict

    def _downs_of_others(self) -> dict[str, bool]:
        """Whether each outage of a link other than the uplink met anybody: any device of those that share it."""
        found: dict[str, bool] = {}
        for link in self._links:
            if link is not self.link:
                for down in link.downs:
                    name = f"{link.name}: {down}"
                    found[name] = found.get(name, False) or down in link.met_downs
        return found

    def verdict(self) -> Verdict:
        """What came of it so far."""
        history, traffic, life = self.history, self.uplink.traffic, self.gateway.life
        explained = self._explained()
        late_faults = {fault for fault in self.scenario.faults if isinstance(fault, SHOWS_LATER)}
        mishaps = [link.mishaps for link in self._links]
        downs = self._downs_of_others()
        met = self._met + len(self._met_later) + self.cloud.acts + sum(each.met for each in mishaps)
        met += sum(downs.values())
        late = sorted(f"{fault}" for fault in late_faults - self._met_later)
        missed = (name for name, is_met in downs.items() if not is_met)
        unmet = (*self._unmet, *late, *missed, *chain.from_iterable(each.unmet for each in mishaps))
        totals = {} if life is None else life.desk.ledger.totals
        violations = tuple(history.violations)
        return Verdict(
            seed=self.scenario.seed,
            valid=history.count("measured") > 0 and (met > 0 or not unmet),
            passed=not violations and explained.missing == 0,
            produced=history.count("measured"),
            acknowledged=history.count("acknowledged"),
            in_cloud=history.count("arrived"),
            quarantined=explained.quarantined,
            dropped=explained.dropped,
            lost=explained.lost,
            missing=explained.missing,
            duplicates=history.rewrites,
            redelivered=totals.get(DUPLICATES, 0),
            out_of_order=history.out_of_order,
            rollups=history.rollups,
            corrections=history.corrections,
            late_marks=history.late_marks,
            alerts=history.alerts,
            not_rolled_up=totals.get(NOT_ROLLED_UP, 0),
            backlog_peak=self.gateway.backlog_peak,
            disk_peak_bytes=self.gateway.disk_peak_bytes,
            outages=tuple(watch.result() for watch in self.watches.all),
            converged_after_ms=None if self._converged_us is None else (self._converged_us - self._end_us) // US_PER_MS,
            requests=traffic.requests,
            requests_failed=traffic.failed,
            answers_lost=traffic.unknown,
            sent_bytes=traffic.sent_bytes,
            accepted_bytes=traffic.accepted_bytes,
            needed_bytes=traffic.needed_bytes,
            gateway_lives=self.gateway.lives,
            faults_met=met,
            faults_unmet=unmet,
            events=self.world.events,
            simulated_ms=self.world.now_ms,
            hash=self.world.hash,
            violations=violations,
            story=() if not violations else self.world.story(),
            course=tuple(self._course),
        )

    def _explained(self) -> "_Explained":
        """What became of the readings that are not in the cloud."""
        life = self.gateway.life
        ledger = {} if life is None else dict(ledger_entries(life.desk))
        explained = _Explained()
        for key, account in self.history.accounts.items():
            left = account.measured.minus(account.arrived)
            entry = ledger.get(key)
            if entry is not None:
                explained.quarantined += entry.quarantined.count()
                explained.dropped += entry.dropped.count()
                explained.lost += entry.lost.minus(entry.received).count()
                left = left.minus(entry.quarantined).minus(entry.lost).minus(entry.dropped)
            explained.missing += left.count()
        return explained


@dataclass(slots=True)
class _Explained:
    """Counts of readings; `missing` are those without an explanation."""

    quarantined: int = 0
    dropped: int = 0
    lost: int = 0
    missing: int = 0


def windows_horizon_ms(windows: WindowRules) -> int:
    """How far ahead a window can be due at most, also after the clock was put back: see `edge.windows`."""
    return 1000 * max(windows.sizes_s, default=0) + windows.grace_ms + windows.lateness_ms + FORGET_EVERY_MS
