"""A fleet in virtual time: no broker, no event loop, no clock; a month passes as fast as the machine can count.

Devices and what is on the air are driven by a heap of instants. What devices publish goes to a gateway in memory, which
acknowledges as the real one does (`firmware_sim.virtual_gateway`); each reading that arrives there is one line of the
output (or one row of Parquet, see `firmware_sim.readings_files`):

    {"device":"room-1","boot":1,"seq":17,"taken_at_ms":1767226740000,"synced":true,"received_at_ms":1767226740012,
     "values":[["temperature",23.7,"Cel"]]}

Promises:
- The same configuration and duration give the same bytes, in any process: lines are in the order of `received_at_ms`,
  then of the devices in the configuration, then of sending.
- Time starts at `FleetConfig.virtual_start` and every device has a new flash and a fresh battery. `data_dir`,
  `truth_file`, `mqtt`, `speed` and `drain_s` are not used.
- Memory does not grow with the duration: lines are written as they come. (With `acknowledge = "broker"` it does, by
  the number of each reading that follows a lost one.)
- With a radio (`firmware_sim.device_radio`), a message arrives if and when the radio says so, and what the gateway
  answers is there at the end of the exchange. Without one it arrives at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from itertools import repeat

from firmware_sim.build import SupplyOf, build_fleet, nobody
from firmware_sim.build_power import build_supply
from firmware_sim.config import DeviceGroup, FleetConfig
from firmware_sim.device import Device
from firmware_sim.device_radio import Air
from firmware_sim.device_spec import Publish
from firmware_sim.flash import NoMedium
from firmware_sim.outbox import Flash
from firmware_sim.phases import Phase
from firmware_sim.readings_files import JsonLines, ReadingLine, ReadingsFile
from firmware_sim.sender import Acknowledge
from firmware_sim.truth import FleetTruth, TruthFile
from firmware_sim.virtual_gateway import DeviceInbox
from sensors.reading import Reading

_Event = Callable[[int], list[Publish]]

FIRST_BOOT = 1
STEPS_OF_TURN = 1024  # device steps between two writes, and two looks at `stopped`: some 50 ms
_PERCENT_DIGITS = 3
_DRAIN_DIGITS = 6


@dataclass(frozen=True, slots=True)
class GroupReport:
    """What became of one group. Readings, unless the name says otherwise.

    measured = received + held + lost. `held`: still in a device's flash and not at the gateway, also a dead device's.
    `lost`: neither here nor there, by a full flash or, with `acknowledge = "broker"`, on the air.
    `wear_bytes`: what its devices' flash was written with, what makes room included. `battery_percent_min` and `_mean`:
    over its devices at the end; None where it has no battery. `drain_mah`, `drain_j`: what its devices drew together,
    by state of the board and by sensor part.
    """

    name: str
    devices: int
    dead: int
    boots: int
    brown_outs: int
    measured: int
    received: int
    held: int
    lost: int
    duplicates: int
    wear_bytes: int
    battery_percent_min: float | None
    battery_percent_mean: float | None
    drain_mah: dict[str, float]
    drain_j: dict[str, float]


@dataclass(frozen=True, slots=True)
class VirtualReport:
    """The whole run: `simulated_ms` is less than asked for when it was stopped."""

    simulated_ms: int
    groups: tuple[GroupReport, ...]


def run_virtual(
    config: FleetConfig,
    for_ms: int,
    write: Callable[[bytes], object],
    stopped: Callable[[], bool] = lambda: False,
    supply_of: SupplyOf = build_supply,
) -> VirtualReport:
    """`run_virtual_into` lines of JSON; `write` gets whole lines."""
    return run_virtual_into(config, for_ms, JsonLines(write), stopped, supply_of)


def run_virtual_into(
    config: FleetConfig,
    for_ms: int,
    out: ReadingsFile,
    stopped: Callable[[], bool] = lambda: False,
    supply_of: SupplyOf = build_supply,
    truth: TruthFile | None = None,
) -> VirtualReport:
    """Run the fleet for `for_ms` of its own time; `out` is complete then, `truth` gets what was measured.

    Raises `FleetError`, and the files' errors.
    """
    report = _VirtualFleet(config.model_copy(update={"speed": 1.0}), out, supply_of, truth).run(for_ms, stopped)
    out.close()
    return report


class _VirtualFleet:
    """One run."""

    def __init__(
        self,
        config: FleetConfig,
        out: ReadingsFile,
        supply_of: SupplyOf = build_supply,
        truth: TruthFile | None = None,
    ) -> None:
        self._config = config
        self._out = out
        self._truth = truth
        ground = None if truth is None else FleetTruth(truth)
        self._start_ms = round(config.virtual_start.timestamp() * 1000)
        self._flash = Flash(NoMedium())
        # (when, device, 0 for an event or 1 for an alarm, number, event): events of an instant come before its alarms.
        self._heap: list[tuple[int, int, int, int, _Event | None]] = []
        self._events = 0
        self.devices = build_fleet(
            config,
            self._flash,
            nobody,
            first_boot=FIRST_BOOT,
            started_ms=self._start_ms,
            supply_of=supply_of,
            ground=ground,
        )
        if ground is not None:
            ground.attach({device.spec.name: device.supply for device in self.devices})
        self._alarms: list[int | None] = [None] * len(self.devices)
        self._inboxes = [
            DeviceInbox(device.spec.name, self._take, answers=device.spec.sender.acknowledge is Acknowledge.GATEWAY)
            for device in self.devices
        ]
        for device, inbox, group in zip(self.devices, self._inboxes, _groups_of(config), strict=True):
            if group.radio is None and device.spec.sender.acknowledge is Acknowledge.GATEWAY:
                device.express = inbox

    def run(self, for_ms: int, stopped: Callable[[], bool]) -> VirtualReport:
        """Until the time is over, nothing will ever happen again, or `stopped` says so."""
        end_ms = self._start_ms + for_ms
        for inbox in self._inboxes:
            inbox.silent_until_ms = end_ms
        for n, device in enumerate(self.devices):
            self._converse(n, device.start(self._start_ms) + device.link_up(self._start_ms), self._start_ms)
            self._set_alarm(n)
        while self._heap and self._heap[0][0] < end_ms and not stopped():
            self._turn(end_ms)
            self._flush()
        self._flush()
        ended_ms = min(self._heap[0][0], end_ms) if self._heap else end_ms
        return VirtualReport(ended_ms - self._start_ms, tuple(self._groups()))

    def _turn(self, end_ms: int) -> None:
        """Some of what is due, in order."""
        for _ in range(STEPS_OF_TURN):
            if not self._heap or self._heap[0][0] >= end_ms:
                return
            now_ms, n, _, _, event = heappop(self._heap)
            if event is not None:
                messages = event(now_ms)
            elif now_ms == self._alarms[n]:
                messages = self.devices[n].step(now_ms)
            else:
                continue
            if messages:
                self._converse(n, messages, now_ms)
            self._set_alarm(n, rung=event is None)

    def _set_alarm(self, n: int, *, rung: bool = True) -> None:
        wake_ms = self.devices[n].next_wake_ms
        if wake_ms is not None and (rung or wake_ms != self._alarms[n]):
            heappush(self._heap, (wake_ms, n, 1, 0, None))
        self._alarms[n] = wake_ms

    def _set_event(self, at_ms: int, n: int, event: "_Event") -> None:
        self._events += 1
        heappush(self._heap, (at_ms, n, 0, self._events, event))

    def _converse(self, n: int, messages: list[Publish], now_ms: int) -> None:
        """Carry messages to the gateway and its answers back, until nobody has anything more to say."""
        device, inbox = self.devices[n], self._inboxes[n]
        while messages:
            more: list[Publish] = []
            for message in messages:
                if message.air is not None:
                    self._fly(n, message, message.air)
                    continue
                if message.token is not None:
                    more += device.answered(message.token, delivered=True, now_ms=now_ms)
                for kind, payload in inbox.receive(message.kind, message.payload, now_ms):
                    more += device.receive(kind, payload, now_ms)
            messages = more

    def _fly(self, n: int, message: Publish, air: Air) -> None:
        """A message that a radio sent: it arrives when it arrives, and answers come with the end of the exchange."""
        device, inbox, token = self.devices[n], self._inboxes[n], message.token

        def arrive(now_ms: int) -> list[Publish]:
            if not air.arrived():
                return []
            for kind, payload in inbox.receive(message.kind, message.payload, now_ms):
                self._set_event(max(now_ms, air.ends_ms), n, partial(device.receive, kind, payload))
            return []

        if air.heard:
            self._set_event(air.arrives_ms, n, arrive)
        if token is not None:
            self._set_event(
                air.ends_ms, n, lambda at_ms: device.answered(token, delivered=air.believed(), now_ms=at_ms)
            )

    def _take(self, reading: Reading, now_ms: int) -> None:
        line = ReadingLine(
            reading.device, reading.boot, reading.seq, reading.taken_at_ms, reading.synced, now_ms, reading.values
        )
        self._out.take(line)

    def _flush(self) -> None:
        self._flash.commit()
        self._out.flush()
        if self._truth is not None:
            self._truth.flush()

    def _groups(self) -> Iterator[GroupReport]:
        n = 0
        for group in self._config.devices:
            yield _group_report(group.name, self.devices[n : n + group.count], self._inboxes[n : n + group.count])
            n += group.count


def _groups_of(config: FleetConfig) -> Iterator[DeviceGroup]:
    """The group of each device."""
    for group in config.devices:
        yield from repeat(group, group.count)


def _group_report(name: str, devices: list[Device], inboxes: list[DeviceInbox]) -> GroupReport:
    drain = _drain(devices)
    levels = [level for device in devices if (level := device.level_percent) is not None]
    measured, received = sum(device.counters.sampled for device in devices), sum(inbox.received for inbox in inboxes)
    unseen = [
        sum(not inbox.holds(record.boot, record.seq) for record in device.outbox.records())
        for device, inbox in zip(devices, inboxes, strict=True)
    ]
    return GroupReport(
        name=name,
        devices=len(devices),
        dead=sum(device.phase is Phase.DEAD for device in devices),
        boots=sum(device.counters.boots for device in devices),
        brown_outs=sum(device.counters.brown_outs for device in devices),
        measured=measured,
        received=received,
        held=sum(unseen),
        lost=measured - received - sum(unseen),
        duplicates=sum(inbox.duplicates for inbox in inboxes),
        wear_bytes=sum(device.outbox.bytes_written for device in devices),
        battery_percent_min=round(min(levels), _PERCENT_DIGITS) if levels else None,
        battery_percent_mean=round(sum(levels) / len(levels), _PERCENT_DIGITS) if levels else None,
        drain_mah={name: round(mah, _DRAIN_DIGITS) for name, (mah, _) in drain.items()},
        drain_j={name: round(joule, _DRAIN_DIGITS) for name, (_, joule) in drain.items()},
    )


def _drain(devices: list[Device]) -> dict[str, tuple[float, float]]:
    """(mAh, J) by what drew them, the most charge first."""
    sums: dict[str, tuple[float, float]] = {}
    for device in devices:
        for name, line in device.supply.energy().items():
            mah, joule = sums.get(name, (0.0, 0.0))
            sums[name] = mah + line.charge_mah, joule + line.energy_j
    return dict(sorted(sums.items(), key=lambda item: -item[1][0]))
