"""A load generator: publishes QoS 1 messages to a broker as fast as it acknowledges them, window by window.

Run as a process of its own, so that its CPU time is not counted for what is measured:
    python -m tidegate.bench.load HOST PORT COUNT [ROOT]
"""

import asyncio
import os
import sys

import mqtt5

from edge.mqtt.framing import Framer
from sensors.reading import Reading, Value
from sensors.senml import encode
from sensors.topics import DEFAULT_ROOT, Kind, build_topic

WINDOW = 2000  # unacknowledged messages: enough to keep a broker busy, below its queue limit
T0_MS = 1_700_000_000_000
SITE = "bench"
DEVICES = 100
PUBACK, CONNACK = 4, 2


class Publisher(asyncio.Protocol):
    """One MQTT 5 connection that publishes `messages` and ends."""

    def __init__(self, messages: list[tuple[str, bytes]]) -> None:
        self._messages = messages
        self._framer = Framer(1024)
        self._sent = self._acked = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say CONNECT."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # what TCP gives
        self._transport = transport
        transport.write(mqtt5.ConnectPacket(f"bench-load-{os.getpid()}", clean_start=True, keep_alive=60).write())

    def data_received(self, data: bytes) -> None:
        """Count acknowledgements and refill the window."""
        for first, _ in self._framer.feed(data):
            self._acked += first >> 4 == PUBACK
        self._fill()
        if self._acked == len(self._messages) and not self.done.done():
            self.done.set_result(None)
            self._transport.close()

    def _fill(self) -> None:
        until = min(len(self._messages), self._acked + WINDOW)
        packets = []
        while self._sent < until:
            topic, payload = self._messages[self._sent]
            packet_id = self._sent % 65_000 + 1
            packets.append(
                mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=packet_id).write()
            )
            self._sent += 1
        if packets:
            self._transport.write(b"".join(packets))


def readings(count: int, devices: int, root: str = DEFAULT_ROOT) -> list[tuple[str, bytes]]:
    """`count` messages of one reading each, from `devices` devices in turn."""
    names = [f"d{at}" for at in range(devices)]
    topics = [build_topic(SITE, name, Kind.READING, root) for name in names]
    return [
        (
            topics[at % devices],
            encode(
                [Reading(names[at % devices], 1, at // devices, T0_MS + at, (Value("temperature", at / 100, "Cel"),))],
                sent_at_ms=0,
            ),
        )
        for at in range(count)
    ]


async def publish(host: str, port: int, messages: list[tuple[str, bytes]]) -> None:
    """Publish all of them; returns when the broker has acknowledged all."""
    _, publisher = await asyncio.get_running_loop().create_connection(lambda: Publisher(messages), host, port)
    await publisher.done


if __name__ == "__main__":
    host, port, count, *root = sys.argv[1:]
    asyncio.run(publish(host, int(port), readings(int(count), DEVICES, *root)))
