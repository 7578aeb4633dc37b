"""How fast the battery forecast is: 10,000 devices for a year in hourly steps, on one core.

    python -m bench.forecast [--devices 10000] [--days 365] [--json]

Three types: a LoRaWAN node on a primary cell (no feedback from the voltage), the same on alkaline (KiBaM), and one
under a panel (charging, ageing, weather). The load is measured first, once for each type; both times are CPU time, so
that a busy machine does not count.
"""

import argparse
import json
import time
from typing import Any

from firmware_sim.config import FleetConfig
from firmware_sim.forecast.engine import run_block
from firmware_sim.forecast.plan import Variant, plan_forecast, summarise

DAYS_PER_YEAR = 365.25
CELLS: dict[str, dict[str, Any]] = {
    "primary": {"battery": {"cell": "er14505", "board": "maudet-lorawan"}},
    "alkaline, KiBaM": {"battery": {"cell": "2xaa-alkaline", "board": "maudet-lorawan"}},
    "panel": {
        "battery": {"cell": "lifepo4-18650", "board": "maudet-lorawan"},
        "harvest": {"kind": "solar", "area_cm2": 10.0},
    },
}
PLACE = {
    "latitude_deg": 48.0,
    "longitude_deg": 11.0,
    "ambient": {"mean_c": 10, "season_c": 9, "day_c": 4, "weather_c": 4},
}


def fleet(kind: str) -> FleetConfig:
    """One type of device that reports every quarter of an hour."""
    group = {
        "name": "node",
        "interval_s": 900.0,
        "sensors": [{"part": "SHT31", "quantity": "temperature", "signal": {"kind": "constant", "value": 20}}],
        "radio": {"kind": "lorawan", "path_loss_db": 125.0, "adr": False, "reading_bytes": 8, "active_ma": 2.3},
        "send": {"acknowledge": "broker"},
        **CELLS[kind],
    }
    return FleetConfig.model_validate({"place": PLACE, "devices": [group]})


def measure(kind: str, devices: int, days: int) -> dict[str, float]:
    """Forecast it."""
    began_s = time.process_time()
    plan = plan_forecast([Variant(kind, fleet(kind))], years=days / DAYS_PER_YEAR, runs=devices)
    measured_s = time.process_time()
    results = [run_block(block) for block in plan.blocks]
    lived_s = time.process_time()
    (forecast,) = summarise(plan, results)
    return {
        "load_cpu_s": round(measured_s - began_s, 2),
        "lives_cpu_s": round(lived_s - measured_s, 2),
        "device_hours_per_cpu_s": round(devices * days * 24 / (lived_s - measured_s)),
        "ended_percent": forecast.ended_percent,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = {kind: measure(kind, given.devices, given.days) for kind in CELLS}
    if given.json:
        print(json.dumps({"devices": given.devices, "days": given.days, "kinds": figures}))
        return
    for kind, figure in figures.items():
        print(
            f"{kind:16} load {figure['load_cpu_s']} CPU s, {given.devices} devices x {given.days} days "
            f"{figure['lives_cpu_s']} CPU s: {figure['device_hours_per_cpu_s']:,} device-hours a CPU second"
        )


if __name__ == "__main__":
    main()
