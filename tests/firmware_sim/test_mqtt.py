"""A device's connection against a broker that misbehaves in ways that a real one cannot be asked for."""

import asyncio
from enum import IntEnum
from random import Random

import pytest

from firmware_sim.mqtt import Connection, Endpoint, Message

pytestmark = pytest.mark.timeout(60)

CONNACK, SUBACK, PINGRESP = b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x01", b"\xd0\x00"


class Kind(IntEnum):
    """MQTT 3.1.1, section 2.2.1."""

    CONNECT = 1
    PUBLISH = 3
    SUBSCRIBE = 8
    PINGREQ = 12


class HalfAlive:
    """A broker that accepts and answers pings. It answers a PUBLISH only on connections after the first."""

    def __init__(self) -> None:
        self.connections = 0
        self.pinged = 0
        self.published: list[int] = []  # on which connection

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, MQTT 3.1.1, packets of fewer than 128 bytes."""
        self.connections += 1
        number = self.connections
        try:
            while True:
                kind, size = await reader.readexactly(2)
                body = await reader.readexactly(size)
                match kind >> 4:
                    case Kind.CONNECT:
                        writer.write(CONNACK)
                    case Kind.SUBSCRIBE:
                        writer.write(SUBACK)
                    case Kind.PINGREQ:
                        self.pinged += 1
                        writer.write(PINGRESP)
                    case Kind.PUBLISH:
                        self.published.append(number)
                        topic_end = 2 + int.from_bytes(body[:2])
                        if number > 1:
                            writer.write(b"\x40\x02" + body[topic_end : topic_end + 2])
        except asyncio.IncompleteReadError:
            writer.close()


def test_a_broker_that_pings_but_answers_nothing_is_left_and_the_message_goes_again() -> None:
    async def scenario() -> None:
        broker, answered = HalfAlive(), asyncio.Event()
        server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
        endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], mqtt5=False, keepalive_s=2)
        connection = Connection(
            endpoint,
            "device",
            will=None,
            topics=("down",),
            on_link=lambda _: None,
            on_message=lambda *_: None,
            rng=Random(1),
        )
        running = asyncio.create_task(connection.run())
        connection.publish(Message("up", b"21.5", on_answer=lambda _: answered.set()))
        async with server:
            await answered.wait()
            assert broker.published == [1, 2]
            assert broker.pinged > 0
            assert connection.last_failure == "no answer to what was published"
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())
