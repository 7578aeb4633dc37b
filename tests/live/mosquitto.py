"""A real Mosquitto for tests: started on a free loopback port, killed, restarted, with its sessions on disk.

The configuration is that of durability.md, hop H3: persistence with autosave on every change, no cap on queued
messages, a cap on queued bytes, a cap on packets. `Mosquitto.start()` returns when the broker accepts connections.
"""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
_POLL_S = 0.02
_CANDIDATES = ("mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto")

_CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous {anonymous}
{password_file}
persistence true
persistence_location {folder}/
autosave_on_changes true
autosave_interval 1
max_queued_messages 0
max_queued_bytes 268435456
max_inflight_messages 512
max_packet_size 1048576
persistent_client_expiration 7d
log_dest file {folder}/mosquitto.log
log_type all
{extra}
"""


def mosquitto_binary() -> str | None:
    """Where Mosquitto is, or None. Debian installs it in /usr/sbin, which is not on every PATH."""
    return next((found for name in _CANDIDATES if (found := shutil.which(name))), None)


def free_port() -> int:
    """A loopback TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Mosquitto:
    """One broker. `folder` keeps its configuration, log and sessions; a restart on it finds them again."""

    def __init__(self, folder: Path, *, users: dict[str, str] | None = None, extra: str = "") -> None:
        """`users`: name to password; without any, everybody may connect. `extra`: more lines of configuration."""
        binary = mosquitto_binary()
        if binary is None:
            raise FileNotFoundError("mosquitto is not installed: apt-get install mosquitto")
        self.host = "127.0.0.1"
        self.port = free_port()
        self.folder = folder
        self.log = folder / "mosquitto.log"
        self._command = [binary, "-c", str(folder / "mosquitto.conf")]
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        password_file = ""
        if users:
            password_file = f"password_file {self._write_users(users)}"
        config = _CONFIG.format(
            port=self.port,
            folder=folder,
            anonymous="false" if users else "true",
            password_file=password_file,
            extra=extra,
        )
        if _is_root():
            config += "user root\n"  # else it drops to a user who cannot write the test's folder
        (folder / "mosquitto.conf").write_text(config)

    @property
    def pid(self) -> int:
        """The broker's process id."""
        assert self._process is not None, "the broker is not running"
        return self._process.pid

    def start(self) -> None:
        """Start and wait until it accepts connections."""
        assert self._process is None, "the broker is running"
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            if self._process.poll() is not None:
                raise RuntimeError(f"mosquitto ended at once, see its log:\n{self._log_tail()}")
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
            except OSError:
                time.sleep(_POLL_S)
            else:
                return
        raise TimeoutError(f"mosquitto did not listen within {START_TIMEOUT_S} s:\n{self._log_tail()}")

    def stop(self) -> None:
        """A clean end: SIGTERM; it saves its sessions. Does nothing when it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """`kill -9`: what it had not saved is gone."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """A clean end and a new start."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def forget(self) -> None:
        """Delete the saved sessions and retained messages (the broker must be down)."""
        assert self._process is None, "the broker is running"
        (self.folder / "mosquitto.db").unlink(missing_ok=True)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait(STOP_TIMEOUT_S)
        self._process = None

    def _signal(self, which: signal.Signals) -> None:
        assert self._process is not None, "the broker is not running"
        self._process.send_signal(which)

    def _write_users(self, users: dict[str, str]) -> Path:
        path = self.folder / "passwords"
        path.write_text("".join(f"{name}:{password}\n" for name, password in users.items()))
        path.chmod(0o600)
        tool = shutil.which("mosquitto_passwd")
        assert tool is not None, "mosquitto_passwd is not installed"
        subprocess.run([tool, "-U", str(path)], check=True, capture_output=True)
        return path

    def _log_tail(self) -> str:
        return self.log.read_text()[-2000:] if self.log.exists() else "(no log)"


@contextmanager
def running_mosquitto(folder: Path, *, users: dict[str, str] | None = None, extra: str = "") -> Iterator[Mosquitto]:
    """A broker that runs inside the `with`, whatever the test did to it."""
    broker = Mosquitto(folder, users=users, extra=extra)
    broker.start()
    try:
        yield broker
    finally:
        if broker._process is not None:
            broker._process.send_signal(signal.SIGCONT)
        broker.stop()


def _is_root() -> bool:
    return Path("/proc/self").owner() == "root"
