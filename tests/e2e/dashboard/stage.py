"""A stage for the dashboard: Mosquitto, a cloud that can be cut, the gateway, devices, and Chromium. Loopback only.

`scripts/screenshots` plays on it, too. The gateway runs in a thread of its own with its own event loop, so that a test
can end it and start it again on the same store and port.
"""

import asyncio
import queue
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from playwright.sync_api import Browser, sync_playwright

from edge.access.settings import Login
from edge.alerts.rules import AlertRule, RuleKind
from edge.config import ApiSettings, EdgeConfig, InfluxSettings, MqttSettings, StoreSettings
from edge.gateway import serve
from sensors.alerts import Severity
from sensors.clock import SystemClock
from sensors.reading import Reading
from sensors.senml import encode
from sensors.topics import Kind, build_topic

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",  # as root there is none
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
READY_S = 20.0
_MOSQUITTO_CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages 4096
max_inflight_bytes 0
log_dest none
user root
"""


def free_port() -> int:
    """A loopback TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """A broker's port."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "mosquitto.conf"
    config.write_text(_MOSQUITTO_CONFIG.format(port=port))
    binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    process = subprocess.Popen([binary, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(READY_S)


class Cloud:
    """Takes every write with 204, and can be away."""

    def __init__(self) -> None:
        self.port = free_port()
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen."""
        server = ThreadingHTTPServer(("127.0.0.1", self.port), _TakeAll)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self._server = server

    def stop(self) -> None:
        """Go away: connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _TakeAll(BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # the name that http.server calls
        """Read it, and say that it is stored; no connection is kept, so that going away is felt at once."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class RunningGateway:
    """The gateway in a thread; may be ended and started again."""

    def __init__(self, config: EdgeConfig) -> None:
        self.url = f"http://127.0.0.1:{config.api.port}"
        self.config = config
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start, and wait until it serves."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)))
        self._thread.start()
        assert ready.wait(READY_S), "the gateway did not start"

    def stop(self) -> None:
        """End it in good order."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(READY_S)
            assert not self._thread.is_alive(), "the gateway did not stop"
            self._thread = None

    async def _run(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(serve(self.config, SystemClock(), ready.set))
        with suppress(asyncio.CancelledError):
            await self._task


class Devices:
    """Publishes readings of any number of devices over one connection."""

    def __init__(self, port: int) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def publish(self, site: str, readings: Sequence[Reading], *, wait: bool = True) -> None:
        """One message; waits until the broker has it."""
        topic = build_topic(site, readings[0].device, Kind.READING)
        info = self._client.publish(topic, encode(readings, sent_at_ms=SystemClock().wall_ms()), qos=1)
        if wait:
            info.wait_for_publish(READY_S)

    def publish_raw(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Any bytes."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(READY_S)

    def retained(self, topic: str) -> bytes:
        """What a late subscriber is told."""
        told: queue.Queue[bytes] = queue.Queue()
        self._client.message_callback_add(topic, lambda _client, _data, message: told.put(bytes(message.payload)))
        self._client.subscribe(topic, qos=1)
        try:
            return told.get(timeout=READY_S)
        finally:
            self._client.message_callback_remove(topic)
            self._client.unsubscribe(topic)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


class Stage:
    """All of them together."""

    def __init__(self, port: int, folder: Path, login: Login, *, own_process: bool) -> None:
        self.cloud = Cloud()
        self.cloud.start()
        self.gateway = RunningGateway(
            EdgeConfig(
                mqtt=MqttSettings(port=port),
                store=StoreSettings(data_dir=folder),
                influx=InfluxSettings(url=f"http://127.0.0.1:{self.cloud.port}", flush_every_ms=200),
                api=ApiSettings(port=free_port(), login=login, own_process=own_process),
                rules=(
                    AlertRule(
                        name="too-warm",
                        kind=RuleKind.THRESHOLD,
                        value="temperature",
                        above=80.0,
                        hysteresis=5.0,
                        severity=Severity.CRITICAL,
                        message="{device} is too warm: {number:.1f} {unit}",
                    ),
                ),
            )
        )
        self.gateway.start()
        self.devices = Devices(port)

    def close(self) -> None:
        """End them, in the order that each expects."""
        self.devices.close()
        self.gateway.stop()
        self.cloud.stop()


@contextmanager
def stage(folder: Path, login: Login = Login.AUTO, *, own_process: bool = False) -> Iterator[Stage]:
    """A stage that runs inside the `with`. Beside the gateway, in its process, the dashboard starts in no time."""
    with mosquitto(folder / "broker") as port:
        opened = Stage(port, folder / "store", login, own_process=own_process)
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that asks nobody but who the page asks."""
    with ExitStack() as stack:
        player = stack.enter_context(sync_playwright())
        browser = player.chromium.launch(executable_path=CHROMIUM, headless=True, args=CHROMIUM_ARGUMENTS)
        stack.callback(browser.close)
        yield browser
