"""The shells that carry a batch to a destination, by its kind, behind one interface."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from edge.bridge import BridgeSender
from edge.causes import UNREACHABLE
from edge.destination_config import BridgeDestination, DestinationSettings, FileDestination
from edge.exchange import Exchange
from edge.forward.outcome import Accepted, Failed, Outcome
from edge.influx import InfluxSender
from edge.line_files import FileRules, LineFiles
from sensors.clock import Clock


class Sender(Protocol):
    """Carries one batch at a time."""

    @property
    def exchange(self) -> Exchange:
        """What the last one was like on the wire."""

    async def send(self, body: bytes) -> Outcome:
        """What came of it; raises nothing that the far side can cause."""

    async def ping(self) -> Outcome:
        """Whether the far side is there at all."""

    async def aclose(self) -> None:
        """End what is under way."""


class FileSender:
    """Appends to files, in a thread of its own, so that its fsync holds up nobody."""

    def __init__(self, settings: FileDestination, clock: Clock) -> None:
        rules = FileRules(
            settings.folder, settings.rotate_bytes, 1000 * settings.rotate_s, settings.keep_files, settings.compress
        )
        self._files = LineFiles(rules)
        self._clock = clock
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=settings.name)
        self.exchange = Exchange()

    async def send(self, body: bytes) -> Outcome:
        """Append and sync."""
        self.exchange = Exchange(len(body))
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._worker, self._files.append, body, self._clock.wall_ms())
        except OSError as error:
            return Failed(UNREACHABLE, str(error))
        return Accepted()

    async def ping(self) -> Outcome:
        """A folder is looked at when there is something to write."""
        return Accepted()

    async def aclose(self) -> None:
        """Close the file."""
        await asyncio.get_running_loop().run_in_executor(self._worker, self._files.close)
        self._worker.shutdown()


def sender_for(settings: DestinationSettings, clock: Clock) -> Sender:
    """The sender of a destination's kind."""
    if isinstance(settings, FileDestination):
        return FileSender(settings, clock)
    if isinstance(settings, BridgeDestination):
        return BridgeSender(settings)
    return InfluxSender(settings, clock)
