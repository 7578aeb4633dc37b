"""Tells Home Assistant, on a connection of its own: what changed, every so often; its last will is `offline`.

Promises: it takes nothing from ingest (own session, own connection, one short look at the store a turn); when the
broker is away it comes back by itself and tells everything again; at the end it says `offline`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random

import aiomqtt
import structlog

from edge.cancellation import heed_cancellation
from edge.config import MqttSettings
from edge.dashboard.in_store import InStore
from edge.desk import Desk
from edge.home_assistant.discovery import Discovery, Message
from edge.retry import Backoff
from edge.side_client import side_client
from edge.status import GatewayStatus
from edge.store import StoreError
from sensors.reading import Value

DEVICES_PER_STEP = 250  # of one look in the store's thread: a few milliseconds
log = structlog.get_logger("home-assistant")


class Publisher:
    """Runs until cancelled."""

    def __init__(
        self,
        settings: MqttSettings,
        every_s: float,
        discovery: Discovery,
        desk: Desk,
        in_store: InStore,
        status: Callable[[], Awaitable[GatewayStatus]],
        rng: Random,
    ) -> None:
        self._settings = settings
        self._every_s = every_s
        self._discovery = discovery
        self._desk = desk
        self._in_store = in_store
        self._status = status
        self._backoff = Backoff(rng)

    async def run(self) -> None:
        """Connect, tell, and connect again."""
        while True:
            try:
                async with self._client() as client:
                    self._discovery.forget()
                    try:
                        await self._say(client, [Message(self._discovery.availability_topic, b"online")])
                        await self._tell(client)
                    finally:  # a broker that is gone says it by itself: our last will
                        with suppress(aiomqtt.MqttError):
                            await self._say(client, [Message(self._discovery.availability_topic, b"offline")])
            except (aiomqtt.MqttError, OSError) as error:
                log.warning("broker lost", error=str(error))
            heed_cancellation()
            await asyncio.sleep(self._backoff.fail() / 1000)

    async def _tell(self, client: aiomqtt.Client) -> None:
        version = 0
        while True:
            with suppress(StoreError):  # the dashboard tells of it; the next turn tries again
                await self._say(client, self._discovery.gateway(await self._status()))
                newest, keys = await self._in_store(changed_keys, self._desk, version)
                for first in range(0, len(keys), DEVICES_PER_STEP):
                    step = keys[first : first + DEVICES_PER_STEP]
                    for site, device, values in await self._in_store(values_of, self._desk, step):
                        await self._say(client, self._discovery.device(site, device, values))
                        heed_cancellation()
                version = newest
            heed_cancellation()
            self._backoff.reset()
            await asyncio.sleep(self._every_s)

    async def _say(self, client: aiomqtt.Client, messages: list[Message]) -> None:
        for message in messages:
            await client.publish(message.topic, message.payload, qos=1, retain=True)

    def _client(self) -> aiomqtt.Client:
        will = aiomqtt.Will(self._discovery.availability_topic, b"offline", qos=1, retain=True)
        return side_client(self._settings, f"{self._settings.client_id}-home-assistant", will=will)


def changed_keys(desk: Desk, since: int) -> tuple[int, list[int]]:
    """The version now, and the keys of devices heard after another, the longest silent first. In the store's thread."""
    return desk.latest.version, [device.key for device in desk.latest.changed_since(since)][::-1]


def values_of(desk: Desk, keys: Sequence[int]) -> list[tuple[str, str, list[Value]]]:
    """(site, device, latest values) of these devices. In the store thread. Raises `StoreError`."""
    told = []
    for key in keys:
        latest = desk.latest.get(key)
        if latest is not None:  # between two steps one may have made room for another
            values = [Value(name, found.value, unit) for (name, unit), found in latest.values.items()]
            told.append((*desk.store.device_name(key), values))
    return told
