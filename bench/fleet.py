"""How many device-years a second a fleet in virtual time makes, on one core, with every state booked in the ledger.

    python -m bench.fleet [--days 365] [--devices 1] [--json]

Each device measures every 15 minutes and sends each reading, over the whole way: sensor, flash frame, SenML, gateway,
acknowledgement, and a line of JSON. Beside it, of the same run: how many battery draws a second the model makes without
a device about them, and how fast the machine counts in a bare Python loop. A figure in such loops is the same on a slow
machine, a busy one and a fast one.
"""

import argparse
import json
import time
from typing import Any

from firmware_sim.config import FleetConfig
from firmware_sim.power import Battery
from firmware_sim.virtual import run_virtual

MS_PER_DAY = 86_400_000
DAYS_PER_YEAR = 365.0
KINDS = {
    "wifi": {"cell": "18650-li-ion", "board": "esp32-wifi"},
    "lorawan": {"cell": "er14505", "board": "casals-lorawan"},
    "mains": None,
}
RAW_DRAWS = 200_000
RAW_LOOPS = 5_000_000


def fleet(kind: str, devices: int) -> FleetConfig:
    """So many devices of one kind, each with one sensor."""
    signal = {"kind": "daily", "mean": 21.5, "amplitude": 1.5, "noise": 0.2}
    group: dict[str, Any] = {
        "name": "node",
        "count": devices,
        "interval_s": 900.0,
        "jitter_s": 5.0,
        "send": {"receive_window_s": 0.5},
        "sensors": [{"part": "SHT31", "quantity": "temperature", "signal": signal}],
    }
    if KINDS[kind]:
        group["battery"] = KINDS[kind]
    return FleetConfig.model_validate({"devices": [group]})


def measure(kind: str, devices: int, days: int) -> dict[str, float]:
    """Run it; CPU time, not wall time, and the bare loop before and after it."""
    loop_s = bare_loop_s()
    began_s = time.process_time()
    report = run_virtual(fleet(kind, devices), days * MS_PER_DAY, len)
    spent_s = time.process_time() - began_s
    loop_s = (loop_s + bare_loop_s()) / 2
    years = devices * days / DAYS_PER_YEAR
    return {
        "readings": report.groups[0].received,
        "cpu_s": round(spent_s, 2),
        "device_years_per_cpu_s": round(years / spent_s, 3),
        "loops_per_reading": round(spent_s / loop_s / max(1, report.groups[0].received)),
    }


def raw_draws_per_s() -> float:
    """Battery draws a CPU second."""
    battery = Battery("18650-li-ion")
    began_s = time.process_time()
    for _ in range(RAW_DRAWS):
        battery.draw("sleep", 0.005, 1000.0)
    return RAW_DRAWS / (time.process_time() - began_s)


def bare_loop_s() -> float:
    """CPU seconds of one turn of a loop that adds."""
    total, began_s = 0, time.process_time()
    for number in range(RAW_LOOPS):
        total += number
    return (time.process_time() - began_s) / RAW_LOOPS


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = {kind: measure(kind, given.devices, given.days) for kind in KINDS}
    raw, loop_ns = round(raw_draws_per_s()), round(bare_loop_s() * 1e9)
    if given.json:
        print(json.dumps({"kinds": figures, "raw_draws_per_cpu_s": raw, "bare_loop_ns": loop_ns}))
        return
    for kind, figure in figures.items():
        print(
            f"{kind:8} {figure['readings']} readings in {figure['cpu_s']} CPU s: "
            f"{figure['device_years_per_cpu_s']} device-years a CPU second, "
            f"{figure['loops_per_reading']} bare loops a reading"
        )
    print(f"raw battery draws a CPU second: {raw}; a bare loop: {loop_ns} ns")


if __name__ == "__main__":
    main()
