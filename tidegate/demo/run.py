"""One run of the demo: start everything, follow the link and the keys, end in order, and prove.

The order of the end matters: the link is healed, the devices stop measuring and wait for their last acks, the gateway
drains, and only then is the cloud compared with what the devices measured.
"""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from rich.console import Console
from rich.live import Live

from edge.outages.events import Cause
from edge.status import GatewayStatus
from firmware_sim.truth import TruthLine
from sensors.clock import SystemClock
from tidegate.demo.client import Client, Unanswered
from tidegate.demo.keys import listening
from tidegate.demo.link import LINK, outage_recording, speed_for
from tidegate.demo.outages import OutageLog
from tidegate.demo.processes import Part
from tidegate.demo.proof import Proof, prove
from tidegate.demo.result import OutageResult, Result
from tidegate.demo.settings import DemoError, DemoSettings
from tidegate.demo.site import DRAIN_S, LOOPBACK, Site, prepare
from tidegate.demo.view import Scene, render, summary
from tidegate.outage.address import Address
from tidegate.outage.behaviour import LinkDriver
from tidegate.outage.proxy import FaultProxy

LOOK_S = 0.5  # between two looks at the system, and two frames of the view
RESTART_S = 1.5  # how long the gateway stays dead after `k`, so that it can be seen
GATEWAY_DRAIN_S = 90.0  # a back-off of a minute may stand between the healed link and the next try
_truth_decoder = msgspec.json.Decoder(TruthLine)


class Demo:
    """One run in a prepared site."""

    def __init__(self, settings: DemoSettings, site: Site, console: Console) -> None:
        self._settings = settings
        self._site = site
        self._console = console
        self._clock = SystemClock()
        self._started_ms = self._clock.monotonic_ms()
        self._client = Client(site)
        self._proxy = FaultProxy(
            Address(LOOPBACK, site.ports.uplink),
            Address(LOOPBACK, site.ports.cloud),
            seed=settings.seed,
        )
        self._broker = Part("broker", site, lambda: listens(site.ports.broker))
        self._cloud = Part("cloud", site, lambda: self._client.answers("cloud"))
        self._edge = Part("edge", site, lambda: self._client.answers("edge"))
        self._sensors = Part("sensors", site, self._sensors_measure)
        self._outages = OutageLog()
        self._scene = Scene()
        self._stop = asyncio.Event()
        self._kill_asked = asyncio.Event()
        self._last_status: GatewayStatus | None = None

    async def run(self) -> Result:
        """The whole run. Raises `DemoError`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        try:
            async with self._everything():
                self._begin()
                with self._screen() as screen, listening(self._pressed):
                    killer = asyncio.create_task(self._killer())
                    try:
                        await self._live(screen)
                    finally:
                        killer.cancel()
                        await asyncio.gather(killer, return_exceptions=True)
                    return await self._finish(screen)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    @contextlib.asynccontextmanager
    async def _everything(self) -> AsyncIterator[None]:
        """All parts up, and down again in order, whatever happens between."""
        parts = (self._broker, self._cloud, self._edge, self._sensors)
        try:
            for part in parts[:2]:
                self._say(f"starting the {part.name}")
                await part.start()
            await self._proxy.start()
            for part in parts[2:]:
                self._say(f"starting the {part.name}")
                await part.start()
            yield
        finally:
            for part in reversed(parts):
                await part.stop()
            await self._proxy.stop()

    def _begin(self) -> None:
        """All is up and measures: the recording and the time of the run begin, however long the start took."""
        self._started_ms = self._clock.monotonic_ms()
        self._proxy.follow(LinkDriver(outage_recording(), LINK, speed_for(self._settings.for_s)))

    # -- while it runs

    async def _live(self, screen: Live | None) -> None:
        self._scene.phase = "running"
        while not self._stop.is_set():
            await self._look(screen)
            for part in (self._broker, self._cloud, self._sensors):
                part.check()
            if self._scene.left_s is not None and self._scene.left_s <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._stop.wait()

    async def _look(self, screen: Live | None) -> None:
        scene, now_ms = self._scene, self._clock.monotonic_ms()
        status = await self._client.gateway()
        behaviour = self._proxy.behaviour
        scene.link_up = behaviour.admission.value == "accept" and not behaviour.shape.stalled
        if status is not None:
            self._last_status = status
            self._outages.look(
                now_ms,
                down=not scene.link_up,
                cause=scene.link_note or "recorded",
                backlog=status.forward.backlog,
                oldest_unsent_ms=status.forward.oldest_unsent_ms,
            )
            scene.backlogs.append(status.forward.backlog)
        scene.status = status
        scene.elapsed_s = (now_ms - self._started_ms) / 1000
        scene.left_s = None if self._settings.for_s is None else self._settings.for_s - scene.elapsed_s
        scene.measured = await asyncio.to_thread(self._count_truth)
        scene.outages, scene.now_ms = self._outages.seen, now_ms
        newest_ms = await self._client.newest_in_cloud_ms()
        scene.cloud_lag_s = max(0.0, (self._clock.wall_ms() - newest_ms) / 1000) if newest_ms is not None else None
        if screen is not None:
            page = f"http://{LOOPBACK}:{self._site.ports.api}/"
            screen.update(render(scene, page), refresh=True)

    def _pressed(self, key: str) -> None:
        match key.lower():
            case "q":
                self._stop.set()
            case "o":
                self._proxy.cut(Cause.REFUSED)
                self._scene.link_note = "cut by hand"
            case "r":
                self._proxy.heal()
                self._scene.link_note = ""
            case "k":
                self._kill_asked.set()

    async def _killer(self) -> None:
        """Kills the gateway when asked to, and starts it again."""
        while True:
            await self._kill_asked.wait()
            self._scene.kills += 1
            await self._edge.kill()
            await asyncio.sleep(RESTART_S)
            await self._edge.start()
            self._kill_asked.clear()

    # -- the end

    async def _finish(self, screen: Live | None) -> Result:
        self._proxy.heal()
        self._scene.link_note = ""
        self._scene.left_s = None
        if not self._edge.is_running:  # killed a moment ago
            await self._edge.start()
        self._scene.phase = "devices wait for their last acks"
        stopping = asyncio.create_task(self._sensors.stop(DRAIN_S + LOOK_S * 10))
        while not stopping.done():
            await self._look(screen)
            await asyncio.wait([stopping], timeout=LOOK_S)
        self._scene.phase = "gateway drains"
        deadline_ms = self._clock.monotonic_ms() + round(GATEWAY_DRAIN_S * 1000)
        while self._clock.monotonic_ms() < deadline_ms:
            await self._look(screen)
            if self._scene.status is not None and self._scene.status.forward.backlog == 0:
                break
            await asyncio.sleep(LOOK_S)
        self._scene.phase = "proving"
        await self._look(screen)
        return await self._result()

    async def _result(self) -> Result:
        try:
            proof = await asyncio.to_thread(lambda: prove(self._read_truth(), self._client.points()))
        except Unanswered as error:
            raise DemoError(f"the cloud does not give its points: {error}") from None
        status = self._last_status
        if status is None:
            raise DemoError(f"the gateway never answered: see {self._site.log('edge')}")
        held = self._fleet_report().get("held", -1)
        changed = await self._client.changed_in_cloud()
        acknowledged = proof.sent - held if held >= 0 else 0
        problems = _problems(proof, status, held, changed, self._outages.survived)
        return Result(
            ok=not problems,
            problems=tuple(problems),
            seconds=round(self._scene.elapsed_s, 1),
            devices=status.devices,
            sent=proof.sent,
            acknowledged=acknowledged,
            stored=status.ledger.received,
            in_cloud=proof.in_cloud,
            missing=proof.missing,
            wrong=proof.wrong,
            duplicates=proof.duplicates,
            unexpected=proof.unexpected,
            changed_in_cloud=changed,
            duplicates_recognised=status.ledger.duplicates,
            quarantined=status.ledger.quarantined + status.ledger.undecodable,
            ledger_balances=status.ledger.balances,
            gateway_kills=self._scene.kills,
            outages_survived=self._outages.survived,
            outages=tuple(
                OutageResult(
                    cause=each.cause,
                    lasted_s=round(each.lasted_s(self._scene.now_ms), 1),
                    backlog_peak=each.backlog_peak,
                    catch_up_s=each.catch_up_s,
                )
                for each in self._outages.seen
            ),
            folder=str(self._settings.folder),
        )

    # -- files

    def _count_truth(self) -> int:
        try:
            return self._site.truth.read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0

    def _read_truth(self) -> list[TruthLine]:
        return [_truth_decoder.decode(line) for line in self._site.truth.read_bytes().splitlines()]

    def _fleet_report(self) -> dict[str, Any]:
        """The last line that the fleet logged says what it still holds."""
        for line in reversed(self._site.log("sensors").read_text(errors="replace").splitlines()):
            with contextlib.suppress(ValueError):
                document = json.loads(line)
                if document.get("event") == "fleet is switched off":
                    return dict(document)
        return {}

    async def _sensors_measure(self) -> bool:
        return await asyncio.to_thread(self._count_truth) > 0

    # -- terminal

    def _say(self, text: str) -> None:
        if not self._settings.as_json:
            self._console.print(text, style="dim")

    def _screen(self) -> contextlib.AbstractContextManager[Live | None]:
        if self._settings.as_json or not self._console.is_terminal:
            return contextlib.nullcontext()
        return Live(console=self._console, auto_refresh=False, transient=True)


def _problems(proof: Proof, status: GatewayStatus, held: int, changed: int, survived: int) -> list[str]:
    """Why a run does not pass."""
    problems = [
        f"{name}: {', '.join(identities)}" + (" ..." if len(identities) < getattr(proof, name) else "")
        for name, identities in proof.examples.items()
    ]
    if proof.sent == 0:
        problems.append("no device measured anything")
    if held != 0:
        problems.append(f"the devices still hold {held} readings" if held > 0 else "the devices did not end in order")
    if changed:
        problems.append(f"{changed} points of the cloud were overwritten with something else")
    if not status.ledger.balances:
        problems.append("the gateway's ledger does not balance")
    if survived == 0:
        problems.append("no outage met any data: run longer, or cut the link with o")
    return problems


async def listens(port: int) -> bool:
    """Whether somebody does on a loopback port."""
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def run_demo(settings: DemoSettings, console: Console) -> Result:
    """Prepare, run, print the result. Raises `DemoError`."""
    site = prepare(settings)
    try:
        result = asyncio.run(_start(settings, site, console))
    finally:
        site.lock.close()
    if settings.as_json:
        console.print_json(result.model_dump_json())
    else:
        console.print(summary(result))
        console.print(f"logs, stores and the devices' own record: {settings.folder}", style="dim")
    return result


async def _start(settings: DemoSettings, site: Site, console: Console) -> Result:
    return await Demo(settings, site, console).run()
