"""Says alerts on MQTT: retained, at QoS 1, again and again until the broker has acknowledged.

Promises: what the broker has not acknowledged is said again on the next connection, also after a restart; on one
connection nothing is said twice; at a broker that has forgotten us, what is active is said anew.
A shell: what is to be said is the book's.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

from edge.alerts.book import AlertBook


class InStore(Protocol):
    """Runs a call in the store's thread."""

    def __call__(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """The call's answer."""


class Publishes(Protocol):
    """A connection to a broker."""

    session_present: bool

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, acknowledged: Callable[[], None] | None = None
    ) -> bool:
        """Whether it could be sent."""


class AlertPublisher:
    """For one gateway; `tick` it a few times a second."""

    def __init__(self, book: AlertBook, in_store: InStore) -> None:
        self._book = book
        self._in_store = in_store
        self._connection: Publishes | None = None
        self._sent: dict[int, int] = {}  # device key -> the change that was said on this connection
        self._acknowledged: dict[int, int] = {}

    async def tick(self, connection: Publishes | None) -> None:
        """Note what the broker has, and say what it has not. Raises `StoreError`."""
        if self._acknowledged:
            done = dict(self._acknowledged)
            await self._in_store(self._book.published, done.items())
            for key, changed in done.items():
                if self._acknowledged[key] == changed:
                    del self._acknowledged[key]
        if connection is None:
            return
        if connection is not self._connection:
            if not connection.session_present:
                await self._in_store(self._book.publish_again)
            self._connection, self._sent = connection, {}
        for each in await self._in_store(self._book.unpublished):
            if self._sent.get(each.device_key) == each.changed:
                continue
            noted = partial(self._note, each.device_key, each.changed)
            if not connection.publish(*each.message, retain=True, acknowledged=noted):
                return
            self._sent[each.device_key] = each.changed

    def _note(self, device_key: int, changed: int) -> None:
        self._acknowledged[device_key] = max(changed, self._acknowledged.get(device_key, 0))
