"""What the whole gateway costs: durable messages taken in, and readings drained, for each CPU-second of its process.

    python -m bench.gateway [--messages 100000] [--json]

Real Mosquitto, real store (WAL, synchronous=FULL), the load generator and the cloud in processes of their own. The
cloud is a server that answers 204 to everything, so that only the gateway is measured. The raw limit of the same run
is Python's own SQLite: rows a CPU-second, in transactions of 1000 with synchronous=FULL.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from bench.broker import free_port, mosquitto

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
RAW_ROWS = 200_000
RAW_ROWS_OF_TRANSACTION = 1000
POLL_S = 0.05
LIMIT_S = 120.0


async def answer_204(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read one request after another and accept it."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            break
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        await reader.readexactly(int(length.split(b":")[1]))
        writer.write(b"HTTP/1.1 204 No Content\r\nServer: sink\r\n\r\n")
        await writer.drain()
    writer.close()


async def sink(port: int) -> None:
    """A cloud that accepts everything."""
    server = await asyncio.start_server(answer_204, "127.0.0.1", port, limit=2**20)
    async with server:
        await server.serve_forever()


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def raw_sqlite_rows_per_cpu_s(folder: Path) -> float:
    """The limit: bare rows into SQLite, durably."""
    db = sqlite3.connect(folder / "raw.sqlite", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, c INTEGER, d INTEGER, e BLOB) STRICT")
    body = bytes(30)
    started_s = time.process_time()
    for first in range(0, RAW_ROWS, RAW_ROWS_OF_TRANSACTION):
        db.execute("BEGIN")
        rows = [(at, 1, 2, 3, 4, body) for at in range(first, first + RAW_ROWS_OF_TRANSACTION)]
        db.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)", rows)
        db.execute("COMMIT")
    db.close()
    return RAW_ROWS / (time.process_time() - started_s)


def ask(port: int) -> dict[str, Any]:
    """The gateway's status."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/status", timeout=10) as answer:
        return dict(json.load(answer))


def wait_for(port: int, ledger_key: str, count: int) -> dict[str, Any]:
    """The status once the ledger's count is reached."""
    until_s = time.monotonic() + LIMIT_S
    while time.monotonic() < until_s:
        try:
            status = ask(port)
        except OSError:
            status = {}
        if status and status["ledger"][ledger_key] >= count and status["devices_link"]["state"] == "up":
            return status
        time.sleep(POLL_S)
    raise TimeoutError(f"{ledger_key} did not reach {count} within {LIMIT_S:g} s")


def measure(messages: int) -> dict[str, float]:
    """Ingest with the cloud away, then drain into the sink."""
    with mosquitto() as broker, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        api, cloud = free_port(), free_port()
        config = folder / "edge.toml"
        config.write_text(
            f'[mqtt]\nport = {broker}\n[store]\ndata_dir = "{folder}/data"\n'
            f'[influx]\nurl = "http://127.0.0.1:{cloud}"\nretry_cap_s = 1\n[api]\nport = {api}\n'
        )
        command = [sys.executable, "-m", "tidegate", "edge", "run", "--config", str(config)]
        gateway = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_for(api, "received", 0)
            cpu_before_s, began_s = cpu_s(gateway.pid), time.monotonic()
            subprocess.run([sys.executable, "-m", "bench.load", str(broker), str(messages)], check=True)
            wait_for(api, "received", messages)
            ingest_s, ingest_cpu_s = time.monotonic() - began_s, cpu_s(gateway.pid) - cpu_before_s
            accepting = subprocess.Popen([sys.executable, "-m", "bench.gateway", "--sink", str(cloud)])
            try:
                cpu_before_s = cpu_s(gateway.pid)
                wait_for(api, "delivered", messages)
                drain_cpu_s = cpu_s(gateway.pid) - cpu_before_s
            finally:
                accepting.kill()
                accepting.wait()
            memory_mb = rss_mb(gateway.pid)
        finally:
            gateway.terminate()
            gateway.wait()
        raw = raw_sqlite_rows_per_cpu_s(folder)
    ingest = messages / ingest_cpu_s
    return {
        "messages": messages,
        "ingest_per_cpu_s": round(ingest),
        "ingest_per_s": round(messages / ingest_s),
        "drain_per_cpu_s": round(messages / drain_cpu_s),
        "raw_sqlite_rows_per_cpu_s": round(raw),
        "ingest_share_of_raw": round(ingest / raw, 3),
        "memory_mb": round(memory_mb, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="the gateway's cost")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sink", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sink:
        asyncio.run(sink(options.sink))
        return
    result = measure(options.messages)
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:<28} {value:>12,}")


if __name__ == "__main__":
    main()
