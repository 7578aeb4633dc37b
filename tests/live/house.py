"""A whole house of real processes for tests: fleet, Mosquitto, gateway and cloud, each killable, on loopback ports.

`TIDEGATE_TEST_MQTT_URL` (mqtt://user:password@host:port) puts any other broker in Mosquitto's place; what stops or
freezes the broker is skipped then (`own_broker`). Every part is `python -m tidegate PART run --config FILE` with JSON
logs; a thread reads its log, so that a test waits for what a part says. `House.prove` compares what the devices
measured with what the cloud holds.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import pytest

from edge.status import GatewayStatus
from firmware_sim.truth import TruthLine
from tests.live.mosquitto import Mosquitto, mosquitto_binary, running_mosquitto
from tests.uncounted import uncounted
from tidegate.demo.proof import Proof, prove

BROKER_VARIABLE = "TIDEGATE_TEST_MQTT_URL"
TOKEN = "a-token-for-tests"
BUCKET = "tidegate"
START_S = 30.0
WAIT_S = 40.0
STOP_S = 60.0
PORTS = range(20_000, 32_000)  # below Linux' ephemeral range: no outgoing connection takes one of these meanwhile
_ROOT = Path(__file__).parents[2]
_POLL_S = 0.02
_never = threading.Event()

needs_broker = pytest.mark.skipif(
    mosquitto_binary() is None and BROKER_VARIABLE not in os.environ,
    reason="mosquitto is not installed (Debian: apt install mosquitto)",
)
own_broker = pytest.mark.skipif(
    mosquitto_binary() is None or BROKER_VARIABLE in os.environ, reason="stops the broker: needs a Mosquitto of its own"
)


def wait_until(what: Callable[[], bool], why: str, timeout_s: float = WAIT_S) -> None:
    """Return as soon as `what` is true; fails the test, saying `why`, if that takes too long."""
    deadline_s = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {why}"
        _never.wait(_POLL_S)


def quiet_port() -> int:
    """A free loopback port that stays free until a server is started on it, and started again after a kill."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Part:
    """One part as a process. `wrapper` goes before the command: strace, for one.

    `counts_lines`: whether coverage is on in it. What is killed leaves no count, so for that it would be for nothing.
    """

    def __init__(self, name: str, config: dict[str, Any], folder: Path, *, wrapper: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.wrapper = list(wrapper)
        self.counts_lines = True
        self.log: list[dict[str, Any]] = []
        self.stray: list[str] = []  # lines that are no log records
        self._config = folder / f"{name}.toml"
        self._config.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in config.items()))
        self._changed = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    def launch(self) -> None:
        """Start, and do not wait."""
        assert self._process is None, f"{self.name} is running"
        self.log, self.stray = [], []
        command = [*self.wrapper, sys.executable, "-m", "tidegate", self.name, "run", "--config", str(self._config)]
        self._process = subprocess.Popen(
            [*command, "--log-format", "json"],
            cwd=_ROOT,
            env={
                **(os.environ if self.counts_lines else uncounted()),
                "TIDEGATE_CLOUD__TOKEN": TOKEN,
                "TIDEGATE_EDGE__INFLUX__TOKEN": TOKEN,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def start(self) -> None:
        """Start and wait until it says that it is ready."""
        self.launch()
        self.wait_for("ready", START_S)

    def wait_for(self, event: str, timeout_s: float = WAIT_S) -> dict[str, Any]:
        """The first record of this start's log that has this event."""

        def found() -> dict[str, Any] | None:
            return next((record for record in self.log if record.get("event") == event), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None or not self.is_alive, timeout_s)
            record = found()
        assert record is not None, f"{self.name} never said {event!r}: {self.log[-5:]} {self.stray[-5:]}"
        return record

    def wait_for_or_end(self, event: str, timeout_s: float = WAIT_S) -> None:
        """Wait until it says this, or has ended. Fails if it does neither."""
        with self._changed:
            seen = self._changed.wait_for(
                lambda: not self.is_alive or any(record.get("event") == event for record in self.log), timeout_s
            )
        assert seen, f"{self.name} neither said {event!r} nor ended: {self.log[-5:]} {self.stray[-5:]}"

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def send(self, which: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None, f"{self.name} is not running"
        self._process.send_signal(which)

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        self.send(signal.SIGKILL)
        self.join()

    def stop(self) -> int:
        """SIGTERM; the exit code. Fails if that takes longer than `STOP_S`."""
        self.send(signal.SIGTERM)
        return self.join()

    def join(self, timeout_s: float = STOP_S) -> int:
        """Wait for its end; the exit code."""
        assert self._process is not None, f"{self.name} is not running"
        assert self._reader is not None
        code = self._process.wait(timeout_s)
        self._reader.join(timeout_s)
        assert self._process.stderr is not None
        self._process.stderr.close()
        self._process = None
        return code

    def wait_for_end(self, timeout_s: float) -> None:
        """Wait for its end, and leave it to `join`. Raises `subprocess.TimeoutExpired`."""
        assert self._process is not None, f"{self.name} is not running"
        self._process.wait(timeout_s)

    def end(self) -> None:
        """For the end of a test, whatever it did."""
        if self._process is not None:
            self.send(signal.SIGCONT)
            self.kill()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            with self._changed:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    self.stray.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()


class House:
    """Fleet, broker, gateway and cloud; nothing is started by itself but the broker."""

    def __init__(self, folder: Path, broker: Mosquitto | None, **settings: Any) -> None:
        """`settings`: `edge`, `fleet`, `group`: tables to merge into the configurations; `cloud_port`."""
        self.folder = folder
        self._broker = broker
        self._mqtt = {"port": broker.port} if broker is not None else _named_broker()
        self._run = f"tidegate-test-{uuid.uuid4().hex[:8]}"  # so that no session of an earlier run is taken up
        self.cloud_port: int = settings.pop("cloud_port", None) or quiet_port()
        self.api_port = quiet_port()
        cloud = {"port": self.cloud_port, "db_path": str(folder / "cloud.sqlite")}
        self.edge_config = self._edge_config(settings.pop("edge", {}))
        self.cloud = Part("cloud", cloud, folder)
        self.gateway = Part("edge", self.edge_config, folder)
        self.fleet = Part("sensors", self._fleet_config(settings.pop("group", {}), settings.pop("fleet", {})), folder)
        for part in (self.cloud, self.gateway, self.fleet):  # two are killed in the `end`; test_fleet counts the third
            part.counts_lines = False
        assert not settings, f"unknown settings: {settings}"

    def _edge_config(self, changes: dict[str, Any]) -> dict[str, Any]:
        config: dict[str, Any] = {
            "mqtt": {**self._mqtt, "client_id": f"{self._run}-gateway", "topic_root": self._run},
            "store": {"data_dir": str(self.folder / "edge"), "free_bytes_min": 0},  # the disk itself is the limit here
            "windows": {"sizes_s": []},  # a rollup may be overwritten by a corrected one, a reading never: see `prove`
            "influx": {
                "url": f"http://127.0.0.1:{self.cloud_port}",
                "bucket": BUCKET,
                "flush_every_ms": 50,
                "retry_cap_s": 1,
                "read_timeout_s": 2,
            },
            "api": {"port": self.api_port, "own_process": False},  # who asks for the status need not wait for another
        }
        merged = {name: {**table, **changes.get(name, {})} for name, table in config.items()}
        return {**changes, **merged}

    def _fleet_config(self, group: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        sensor = {"name": "temperature", "unit": "Cel", "signal": {"kind": "daily", "mean": 21, "amplitude": 3}}
        devices = {"name": "dev", "count": 10, "interval_s": 0.05, "jitter_s": 0.02, "sensors": [sensor]}
        return {
            "site": "lab",
            "data_dir": str(self.folder / "flash"),
            "truth_file": str(self.folder / "truth.ndjson"),
            "drain_s": 40,  # what is acknowledged ends it
            "mqtt": {
                **self._mqtt,
                "client_id": f"{self._run}-fleet",
                "topic_root": self._run,
                "connections": "shared",
            },
            "devices": [{**devices, "send": {"ack_timeout_s": 1.0}, **group}],
            **changes,
        }

    @property
    def broker(self) -> Mosquitto:
        """The Mosquitto of this house, for tests that are marked `own_broker`."""
        assert self._broker is not None
        return self._broker

    @property
    def topic_root(self) -> str:
        """What stands before the site in every topic."""
        return self._run

    def start(self) -> None:
        """Start all that is not running."""
        for part in (self.cloud, self.gateway, self.fleet):
            if not part.is_alive:
                part.start()

    def end(self) -> None:
        """Kill what still runs."""
        for part in (self.fleet, self.gateway, self.cloud):
            part.end()

    def status(self) -> GatewayStatus:
        """What the gateway says of itself."""
        return GatewayStatus.model_validate_json(self.get_gateway("api/v1/status"))

    def get_gateway(self, path: str) -> bytes:
        """GET from the gateway. Raises `urllib.error.HTTPError`."""
        return _get(f"http://127.0.0.1:{self.api_port}/{path}", {})

    def truth(self) -> list[TruthLine]:
        """What was measured so far."""
        path = self.folder / "truth.ndjson"
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [msgspec.json.decode(line, type=TruthLine) for line in lines]

    def points(self) -> list[dict[str, Any]]:
        """Everything in the cloud."""
        return [json.loads(line) for line in self._cloud(f"export?bucket={BUCKET}&measurement=reading").splitlines()]

    def changed_points(self) -> int:
        """How many points of the cloud were ever overwritten with something else."""
        return int(json.loads(self._cloud("stats"))["buckets"][BUCKET]["changed"])

    def prove(self) -> Proof:
        """Switch the fleet off, wait for the rest to reach the cloud, and compare; checks the ledger as well."""
        assert self.fleet.stop() == 0, self.fleet.log[-5:]
        assert self.fleet.log[-1].get("held") == 0, self.fleet.log[-3:]
        truth = self.truth()
        wait_until(lambda: self.status().ledger.delivered >= len(truth), "the cloud has all")
        ledger = self.status().ledger
        assert ledger.balances
        assert (ledger.received, ledger.held, ledger.quarantined) == (len(truth), 0, 0)
        assert (ledger.delivered, ledger.lost, ledger.undecodable) == (len(truth), 0, 0)
        assert self.changed_points() == 0
        return self.prove_against(truth)

    def prove_against(self, truth: list[TruthLine]) -> Proof:
        """Compare what is in the cloud now."""
        return prove(truth, self.points())

    def _cloud(self, what: str) -> bytes:
        return _get(f"http://127.0.0.1:{self.cloud_port}/api/v1/{what}", {"Authorization": f"Token {TOKEN}"})


@contextmanager
def house(folder: Path, *, broker_extra: str = "", **settings: Any) -> Iterator[House]:
    """A house whose broker runs; everything ends with the block. `broker_extra`: more lines of its configuration."""
    with ExitStack() as stack:
        broker = None
        if BROKER_VARIABLE not in os.environ:
            broker = stack.enter_context(running_mosquitto(folder / "mosquitto", extra=broker_extra))
        built = House(folder, broker, **settings)
        stack.callback(built.end)
        yield built


def _named_broker() -> dict[str, Any]:
    url = urlsplit(os.environ[BROKER_VARIABLE])
    named = {"host": url.hostname, "port": url.port or 1883, "username": url.username, "password": url.password}
    return {key: unquote(value) if isinstance(value, str) else value for key, value in named.items() if value}


def _get(url: str, headers: dict[str, str]) -> bytes:
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return bytes(answer.read())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
