"""A tiny gateway for tests of the device side: takes readings, acknowledges contiguous seqs, asks for gaps.

It is paho with a persistent session and lives in its own network thread. Nothing here is durable: it is as if its store
never failed. `acking` can be switched off to see what devices do without an answer.
"""

import threading
from collections import defaultdict

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sensors.messages import Ack, LostRange, Resend, State, decode_state, encode
from sensors.reading import Identity, Reading
from sensors.senml import decode
from sensors.topics import Kind, build_topic, parse_topic, subscription


class FakeGateway:
    """Use as a context manager."""

    def __init__(self, port: int, *, acking: bool = True, user: tuple[str, str] | None = None) -> None:
        self.readings: dict[Identity, Reading] = {}
        self.messages = 0
        self.states: dict[str, list[State]] = defaultdict(list)
        self.lost: set[tuple[str, LostRange]] = set()
        self.acking = acking
        self._sites: dict[str, str] = {}
        self._seqs: dict[tuple[str, int], set[int]] = defaultdict(set)
        self._floor: dict[tuple[str, int], int] = {}
        self._changed = threading.Condition()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="fake-gateway", protocol=MQTTv5)
        if user is not None:
            self._client.username_pw_set(*user)
        self._client.on_connect = self._connected
        self._client.on_message = self._received
        self._client.reconnect_delay_set(1, 1)
        self._subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._port = port

    def __enter__(self) -> "FakeGateway":
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", self._port, clean_start=False, properties=properties)
        self._client.loop_start()
        assert self._subscribed.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait_for(self, identities: set[Identity], timeout_s: float) -> set[Identity]:
        """Wait until all of these arrived; returns those that did not."""
        with self._changed:
            self._changed.wait_for(lambda: identities <= self.readings.keys(), timeout_s)
            return identities - self.readings.keys()

    def wait_for_count(self, count: int, timeout_s: float) -> bool:
        """Wait until that many different readings arrived."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.readings) >= count, timeout_s)

    def ask(self, site: str, device: str, *ranges: tuple[int, int, int]) -> None:
        """Publish a `resend`."""
        self._client.publish(build_topic(site, device, Kind.RESEND), encode(Resend(ranges)), qos=1)

    def acknowledge_everything(self) -> None:
        """Switch `acking` on and answer all that came before."""
        with self._changed:
            self.acking = True
            for device in {device for device, _ in self._seqs}:
                self._acknowledge(device)

    def _connected(self, client: Client, *_: object) -> None:
        client.subscribe([(subscription(Kind.READING), 1), (subscription(Kind.STATE), 1)])

    def _received(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        topic = parse_topic(message.topic)
        with self._changed:
            self._sites[topic.device] = topic.site
            if topic.kind is Kind.STATE:
                state = decode_state(bytes(message.payload))
                self.states[topic.device].append(state)
                self.lost |= {(topic.device, lost) for lost in state.lost}
                for lost in state.lost:
                    self._seqs[topic.device, lost.boot] |= set(range(lost.first, lost.last + 1))
            else:
                self.messages += 1
                for reading in decode(bytes(message.payload), device=topic.device, received_at_ms=0):
                    self.readings.setdefault(reading.identity, reading)
                    self._seqs[topic.device, reading.boot].add(reading.seq)
            if self.acking:
                self._acknowledge(topic.device)
            self._changed.notify_all()

    def _acknowledge(self, device: str) -> None:
        acks = []
        for (name, boot), seqs in self._seqs.items():
            if name != device:
                continue
            floor = self._floor.get((name, boot), -1)
            while floor + 1 in seqs:
                floor += 1
            self._floor[name, boot] = floor
            if floor >= 0:
                acks.append((boot, floor))
        payload = encode(Ack(tuple(acks)))
        self._client.publish(build_topic(self._sites[device], device, Kind.ACK), payload, qos=1)
