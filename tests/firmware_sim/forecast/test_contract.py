"""The forecast and the event simulation say the same: when a battery ends, and what has left it by then.

Each case is one type of device, lived to its end by the scalar simulation (every wake-up, every radio phase) and by the
vectorised engine (hourly steps). Spread and weather are off, so that both live the same life; what is left between them
is the sampled days, the hour as the grain, and pulses spread over their hour. Stated tolerance: 2 % of the lifetime or
two hours, whichever is more (under a panel a day: what one night does not end, the next one does); 2 % of what each
state draws an hour.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.battery_supply import BatterySupply
from firmware_sim.build_power import build_supply, build_surroundings, find_board
from firmware_sim.config import DeviceGroup, FleetConfig
from firmware_sim.forecast.engine import Block, run_block
from firmware_sim.forecast.plan import device_type
from firmware_sim.phases import Phase
from firmware_sim.power import Battery
from firmware_sim.radio.energy import EnergyPhase
from firmware_sim.supply import PowerState, Supply
from firmware_sim.virtual import run_virtual

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
TOLERANCE = 0.02
GRAIN_H = 2.0
LIVES = 24

NO_SPREAD = {"capacity": 0, "self_discharge": 0, "harvest": 0, "temperature_c": 0}
SENSOR = {"name": "t", "unit": "Cel", "signal": {"kind": "constant", "value": 20}}
LORAWAN = {"kind": "lorawan", "path_loss_db": 120, "sf": 10, "adr": False, "reading_bytes": 12, "rest_ma": 0.0018}
PANEL = {"kind": "solar", "area_cm2": 4.0, "panel_efficiency": 0.15}
NORTH = {"latitude_deg": 60.0, "longitude_deg": 10.0, "sky": {"clear_share": 0.5, "day_spread": 0}}

OWN_CELLS = """
[cell.itsy]
title = "a cell under the diffusion model"
source = "Rakhmatov, Vrudhula, Wallach, ISLPED 2002: alpha 35220 mA min, beta 0.637; the rest is made up for this test"
capacity_mah = 587
open_circuit_mv = [[0.0, 3000], [1.0, 4000]]
resistance_ohm = [[0.0, 0.3], [1.0, 0.2]]
resistance_factor_by_c = [[20, 1.0]]
capacity_factor_by_c = [[20, 1.0]]
self_discharge_per_year = 0.05
self_discharge_doubling_k = 10
cutoff_mv = 3000
brownout_mv = 3000
continuous_max_ma = 1000
pulse_max_ma = 2000
pulse_max_ms = 1000
model = "rakhmatov"
models = { rakhmatov = { beta_per_sqrt_min = 0.637 } }
"""

CASES: dict[str, dict[str, Any]] = {
    "lorawan on Li-SOCl2": {
        "interval_s": 900,
        "battery": {"cell": "er14505", "board": "maudet-lorawan", "state_of_charge": 0.07},
        "radio": LORAWAN | {"active_ma": 2.3, "link": {"kind": "gilbert-elliott", "p": 0.01, "r": 0.2}},
        "send": {"acknowledge": "broker"},
    },
    "ble on a coin cell in the cold": {
        "interval_s": 1800,
        "battery": {"cell": "cr2032", "board": "nrf52-ble", "state_of_charge": 0.6},
        "radio": {"kind": "ble", "distance_m": 5, "interval_ms": 100},
        "place": {"ambient": {"mean_c": -12.0, "day_c": 4.0}},
    },
    "wifi on alkaline, KiBaM": {
        "interval_s": 60,
        "battery": {"cell": "2xaa-alkaline", "board": "esp32-wifi"},
        "send": {"receive_window_s": 0.5},
    },
    "a thirsty node on alkaline, KiBaM": {
        "interval_s": 300,
        "battery": {"cell": "2xaa-alkaline", "board": "casals-lorawan", "state_of_charge": 0.12},
        "radio": LORAWAN | {"data": "lora_casals2017", "rest_ma": 3.0, "active_ma": 60.0},
        "send": {"acknowledge": "broker"},
    },
    "the same by Peukert": {
        "interval_s": 300,
        "battery": {"cell": "2xaa-alkaline", "board": "casals-lorawan", "state_of_charge": 0.12, "model": "peukert"},
        "radio": LORAWAN | {"data": "lora_casals2017", "rest_ma": 3.0, "active_ma": 100.0},
        "send": {"acknowledge": "broker"},
    },
    "the diffusion model": {
        "interval_s": 600,
        "battery": {"cell": "itsy", "board": "casals-lorawan", "state_of_charge": 0.5},
        "radio": LORAWAN | {"data": "lora_casals2017", "rest_ma": 1.0},
        "send": {"acknowledge": "broker"},
    },
    "lte-m that slows down when low": {
        "interval_s": 1800,
        "battery": {
            "cell": "18650-li-ion",
            "board": "nrf9160-ltem",
            "capacity_mah": 60,
            "low_percent": 60.0,
            "low_stretch": 4,
        },
        "radio": {"kind": "cellular", "path_loss_db": 125, "rest_ma": 0.05},
    },
    "a panel that is too small for the winter": {
        "interval_s": 900,
        "battery": {"cell": "18650-li-ion", "board": "casals-lorawan", "capacity_mah": 120},
        "radio": LORAWAN | {"data": "lora_casals2017", "rest_ma": 0.4},
        "send": {"acknowledge": "broker"},
        "harvest": PANEL,
        "place": NORTH | {"ambient": {"mean_c": 8.0, "day_c": 5.0}},
    },
    "a panel in an office": {
        "interval_s": 300,
        "battery": {"cell": "supercap-10f", "board": "nrf52-ble"},
        "radio": {"kind": "ble", "distance_m": 5, "role": "beacon"},
        "send": {"acknowledge": "broker"},
        "harvest": {"kind": "indoor", "area_cm2": 7.0, "illuminance_lux": 300.0},
    },
}


class _Watched(BatterySupply[Battery]):
    """A supply that remembers its first failure, and what had left the cell by then."""

    ended_h: float | None = None
    started_ms = drawn_ms = 0.0
    books: dict[str, float]

    def draw(self, phase: Phase, duration_ms: int, now_ms: int) -> PowerState:
        self.started_ms = self.started_ms or now_ms - duration_ms
        self.drawn_ms = max(self.drawn_ms, now_ms - self.started_ms)
        return self._note(super().draw(phase, duration_ms, now_ms))

    def draw_radio(self, phases: Sequence[EnergyPhase], *, resting: bool) -> PowerState:
        self.drawn_ms += sum(phase.duration_ms for phase in phases)
        return self._note(super().draw_radio(phases, resting=resting))

    def _note(self, state: PowerState) -> PowerState:
        if self.ended_h is None and state is not PowerState.GOOD:
            self.ended_h = self.drawn_ms / HOUR_MS
            ledger = self.battery.ledger
            self.books = {name: line.charge_mah for name, line in {**ledger.lines(), **ledger.cell_lines()}.items()}
        return state if self.ended_h is None else PowerState.EMPTY


def _config(case: dict[str, Any], cells: Path) -> FleetConfig:
    cells.write_text(OWN_CELLS, encoding="utf-8")
    group = {"name": "d", "sensors": [SENSOR], **case}
    return FleetConfig.model_validate({"devices": [group], "spread": NO_SPREAD, "cells": cells})


def _scalar(config: FleetConfig, days: int) -> _Watched:
    watched: list[_Watched] = []

    def supply_of(fleet: FleetConfig, group: DeviceGroup, started_ms: int) -> Supply:
        made = build_supply(fleet, group, started_ms)
        assert isinstance(made, BatterySupply)
        assert group.battery
        around = build_surroundings(fleet, group, made.battery.spec)
        watched.append(_Watched(made.battery, find_board(fleet, group.battery), around, started_ms))
        return watched[-1]

    run_virtual(config, days * DAY_MS, len, supply_of=supply_of)
    return watched[0]


@pytest.mark.no_cover
@pytest.mark.parametrize("name", CASES)
def test_the_engine_agrees_with_the_event_simulation(name: str, tmp_path: Path) -> None:
    config = _config(CASES[name], tmp_path / "cells.toml")
    real = _scalar(config, days=120)
    assert real.ended_h is not None
    kind = device_type(config, config.devices[0])
    result = run_block(Block(kind, LIVES, 200, seed=1))
    assert (result.ended_h >= 0).all()
    mean_h = float(result.ended_h.mean())
    grain_h = GRAIN_H if "harvest" not in CASES[name] else 24.0
    assert mean_h == pytest.approx(real.ended_h, rel=TOLERANCE, abs=grain_h)
    total_ma = math.fsum(real.books[state] for state in result.by_state) / real.ended_h
    for state, charge_mah in result.by_state.items():
        expected_ma = real.books[state] / real.ended_h
        assert charge_mah / LIVES / mean_h == pytest.approx(expected_ma, rel=TOLERANCE, abs=TOLERANCE * total_ma), state
    leak_ma = result.by_cell["self_discharge"] / LIVES / mean_h
    assert leak_ma == pytest.approx(real.books["self_discharge"] / real.ended_h, rel=TOLERANCE)
