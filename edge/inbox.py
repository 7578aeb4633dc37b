"""The bounded place where messages wait for their commit, in the event loop.

Promises: first in, first out; `is_full` is a number that is read: at the limit the gateway stops acknowledging, the
broker's receive maximum is used up, and nothing more comes. Messages leave only by `take`, and are lost only with the
process, which is harmless: none of them is acknowledged.
"""

import asyncio
from collections.abc import Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Origin = TypeVar("Origin")


class Inbox(Generic[Origin, Item]):
    """For one reader. All that waits comes from one origin: with the first item of another, what waits is forgotten."""

    def __init__(self) -> None:
        self._origin: Origin | None = None
        self._items: list[Item] = []
        self._arrived = asyncio.Event()
        self._filled = asyncio.Event()
        self._wanted = 1

    def put(self, origin: Origin, items: Iterable[Item]) -> None:
        """Add messages; never waits: the receive maximum bounds what can come."""
        if origin is not self._origin:
            self._origin, self._items = origin, []
        self._items += items
        self._arrived.set()
        if len(self._items) >= self._wanted:
            self._filled.set()

    async def take(self, count_max: int, wait_s: float) -> tuple[Origin | None, list[Item]]:
        """Whence they come, and the next messages: waits for the first, then up to `wait_s` for `count_max` of them."""
        await self._arrived.wait()
        if wait_s > 0 and len(self._items) < count_max:
            self._wanted = count_max
            self._filled.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._filled.wait()
            except TimeoutError:
                pass
        taken, self._items = self._items[:count_max], self._items[count_max:]
        if not self._items:
            self._arrived.clear()
        return self._origin, taken

    def clear(self) -> None:
        """Forget what waits: the connection that it came on is gone, and it will come again."""
        self._items = []
        self._arrived.clear()

    def __len__(self) -> int:
        return len(self._items)
