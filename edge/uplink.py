"""One destination's loop: ask the desk what is next, carry it there, tell the desk what came of it. It decides nothing.

Every destination has a loop, a connection and a back-off of its own, so that none waits for another.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

import structlog

from edge.desk import Desk
from edge.exchange import Exchange
from edge.forward.forwarder import Batch, Wait
from edge.forward.outcome import Accepted, Failed, Outcome
from edge.senders import Sender
from edge.status import LinkStatus
from edge.store import StoreError
from sensors.clock import Clock

log = structlog.get_logger("gateway")


class InStore(Protocol):
    """Runs a call in the store's thread."""

    def __call__(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """The call's answer."""


class LinkWatch(Protocol):
    """Who records what the link does. `probe_in_s`: how long it may be idle; None is for ever.

    `uplink_tried` is told of every request that is over, and says whether that says anything about the link.
    """

    @property
    def probe_in_s(self) -> float | None: ...  # noqa: D102
    def uplink_tried(self, started_s: float, outcome: Outcome, exchange: Exchange) -> bool: ...  # noqa: D102


class Uplink:
    """The way to one destination. `watch` records its link, if anybody does."""

    def __init__(
        self,
        destination: str,
        sender: Sender,
        desk: Desk,
        clock: Clock,
        in_store: InStore,
        refuses: Callable[[StoreError], Awaitable[None]],
        watch: LinkWatch | None = None,
    ) -> None:
        """`refuses` is awaited when the store refuses, before the next try."""
        self.destination = destination
        self._sender = sender
        self._desk = desk
        self._clock = clock
        self._in_store = in_store
        self._refuses = refuses
        self._watch = watch
        self._news = asyncio.Event()
        self._tried_s: float | None = None
        self.status = LinkStatus(state="unknown", since_ms=clock.wall_ms())

    def wake(self) -> None:
        """There may be something new to send."""
        self._news.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            self._news.clear()
            try:
                plan: Batch | Wait = await self._in_store(self._desk.plan, self.destination, self._clock.monotonic_ms())
                if not isinstance(plan, Batch):
                    await self._wait(plan.for_ms)
                    continue
                outcome = await self._try(self._sender.send(plan.body))
                now_ms, wall_ms = self._clock.monotonic_ms(), self._clock.wall_ms()
                sent_bytes = self._sender.exchange.sent_bytes
                await self._in_store(self._desk.answered, self.destination, plan, outcome, now_ms, wall_ms, sent_bytes)
            except StoreError as error:
                await self._refuses(error)

    async def close(self) -> None:
        """Close the connection."""
        await self._sender.aclose()

    async def _wait(self, for_ms: int | None) -> None:
        if for_ms is not None:
            await asyncio.sleep(for_ms / 1000)
            return
        loop = asyncio.get_running_loop()
        if self._tried_s is None:
            self._tried_s = loop.time()
        probe_in_s = None if self._watch is None else self._watch.probe_in_s
        probe_at_s = None if probe_in_s is None else self._tried_s + probe_in_s
        if probe_at_s is None or loop.time() < probe_at_s:  # else being woken for nothing would put it off for ever
            with suppress(TimeoutError):
                async with asyncio.timeout_at(probe_at_s):
                    await self._news.wait()
                return
        await self._try(self._sender.ping())

    async def _try(self, request: Awaitable[Outcome]) -> Outcome:
        started_s = asyncio.get_running_loop().time()
        outcome = await request
        self._tried_s = asyncio.get_running_loop().time()
        if self._watch is None or self._watch.uplink_tried(started_s, outcome, self._sender.exchange):
            self._seen(outcome)
        return outcome

    def _seen(self, outcome: Outcome) -> None:
        """Keep the link's state: it is down only when no answer can be relied on, for the reason of the last try."""
        before = self.status
        if isinstance(outcome, Failed):
            self.status = before.failed(outcome.cause, outcome.message, self._clock.wall_ms())
            if (before.state, before.cause) != ("down", outcome.cause):
                log.warning("uplink down", destination=self.destination, cause=outcome.cause, error=outcome.message)
        elif before.state != "up":
            self.status = LinkStatus(state="up", since_ms=self._clock.wall_ms())
            log.info("uplink up", destination=self.destination)
        if not isinstance(outcome, (Accepted, Failed)):
            kind = type(outcome).__name__.lower()
            log.warning("destination refuses", destination=self.destination, outcome=kind, error=outcome.message)
