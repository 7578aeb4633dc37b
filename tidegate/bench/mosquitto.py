"""A Mosquitto of one's own for a measurement: a free loopback port, a temporary folder, and gone at the end."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tidegate.bench.clocks import wait_s, wall_s
from tidegate.errors import FrontDoorError

START_S = 10.0
SYSTEM_PROGRAM = "/usr/sbin/mosquitto"  # where packages put it; not on everybody's PATH
CONFIGURATION = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_inflight_messages 4096
max_queued_messages 0
max_queued_bytes 0
"""


class NoBrokerError(FrontDoorError):
    """There is no broker to measure with. Who must act: the user, by installing Mosquitto or naming a broker."""


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def mosquitto() -> Iterator[int]:
    """The port of a running broker. Raises `NoBrokerError`."""
    program = shutil.which("mosquitto") or shutil.which(SYSTEM_PROGRAM)
    if program is None:
        raise NoBrokerError("mosquitto is not installed: install it, or name a broker with --broker mqtt://HOST:PORT")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mosquitto.conf"
        path.write_text(CONFIGURATION.format(port=port))
        process = subprocess.Popen([program, "-c", str(path)], stderr=subprocess.DEVNULL)
        try:
            _wait(process, port)
            yield port
        finally:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    until_s = wall_s() + START_S
    while wall_s() < until_s and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        wait_s(0.05)
    raise NoBrokerError(f"mosquitto did not open port {port} within {START_S:g} s: name a broker with --broker")
