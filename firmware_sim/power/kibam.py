"""KiBaM, the kinetic battery model: charge that is ready and charge that must first seep through.

Source: J. F. Manwell and J. G. McGowan, "Lead acid battery storage model for hybrid energy systems", Solar Energy 50
(1993) 399-405. Two wells, y1 available (share c of the capacity) and y2 bound, joined by a valve of rate k'. Here in
the coordinates of Jongerden and Haverkort ("Which battery model to use?", IET Software 3 (2009) 445-457): the
stored charge q = y1 + y2 and the difference of the wells' heights d = y2/(1-c) - y1/c, for which a constant current I
gives

    q(t) = q - I t        d(t) = d e^(-k't) + I / (c k') (1 - e^(-k't))        y1 = c (q - (1-c) d)

The same solution as the published y1(t), y2(t), but q is plain subtraction, so that the books close to the last bit.
The cell is empty when y1 = 0 and full when y1 = c C; at full the charger's current tapers (constant voltage), also
exactly.
"""

import math
from collections.abc import Iterable, Mapping

from firmware_sim.power.draws import Load
from firmware_sim.power.models import EMPTY_TOLERANCE, ModelState, checked, number
from firmware_sim.power.roots import falling_root
from firmware_sim.power.units import MS_PER_HOUR, UC_PER_MAH


class KibamModel:
    """Two wells. `c` is the available share (0 < c < 1), `k_per_hour` the published k' in 1/h."""

    __slots__ = ("c", "capacity_uc", "difference_uc", "k_per_ms", "stored_uc")

    def __init__(self, capacity_mah: float, c: float, k_per_hour: float, state_of_charge: float = 1.0) -> None:
        self.capacity_uc = checked("capacity_mah", capacity_mah, 0.0) * UC_PER_MAH
        self.c = checked("c", c, 0.0, 1.0 - 1e-9)  # c = 1 is the ideal model: no bound well to seep from
        self.k_per_ms = checked("k_per_hour", k_per_hour, 0.0) / MS_PER_HOUR
        self.stored_uc = self.capacity_uc * state_of_charge
        self.difference_uc = 0.0

    @property
    def available_fraction(self) -> float:
        """Height of the available well, 1 when full."""
        return (self.stored_uc - (1 - self.c) * self.difference_uc) / self.capacity_uc

    @property
    def available_uc(self) -> float:
        """The published y1."""
        return self.c * (self.stored_uc - (1 - self.c) * self.difference_uc)

    @property
    def bound_uc(self) -> float:
        """The published y2."""
        return self.stored_uc - self.available_uc

    def _height_uc(self, current_ma: float, at_ms: float) -> float:
        """Return y1 / c after `at_ms` of `current_ma` (negative: charging)."""
        gone = -math.expm1(-self.k_per_ms * at_ms)
        difference = self.difference_uc + (current_ma / (self.c * self.k_per_ms) - self.difference_uc) * gone
        return self.stored_uc - current_ma * at_ms - (1 - self.c) * difference

    @property
    def fall_max(self) -> float:
        """1/c: at worst all of it comes out of the available well, and nothing seeps through."""
        return 1 / self.c

    @property
    def assured_uc(self) -> float:
        """The height of the available well, or, where it would seep away, what both wells hold."""
        return self.stored_uc - (1 - self.c) * max(0.0, self.difference_uc)

    def advance(self, loads: Iterable[Load], leak_ma: float) -> None:
        """Carry loads of which it is known that they can be carried; see BatteryModel."""
        for _, current_ma, duration_ms in loads:
            self._carry(current_ma + leak_ma, duration_ms)

    def _carry(self, current_ma: float, duration_ms: float) -> None:
        """Carry a load that can be carried (negative: a charge that finds room)."""
        gone = -math.expm1(-self.k_per_ms * duration_ms)
        self.difference_uc += (current_ma / (self.c * self.k_per_ms) - self.difference_uc) * gone
        self.stored_uc -= current_ma * duration_ms

    def _turn_ms(self, current_ma: float, duration_ms: float) -> float:
        """Return when y1 turns round within the span (it can once, having one exponential), else 0."""
        pull = (1 - self.c) * (self.k_per_ms * self.difference_uc - current_ma / self.c)
        if current_ma == 0 or pull / current_ma <= 1:
            return 0.0
        return min(math.log(pull / current_ma) / self.k_per_ms, duration_ms)

    def drain_ma(self, current_ma: float) -> float:
        """Return the load itself: KiBaM binds charge, it loses none."""
        return current_ma

    def draw(self, current_ma: float, duration_ms: float, floor: float = 0.0) -> float:
        """Carry a load; see BatteryModel. The instant of death is found by bisection on the closed form."""
        floor_uc = floor * self.capacity_uc
        if current_ma == 0 or self._height_uc(current_ma, duration_ms) > floor_uc:
            if current_ma and self.available_fraction < floor - EMPTY_TOLERANCE:
                return 0.0  # the well is filling, but is still under the mark
            self._carry(current_ma, duration_ms)
            return duration_ms
        # y1 either only falls, or rises to one peak and then falls: past the peak there is exactly one crossing
        safe_ms = self._turn_ms(current_ma, duration_ms)
        if self._height_uc(current_ma, safe_ms) <= floor_uc or self.available_fraction < floor - EMPTY_TOLERANCE:
            return 0.0
        died_ms = falling_root(lambda at_ms: self._height_uc(current_ma, at_ms) - floor_uc, safe_ms, duration_ms)
        self._carry(current_ma, died_ms)
        return died_ms

    def charge(self, current_ma: float, duration_ms: float) -> float:
        """Take charge: constant current until the available well is full, then the taper; see BatteryModel."""
        before_uc = self.stored_uc
        full_uc = self.capacity_uc
        if self._height_uc(-current_ma, duration_ms) <= full_uc:
            self._carry(-current_ma, duration_ms)
            return self.stored_uc - before_uc
        safe_ms = self._turn_ms(-current_ma, duration_ms)
        if self._height_uc(-current_ma, safe_ms) < full_uc:
            full_ms = falling_root(lambda at_ms: full_uc - self._height_uc(-current_ma, at_ms), safe_ms, duration_ms)
        else:
            full_ms = safe_ms
        self._carry(-current_ma, full_ms)
        # with y1 held full the difference decays at c k' (q' = (1-c) d' and d' = q'/-c - k' d)
        self.difference_uc *= math.exp(-self.c * self.k_per_ms * (duration_ms - full_ms))
        self.stored_uc = full_uc + (1 - self.c) * min(0.0, self.difference_uc)
        return max(0.0, self.stored_uc - before_uc)

    def sustainable_ma(self, duration_ms: float, floor: float = 0.0) -> float:
        """Return the largest constant current that the cell carries for all of `duration_ms` (0 when empty).

        The height is linear in the current, so two points give it.
        """
        at_rest = self._height_uc(0.0, duration_ms) - floor * self.capacity_uc
        per_ma = self._height_uc(0.0, duration_ms) - self._height_uc(1.0, duration_ms)
        return max(0.0, at_rest / per_ma)

    def snapshot(self) -> ModelState:
        """Return the two coordinates."""
        return {"stored_uc": self.stored_uc, "difference_uc": self.difference_uc}

    def restore(self, state: Mapping[str, float | list[float]]) -> None:
        """Take up a snapshot."""
        self.stored_uc = number(state, "stored_uc")
        self.difference_uc = number(state, "difference_uc")
