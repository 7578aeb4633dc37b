"""Messages that a radio has sent and that are not there yet: for a fleet in real time, where a broker is the far side.

A message on the air reaches the broker when the radio says so, or never: what the signal, the link or a collision took
is not published. Its device hears of that when its exchange is over, as far as its radio can know.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import NamedTuple

from firmware_sim.device_spec import Publish


class Landing(NamedTuple):
    """What became of a message of device `n`. `believed`: what the device takes a lost one for."""

    n: int
    message: Publish
    arrived: bool
    believed: bool


class Flights:
    """What is on the air. Instants are in the devices' time."""

    def __init__(self) -> None:
        self._flying: list[tuple[int, int, int, Publish]] = []
        self._count = 0

    @property
    def due_ms(self) -> int | None:
        """When the next one lands."""
        return self._flying[0][0] if self._flying else None

    def launch(self, n: int, message: Publish) -> None:
        """Put a message with `air` on its way."""
        air = message.air
        assert air is not None  # noqa: S101 - others need no flight
        self._push(air.arrives_ms if air.heard else air.ends_ms, n, message)

    def landings(self, now_ms: int) -> Iterator[Landing]:
        """Take what has come to its end by now, in order."""
        while self._flying and self._flying[0][0] <= now_ms:
            at_ms, _, n, message = heappop(self._flying)
            air = message.air
            assert air is not None  # noqa: S101 - see `launch`
            arrived = air.arrived()
            if not arrived and at_ms < air.ends_ms:
                self._push(air.ends_ms, n, message)  # hit on its way: the device is still listening for the answer
            else:
                yield Landing(n, message, arrived, air.believed())

    def _push(self, at_ms: int, n: int, message: Publish) -> None:
        self._count += 1
        heappush(self._flying, (at_ms, self._count, n, message))
