"""A sender that fails as a drill says, and otherwise carries what the real one carries.

Promises: without a drill it is the real sender; in one, an outcome is never better than the real one would have been,
and nothing is dropped: what was not sent, or not answered, is told as failed, and the forwarder sends it again. A wait
ends with the drill. Every exchange that a drill spoiled says so (`is_drill`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from edge.causes import REFUSED, RESET, TIMEOUT
from edge.drill import Drills, Fault, Order
from edge.exchange import Exchange
from edge.forward.outcome import Failed, Outcome
from edge.outages.events import Ending
from edge.senders import Sender
from sensors.clock import Clock

PATIENCE_S = 5.0  # in silence: what a connection is waited for by default
HTTP_STATUS = 503


class DrillSwitch:
    """The drills of a running gateway, and who waits for their end."""

    def __init__(self, drills: Drills, clock: Clock) -> None:
        self.drills = drills
        self._clock = clock
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """A drill was begun or ended."""
        self._changed.set()
        self._changed = asyncio.Event()

    def on_destination(self, name: str) -> Order | None:
        """What makes this destination fail now."""
        return self.drills.on_destination(name, self._clock.monotonic_ms(), self._clock.wall_ms())

    def on_devices(self) -> bool:
        """Whether the link to the broker is to fail now."""
        return self.drills.on_devices(self._clock.monotonic_ms(), self._clock.wall_ms())

    async def wait(self, seconds: float) -> None:
        """Wait so long, or until the drill is over."""
        left_s = self.drills.left_ms(self._clock.monotonic_ms()) / 1000
        try:
            async with asyncio.timeout(min(seconds, left_s)):
                await self._changed.wait()
        except TimeoutError:
            return


class DrilledSender:
    """Goes around the sender of one destination."""

    def __init__(self, name: str, sender: Sender, switch: DrillSwitch) -> None:
        self._name = name
        self._sender = sender
        self._switch = switch
        self._spoiled: Exchange | None = None

    @property
    def exchange(self) -> Exchange:
        """What the last `send` or `ping` was like on the wire."""
        return self._sender.exchange if self._spoiled is None else self._spoiled

    async def send(self, body: bytes) -> Outcome:
        """What came of it, or what the drill makes of it."""
        return await self._through(lambda: self._sender.send(body))

    async def ping(self) -> Outcome:
        """Whether the far side is there, as far as the drill lets it be."""
        return await self._through(self._sender.ping)

    async def aclose(self) -> None:
        """Close the real one."""
        await self._sender.aclose()

    async def _through(self, request: Callable[[], Awaitable[Outcome]]) -> Outcome:
        self._spoiled = None
        order = self._switch.on_destination(self._name)
        match order.fault if order is not None else None:
            case Fault.DOWN:
                return self._failed(REFUSED, "the connection is refused")
            case Fault.TIMEOUT:
                await self._switch.wait(PATIENCE_S)
                return self._failed(TIMEOUT, "there is no answer", ended=Ending.STALL)
            case Fault.HTTP_ERROR:
                return self._failed(f"http {HTTP_STATUS}", f"the answer is {HTTP_STATUS}", status=HTTP_STATUS)
            case Fault.RESET_PEER:
                outcome = await request()
                if isinstance(outcome, Failed):  # it failed by itself: that is no drill's doing
                    return outcome
                self._spoiled = replace(self._sender.exchange, ended=Ending.RST, is_unknown=True, is_drill=True)
                return Failed(RESET, "drill: the connection breaks before the answer")
            case Fault.LATENCY if order is not None:
                await self._switch.wait(order.latency_ms / 1000)
                outcome = await request()
                self._spoiled = replace(self._sender.exchange, is_drill=True)
                return outcome
            case _:
                return await request()

    def _failed(self, cause: str, words: str, *, status: int | None = None, ended: Ending | None = None) -> Failed:
        self._spoiled = Exchange(ended=ended, is_drill=True)
        return Failed(cause, f"drill: {words}", status)
