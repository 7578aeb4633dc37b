"""Where a device's energy went: charge, energy and time per firmware state, and what the cell itself took or was given.

The books balance against the cell, by charge and by energy:

    what the cell lost = sum of the states + self-discharge + rate loss + heat - harvested

(rate loss: what Peukert's law takes on top of the load; heat: the drop over the inner resistance, energy only).
`spilled` and `charge_loss` are beside the balance: harvest that found no room, and what the charge efficiency ate.
Sums carry their rounding error along, so that ten million small draws still close to 1e-9.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from firmware_sim.power.errors import PowerValueError
from firmware_sim.power.units import NJ_PER_J, UC_PER_MAH

CELL_ACCOUNTS = ("self_discharge", "rate_loss", "heat", "harvested", "spilled", "charge_loss")


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One account's total."""

    charge_mah: float
    energy_j: float
    duration_ms: float


class Account:
    """A running total of uC, nJ and ms that forgets no small summand beside a large sum."""

    __slots__ = ("_nj", "_nj_rest", "_uc", "_uc_rest", "duration_ms")

    def __init__(self) -> None:
        self._uc = self._uc_rest = self._nj = self._nj_rest = self.duration_ms = 0.0

    def add(self, charge_uc: float, energy_nj: float, duration_ms: float) -> None:
        """Book one entry; each total keeps its rounding error apart (Knuth's TwoSum, TAOCP 4.2.2, theorem B)."""
        old = self._uc
        self._uc = total = old + charge_uc
        added = total - old
        self._uc_rest += (old - (total - added)) + (charge_uc - added)
        old = self._nj
        self._nj = total = old + energy_nj
        added = total - old
        self._nj_rest += (old - (total - added)) + (energy_nj - added)
        self.duration_ms += duration_ms

    @property
    def charge_uc(self) -> float:
        """Total charge, uC."""
        return self._uc + self._uc_rest

    @property
    def energy_nj(self) -> float:
        """Total energy, nJ."""
        return self._nj + self._nj_rest

    def line(self) -> LedgerLine:
        """Return the total in mAh and J."""
        return LedgerLine(self.charge_uc / UC_PER_MAH, self.energy_nj / NJ_PER_J, self.duration_ms)

    def snapshot(self) -> list[float]:
        """Return the numbers, ready for JSON."""
        return [self._uc, self._uc_rest, self._nj, self._nj_rest, self.duration_ms]

    @classmethod
    def restored(cls, numbers: list[float]) -> "Account":
        """Return the account that gave a snapshot."""
        if len(numbers) != 5:
            raise PowerValueError("snapshot.ledger", "five numbers an account", numbers)
        account = cls()
        account._uc, account._uc_rest, account._nj, account._nj_rest, account.duration_ms = map(float, numbers)
        return account


class EnergyLedger:
    """The accounts of one device: `states` by the firmware's own names, and the cell's own in `cell`."""

    __slots__ = ("cell", "states")

    def __init__(self) -> None:
        self.states: dict[str, Account] = {}
        self.cell: dict[str, Account] = {name: Account() for name in CELL_ACCOUNTS}

    def lines(self) -> dict[str, LedgerLine]:
        """Return every state's total, in the order in which the states first drew."""
        return {name: account.line() for name, account in self.states.items()}

    def cell_lines(self) -> dict[str, LedgerLine]:
        """Return the totals of CELL_ACCOUNTS."""
        return {name: account.line() for name, account in self.cell.items()}

    def balance(self) -> tuple[float, float]:
        """Return the (charge, energy) that the cell must have lost by these books, in uC and nJ."""
        outgo = [*self.states.values(), *(self.cell[name] for name in ("self_discharge", "rate_loss", "heat"))]
        income = self.cell["harvested"]
        charge_uc = math.fsum([*(account.charge_uc for account in outgo), -income.charge_uc])
        energy_nj = math.fsum([*(account.energy_nj for account in outgo), -income.energy_nj])
        return charge_uc, energy_nj

    def snapshot(self) -> dict[str, dict[str, list[float]]]:
        """Return all accounts, ready for JSON."""
        return {
            "states": {name: account.snapshot() for name, account in self.states.items()},
            "cell": {name: account.snapshot() for name, account in self.cell.items()},
        }

    @classmethod
    def restored(cls, given: Mapping[str, Mapping[str, list[float]]]) -> "EnergyLedger":
        """Return the ledger that gave a snapshot."""
        if set(given) != {"states", "cell"} or set(given["cell"]) != set(CELL_ACCOUNTS):
            raise PowerValueError("snapshot.ledger", f"states, and the cell's {', '.join(CELL_ACCOUNTS)}", given)
        ledger = cls()
        ledger.states = {name: Account.restored(numbers) for name, numbers in given["states"].items()}
        ledger.cell = {name: Account.restored(numbers) for name, numbers in given["cell"].items()}
        return ledger
