"""How many device-years a second a fleet in virtual time makes, on one core, with every state booked in the ledger.

    python -m bench.fleet [--days 365] [--devices 1] [--json]

Each device measures every 15 minutes and sends each reading, over the whole way: sensor, flash frame, SenML, gateway,
acknowledgement, and a line of JSON. Beside it, for the raw limit of the same run: the same number of battery draws
without a device about them.
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
    """Run it; CPU time, not wall time, so that a busy machine does not count."""
    began_s = time.process_time()
    report = run_virtual(fleet(kind, devices), days * MS_PER_DAY, len)
    spent_s = time.process_time() - began_s
    years = devices * days / DAYS_PER_YEAR
    return {
        "readings": report.groups[0].received,
        "cpu_s": round(spent_s, 2),
        "device_years_per_cpu_s": round(years / spent_s, 3),
    }


def raw_draws_per_s() -> float:
    """Battery draws a CPU second."""
    battery = Battery("18650-li-ion")
    began_s = time.process_time()
    for _ in range(RAW_DRAWS):
        battery.draw("sleep", 0.005, 1000.0)
    return RAW_DRAWS / (time.process_time() - began_s)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = {kind: measure(kind, given.devices, given.days) for kind in KINDS}
    raw = round(raw_draws_per_s())
    if given.json:
        print(json.dumps({"kinds": figures, "raw_draws_per_cpu_s": raw}))
        return
    for kind, figure in figures.items():
        print(f"{kind:8} {figure['readings']} readings in {figure['cpu_s']} CPU s: {figure['device_years_per_cpu_s']}")
    print(f"raw battery draws a CPU second: {raw}")


if __name__ == "__main__":
    main()
