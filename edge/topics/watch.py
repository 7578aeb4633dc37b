"""Listens to all of the broker's topics while somebody looks at them, beside the gateway's own connection.

Promises: it takes nothing from the gateway: a session of its own that ends with it, QoS 0, nothing acknowledged; it
connects when it is first asked for and leaves `IDLE_S` after it was last asked. On a busy broker it listens one second
of five (`pausing`), so that looking costs ingest little. What it is told it keeps in a bounded `TopicTable`.
"""

import asyncio
import uuid
from contextlib import suppress

import aiomqtt

from edge.cancellation import heed_cancellation
from edge.config import MqttSettings
from edge.side_client import side_client
from edge.topics.table import TopicTable
from sensors.clock import Clock

IDLE_S = 30.0  # a page asks every two seconds; a phone that was put away for a moment finds its counts again
RETRY_S = 2.0
SLICE_S = 1.0
PAUSE_S = 4.0
MESSAGES_PER_SLICE_MAX = 500  # some 25 ms of the gateway's event loop; more than that in a second, and it pauses
QUEUED_MAX = 1_000  # messages between the socket and the table: beyond it they are dropped, here nobody misses them


class TopicWatch:
    """What arrives at the broker, as long as `ask` is called now and then."""

    def __init__(self, settings: MqttSettings, clock: Clock) -> None:
        self.table = TopicTable()
        self.problem: str | None = None
        self.pausing = False
        self.listened_ms = 0
        self._settings = settings
        self._clock = clock
        self._wanted = asyncio.Event()
        self._asked_ms = 0
        self._heard_in_slice = 0

    def ask(self) -> None:
        """Somebody looks: listen, if that is not done already."""
        self._asked_ms = self._clock.monotonic_ms()
        self._wanted.set()

    @property
    def _is_wanted(self) -> bool:
        return self._clock.monotonic_ms() - self._asked_ms < IDLE_S * 1000

    async def run(self) -> None:
        """Listen whenever somebody looks, until cancelled."""
        while True:
            await self._wanted.wait()
            while self._is_wanted:
                await self._turn()
                heed_cancellation()
            self._wanted.clear()
            self.table.clear()

    async def _turn(self) -> None:
        """Connect and listen until nobody looks, there is too much, or the broker is away."""
        try:
            async with self._client() as client:
                await client.subscribe("#", qos=0)
                heed_cancellation()
                self.problem = None
                self.pausing = False
                while self._is_wanted and not self.pausing:
                    await self._slice(client)
        except (aiomqtt.MqttError, OSError) as error:
            self.problem = str(error)
            await asyncio.sleep(RETRY_S)
        if self.pausing:
            await asyncio.sleep(PAUSE_S)

    async def _slice(self, client: aiomqtt.Client) -> None:
        started_ms = self._clock.monotonic_ms()
        before_ms = self.listened_ms
        heard = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(SLICE_S):
                async for message in client.messages:
                    self.listened_ms = before_ms + self._clock.monotonic_ms() - started_ms
                    self.table.note(
                        str(message.topic),
                        bytes(message.payload),
                        retained=message.retain,
                        listened_ms=self.listened_ms,
                        wall_ms=self._clock.wall_ms(),
                    )
                    heard += not message.retain
                    if heard > MESSAGES_PER_SLICE_MAX:
                        break
        self.listened_ms = before_ms + self._clock.monotonic_ms() - started_ms
        self.pausing = heard > MESSAGES_PER_SLICE_MAX

    def _client(self) -> aiomqtt.Client:
        identifier = f"tidegate-topics-{uuid.uuid4().hex[:8]}"
        return side_client(self._settings, identifier, max_queued_incoming_messages=QUEUED_MAX)
