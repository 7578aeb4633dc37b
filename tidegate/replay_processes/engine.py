"""Lives through a recording with real processes: Mosquitto, devices, the gateway and a cloud, with proxies between.

Promises: the links follow the recording from the moment the devices begin to measure; the devices measure exactly what
falls due while it lasts; then everything may heal within the site's budget; no process outlives the run. Times are told
in the recording's time, whatever the speed.
"""

import asyncio
import contextlib
import json
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from edge.outages.recording import Recording
from firmware_sim.truth import TruthLine
from sensors.clock import SystemClock
from tidegate.bench.mosquitto import mosquitto
from tidegate.demo.client import MEASUREMENT, Client
from tidegate.demo.processes import Part
from tidegate.demo.proof import Proof, prove
from tidegate.demo.settings import DemoError
from tidegate.demo.site import LOOPBACK, MARKER, Ports, Site, free_port, toml
from tidegate.outage.address import Address
from tidegate.outage.behaviour import LinkDriver
from tidegate.outage.connection import Counters, monotonic_us
from tidegate.outage.proxy import FaultProxy
from tidegate.outage.toxics import Stream
from tidegate.replay.faults import Fault
from tidegate.replay.history import Violation, first_with_readings
from tidegate.replay.links import Link
from tidegate.replay.scenario import Scenario
from tidegate.replay.verdict import Verdict
from tidegate.replay.world import US_PER_MS, US_PER_S
from tidegate.replay_processes.configs import (
    FleetPart,
    check,
    drain_s,
    fleet_parts,
    fleet_tables,
    gateway_tables,
    truth_file,
)
from tidegate.replay_processes.looks import Looks
from tidegate.replay_processes.story import Clock, tell
from tidegate.replay_processes.verdict import End, make_verdict

LOOK_S = 0.1
"""Between two looks at the gateway: at speed 10, a second of the recording."""
NO_LINK = ""  # of an uplink that the recording says nothing of
STOP_EXTRA_S = 10.0  # beyond the time that devices may drain, before a fleet is given up


def replay_processes(recording: Recording, scenario: Scenario, *, speed: float) -> Verdict:
    """Live through it. Raises `NotForProcessesError`, `DemoError` (a part that ends or does not start)."""
    check(scenario, speed)
    with (
        tempfile.TemporaryDirectory(prefix="tidegate-replay-") as name,
        mosquitto() as broker_port,
        (Path(name) / MARKER).open("w") as lock,
    ):
        token = secrets.token_urlsafe(24)
        environment = {"TIDEGATE_CLOUD__TOKEN": token, "TIDEGATE_EDGE__INFLUX__TOKEN": token}
        ports = Ports(broker_port, free_port(), free_port(), free_port())
        return asyncio.run(_Run(recording, scenario, speed, Site(Path(name), ports, environment, token, lock)).live())


class _Run:
    """One run in an empty folder; `site.ports.broker` is Mosquitto's."""

    def __init__(self, recording: Recording, scenario: Scenario, speed: float, site: Site) -> None:
        self._recording = recording
        self._scenario = scenario
        self._speed = speed
        self._site = site
        self._client = Client(site)
        healed_at_us = scenario.faults_s * US_PER_S
        self._looks = Looks(Link(scenario.uplink, healed_at_us=healed_at_us).downs, speed)
        self._parts = fleet_parts(scenario)
        self._proxies: dict[str, FaultProxy] = {}
        uplink = NO_LINK if scenario.uplink is None else scenario.uplink.link
        self._uplink = self._proxy(uplink, site.ports.cloud, site.ports.uplink)
        self._cloud = Part("cloud", site, lambda: self._client.answers("cloud"))
        self._edge = Part("edge", site, lambda: self._client.answers("edge"))
        self._fleets = [self._fleet(number) for number in range(len(self._parts))]
        self._started_us = 0
        self._clock = Clock(0, speed)
        self._kills_us: list[int] = []
        self._lives = 1

    def _proxy(self, link: str, upstream_port: int, port: int = 0) -> FaultProxy:
        listen = Address(LOOPBACK, port or free_port())
        proxy = FaultProxy(listen, Address(LOOPBACK, upstream_port), seed=self._scenario.seed, name=link)
        self._proxies[link] = proxy
        return proxy

    def _fleet(self, number: int) -> Part:
        name = f"sensors-{number}"
        path = self._site.log(name)

        async def measures() -> bool:
            return b'"ready"' in await asyncio.to_thread(path.read_bytes)

        return Part(name, self._site, measures, program="sensors")

    def _write_configurations(self) -> None:
        site, scenario, folder = self._site, self._scenario, self._site.folder
        broker_port = site.ports.broker
        if scenario.broker_link is not None:
            broker_port = self._proxy(scenario.broker_link.link, site.ports.broker).port
        ports = Ports(broker_port, site.ports.cloud, site.ports.uplink, site.ports.api)
        tables = {
            "cloud": {"host": LOOPBACK, "port": site.ports.cloud, "db_path": str(folder / "cloud.sqlite")},
            "edge": gateway_tables(scenario.gateway, self._speed, folder, ports),
        }
        for number, part in enumerate(self._parts):
            port = self._device_port(part)
            tables[f"sensors-{number}"] = fleet_tables(scenario, part, number, self._speed, folder, port)
        for name, table in tables.items():
            site.config(name).write_text(toml(table), encoding="utf-8")

    def _device_port(self, part: FleetPart) -> int:
        if part.link is None:
            return self._site.ports.broker
        return self._proxy(part.link, self._site.ports.broker).port

    async def live(self) -> Verdict:
        """The whole run."""
        self._write_configurations()
        async with self._everything():
            end_us = self._scenario.faults_s * US_PER_S
            crashes = asyncio.create_task(self._crash(each for each in self._scenario.faults if each.at_us < end_us))
            try:
                await self._look_until_drained(crashes)
            finally:
                crashes.cancel()
                await asyncio.gather(crashes, return_exceptions=True)
            return await self._verdict()

    @contextlib.asynccontextmanager
    async def _everything(self) -> AsyncIterator[None]:
        """All parts up, the links following their recording, and all down again, whatever happens between."""
        parts = (self._cloud, self._edge, *self._fleets)
        try:
            await self._cloud.start()
            for proxy in self._proxies.values():
                await proxy.start()
            await self._edge.start()
            await asyncio.gather(*(fleet.start() for fleet in self._fleets))
            self._started_us = monotonic_us()
            self._clock = Clock(SystemClock().wall_ms() * US_PER_MS, self._speed)
            self._follow()
            yield
        finally:
            for part in reversed(parts):
                await part.stop()
            for proxy in self._proxies.values():
                await proxy.stop()

    def _follow(self) -> None:
        for link, proxy in self._proxies.items():
            if link != NO_LINK:
                proxy.follow(LinkDriver(self._recording, link, self._speed))

    @property
    def _at_us(self) -> int:
        """The instant of the recording."""
        return round((monotonic_us() - self._started_us) * self._speed)

    async def _crash(self, faults: Iterable[Fault]) -> None:
        for fault in sorted(faults, key=lambda fault: fault.at_us):
            await asyncio.sleep(max(0, fault.at_us - self._at_us) / US_PER_S / self._speed)
            self._kills_us.append(self._at_us)
            await self._edge.kill()
            await asyncio.sleep(getattr(fault, "down_ms", 0) / 1000 / self._speed)
            await self._edge.start()
            self._lives += 1

    async def _look_until_drained(self, crashes: asyncio.Task[None]) -> None:
        """Until all crashes are over, the devices are done and the gateway is, or the time is up."""
        end_us = self._scenario.faults_s * US_PER_S
        patience_us = round(2 * (drain_s(self._scenario, self._speed) + STOP_EXTRA_S) * self._speed * US_PER_S)
        while (at_us := self._at_us) < end_us + patience_us:
            self._looks.look(at_us, await self._client.gateway())
            self._cloud.check()
            done = all(fleet.exit_code is not None for fleet in self._fleets)
            for fleet in self._fleets:
                if fleet.exit_code:
                    fleet.check()
            if done and crashes.done() and at_us >= end_us and self._looks.is_drained:
                return
            await asyncio.sleep(LOOK_S)

    # -- the end

    async def _verdict(self) -> Verdict:
        at_us = self._at_us
        proof = await asyncio.to_thread(self._prove)
        status = self._looks.last
        if status is None:
            raise DemoError(f"the gateway never answered: see {self._site.log('edge')}")
        counters = [proxy.counters for proxy in self._proxies.values()]
        others = {link: proxy.counters for link, proxy in self._proxies.items() if proxy is not self._uplink}
        sizes_s = gateway_tables(self._scenario.gateway, self._speed, self._site.folder, self._site.ports)["windows"][
            "sizes_s"
        ]
        end = End(
            at_us=at_us,
            proof=proof,
            status=status,
            stats=await self._client.cloud_stats(),
            readings=await self._client.counted([MEASUREMENT]),
            rollups=await self._client.counted([f"{MEASUREMENT}_{size_s}s" for size_s in sizes_s]),
            late_marks=await self._client.counted([f"{MEASUREMENT}_late"]),
            held_by_devices=sum(self._held(fleet) for fleet in self._fleets),
            mishaps=sum(map(_mishaps, counters)) + sum(each.stalls for each in others.values()),
            unmet_links=tuple(
                f"{link}: every outage"
                for link, each in others.items()
                if self._recording.timeline(link).outages() and not _mishaps(each) + each.stalls
            ),
            answers_lost=self._uplink.counters.answers_lost,
            sent_bytes=self._uplink.counters.bytes_moved[Stream.UPSTREAM],
            log_lines=sum(len(self._log(part)) for part in self._logging),
            lives=self._lives,
            converged_us=at_us if self._looks.is_drained else None,
            tell=self._tell,
        )
        return make_verdict(self._scenario, self._speed, self._looks, end)

    def _prove(self) -> Proof:
        return prove(self._truth(), self._client.points())

    def _truth(self) -> Iterator[TruthLine]:
        """What the devices measured."""
        decoder = msgspec.json.Decoder(TruthLine)
        paths = [truth_file(self._site.folder, number) for number in range(len(self._parts))]
        lines = (line for path in paths if path.exists() for line in path.read_bytes().splitlines())
        return map(decoder.decode, lines)

    def _tell(self, violations: Sequence[Violation]) -> tuple[str, ...]:
        """The story of the first reading that a promise was broken to."""
        first = first_with_readings(violations)
        about = None if first is None else first.readings[0]
        measured = next((each for each in self._truth() if (each.device, each.boot, each.seq) == about), None)
        logs = {part: self._log(part) for part in self._logging}
        return tell(self._clock, logs, self._looks.outages(), self._kills_us, measured, violations)

    @property
    def _logging(self) -> tuple[str, ...]:
        """The parts that have a log."""
        return ("cloud", "edge", *(fleet.name for fleet in self._fleets))

    def _log(self, part: str) -> list[bytes]:
        return self._site.log(part).read_bytes().splitlines()

    def _held(self, fleet: Part) -> int:
        """What its last line says that it still holds."""
        for line in reversed(self._site.log(fleet.name).read_text(errors="replace").splitlines()):
            with contextlib.suppress(ValueError):
                document = json.loads(line)
                if document.get("event") == "fleet is switched off":
                    return int(document["held"])
        return 0


def _mishaps(counters: Counters) -> int:
    return counters.turned_away + counters.resets + counters.answers_lost
