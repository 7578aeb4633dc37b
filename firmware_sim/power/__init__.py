"""Power of a simulated device: battery, voltage under load, energy ledger, boards and harvesting.

The firmware says what it does, the battery answers what that costs:

    battery = Battery("2xaa-alkaline", brownout_mv=board.brownout_mv)
    result = battery.draw("transmit", current_ma=board.current_in("transmit"), duration_ms=46.3, temperature_c=-5.0)
    if result.browned_out: ...

Scalar, without clock or chance: the same draws give the same battery. See docs/models-power.md for the models and
their sources.
"""

from firmware_sim.power.battery import Battery
from firmware_sim.power.boards import Board, board, builtin_boards, parse_boards
from firmware_sim.power.cells import REFERENCE_C, CellSpec, builtin_cells, cell, parse_cells
from firmware_sim.power.draws import DrawResult, Run, Step
from firmware_sim.power.errors import PowerDataError, PowerError, PowerValueError, UnknownPartError
from firmware_sim.power.fit import fit_kibam, fit_peukert
from firmware_sim.power.harvest import Harvester, indoor_w_m2
from firmware_sim.power.kibam import KibamModel
from firmware_sim.power.ledger import EnergyLedger, LedgerLine
from firmware_sim.power.models import BatteryModel, IdealModel, PeukertModel
from firmware_sim.power.rakhmatov import RakhmatovModel

__all__ = [
    "REFERENCE_C",
    "Battery",
    "BatteryModel",
    "Board",
    "CellSpec",
    "DrawResult",
    "EnergyLedger",
    "Harvester",
    "IdealModel",
    "KibamModel",
    "LedgerLine",
    "PeukertModel",
    "PowerDataError",
    "PowerError",
    "PowerValueError",
    "RakhmatovModel",
    "Run",
    "Step",
    "UnknownPartError",
    "board",
    "builtin_boards",
    "builtin_cells",
    "cell",
    "fit_kibam",
    "fit_peukert",
    "indoor_w_m2",
    "parse_boards",
    "parse_cells",
]
