"""Whether a fleet in real time keeps up with a real Mosquitto, and what a message costs.

    python -m bench.fleet_realtime [--devices 10000] [--interval 10] [--seconds 30] [--mode shared|per-device] [--json]

A process of its own runs the fleet as `tidegate sensors run` does, flash and truth on disk; each device measures every
`--interval` seconds and sends each reading, at QoS 1, and `send.acknowledge` is `broker`. Another connection subscribes
to everything and throws it away. Once all devices are connected, the stretch of `--seconds` is measured:

  late      how far the loop was behind the devices' time, at worst and at the median of the seconds
  share     readings that the broker acknowledged, of those that were due by the devices' interval
  cpu       CPU-seconds of the fleet's process, all threads, for each second of wall time, and for each message

Behind is a fleet that is late by over `BEHIND_MS`, or whose share is under `SHARE_MIN`. Mosquitto, the fleet and the
subscriber share the machine.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from statistics import median
from typing import Any

import mqtt5

from firmware_sim.config import FleetConfig
from firmware_sim.fleet import serve
from firmware_sim.open_files import make_room
from firmware_sim.status import FleetStatus
from sensors.clock import SystemClock
from tidegate.bench.clocks import own_cpu_s, wall_s
from tidegate.bench.mosquitto import mosquitto

MODES = ("shared", "per-device")
BEHIND_MS = 1000  # a reading that is a second late is still the right one; a fleet that is ever later is not
SHARE_MIN = 0.98  # what is on the way at the end is not yet acknowledged
SETTLE_S = 5  # after the last connection is up: births, retained states and the first back-offs
CONNECT_S = 240
SIGNAL = {"kind": "daily", "mean": 21.5, "amplitude": 1.5, "noise": 0.2}


def fleet(folder: Path, port: int, devices: int, interval_s: float, mode: str) -> FleetConfig:
    """The fleet that is measured."""
    group = {
        "name": "node",
        "count": devices,
        "interval_s": interval_s,
        "send": {"acknowledge": "broker"},
        "sensors": [{"part": "SHT31", "quantity": "temperature", "signal": SIGNAL}],
    }
    return FleetConfig.model_validate(
        {
            "data_dir": folder / "flash",
            "truth_file": folder / "truth.ndjson",
            "mqtt": {"port": port, "connections": mode},
            "devices": [group],
        }
    )


async def run_fleet(config: FleetConfig, seconds: int) -> dict[str, Any]:
    """In the measured process: run it, wait until it is up, and look at it every second."""
    status, stop = FleetStatus(), asyncio.Event()
    running = asyncio.create_task(serve(config, SystemClock(), None, stop, status))
    wanted = 1 if config.mqtt.connections == "shared" else config.devices[0].count
    began_s, began_cpu_s = wall_s(), own_cpu_s()
    while status.totals().links_up < wanted and wall_s() - began_s < CONNECT_S:
        await asyncio.wait({running}, timeout=0.5)
        if running.done():
            running.result()
    up_s, up_cpu_s = wall_s() - began_s, own_cpu_s() - began_cpu_s
    await asyncio.sleep(SETTLE_S)
    status.take_late_ms()
    first, first_s, first_cpu_s = status.totals(), wall_s(), own_cpu_s()
    late_ms = []
    for _ in range(seconds):
        await asyncio.sleep(1.0)
        late_ms.append(status.take_late_ms())
    last, spent_s, spent_cpu_s = status.totals(), wall_s() - first_s, own_cpu_s() - first_cpu_s
    stop.set()
    await running
    due = config.devices[0].count / config.devices[0].interval_s * spent_s
    acked = last.acked - first.acked
    return {
        "connections": last.links_up,
        "reconnects": last.connects - wanted,
        "connecting_s": round(up_s, 1),
        "connecting_cpu_s": round(up_cpu_s, 1),
        "messages_per_s": round(acked / spent_s),
        "share_of_due": round(acked / due, 4),
        "late_ms_max": round(max(late_ms)),
        "late_ms_median": round(median(late_ms)),
        "held_at_the_end": last.held,
        "cpu_share_of_a_core": round(spent_cpu_s / spent_s, 3),
        "cpu_us_per_message": round(spent_cpu_s / max(1, acked) * 1e6),
        "memory_mb": _peak_mb(),
    }


def _peak_mb() -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split("VmHWM:")[1].split()[0]) // 1024


def swallow(port: int) -> socket.socket:
    """Subscribe to everything, and throw it away in a thread, until the socket is closed."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(mqtt5.ConnectPacket("bench-sink", clean_start=True, keep_alive=0).write())
    sock.recv(256)
    sock.sendall(mqtt5.SubscribePacket(1, [mqtt5.TopicFilter("#", max_qos=mqtt5.QoS.AT_MOST_ONCE)]).write())

    def swallowing() -> None:
        with contextlib.suppress(OSError):
            while sock.recv(1 << 20):
                pass

    threading.Thread(target=swallowing, daemon=True).start()
    return sock


def measure(devices: int, interval_s: float, seconds: int, mode: str) -> dict[str, Any]:
    """One measurement: broker, subscriber, and the fleet in a process of its own."""
    make_room(devices)  # the broker inherits it
    with mosquitto() as port, swallow(port), tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "bench.fleet_realtime", "--child", folder, str(port)]
        numbers = ["--devices", str(devices), "--interval", str(interval_s), "--seconds", str(seconds)]
        done = subprocess.run([*words, *numbers, "--mode", mode], stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    behind = found["late_ms_max"] > BEHIND_MS or found["share_of_due"] < SHARE_MIN
    return {"mode": mode, "devices": devices, "interval_s": interval_s, **found, "behind": behind}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--interval", type=float, default=10.0)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--mode", choices=MODES)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=2, metavar=("FOLDER", "PORT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        config = fleet(Path(given.child[0]), int(given.child[1]), given.devices, given.interval, given.mode)
        print(json.dumps(asyncio.run(run_fleet(config, given.seconds))))
        return
    found = [
        measure(given.devices, given.interval, given.seconds, mode) for mode in ([given.mode] if given.mode else MODES)
    ]
    if given.json:
        print(json.dumps({"load_average": os.getloadavg()[0], "runs": found}))
        return
    for run in found:
        print(f"{run['devices']} devices, every {run['interval_s']:g} s, {run['mode']}:")
        for name, value in run.items():
            print(f"  {name:22} {value}")
    print(f"load average of the machine: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
