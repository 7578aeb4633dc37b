"""The devices of the crash tests: one MQTT client that publishes every reading once, and remembers all of them.

It never answers a `resend` and keeps nothing for later: what the broker took is the gateway's and nobody else's, so a
PUBACK of the gateway before its commit shows as a missing reading. The gateway's own `ack`s are remembered as well.
"""

import threading
from random import Random

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from firmware_sim.truth import TruthLine
from sensors.messages import decode_ack
from sensors.reading import Reading, Value
from sensors.senml import encode
from sensors.topics import Kind, build_topic, parse_topic, subscription

SITE = "crash"
BOOT = 1
T0_MS = 1_700_000_000_000
TICK_S = 0.01
PUBACK_S = 30.0
READINGS_PER_MESSAGE_MAX = 8


class Load:
    """Publishes from `start` to `finish`, about `readings_per_s`, from a thread of its own."""

    def __init__(self, port: int, root: str, rng: Random, *, devices: int = 20, readings_per_s: int = 800) -> None:
        self.sent: list[Reading] = []
        self._rng = rng
        self._root = root
        self._next_seq = {f"dev-{number:02d}": 0 for number in range(devices)}
        self._per_tick = readings_per_s * TICK_S
        self._acked: dict[str, int] = {}
        self._unanswered = 0
        self._refused: list[str] = []
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="crash-load", protocol=MQTTv5)
        self._client.max_inflight_messages_set(500)
        self._client.on_message = self._heard
        self._client.on_publish = self._published
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe(subscription(Kind.ACK, root), qos=1)
        assert subscribed.wait(10)

    def start(self) -> None:
        """Begin; the gateway's session must exist by now, else the broker throws away what it takes."""
        self._thread.start()

    def finish(self) -> None:
        """Publish no more, and wait until the broker has taken all."""
        self._stop.set()
        self._thread.join()
        self._wait_for_pubacks()
        self.leave()

    def _wait_for_pubacks(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: not self._unanswered, PUBACK_S), f"{self._unanswered} without PUBACK"

    def leave(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()
        assert not self._refused, self._refused[:3]

    def acked(self) -> dict[str, int]:
        """Device -> the highest seq that the gateway has acknowledged to it, up to this moment."""
        with self._changed:
            return dict(self._acked)

    def acked_total(self) -> int:
        """How many readings the gateway has acknowledged."""
        return sum(seq + 1 for seq in self.acked().values())

    def wait_for_acked(self, count: int, timeout_s: float) -> bool:
        """Wait until the gateway has acknowledged so many readings."""
        with self._changed:
            return self._changed.wait_for(lambda: sum(seq + 1 for seq in self._acked.values()) >= count, timeout_s)

    def truth(self) -> list[TruthLine]:
        """Everything that was published, as the proof wants it."""
        return [
            TruthLine(each.device, each.boot, each.seq, each.taken_at_ms, each.synced, each.values)
            for each in self.sent
        ]

    def _run(self) -> None:
        budget = 0.0
        while not self._stop.wait(TICK_S):
            budget += self._per_tick
            while budget > 0:
                budget -= self.publish(self._rng.choice(list(self._next_seq)))

    def publish_all(self) -> None:
        """Instead of `start` and `finish`: every device publishes once, all at the same time."""
        for device in list(self._next_seq):
            self.publish(device)
        self._wait_for_pubacks()

    def publish(self, device: str) -> int:
        """One message of the next readings of a device; how many there are in it."""
        count = self._rng.randint(1, READINGS_PER_MESSAGE_MAX)
        first = self._next_seq[device]
        self._next_seq[device] += count
        readings = [
            Reading(device, BOOT, seq, T0_MS + 1000 * seq, (Value("x", seq / 7, "m"), Value("on", seq % 2 == 0)))
            for seq in range(first, first + count)
        ]
        self.sent += readings
        payload = encode(readings, sent_at_ms=T0_MS)
        with self._changed:
            self._unanswered += 1
        self._client.publish(build_topic(SITE, device, Kind.READING, self._root), payload, qos=1)
        return count

    def _published(self, _client: Client, _data: object, mid: int, reason: object, _properties: object) -> None:
        with self._changed:
            self._unanswered -= 1
            if getattr(reason, "value", 0) != 0:
                self._refused.append(f"mid {mid}: {reason}")
            self._changed.notify_all()

    def _heard(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        device = parse_topic(message.topic, self._root).device
        with self._changed:
            for boot, seq in decode_ack(bytes(message.payload)).acks:
                assert boot == BOOT
                self._acked[device] = max(self._acked.get(device, -1), seq)
            self._changed.notify_all()
