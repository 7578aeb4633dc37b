"""The fleet at real time: devices on one asyncio loop, their flash, their connections, and the ground truth.

Promises:
- Nothing is published before the flash holds it durably and the truth file names it: each turn of the loop steps the
  devices that are due, commits the flash once for all of them (in a thread, so that an fsync stalls nothing), writes
  the truth, and only then publishes.
- What a device's own radio sends is published when it has arrived, and never if the air took it.
- Killed at any instant and started again on the same `data_dir`, the fleet continues: every reading in the truth file
  was delivered or is still held (or is reported as lost, by the outbox's policy). Readings that the flash held but a
  kill kept out of the truth file are added to it at the start.
- The scenario goes on, too: what counts from the fleet's start counts from the first start on the `data_dir`.
- What is in the batteries is kept in `data_dir` too: every hour, and at the end.
- Two processes on one `data_dir` are refused with `FleetBusyError`.
- A clean stop ends sampling first, then waits up to `drain_s` for every acknowledgement, says `online: false` for each
  device, and disconnects.
"""

import asyncio
import contextlib
import fcntl
import gc
import heapq
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

from firmware_sim.battery_file import Snapshots, load_batteries, save_batteries
from firmware_sim.build import build_fleet, nobody
from firmware_sim.config import FleetConfig
from firmware_sim.device_spec import Publish
from firmware_sim.flash import FileMedium, MemoryMedium
from firmware_sim.flights import Flights
from firmware_sim.links import Links
from firmware_sim.open_files import make_room
from firmware_sim.outbox import Flash
from firmware_sim.start_file import begun_ms
from firmware_sim.status import FleetReport, FleetStatus
from firmware_sim.truth import FleetTruth, TruthFile
from sensors.clock import Clock
from sensors.reading import Reading
from sensors.seeds import derive_seed
from sensors.topics import Kind

_MS_PER_S = 1000
TURN_S = 0.02  # the shortest turn: what comes due within it shares one commit; nobody sees that a reading is 20 ms late
SETTLE_S = 5.0  # for the broker to take the farewells; then it is told by the closed connection
_FLASH_FILE = "flash.log"
_LOCK_FILE = "lock"
_BATTERY_FILE = "batteries.json"
_START_FILE = "started"
SAVE_BATTERIES_EVERY_MS = 3_600_000  # of the devices' time: a kill costs an hour of a life of years


class FleetBusyError(OSError):
    """Another process runs a fleet on this folder. Who must act: the operator."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"data_dir {folder}: another fleet is running on it; stop it or give each fleet its own folder"
        )
        self.folder = folder


async def serve(
    config: FleetConfig,
    clock: Clock,
    ready: Callable[[], None] | None = None,
    stop: asyncio.Event | None = None,
    status: FleetStatus | None = None,
) -> FleetReport:
    """Run the fleet until `stop` is set or the task is cancelled; `status`, if given, shows the counters live.

    `ready` is called when the devices are switched on (the broker may still be away). Raises `FleetError` for a
    configuration that makes no fleet, `FleetBusyError`, and `FlashError` when the flash file cannot be written.
    """
    with contextlib.ExitStack() as stack:
        flash = Flash(_open_medium(config, stack))
        truth = TruthFile(config.truth_file)
        stack.callback(truth.close)
        if config.mqtt.connections == "per-device":
            make_room(sum(group.count for group in config.devices))
        shown = status or FleetStatus()
        fleet = _Fleet(config, clock, flash, truth, shown)
        shown.attach(fleet.devices, fleet.links)
        return await fleet.run(ready, stop or asyncio.Event())


def _open_medium(config: FleetConfig, stack: contextlib.ExitStack) -> FileMedium | MemoryMedium:
    if config.data_dir is None:
        return MemoryMedium()
    config.data_dir.mkdir(parents=True, exist_ok=True)
    lock = stack.enter_context((config.data_dir / _LOCK_FILE).open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FleetBusyError(config.data_dir) from None
    medium = FileMedium(config.data_dir / _FLASH_FILE)
    stack.callback(medium.close)
    return medium


class _Fleet:
    """One run. Time inside is device time: it starts at the wall clock and runs `speed` times as fast."""

    def __init__(self, config: FleetConfig, clock: Clock, flash: Flash, truth: TruthFile, status: FleetStatus) -> None:
        self._config = config
        self._clock = clock
        self._flash = flash
        self._truth = truth
        self._status = status
        self._epoch_ms = clock.wall_ms()
        self._started_ms = clock.monotonic_ms()
        first_boot = self._epoch_ms // _MS_PER_S  # seconds since 1970: no earlier life of the device had as many boots
        ground = FleetTruth(truth)
        folder, now_ms = config.data_dir, self._epoch_ms
        self.devices = build_fleet(
            config,
            flash,
            nobody,
            first_boot=first_boot,
            started_ms=now_ms if folder is None else begun_ms(folder / _START_FILE, now_ms),
            on_ms=now_ms,
            ground=ground,
        )
        self._by_name = {device.spec.name: device for device in self.devices}
        ground.attach({name: device.supply for name, device in self._by_name.items()})
        self._battery_file = None if config.data_dir is None else config.data_dir / _BATTERY_FILE
        self._put_in_batteries()
        self._save_batteries_at_ms = self._epoch_ms + SAVE_BATTERIES_EVERY_MS
        self._epoch_ms = max([self._epoch_ms, *(device.outbox.newest_at_ms or 0 for device in self.devices)])
        rng = Random(derive_seed(config.seed, "links"))  # noqa: S311 - spreads reconnects; guards nothing
        self.links = Links(config, [device.spec.name for device in self.devices], self._linked, self._arrived, rng)
        self._heap: list[tuple[int, int]] = []
        self._scheduled: list[int | None] = [None] * len(self.devices)
        self._outgoing: list[tuple[int, Publish]] = []
        self._flights = Flights()
        self._wake = asyncio.Event()
        self._committing: asyncio.Future[None] | None = None
        self._end_ms: int | None = None
        self._is_draining = False

    def _put_in_batteries(self) -> None:
        """The ones of the last run, where a device still has the same."""
        if self._battery_file is not None:
            for name, state in load_batteries(self._battery_file).items():
                if name in self._by_name:
                    self._by_name[name].supply.restore(state)

    def _battery_states(self) -> Snapshots:
        states = ((device.spec.name, device.supply.snapshot()) for device in self.devices)
        return {name: state for name, state in states if state is not None}

    async def _save_batteries_if_due(self) -> None:
        if self._battery_file is None or self.now_ms() < self._save_batteries_at_ms:
            return
        self._save_batteries_at_ms = self.now_ms() + SAVE_BATTERIES_EVERY_MS
        job = partial(save_batteries, self._battery_file, self._battery_states())
        await asyncio.get_running_loop().run_in_executor(None, job)

    def now_ms(self) -> int:
        """Device time."""
        return self._epoch_ms + round((self._clock.monotonic_ms() - self._started_ms) * self._config.speed)

    async def run(self, ready: Callable[[], None] | None, stop: asyncio.Event) -> FleetReport:
        """Until stopped; see `serve`."""
        self._truth.complete(self._held_readings())
        stopping = asyncio.create_task(stop.wait(), name="fleet stop")
        stopping.add_done_callback(lambda _: self._wake.set())
        try:
            async with self.links.running():
                started_ms = self.now_ms()
                if self._config.measure_s is not None:
                    self._end_ms = started_ms + round(self._config.measure_s * _MS_PER_S)
                for n, device in enumerate(self.devices):
                    self._take(n, device.start(started_ms))
                await self._publish_turn()
                gc.freeze()  # what was built lives to the end: looking at 10,000 devices again and again took seconds
                if ready is not None:
                    ready()
                while not stopping.done() and (left_s := self._left_s()) != 0:
                    await self._turn(left_s)
                await self._do_what_is_due()  # what fell due while the last turn was at work
                self._end_ms = None
                await self._drain()
                await self._say_farewell()
        finally:
            gc.unfreeze()
            stopping.cancel()
            if self._committing is not None:
                await self._committing
            self._flash.commit()
            self._truth.flush()
            if self._battery_file is not None:
                save_batteries(self._battery_file, self._battery_states())
        return self._status.report()

    def _left_s(self) -> float | None:
        """Real time until the devices measure no more; None: nobody said when."""
        if self._end_ms is None:
            return None
        return max(0.0, (self._end_ms - self.now_ms()) / (_MS_PER_S * self._config.speed))

    async def _drain(self) -> None:
        """Measure no more, and wait for what is held to be acknowledged."""
        until_ms = self._clock.monotonic_ms() + round(self._config.drain_s * _MS_PER_S)
        self._is_draining = True
        for n, device in enumerate(self.devices):
            self._take(n, device.stop_sampling(self.now_ms()))
        await self._publish_turn()
        while any(len(device.outbox) for device in self.devices if device.powered):
            left_s = (until_ms - self._clock.monotonic_ms()) / _MS_PER_S
            if left_s <= 0:
                return
            await self._turn(left_s)

    async def _say_farewell(self) -> None:
        for n, device in enumerate(self.devices):
            if device.powered:
                self.links.publish(n, device.farewell(), None)
        await self.links.settle(SETTLE_S)

    async def _turn(self, limit_s: float | None = None) -> None:
        """Wait until something is due or arrives, and do all of it."""
        await self._wait(limit_s)
        await self._do_what_is_due()

    async def _do_what_is_due(self) -> None:
        now_ms = self.now_ms() if self._end_ms is None else min(self.now_ms(), self._end_ms - 1)
        due_ms = self._next_alarm_ms()
        if due_ms is not None:
            self._status.note_late((now_ms - due_ms) / self._config.speed)
        while due_ms is not None and due_ms <= now_ms:
            _, n = heapq.heappop(self._heap)
            self._take(n, self.devices[n].step(now_ms))
            due_ms = self._next_alarm_ms()
        await self._publish_turn()
        self._land()
        await self._save_batteries_if_due()

    async def _wait(self, limit_s: float | None) -> None:
        await asyncio.sleep(0)  # an event that is set already would not let the connections have their turn
        waits_s = [] if limit_s is None else [limit_s]
        due = [at_ms for at_ms in (self._next_alarm_ms(), self._flights.due_ms) if at_ms is not None]
        if due:
            waits_s.append(max(TURN_S, (min(due) - self.now_ms()) / (_MS_PER_S * self._config.speed)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(waits_s, default=None)):
                await self._wake.wait()

    def _next_alarm_ms(self) -> int | None:
        """When the next device wants something; alarms that a device has set anew since fall out here."""
        while self._heap and self._scheduled[self._heap[0][1]] != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    async def _publish_turn(self) -> None:
        self._wake.clear()
        outgoing, self._outgoing = self._outgoing, []
        if self._flash.dirty:
            self._committing = asyncio.get_running_loop().run_in_executor(None, self._flash.begin_commit())
            await asyncio.shield(self._committing)
        self._truth.flush()
        for n, message in outgoing:
            if message.air is None:
                self.links.publish(n, message, self._answered)
            else:
                self._flights.launch(n, message)

    def _land(self) -> None:
        """What a radio sent arrives, or its device learns that it did not, as far as it can."""
        for n, message, arrived, believed in self._flights.landings(self.now_ms()):
            if arrived:
                self.links.publish(n, message, self._answered)
            elif message.token is not None:
                self._answered(n, message.token, believed)

    def _take(self, n: int, messages: list[Publish]) -> None:
        """Queue what a device wants to say and set its alarm; called after every time a device was touched."""
        device = self.devices[n]
        self._outgoing += [(n, message) for message in messages]
        due_ms = device.next_wake_ms
        if due_ms != self._scheduled[n]:
            self._scheduled[n] = due_ms
            if due_ms is not None:
                if not self._heap or due_ms < self._heap[0][0]:
                    self._wake.set()
                heapq.heappush(self._heap, (due_ms, n))
        if messages or self._is_draining:  # the last acknowledgement ends the wait
            self._wake.set()
        self.links.set_power(n, on=device.powered)

    def _linked(self, n: int, up: bool) -> None:
        device = self.devices[n]
        if up:
            self._take(n, device.link_up(self.now_ms()))
        else:
            device.link_down()
            self._take(n, [])

    def _arrived(self, n: int, kind: Kind, payload: bytes) -> None:
        self._take(n, self.devices[n].receive(kind, payload, self.now_ms()))

    def _answered(self, n: int, token: int, delivered: bool) -> None:
        self._take(n, self.devices[n].answered(token, delivered=delivered, now_ms=self.now_ms()))

    def _held_readings(self) -> Iterator[Reading]:
        for device in self.devices:
            yield from device.held_readings()
