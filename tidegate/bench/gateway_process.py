"""One real gateway process under measurement: its CPU seconds, its memory, its own status, and a cloud that takes all.

Linux only: the figures come from /proc.
"""

import contextlib
import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any

from tidegate.bench.clocks import wait_s, wall_s
from tidegate.errors import FrontDoorError

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
POLL_S = 0.1  # a question costs the gateway some 0.3 ms
LIMIT_S = 600.0
STOP_S = 30.0


class BenchError(FrontDoorError):
    """The measurement did not come to its end."""


class GatewayProcess:
    """A `tidegate edge run`, asked by its HTTP API."""

    def __init__(self, config: Path, api_port: int) -> None:
        command = [sys.executable, "-m", "tidegate", "edge", "run", "--config", str(config)]
        self._log = config.with_suffix(".log")
        with self._log.open("ab") as log:
            self._process = Popen(command, stdout=log, stderr=log)
        self._api = f"http://127.0.0.1:{api_port}/api/v1/status"

    def cpu_s(self) -> float:
        """CPU seconds so far, user and system, of all its threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def rss_mb(self) -> float:
        """Resident memory now."""
        return _status_mb(self._process.pid, "VmRSS")

    def peak_rss_mb(self) -> float:
        """The most resident memory since its start."""
        return _status_mb(self._process.pid, "VmHWM")

    def status(self) -> dict[str, Any] | None:
        """Its status document, or None while it does not answer."""
        try:
            with urllib.request.urlopen(self._api, timeout=30) as answer:  # noqa: S310  # our own address
                return dict(json.load(answer))
        except OSError:
            return None

    def wait_ready(self, *, broker: bool = True) -> dict[str, Any]:
        """Its status once it serves, and is connected to its broker. Raises `BenchError`."""
        return self._wait(lambda status: not broker or status["devices_link"]["state"] == "up", "be ready")

    def wait_for(self, key: str, count: int) -> dict[str, Any]:
        """Its status once a count of its ledger is reached. Raises `BenchError`."""
        return self._wait(lambda status: status["ledger"][key] >= count, f"reach {key} {count}")

    def _wait(self, met: Any, what: str) -> dict[str, Any]:
        until_s = wall_s() + LIMIT_S
        while wall_s() < until_s:
            if self._process.poll() is not None:
                last = self._log.read_text(errors="replace").strip().splitlines()[-1:] or ["no word"]
                raise BenchError(f"the gateway ended with code {self._process.returncode}: {last[0]}")
            status = self.status()
            if status is not None and met(status):
                return status
            wait_s(POLL_S)
        raise BenchError(f"the gateway did not {what} within {LIMIT_S:g} s")

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that takes too long."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except TimeoutExpired:
            self.kill()


def _status_mb(pid: int, name: str) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


@contextlib.contextmanager
def accepting_cloud(port: int) -> Iterator[None]:
    """A server process that answers 204 to everything, so that only the gateway is measured."""
    process = Popen([sys.executable, "-m", "tidegate.bench.sink", str(port)])
    try:
        yield
    finally:
        process.kill()
        process.wait()
