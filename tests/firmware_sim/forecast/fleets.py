"""Fleets for the forecast's tests."""

from typing import Any

from firmware_sim.config import FleetConfig

SENSOR = {"name": "t", "unit": "Cel", "signal": {"kind": "constant", "value": 20}}
LORAWAN = {"kind": "lorawan", "path_loss_db": 120, "sf": 9, "adr": False, "reading_bytes": 12, "rest_ma": 0.0018}
NODE: dict[str, Any] = {
    "name": "node",
    "count": 3,
    "interval_s": 3600,
    "sensors": [SENSOR],
    "battery": {"cell": "er14505", "board": "maudet-lorawan"},
    "radio": LORAWAN,
    "send": {"acknowledge": "broker"},
}


def fleet(*changes: dict[str, Any], **top: Any) -> FleetConfig:
    """A fleet with one group per change of the node."""
    groups = [NODE | {"name": f"node{n}" if n else "node"} | change for n, change in enumerate(changes or ({},))]
    return FleetConfig.model_validate({"devices": groups, **top})
