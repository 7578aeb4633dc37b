"""The bounded place where messages wait for their commit, in the event loop.

Promises: first in, first out; `is_full` is a number that is read: at the limit the connection is read no further, and
the broker holds what comes (its receive maximum bounds messages of QoS 1 alone, and their number, not their bytes).
Messages leave only by `take`, and are lost only with the process, which is harmless: none of them is acknowledged.
"""

import asyncio
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

MESSAGE_BYTES = 200  # of memory that a message takes beside its payload: measured, with a topic of 40 characters


class Sized(Protocol):
    """What has a payload."""

    @property
    def payload(self) -> bytes:
        """Its content."""


Item = TypeVar("Item", bound=Sized)
Origin = TypeVar("Origin")


class Inbox(Generic[Origin, Item]):
    """For one reader. All that waits comes from one origin: with the first item of another, what waits is forgotten."""

    def __init__(self, bytes_max: int) -> None:
        """`bytes_max`: of memory; what comes in one piece may go beyond it once."""
        self._bytes_max = bytes_max
        self._origin: Origin | None = None
        self._items: list[Item] = []
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._filled = asyncio.Event()
        self._wanted = 1

    def put(self, origin: Origin, items: Iterable[Item]) -> None:
        """Add messages; never waits: whoever puts looks at `is_full`."""
        if origin is not self._origin:
            self._origin = origin
            self.clear()
        before = len(self._items)
        self._items += items
        self._bytes += _bytes(self._items[before:])
        self._arrived.set()
        if len(self._items) >= self._wanted or self.is_full:
            self._filled.set()

    async def take(self, count_max: int, wait_s: float) -> tuple[Origin | None, list[Item]]:
        """Whence they come, and the next messages.

        Waits for the first, then up to `wait_s` until there are `count_max` of them or the inbox is full.
        """
        await self._arrived.wait()
        if wait_s > 0 and len(self._items) < count_max and not self.is_full:
            self._wanted = count_max
            self._filled.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._filled.wait()
            except TimeoutError:
                pass
        taken, self._items = self._items[:count_max], self._items[count_max:]
        if self._items:
            self._bytes -= _bytes(taken)
        else:
            self._bytes = 0
            self._arrived.clear()
        return self._origin, taken

    def clear(self) -> None:
        """Forget what waits: the connection that it came on is gone, and it will come again."""
        self._items, self._bytes = [], 0
        self._arrived.clear()

    @property
    def is_full(self) -> bool:
        """Whether what waits has reached its limit."""
        return self._bytes >= self._bytes_max

    def __len__(self) -> int:
        return len(self._items)


def _bytes(items: list[Item]) -> int:
    return MESSAGE_BYTES * len(items) + sum([len(each.payload) for each in items])
