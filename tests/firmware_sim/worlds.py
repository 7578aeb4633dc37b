"""A device, its flash and a gateway in one hand: the world that the device tests and properties act on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from firmware_sim.days_left import TimeLeft
from firmware_sim.device import Device
from firmware_sim.device_spec import DeviceSpec, Publish
from firmware_sim.flash import MemoryMedium
from firmware_sim.outbox import OUTBOX_BYTES_MIN, Flash, FullPolicy
from firmware_sim.phases import Phase
from firmware_sim.power import LedgerLine
from firmware_sim.radio.energy import EnergyPhase
from firmware_sim.sender import SenderSpec
from firmware_sim.supply import BatteryTruth, MainsSupply, PowerState, Stages, Supply, Timings
from sensors.messages import Ack, LostRange, Resend, State, decode_state, encode
from sensors.reading import Identity, Reading, Value
from sensors.senml import decode
from sensors.topics import Kind

START_MS = 1_700_000_000_000
SPEC = DeviceSpec(name="d", interval_ms=1000, sender=SenderSpec(window=2, pack=4, ack_timeout_ms=5000))


class BenchSupply:
    """A supply that does what a test says: `fail_in` names the next phase in which it sags or ends."""

    def __init__(self) -> None:
        self.drawn: list[tuple[Phase, int, int]] = []
        self.fail_in: dict[Phase, PowerState] = {}
        self.level = 100.0
        self.left: TimeLeft | None = None
        self.radio_drawn: list[EnergyPhase] = []

    def draw(self, phase: Phase, duration_ms: int, now_ms: int) -> PowerState:
        self.drawn.append((phase, duration_ms, now_ms))
        return self.fail_in.pop(phase, PowerState.GOOD)

    def draw_through(self, stages: Stages, from_ms: int) -> PowerState | None:
        return None

    def draw_radio(self, phases: Sequence[EnergyPhase], *, resting: bool) -> PowerState:
        self.radio_drawn += phases
        return PowerState.GOOD

    def timings(self) -> Timings:
        return Timings()

    def voltage_v(self) -> float:
        return 3.1234

    def level_percent(self) -> float:
        return self.level

    def look(self, now_ms: int) -> None:
        """There is no gauge."""

    def time_left(self) -> TimeLeft | None:
        return self.left

    def true_state(self) -> BatteryTruth | None:
        return None

    def energy(self) -> dict[str, LedgerLine]:
        return {}

    def snapshot(self) -> dict[str, Any] | None:
        return None

    def restore(self, state: Mapping[str, Any]) -> bool:
        return False


class World:
    """What is published goes to `sent`; the test decides what becomes of it."""

    def __init__(
        self,
        spec: DeviceSpec = SPEC,
        *,
        bytes_max: int = 1 << 20,
        policy: FullPolicy = FullPolicy.DROP_OLDEST,
        supply: Supply | None = None,
        seed: int = 1,
    ) -> None:
        self.spec, self.bytes_max, self.policy = spec, max(bytes_max, OUTBOX_BYTES_MIN), policy
        self.supply: Supply = supply or MainsSupply()
        self.seed = seed
        self.medium = MemoryMedium()
        self.now_ms = START_MS
        self.truth: dict[Identity, Reading] = {}
        self.true_at_ms: dict[Identity, int] = {}
        self.sent: list[Publish] = []
        self.linked = False
        self.power_on()

    def power_on(self) -> None:
        """A new process on the same flash: what was not committed is gone."""
        self.flash = Flash(self.medium)
        outbox = self.flash.outbox("d", bytes_max=self.bytes_max, policy=self.policy)
        self.device = Device(
            self.spec, outbox, self.measure, Random(self.seed), supply=self.supply, observer=self._observe
        )
        self.linked = False
        self.take(self.device.start(self.now_ms))

    def measure(self, at_ms: int) -> tuple[Value, ...]:
        return (Value("temperature", 20.0 + (at_ms // 1000 % 7) / 10, "Cel"),)

    def take(self, messages: list[Publish]) -> list[Publish]:
        self.flash.commit()
        self.sent += messages
        return messages

    def run(self, for_ms: int) -> list[Publish]:
        """Let time pass; returns what was published."""
        self.now_ms += for_ms
        return self.take(self.device.step(self.now_ms))

    def run_until_next(self) -> list[Publish]:
        """Let time pass until the next alarm."""
        wake_ms = self.device.next_wake_ms
        assert wake_ms is not None
        return self.run(wake_ms - self.now_ms)

    def run_until_sampled(self, count: int) -> list[Publish]:
        """Let time pass, alarm by alarm, until so many readings have been measured."""
        out: list[Publish] = []
        while len(self.truth) < count:
            out += self.run_until_next()
        return out

    def link(self, *, up: bool) -> list[Publish]:
        self.linked = up
        if up:
            return self.take(self.device.link_up(self.now_ms))
        self.device.link_down()
        return []

    def ack(self, boot: int, seq: int) -> list[Publish]:
        return self.take(self.device.receive(Kind.ACK, encode(Ack(((boot, seq),))), self.now_ms))

    def ask(self, *ranges: tuple[int, int, int]) -> list[Publish]:
        return self.take(self.device.receive(Kind.RESEND, encode(Resend(ranges)), self.now_ms))

    def _observe(self, reading: Reading, at_ms: int) -> None:
        assert reading.identity not in self.truth, "an identity was used twice"
        self.truth[reading.identity] = reading
        self.true_at_ms[reading.identity] = at_ms


class GatewayModel:
    """Receives, and acknowledges what is contiguous, counting what the device says is lost."""

    def __init__(self) -> None:
        self.readings: dict[Identity, Reading] = {}
        self.lost: set[tuple[int, int]] = set()
        self._floors: dict[int, int] = {}

    def receive(self, message: Publish, now_ms: int) -> None:
        if message.kind is Kind.STATE:
            for gone in decode_state(message.payload).lost:
                self.lost |= {(gone.boot, seq) for seq in range(gone.first, gone.last + 1)}
            return
        for reading in decode(message.payload, device="d", received_at_ms=now_ms):
            self.readings.setdefault(reading.identity, reading)

    def _seqs(self) -> dict[int, set[int]]:
        seqs: dict[int, set[int]] = defaultdict(set)
        for _, boot, seq in self.readings:
            seqs[boot].add(seq)
        for boot, seq in self.lost:
            seqs[boot].add(seq)
        return seqs

    def acks(self) -> Ack:
        for boot, seqs in self._seqs().items():
            floor = self._floors.get(boot, -1)
            while floor + 1 in seqs:
                floor += 1
            self._floors[boot] = floor
        return Ack(tuple((boot, floor) for boot, floor in self._floors.items() if floor >= 0))

    def gaps(self) -> Resend:
        ranges = []
        for boot, seqs in self._seqs().items():
            missing = sorted(set(range(max(seqs))) - seqs)
            ranges += [(boot, seq, seq) for seq in missing[:8]]
        return Resend(tuple(ranges[:64]))


def readings_in(message: Publish) -> list[tuple[int, int]]:
    """(boot, seq) of the readings of one message."""
    return [(r.boot, r.seq) for r in decode(message.payload, device="d", received_at_ms=START_MS)]


def sent_readings(messages: list[Publish]) -> list[tuple[int, int]]:
    """(boot, seq) of all readings, in the order sent."""
    return [key for message in messages if message.kind is Kind.READING for key in readings_in(message)]


def states(messages: list[Publish]) -> list[State]:
    """The states among the messages."""
    return [decode_state(message.payload) for message in messages if message.kind is Kind.STATE]


def lost_ranges(messages: list[Publish]) -> list[LostRange]:
    """All that they say is lost."""
    return [lost for state in states(messages) for lost in state.lost]


def spec(**changes: object) -> DeviceSpec:
    """The usual device, changed."""
    return replace(SPEC, **changes)  # type: ignore[arg-type]
