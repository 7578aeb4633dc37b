"""The parts as real processes: started, watched, killed, and ended in order.

Promises: no process outlives the demo, however the demo ends (they are in groups of their own, so that Ctrl-C reaches
only the demo, which then ends them in order); a part that ends by itself is noticed, and its log named.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import IO

from tidegate.demo.settings import DemoError
from tidegate.demo.site import Site

START_S = 30.0  # a slow single-board computer imports for ten
STOP_S = 10.0  # for a clean stop, then SIGKILL
POLL_S = 0.1
LOG_TAIL_CHARS = 300

Probe = Callable[[], Awaitable[bool]]


class Part:
    """One part: `broker`, `cloud`, `edge` or `sensors`; `program` says which, where that is not its name."""

    def __init__(self, name: str, site: Site, probe: Probe, program: str | None = None) -> None:
        self.name = name
        self._program = program or name
        self._site = site
        self._probe = probe
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it and wait until its probe says yes. Raises `DemoError`."""
        with self._site.log(self.name).open("ab") as log:
            self._process = await self._spawn(log)
        try:
            async with asyncio.timeout(START_S):
                while not await self._probe():
                    self.check()
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise DemoError(
                f"{self.name} was not ready within {START_S:g} s: see {self._site.log(self.name)}"
            ) from None

    async def _spawn(self, log: IO[bytes]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tidegate", self._program, "run", "--config", str(self._site.config(self.name))),
            *("--log-format", "json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **self._site.environment},
            start_new_session=True,
        )

    @property
    def exit_code(self) -> int | None:
        """That of a process that has ended by itself."""
        return None if self._process is None else self._process.returncode

    def check(self) -> None:
        """Raises `DemoError` if it has ended by itself."""
        if self._process is not None and self._process.returncode is not None:
            path = self._site.log(self.name)
            last = path.read_text(errors="replace").strip()[-LOG_TAIL_CHARS:].splitlines()[-1:] or ["no log"]
            raise DemoError(f"{self.name} ended with code {self._process.returncode}: {last[0]} (log: {path})")

    async def kill(self) -> None:
        """SIGKILL: as a power cut does."""
        await self._signal(signal.SIGKILL)

    async def stop(self, within_s: float = STOP_S) -> None:
        """SIGTERM, and SIGKILL if it takes too long."""
        try:
            async with asyncio.timeout(within_s):
                await self._signal(signal.SIGTERM)
        except TimeoutError:
            await self.kill()

    async def _signal(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            await process.wait()
        except asyncio.CancelledError:
            self._process = process
            raise
