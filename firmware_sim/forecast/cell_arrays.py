"""One kind of cell over arrays: many cells at once, an hour a step, with the catalogue's data and formulas.

The curves are not written a second time: they are the catalogue's own functions, sampled on fine grids (temperature to
0.05 K, state of charge to 1/8192 with straight lines between). Charge is in mAh and time in hours, so that a current
for an hour is its number. Shapes: a row per hour, a column per cell.

The three charge models are the scalar ones' closed forms for a constant current over one hour:
`firmware_sim.power.models` (ideal; Peukert's extra is in the load, per draw), `kibam` and `rakhmatov`.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from firmware_sim.power import BatteryModel, CellSpec, KibamModel, RakhmatovModel
from firmware_sim.power.battery import END_OF_LIFE_FADE, WINDOW_MIN
from firmware_sim.power.models import EMPTY_TOLERANCE
from firmware_sim.power.units import MS_PER_HOUR

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

COLDEST_C, WARMEST_C = -80.0, 150.0  # beyond what a place may be, with the deepest front and the hottest spot
STEPS_PER_K = 20
SHARE_STEPS = 8192
TINY_MAH = 1e-12  # keeps a division defined where nothing rose


class Charge(Protocol):
    """The charge in many cells. `stored_mah` and `capacity_mah` have one number a cell."""

    stored_mah: Floats
    capacity_mah: Floats

    def step(self, drain_mah: Floats) -> None:
        """Let one hour pass; a negative drain charges, up to full."""

    def available(self) -> Floats:
        """What the load can feel, as a share of capacity."""

    def keep(self, chosen: Places) -> None:
        """Forget all cells but these."""


class IdealCharge:
    """Buckets."""

    def __init__(self, capacity_mah: Floats, state_of_charge: float) -> None:
        self.capacity_mah = capacity_mah
        self.stored_mah = capacity_mah * state_of_charge

    def step(self, drain_mah: Floats) -> None:
        """See `Charge`."""
        self.stored_mah = np.minimum(self.stored_mah - drain_mah, self.capacity_mah)

    def available(self) -> Floats:
        """See `Charge`."""
        return self.stored_mah / self.capacity_mah

    def keep(self, chosen: Places) -> None:
        """See `Charge`."""
        self.capacity_mah, self.stored_mah = self.capacity_mah[chosen], self.stored_mah[chosen]


class KibamCharge(IdealCharge):
    """Two wells; see `firmware_sim.power.kibam` for the coordinates q and d."""

    def __init__(self, model: KibamModel, capacity_mah: Floats, state_of_charge: float) -> None:
        super().__init__(capacity_mah, state_of_charge)
        self._c = model.c
        self._k_per_h = model.k_per_ms * MS_PER_HOUR
        self._gone = -math.expm1(-self._k_per_h)
        self._difference_mah = np.zeros_like(capacity_mah)

    def step(self, drain_mah: Floats) -> None:
        """See `Charge`. Where a cell fills within the hour, the rise up to there is taken as straight."""
        before = self._height_mah()
        stored_mah, difference_mah = self.stored_mah, self._difference_mah
        self._difference_mah = difference_mah + (drain_mah / (self._c * self._k_per_h) - difference_mah) * self._gone
        self.stored_mah = stored_mah - drain_mah
        over = np.flatnonzero(self._height_mah() > self.capacity_mah)
        if len(over):
            rise = (self._height_mah() - before)[over]
            until_full = np.clip((self.capacity_mah - before)[over] / np.maximum(rise, TINY_MAH), 0.0, 1.0)
            self._hold_full(over, difference_mah[over], drain_mah[over], until_full)

    def _hold_full(self, over: Places, difference_mah: Floats, drain_mah: Floats, until_full_h: Floats) -> None:
        """Charge up to full, then the taper, in which the difference decays at c k'; see `KibamModel.charge`."""
        gone = -np.expm1(-self._k_per_h * until_full_h)
        difference_mah = difference_mah + (drain_mah / (self._c * self._k_per_h) - difference_mah) * gone
        difference_mah = difference_mah * np.exp(-self._c * self._k_per_h * (1 - until_full_h))
        self._difference_mah[over] = difference_mah
        self.stored_mah[over] = self.capacity_mah[over] + (1 - self._c) * np.minimum(0.0, difference_mah)

    def _height_mah(self) -> Floats:
        return np.asarray(self.stored_mah - (1 - self._c) * self._difference_mah)

    def available(self) -> Floats:
        """See `Charge`."""
        return self._height_mah() / self.capacity_mah

    def keep(self, chosen: Places) -> None:
        """See `Charge`."""
        super().keep(chosen)
        self._difference_mah = self._difference_mah[chosen]


class RakhmatovCharge(IdealCharge):
    """Diffusion: ten terms a cell."""

    def __init__(self, model: RakhmatovModel, capacity_mah: Floats, state_of_charge: float) -> None:
        super().__init__(capacity_mah, state_of_charge)
        self._per_h = np.array(model.rates_per_ms)[:, None] * MS_PER_HOUR
        self._gone = -np.expm1(-self._per_h)
        self._unavailable_mah = np.zeros((len(self._per_h), len(capacity_mah)))

    def step(self, drain_mah: Floats) -> None:
        """See `Charge`."""
        before_mah = self.stored_mah
        super().step(drain_mah)
        drain_mah = before_mah - self.stored_mah
        self._unavailable_mah += (2 * drain_mah / self._per_h - self._unavailable_mah) * self._gone

    def available(self) -> Floats:
        """See `Charge`."""
        return np.asarray(np.minimum(1.0, (self.stored_mah - self._unavailable_mah.sum(axis=0)) / self.capacity_mah))

    def keep(self, chosen: Places) -> None:
        """See `Charge`."""
        super().keep(chosen)
        self._unavailable_mah = self._unavailable_mah[:, chosen]


def charge_of(model: BatteryModel, capacity_mah: Floats, state_of_charge: float) -> Charge:
    """Return the array form of a scalar model."""
    if isinstance(model, KibamModel):
        return KibamCharge(model, capacity_mah, state_of_charge)
    if isinstance(model, RakhmatovModel):
        return RakhmatovCharge(model, capacity_mah, state_of_charge)
    return IdealCharge(capacity_mah, state_of_charge)


@dataclass(frozen=True, slots=True)
class Climate:
    """What temperature does, looked up: each a value for every hour and cell."""

    leak_share: Floats
    capacity_factor: Floats
    resistance_factor: Floats
    ageing_speed: Floats
    voltage_mv: Floats
    may_charge: Flags


@dataclass(frozen=True, slots=True)
class Standing:
    """Where cells stand: voltage at rest, resistances, and whether they can carry any load."""

    open_mv: Floats
    ohm: Floats
    polar_ohm: Floats
    is_empty: Flags


class CellTables:
    """One kind of cell as tables; made once, read by every block of lives."""

    def __init__(self, spec: CellSpec, series_resistance_ohm: float = 0.0) -> None:
        self.spec = spec
        self._series_ohm = series_resistance_ohm
        steps = round((WARMEST_C - COLDEST_C) * STEPS_PER_K)
        degrees = [COLDEST_C + n / STEPS_PER_K for n in range(steps + 1)]
        self._leak_share = np.array([spec.leak_ma(c) / spec.capacity_mah for c in degrees])
        self._capacity = np.array([spec.capacity_factor(c) for c in degrees])
        self._resistance = np.array([spec.resistance_factor(c) for c in degrees])
        ageing = spec.ageing
        self._ageing = np.array([ageing.speed(c) if ageing else 0.0 for c in degrees])
        shares = [n / SHARE_STEPS for n in range(SHARE_STEPS + 2)]  # one more, for the slope at the very top
        self._open_mv = np.array([spec.curve.open_circuit_mv(min(x, 1.0)) for x in shares])
        self._ohm = np.array([spec.resistance_ohm(min(x, 1.0)) for x in shares])
        self._polar_ohm = np.array([spec.curve.polarisation_ohm(min(x, 1.0)) for x in shares])

    def climate(self, temperature_c: Floats) -> Climate:
        """Look a temperature up, in the nearest step."""
        spec, charging = self.spec, self.spec.charging
        at = np.rint((temperature_c - COLDEST_C) * STEPS_PER_K).astype(np.intp)
        np.clip(at, 0, len(self._leak_share) - 1, out=at)
        can = (
            np.zeros(temperature_c.shape, dtype=np.bool_)
            if charging is None
            else (temperature_c >= charging.temperature_min_c) & (temperature_c <= charging.temperature_max_c)
        )
        return Climate(
            leak_share=self._leak_share[at],
            capacity_factor=self._capacity[at],
            resistance_factor=self._resistance[at],
            ageing_speed=self._ageing[at],
            voltage_mv=spec.temperature_mv_per_k * (temperature_c - 20.0),
            may_charge=can,
        )

    def health(self, cycles: Floats, aged_years: Floats) -> Floats:
        """Return the share of the capacity that age has left."""
        ageing = self.spec.ageing
        if ageing is None:
            return np.ones_like(cycles)
        return np.maximum(0.0, 1.0 - ageing.fade_per_cycle * cycles - ageing.fade_per_year * aged_years)

    def window(self, health: Floats, capacity_factor: Floats) -> Floats:
        """Return the share of the charge that is within reach."""
        return np.maximum(WINDOW_MIN, (1 - self.spec.cutoff_share) * health * capacity_factor)

    def standing(self, available: Floats, window: Floats, health: Floats, climate: Climate) -> Standing:
        """Return the voltage at rest and the resistances; see `firmware_sim.power.battery` for what each means."""
        spec, cutoff = self.spec, self.spec.cutoff_share
        floor = 1 - window
        share = cutoff + (available - floor) / window * (1 - cutoff)
        place = np.clip(share, 0.0, 1.0) * SHARE_STEPS
        at = place.astype(np.intp)
        rest = place - at
        growth = spec.ageing.resistance_growth * (1 - health) / END_OF_LIFE_FADE if spec.ageing else 0.0
        ohm = _between(self._ohm, at, rest) * climate.resistance_factor * (1 + growth)
        return Standing(
            open_mv=spec.series * (_between(self._open_mv, at, rest) + climate.voltage_mv),
            ohm=spec.series * ohm + self._series_ohm,
            polar_ohm=spec.series * _between(self._polar_ohm, at, rest),
            is_empty=available <= floor + EMPTY_TOLERANCE,
        )


def _between(table: Floats, at: Places, rest: Floats) -> Floats:
    low = table[at]
    return low + (table[at + 1] - low) * rest
