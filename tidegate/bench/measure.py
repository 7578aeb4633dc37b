"""What the whole gateway costs: durable messages taken in, and readings drained, per CPU-second of its process.

Real broker, real store (WAL, synchronous=FULL), all features on; the load generator and the cloud are processes of
their own. Figures of a machine say little by themselves, so the raw limits of the same run stand beside them: rows into
bare SQLite and messages received by paho-mqtt alone, for each CPU-second of a process that does nothing else.
"""

import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tidegate.bench.clocks import own_cpu_s, wall_s
from tidegate.bench.gateway_process import BenchError, GatewayProcess, accepting_cloud
from tidegate.bench.load import SITE
from tidegate.bench.mosquitto import free_port, mosquitto

RAW_ROWS = 200_000
RAW_ROWS_OF_TRANSACTION = 1000
PAHO_MESSAGES_MAX = 50_000  # enough for a steady figure
SETTLED_S = 300  # a session of ours at a broker of yours ends by itself after so long


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class IngestFigures:
    """Messages taken in with the uplink down. `memory_mb` is the most that the process held."""

    messages: int
    per_s: int
    per_cpu_s: int
    memory_mb: float
    raw_sqlite_rows_per_cpu_s: int
    share_of_raw_sqlite: float
    paho_messages_per_cpu_s: int
    times_paho: float

    def document(self) -> dict[str, float]:
        """As JSON-ready data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DrainFigures:
    """Readings sent to a cloud that accepts everything. `memory_mb` is the most that the process held."""

    readings: int
    per_s: int
    per_cpu_s: int
    memory_mb: float
    raw_sqlite_rows_per_cpu_s: int
    share_of_raw_sqlite: float

    def document(self) -> dict[str, float]:
        """As JSON-ready data."""
        return asdict(self)


class Bench:
    """A broker and a gateway for one measurement; use `running`."""

    def __init__(self, broker: BrokerAddress, folder: Path, *, own_process: bool = True) -> None:
        self.broker = broker
        self.folder = folder
        self.cloud_port = free_port()
        self.root = f"tidegate-bench-{os.getpid()}"
        self.api_port = api_port = free_port()
        config = folder / "edge.toml"
        config.write_text(
            f'[mqtt]\nhost = "{broker.host}"\nport = {broker.port}\ntopic_root = "{self.root}"\n'
            f'client_id = "{self.root}"\nsession_expiry_s = {SETTLED_S}\n'
            f'[store]\ndata_dir = "{folder}/data"\n'
            f'[influx]\nurl = "http://127.0.0.1:{self.cloud_port}"\nretry_cap_s = 1\n'
            f"[api]\nport = {api_port}\nown_process = {str(own_process).lower()}\n"
        )
        self.gateway = GatewayProcess(config, api_port)

    def load(self, messages: int, root: str | None = None) -> None:
        """Publish so many readings at QoS 1, and wait until the broker has them. Raises `BenchError`."""
        command = [sys.executable, "-m", "tidegate.bench.load", self.broker.host, str(self.broker.port)]
        if subprocess.run([*command, str(messages), root or self.root], check=False).returncode:
            raise BenchError(f"the load generator failed at {self.broker.host}:{self.broker.port}")

    def paho_messages_per_cpu_s(self, messages: int) -> float:
        """What paho-mqtt alone receives: a process that subscribes at QoS 1 and keeps nothing."""
        root = self.root + "-paho"
        topics = f"{root}/{SITE}/+/reading"
        command = [sys.executable, "-m", "tidegate.bench.paho_receiver", self.broker.host, str(self.broker.port)]
        with subprocess.Popen([*command, topics, str(messages)], stdout=subprocess.PIPE, text=True) as receiver:
            assert receiver.stdout is not None  # noqa: S101  # PIPE
            receiver.stdout.readline()
            self.load(messages, root)
            return messages / float(receiver.stdout.readline())


@contextlib.contextmanager
def running(broker: BrokerAddress | None, *, own_process: bool = True) -> Iterator[Bench]:
    """A bench with a connected gateway; without a broker, on a Mosquitto of its own. Raises `FrontDoorError`.

    `own_process`: of the dashboard, as in its configuration.
    """
    with contextlib.ExitStack() as stack:
        address = broker or BrokerAddress("127.0.0.1", stack.enter_context(mosquitto()))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bench = Bench(address, folder, own_process=own_process)
        stack.callback(bench.gateway.stop)
        bench.gateway.wait_ready()
        yield bench


def measure_ingest(bench: Bench, messages: int) -> IngestFigures:
    """With the cloud away: from the first message until the last is durable."""
    cpu_before_s, began_s = bench.gateway.cpu_s(), wall_s()
    bench.load(messages)
    bench.gateway.wait_for("received", messages)
    took_s, cpu_s = wall_s() - began_s, bench.gateway.cpu_s() - cpu_before_s
    raw = raw_sqlite_rows_per_cpu_s(bench.folder)
    paho = bench.paho_messages_per_cpu_s(min(messages, PAHO_MESSAGES_MAX))
    per_cpu_s = messages / cpu_s
    return IngestFigures(
        messages,
        round(messages / took_s),
        round(per_cpu_s),
        round(bench.gateway.peak_rss_mb(), 1),
        round(raw),
        round(per_cpu_s / raw, 3),
        round(paho),
        round(per_cpu_s / paho, 2),
    )


def measure_drain(bench: Bench, readings: int) -> DrainFigures:
    """From the moment when the cloud is there until it has every reading that the gateway holds."""
    cpu_before_s, began_s = bench.gateway.cpu_s(), wall_s()
    with accepting_cloud(bench.cloud_port):
        bench.gateway.wait_for("delivered", readings)
        took_s, cpu_s = wall_s() - began_s, bench.gateway.cpu_s() - cpu_before_s
    raw = raw_sqlite_rows_per_cpu_s(bench.folder)
    per_cpu_s = readings / cpu_s
    return DrainFigures(
        readings,
        round(readings / took_s),
        round(per_cpu_s),
        round(bench.gateway.peak_rss_mb(), 1),
        round(raw),
        round(per_cpu_s / raw, 3),
    )


def fill(bench: Bench, readings: int) -> None:
    """Have the gateway hold so many readings. Raises `BenchError`."""
    bench.load(readings)
    bench.gateway.wait_for("received", readings)


def raw_sqlite_rows_per_cpu_s(folder: Path) -> float:
    """The limit: bare rows into SQLite, durably, in large transactions."""
    path = folder / "raw.sqlite"
    path.unlink(missing_ok=True)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, c INTEGER, d INTEGER, e BLOB) STRICT")
    body = bytes(30)
    started_s = own_cpu_s()
    for first in range(0, RAW_ROWS, RAW_ROWS_OF_TRANSACTION):
        db.execute("BEGIN")
        rows = [(at, 1, 2, 3, 4, body) for at in range(first, first + RAW_ROWS_OF_TRANSACTION)]
        db.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)", rows)
        db.execute("COMMIT")
    db.close()
    return RAW_ROWS / (own_cpu_s() - started_s)
