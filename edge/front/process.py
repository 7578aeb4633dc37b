"""Starts the front's process, and keeps it running.

Promises: the address is taken before the first one starts, and kept while one is replaced, so that whoever connects
meanwhile waits instead of being refused; a front that ends is started anew, later and later while it keeps ending; when
the gateway stops, so does the front, `STOP_S` later at the latest; when the gateway is killed, the front ends by
itself, for its pipe does.
"""

import asyncio
import os
import pickle
import socket
import sys
from pathlib import Path
from random import Random

import structlog

import edge
from edge.front.answering import Answering
from edge.front.back import Back
from edge.front.frames import AWAKE, framed_bytes
from edge.front.settings import FrontSettings
from edge.retry import Backoff

STOP_S = 5.0  # streams end at once, a request under way has two seconds
HEALTHY_AFTER_S = 60.0  # one that ran this long starts the back-off over

log = structlog.get_logger("gateway")


class FrontProcess:
    """One gateway's front."""

    def __init__(self, settings: FrontSettings, server_socket: socket.socket, back: Back, rng: Random) -> None:
        self._settings = settings
        self._socket = server_socket
        self._back = back
        self._backoff = Backoff(rng)

    async def run(self) -> None:
        """Keep one running until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            code = await self._run_one()
            if loop.time() - began_s >= HEALTHY_AFTER_S:
                self._backoff.reset()
            wait_ms = self._backoff.fail()
            log.error("the dashboard's process ended; it is started anew", code=code, in_ms=wait_ms)
            await asyncio.sleep(wait_ms / 1000)

    async def _run_one(self) -> int:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-P", "-m", "edge.front", str(theirs.fileno()),
                    pass_fds=(theirs.fileno(),), stdin=asyncio.subprocess.DEVNULL, env=_environment(),
                )  # fmt: skip
            try:
                if await self._hand_over(ours):
                    reader, writer = await asyncio.open_connection(sock=ours)
                    writer.write(framed_bytes(pickle.dumps(self._settings)))
                    await Answering(self._back, reader, writer).run()
            finally:
                ours.close()
                await _ended(process)
        return process.returncode or 0

    async def _hand_over(self, ours: socket.socket) -> bool:
        """Give the listening socket to a front that is awake; whether there was one.

        Not before: one that is still starting would hold the address when the gateway is killed, and its successor
        would find it taken.
        """
        ours.settimeout(0)  # the loop waits
        if not await asyncio.get_running_loop().sock_recv(ours, len(AWAKE)):
            return False
        socket.send_fds(ours, [AWAKE], [self._socket.fileno()])
        return True


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Wait for the end of a front whose pipe is closed; it is hastened if that takes too long."""
    waiting = asyncio.ensure_future(process.wait())
    done, _ = await asyncio.wait({waiting}, timeout=STOP_S)
    if not done:
        process.kill()
        await waiting


def _environment() -> dict[str, str]:
    """Ours, with the place that our own code came from first: another one may not be taken for it."""
    here = str(Path(edge.__file__).parent.parent)
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": here if not known else os.pathsep.join((here, known))}
