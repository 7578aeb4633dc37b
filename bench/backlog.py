"""What a long outage costs: memory and start-up time of a gateway that holds millions of readings.

    python -m bench.backlog [--readings 10000000] [--folder DIR] [--json]

A process of its own fills the store through the gateway's whole core (`Desk`: ingest, ledger, windows, lanes) with the
uplink down, at 100 readings a second of 100 devices in the gateway's own time, and tells its resident memory along the
way. Then a real gateway process is started on that store (its time until the API answers, its memory), killed with
SIGKILL and started again, and drains into a cloud that takes everything. With `--folder` the store is kept, and filling
goes on where it was interrupted.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from edge.config import EdgeConfig
from edge.desk import STORE_FILE, Desk
from edge.desk_rules import desk_rules
from edge.forward.forwarder import Batch
from edge.forward.outcome import Failed
from edge.ingest import Message
from edge.ledger import RECEIVED
from sensors.reading import Reading, Value
from sensors.senml import encode
from sensors.topics import Kind, build_topic
from tidegate.bench.gateway_process import GatewayProcess, accepting_cloud
from tidegate.bench.mosquitto import free_port

DEVICES = 100
PER_S = 100  # readings of all devices together
COMMIT_ROWS = 1000
LOOKS = 10
T0_MS = 1_780_000_000_000
DRAIN_S = 20.0
DISK_BYTES_MAX = 64 * 1024**3


def rss_mb() -> float:
    """Of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def message(at: int) -> Message:
    """One reading of one device."""
    name, seq = f"d{at % DEVICES}", at // DEVICES
    taken_at_ms = T0_MS + at * 1000 // PER_S
    one = Reading(name, 1, seq, taken_at_ms, (Value("temperature", (at * 7919 % 4000) / 100, "Cel"),))
    return Message(build_topic("bench", name, Kind.READING), encode([one], sent_at_ms=taken_at_ms))


def fill(folder: Path, readings: int) -> None:
    """Take the readings in, with a cloud that never answers; print how many and the memory, as JSON lines."""
    rules = desk_rules(EdgeConfig.model_validate({"store": {"disk_bytes_max": DISK_BYTES_MAX}}))
    desk = Desk(folder, Random(1), rules)
    began = desk.ledger.totals[RECEIVED]
    shown = began * LOOKS // readings
    for first in range(began, readings, COMMIT_ROWS):
        messages = [message(at) for at in range(first, min(readings, first + COMMIT_ROWS))]
        now_ms = (first + COMMIT_ROWS) * 1000 // PER_S
        desk.take_in(messages, now_ms, T0_MS + now_ms)
        while desk.tidy(now_ms, T0_MS + now_ms):
            pass
        plan = desk.next_batch(now_ms)
        if isinstance(plan, Batch):
            desk.settle(plan, Failed("refused", "no cloud"), now_ms, T0_MS + now_ms)
        if (first + COMMIT_ROWS) * LOOKS >= (shown + 1) * readings:
            shown += 1
            print(json.dumps({"readings": first + COMMIT_ROWS, "rss_mb": round(rss_mb(), 1)}), flush=True)
    desk.close()


def restart(config: Path, api: int, readings: int) -> tuple[GatewayProcess, dict[str, float]]:
    """A gateway on the filled store, and what its start cost."""
    began_s = time.monotonic()
    gateway = GatewayProcess(config, api)
    status = gateway.wait_ready(broker=False)
    ready_s = time.monotonic() - began_s
    assert status["ledger"]["received"] == readings, status["ledger"]
    return gateway, {"ready_s": round(ready_s, 2), "cpu_s": gateway.cpu_s(), "rss_mb": round(gateway.rss_mb(), 1)}


def measure(readings: int, kept: Path | None) -> dict[str, Any]:
    """All of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = kept or Path(name)
        (folder / "data").mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "bench.backlog", "--fill", str(folder / "data"), "--readings", str(readings)]
        filled = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        api, cloud = free_port(), free_port()
        config = folder / "edge.toml"
        config.write_text(
            f"[mqtt]\nport = {free_port()}\n"
            f'[store]\ndata_dir = "{folder}/data"\ndisk_bytes_max = {DISK_BYTES_MAX}\n'
            f'[influx]\nurl = "http://127.0.0.1:{cloud}"\nretry_cap_s = 1\n[api]\nport = {api}\n'
        )
        size_mb = (folder / "data" / STORE_FILE).stat().st_size / 2**20
        gateway, first = restart(config, api, readings)
        gateway.kill()
        gateway, second = restart(config, api, readings)
        try:
            with accepting_cloud(cloud):
                time.sleep(DRAIN_S)
                status = gateway.status()
                assert status is not None
                drained = status["ledger"]["delivered"]
            peak_mb = gateway.peak_rss_mb()
        finally:
            gateway.stop()
        return {
            "readings": readings,
            "store_mb": round(size_mb),
            "filling": [json.loads(line) for line in filled.splitlines()],
            "start": first,
            "start_after_kill": second,
            "drained": drained,
            "drain_peak_rss_mb": round(peak_mb, 1),
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--fill", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fill:
        fill(options.fill, options.readings)
        return
    result = measure(options.readings, options.folder)
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:<20} {value}")


if __name__ == "__main__":
    main()
