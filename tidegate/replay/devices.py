"""The devices of a world: the real firmware core, its real flash format, and an MQTT client like the fleet's.

Promises: the flash is committed before anything is published; what the broker has not answered is sent again after a
reconnect; a watchdog reset forgets the RAM, a power cut also whatever the flash had not committed, and the device comes
back by reading its flash.
"""

from dataclasses import dataclass
from functools import partial
from zlib import crc32

import msgspec

from edge.outages.events import Cause
from firmware_sim.device import Device
from firmware_sim.device_spec import DeviceSpec, Measure, Publish
from firmware_sim.flash import MemoryMedium
from firmware_sim.outbox import Flash
from firmware_sim.supply import MainsSupply
from sensors.messages import State, encode
from sensors.reading import Identity, Value
from sensors.seeds import derive_seed, splitmix64
from sensors.topics import TO_DEVICES, Kind, build_topic
from tidegate.replay.broker import SUCCESS, Broker, Delivery, Login, Message
from tidegate.replay.connections import Client, ClientHooks, Wire
from tidegate.replay.history import History
from tidegate.replay.links import Link
from tidegate.replay.world import EPOCH_MS, US_PER_MS, Timer, World

OUTBOX_BYTES_MAX = 4 * 1024 * 1024  # a usual NOR flash chip: a month of readings, one a minute
RECEIVE_MAX = 20  # of a device's client


@dataclass(frozen=True, slots=True)
class Site:
    """Where the devices are and how they speak."""

    name: str
    topic_root: str
    keepalive_s: int = 60


class SimDevice:
    """One device, its flash and its connection."""

    def __init__(
        self,
        world: World,
        broker: Broker,
        link: Link,
        site: Site,
        spec: DeviceSpec,
        history: History,
        *,
        outbox_bytes_max: int,
    ) -> None:
        self.spec = spec
        self._world = world
        self._history = history
        self._outbox_bytes_max = outbox_bytes_max
        self._measure = seeded_measure(derive_seed(world.seed, spec.name, "values"), spec.interval_ms)
        self._medium = MemoryMedium()
        self._alarm: tuple[int, Timer] | None = None
        self._flying: dict[int, tuple[Message, int | None]] = {}
        self._sent = 0
        self._lives = 0
        self._stopped = False
        self._topics = {kind: build_topic(site.name, spec.name, kind, site.topic_root) for kind in Kind}
        self._kinds = {topic: kind for kind, topic in self._topics.items()}
        will = Message(self._topics[Kind.STATE], encode(State(online=False)), retain=True)
        login = Login(spec.name, tuple(self._topics[kind] for kind in TO_DEVICES), RECEIVE_MAX, will)
        hooks = ClientHooks(lambda: None, self._linked, self._unlinked, self._arrived)
        self._client = Client(world, broker, link, login, site.keepalive_s, hooks)
        self._insert_battery()

    # -- what a scenario does to it

    def switch_on(self) -> None:
        """Begin to measure, unless it was told to stop."""
        self._take(self.device.start(self._world.wall_ms))
        if self._stopped:
            self.stop_sampling()

    def reset(self) -> None:
        """The watchdog bites."""
        if not self.device.powered:
            return
        self._world.note(f"{self.spec.name} is reset")
        self._hang_up()
        self._take(self.device.reset(self._world.wall_ms))

    def cut_power(self) -> None:
        """Take the power away; `switch_on` gives it back."""
        self._world.note(f"{self.spec.name} loses its power")
        self._hang_up()
        self._insert_battery()
        self._set_alarm()

    def stop_sampling(self) -> None:
        """Measure no more, and send what is held."""
        self._stopped = True
        self._take(self.device.stop_sampling(self._world.wall_ms))

    @property
    def held(self) -> int:
        """Readings in its flash that nobody has acknowledged."""
        return len(self.device.outbox)

    # -- its life

    def _insert_battery(self) -> None:
        self._lives += 1
        self._flash = Flash(self._medium)
        outbox = self._flash.outbox(self.spec.name, bytes_max=self._outbox_bytes_max)
        rng = self._world.rng("device", self.spec.name, str(self._lives))
        self.device = Device(
            self.spec, outbox, self._measure, rng, supply=MainsSupply(), observer=self._history.measured
        )

    def _hang_up(self) -> None:
        self._client.stop(silently=True)
        self._flying.clear()
        self.device.link_down()

    def _take(self, messages: list[Publish]) -> None:
        """Do what the device wants, after anything that may have changed its mind."""
        if self._flash.dirty:
            self._flash.commit()
        for message in messages:
            self._publish(message)
        self._set_alarm()
        if self.device.powered:
            self._client.start()
        else:
            self._client.stop(silently=True)

    def _set_alarm(self) -> None:
        due_ms = self.device.next_wake_ms
        if self._alarm is not None:
            if self._alarm[0] == due_ms:
                return
            self._alarm[1].cancel()
        self._alarm = None
        if due_ms is not None:
            self._alarm = due_ms, self._world.at((due_ms - EPOCH_MS) * US_PER_MS, self._wake)

    def _wake(self) -> None:
        self._alarm = None
        self._take(self.device.step(self._world.wall_ms))

    def _publish(self, publish: Publish) -> None:
        self._sent += 1
        readings = self._readings_in(publish) if publish.kind is Kind.READING else ()
        message = Message(self._topics[publish.kind], publish.payload, publish.retain, readings)
        self._flying[self._sent] = message, publish.token
        span = f" {readings[0].boot}/{readings[0].seq} to {readings[-1].boot}/{readings[-1].seq}" if readings else ""
        self._world.note(f"{self.spec.name} publishes {publish.kind}{span} {crc32(publish.payload):08x}")
        if self._client.wire is not None:
            self._send(self._client.wire, self._sent)

    def _send(self, wire: Wire, number: int) -> None:
        wire.publish(self._flying[number][0], partial(self._answered, number))

    def _answered(self, number: int, reason: int) -> None:
        _, token = self._flying.pop(number, (None, None))
        if token is not None:
            self._take(self.device.answered(token, delivered=reason == SUCCESS, now_ms=self._world.wall_ms))

    def _linked(self, wire: Wire, _session_present: bool) -> None:
        for number in self._flying:
            self._send(wire, number)
        self._take(self.device.link_up(self._world.wall_ms))

    def _unlinked(self, _cause: Cause) -> None:
        self.device.link_down()
        self._set_alarm()

    def _arrived(self, wire: Wire, delivery: Delivery) -> None:
        wire.acknowledge([delivery.packet_id])
        kind = self._kinds[delivery.message.topic]
        self._take(self.device.receive(kind, delivery.message.payload, self._world.wall_ms))

    def _readings_in(self, publish: Publish) -> tuple[Identity, ...]:
        """Which readings a pack holds; whether it keeps the wire contract, the gateway will say."""
        name, boot = self.spec.name, 0
        found: list[Identity] = []
        for record in _identities.decode(publish.payload):
            if record.boot is not None:
                boot = record.boot
            if record.seq is not None:
                found.append(Identity(name, boot, record.seq))
        return tuple(found)


class _Record(msgspec.Struct, gc=False):
    """Of a record of a pack, what says whose it is."""

    boot: int | None = None
    seq: int | None = None


_identities = msgspec.json.Decoder(list[_Record])


def seeded_measure(seed: int, interval_ms: int) -> Measure:
    """Two values an instant that nobody can guess, so that a swapped or repeated reading shows."""

    def measure(at_ms: int) -> tuple[Value, ...]:
        chance = splitmix64(seed, at_ms // max(1, interval_ms // 2))
        return (
            Value("temperature", (chance % 5000 - 1000) / 100, "Cel"),
            Value("humidity", (chance >> 32) % 1000 / 10, "%RH"),
        )

    return measure
