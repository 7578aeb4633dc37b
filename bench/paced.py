"""A load of a steady rate: so many QoS 1 messages a second of so many devices, over one connection.

Run as a process of its own: python -m bench.paced HOST PORT ROOT DEVICES PER_S SECONDS FIRST
FIRST is the number of the first message, so that several runs go on counting. It says `begun` with its first message.
"""

import asyncio
import itertools
import sys

import mqtt5

from edge.mqtt.framing import Framer
from sensors.reading import Reading, Value
from sensors.senml import encode
from sensors.topics import Kind, build_topic
from tidegate.bench.clocks import wall_s

TICK_S = 0.02
T0_MS = 1_700_000_000_000
SITES = 10
PUBACK = 4


def message(at: int, devices: int, root: str) -> tuple[str, bytes]:
    """The message with this number: the next reading of the next device."""
    device, seq = at % devices, at // devices
    values = (Value("temperature", 20 + at % 100 / 10, "Cel"), Value("battery_level", 80.0, "%EL"))
    reading = Reading(f"d{device:05d}", 1, seq, T0_MS + 2000 * seq + device % 1000, values)
    topic = build_topic(f"site-{device % SITES}", reading.device, Kind.READING, root)
    return topic, encode([reading], sent_at_ms=0)


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._framer = Framer(1024)
        self.acked = 0
        self.heard = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say CONNECT."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(mqtt5.ConnectPacket("bench-paced", clean_start=True, keep_alive=600).write())

    def data_received(self, data: bytes) -> None:
        """Count acknowledgements."""
        self.acked += sum(first >> 4 == PUBACK for first, _ in self._framer.feed(data))
        self.heard.set()


async def main(host: str, port: int, root: str, devices: int, per_s: int, seconds: int, first: int) -> None:
    """Publish at the rate; returns when the broker has acknowledged all."""
    count = per_s * seconds
    packets = [
        mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=at % 65_000 + 1).write()
        for at, (topic, payload) in enumerate(message(first + at, devices, root) for at in range(count))
    ]
    _, connection = await asyncio.get_running_loop().create_connection(_Connection, host, port)
    await connection.heard.wait()
    began_s, sent = wall_s(), 0
    print("begun", flush=True)
    for tick in itertools.count(1):
        due = min(count, int((wall_s() - began_s) * per_s))
        connection.transport.write(b"".join(packets[sent:due]))
        sent = due
        if sent == count:
            break
        await asyncio.sleep(max(0.0, began_s + tick * TICK_S - wall_s()))
    while connection.acked < count:
        connection.heard.clear()
        await connection.heard.wait()


if __name__ == "__main__":
    host, port, root, *numbers = sys.argv[1:]
    asyncio.run(main(host, int(port), root, *map(int, numbers)))
