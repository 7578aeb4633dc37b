"""A Mosquitto of one's own for a benchmark: a free loopback port, a temporary folder, and gone at the end."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

CONFIGURATION = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_inflight_messages 4096
max_queued_messages 0
max_queued_bytes 0
"""


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def mosquitto() -> Iterator[int]:
    """The port of a running broker."""
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mosquitto.conf"
        path.write_text(CONFIGURATION.format(port=port))
        process = subprocess.Popen([program, "-c", str(path)], stderr=subprocess.DEVNULL)
        try:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            yield port
        finally:
            process.kill()
            process.wait()
