"""What a battery's charge does under load: the interface, the two simple models, and the factory for all four.

A model knows charge and time, nothing of volts or temperature; `battery.py` puts those on top. Promises of every model:

* `draw` and `charge` take a constant current over a span and are exact: splitting a span changes nothing but rounding.
* A load that cannot be carried to the end of its span is carried to the instant the cell gives up, and time stops
  there; `draw` returns that instant. A current of zero can always be carried.
* `stored_uc` is what is in the cell. `available_fraction` is what the load can feel (0: the load dies now). They
  differ in the models with a bound charge, and meet again when the cell rests: that is the recovery effect.
* Emptiness is a state, not a verdict: a cell that rests or is charged can serve again.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from firmware_sim.power.draws import Load
from firmware_sim.power.errors import PowerValueError
from firmware_sim.power.units import UC_PER_MAH

EMPTY_TOLERANCE = 1e-9
"""Share of the capacity under which a cell counts as empty: rounding left by the instant of death, and no more."""

ModelState = dict[str, float | list[float]]
"""A model's changing part, of plain numbers, ready for JSON."""


class BatteryModel(Protocol):
    """One cell's charge over time. `capacity_uc` is the charge that a full cell holds."""

    capacity_uc: float
    stored_uc: float

    @property
    def available_fraction(self) -> float:
        """What the load can feel, as a share of capacity; 1 full and rested, 0 empty."""

    def drain_ma(self, current_ma: float) -> float:
        """Return the current at which the store empties under a load; more than the load only by Peukert's law."""

    def draw(self, current_ma: float, duration_ms: float, floor: float = 0.0) -> float:
        """Carry `current_ma` >= 0 for `duration_ms`, or until `available_fraction` meets `floor`; return the ms
        carried."""

    @property
    def fall_max(self) -> float:
        """By how much `assured_uc` falls at most for each uC that is drawn, however fast."""

    @property
    def assured_uc(self) -> float:
        """What the load can feel at the least, now and after any rest: `available_fraction` is not below it."""

    def advance(self, loads: Iterable[Load], leak_ma: float) -> None:
        """Carry one load after the other, each with `leak_ma` on top; it is known that all of them can be carried."""

    def charge(self, current_ma: float, duration_ms: float) -> float:
        """Offer `current_ma` >= 0 for all of `duration_ms`; return the charge that went in, uC (less when full)."""

    def snapshot(self) -> ModelState:
        """Return the changing part."""

    def restore(self, state: Mapping[str, float | list[float]]) -> None:
        """Take up a state that `snapshot` of the same model gave."""


def is_empty(model: BatteryModel, floor: float = 0.0) -> bool:
    """Say whether a load would die at once."""
    return model.available_fraction <= floor + EMPTY_TOLERANCE


def state_of_charge(model: BatteryModel) -> float:
    """Return the stored charge as a share of capacity."""
    return model.stored_uc / model.capacity_uc


def number(state: Mapping[str, float | list[float]], key: str) -> float:
    """Take one number out of a snapshot; PowerValueError when it is not there or no number."""
    value = state.get(key)
    if not isinstance(value, int | float):
        raise PowerValueError(f"snapshot.{key}", "a number", value)
    return float(value)


def checked(field: str, value: float, low: float, high: float = float("inf")) -> float:
    """Return `value` if low < value <= high; PowerValueError otherwise (also for nan)."""
    if not low < value <= high:
        raise PowerValueError(field, f"over {low} and at most {high}", value)
    return value


class IdealModel:
    """A bucket: every coulomb comes out, whatever the current."""

    __slots__ = ("capacity_uc", "stored_uc")
    fall_max = 1.0

    def __init__(self, capacity_mah: float, state_of_charge: float = 1.0) -> None:
        self.capacity_uc = checked("capacity_mah", capacity_mah, 0.0) * UC_PER_MAH
        self.stored_uc = self.capacity_uc * state_of_charge

    @property
    def available_fraction(self) -> float:
        """All that is stored."""
        return self.stored_uc / self.capacity_uc

    def drain_ma(self, current_ma: float) -> float:
        """Return the current at which the store empties under a load."""
        return current_ma

    def draw(self, current_ma: float, duration_ms: float, floor: float = 0.0) -> float:
        """Carry a load; see BatteryModel."""
        drain_ma = self.drain_ma(current_ma)
        wanted_uc = drain_ma * duration_ms
        spare_uc = self.stored_uc - floor * self.capacity_uc
        if wanted_uc <= spare_uc or drain_ma == 0:
            self.stored_uc -= wanted_uc
            return duration_ms
        if spare_uc <= 0:
            return 0.0
        self.stored_uc -= spare_uc
        return spare_uc / drain_ma

    @property
    def assured_uc(self) -> float:
        """All that is stored."""
        return self.stored_uc

    def advance(self, loads: Iterable[Load], leak_ma: float) -> None:
        """Carry loads of which it is known that they can be carried."""
        stored_uc = self.stored_uc
        for _, current_ma, duration_ms in loads:
            stored_uc -= (current_ma + leak_ma) * duration_ms
        self.stored_uc = stored_uc

    def charge(self, current_ma: float, duration_ms: float) -> float:
        """Take charge up to capacity; see BatteryModel."""
        accepted_uc = max(0.0, min(current_ma * duration_ms, self.capacity_uc - self.stored_uc))
        self.stored_uc += accepted_uc
        return accepted_uc

    def snapshot(self) -> ModelState:
        """Return the stored charge."""
        return {"stored_uc": self.stored_uc}

    def restore(self, state: Mapping[str, float | list[float]]) -> None:
        """Take up a snapshot."""
        self.stored_uc = number(state, "stored_uc")


class PeukertModel(IdealModel):
    """Peukert's law (1897): capacity at current I is C (I_ref / I)^(exponent - 1), C being the capacity at I_ref.

    At and below `reference_ma` the cell gives its rated capacity and no more: continued downwards the law would
    promise a sensor's sleep current a capacity that no cell has. Peukert knows no recovery.
    """

    __slots__ = ("exponent", "reference_ma")

    def __init__(self, capacity_mah: float, exponent: float, reference_ma: float, state_of_charge: float = 1.0) -> None:
        super().__init__(capacity_mah, state_of_charge)
        if not 1.0 <= exponent <= 2.0:  # 1 is ideal; lead-acid, the worst in use, is about 1.3
            raise PowerValueError("exponent", "1 to 2", exponent)
        self.exponent = exponent
        self.reference_ma = checked("reference_ma", reference_ma, 0.0)

    def drain_ma(self, current_ma: float) -> float:
        """Return I (I / I_ref)^(exponent - 1) above the reference current."""
        if current_ma <= self.reference_ma:
            return current_ma
        return float(current_ma * (current_ma / self.reference_ma) ** (self.exponent - 1))

    def advance(self, loads: Iterable[Load], leak_ma: float) -> None:
        """Carry loads of which it is known that they can be carried."""
        for _, current_ma, duration_ms in loads:
            self.stored_uc -= self.drain_ma(current_ma + leak_ma) * duration_ms
