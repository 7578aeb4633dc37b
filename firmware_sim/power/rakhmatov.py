"""The diffusion model of Rakhmatov and Vrudhula, as a running state.

Source: D. Rakhmatov, S. Vrudhula, D. A. Wallach, "Battery lifetime prediction for energy-aware computing", ISLPED 2002.
Under a load i(t) the apparent charge lost at time L is

    sigma(L) = integral i dt + 2 sum_{m=1..10} integral i(t) e^(-b^2 m^2 (L - t)) dt

and the cell gives up when sigma = alpha. The sum is cut at ten terms, as in the paper: the cut is part of the published
figures. Each term obeys u' = 2 i - b^2 m^2 u, so ten numbers replace the load's whole history, and splitting a span
changes nothing. Charging is outside the paper: it is a negative load until all that was drawn is back.
"""

import math
from collections.abc import Iterable, Mapping

from firmware_sim.power.draws import Load
from firmware_sim.power.errors import PowerValueError
from firmware_sim.power.models import EMPTY_TOLERANCE, ModelState, checked, number
from firmware_sim.power.units import UC_PER_MAH

TERMS = 10  # as published; see above
MS_PER_MINUTE = 60_000
RESOLUTION_MS = 1e-6  # a nanosecond: far under any firmware's timer


class RakhmatovModel:
    """alpha is the capacity; `beta_per_sqrt_min` the published beta in 1/sqrt(min)."""

    __slots__ = ("_rates", "_unavailable", "capacity_uc", "stored_uc")

    def __init__(self, capacity_mah: float, beta_per_sqrt_min: float, state_of_charge: float = 1.0) -> None:
        self.capacity_uc = checked("capacity_mah", capacity_mah, 0.0) * UC_PER_MAH
        per_ms = checked("beta_per_sqrt_min", beta_per_sqrt_min, 0.0) ** 2 / MS_PER_MINUTE
        self._rates = [per_ms * m * m for m in range(1, TERMS + 1)]
        self._unavailable = [0.0] * TERMS
        self.stored_uc = self.capacity_uc * state_of_charge

    @property
    def rates_per_ms(self) -> tuple[float, ...]:
        """The decay of each term, b^2 m^2."""
        return tuple(self._rates)

    @property
    def available_fraction(self) -> float:
        """1 - sigma / alpha."""
        return min(1.0, (self.stored_uc - sum(self._unavailable)) / self.capacity_uc)

    def _terms_at(self, current_ma: float, at_ms: float) -> list[float]:
        return [
            u + (2 * current_ma / rate - u) * -math.expm1(-rate * at_ms)
            for u, rate in zip(self._unavailable, self._rates, strict=True)
        ]

    @property
    def fall_max(self) -> float:
        """The charge itself, and twice that for each term: as if nothing of it ever came back."""
        return 1.0 + 2 * TERMS

    @property
    def assured_uc(self) -> float:
        """What is stored, without what the terms withhold; what they give after a charge is not counted."""
        return self.stored_uc - sum(max(0.0, term) for term in self._unavailable)

    def advance(self, loads: Iterable[Load], leak_ma: float) -> None:
        """Carry loads of which it is known that they can be carried; see BatteryModel."""
        for _, current_ma, duration_ms in loads:
            self._carry(current_ma + leak_ma, duration_ms)

    def _carry(self, current_ma: float, duration_ms: float) -> None:
        """Carry a load that can be carried (negative: a charge)."""
        self._unavailable = self._terms_at(current_ma, duration_ms)
        self.stored_uc -= current_ma * duration_ms

    def drain_ma(self, current_ma: float) -> float:
        """Return the load itself: diffusion withholds charge, it loses none."""
        return current_ma

    def draw(self, current_ma: float, duration_ms: float, floor: float = 0.0) -> float:
        """Carry a load; see BatteryModel."""
        if current_ma > 0:
            died_ms = self._first_crossing_ms(current_ma, duration_ms, self.stored_uc - floor * self.capacity_uc)
            if died_ms is not None:
                self._carry(current_ma, died_ms)
                return died_ms
        self._carry(current_ma, duration_ms)
        return duration_ms

    def _first_crossing_ms(self, current_ma: float, duration_ms: float, spare_uc: float) -> float | None:
        """Return the first instant at which drawn + unavailable charge reaches `spare_uc`, or None.

        sigma need not be monotone (slow terms may drain while fast ones fill), so the span is halved under a bound that
        holds: within a part, the drawn charge is at most its end's, and each term, being monotone, at most its larger
        end.
        """
        if sum(self._unavailable) > spare_uc + EMPTY_TOLERANCE * self.capacity_uc:
            return 0.0
        start = (0.0, self._unavailable)
        parts = [(start, (duration_ms, self._terms_at(current_ma, duration_ms)))]
        while parts:
            (low_ms, low), (high_ms, high) = parts.pop()
            if current_ma * high_ms + sum(map(max, low, high)) < spare_uc:
                continue
            if high_ms - low_ms <= RESOLUTION_MS:
                if current_ma * high_ms + sum(high) >= spare_uc:
                    return low_ms
                continue
            middle_ms = low_ms + (high_ms - low_ms) / 2
            middle = (middle_ms, self._terms_at(current_ma, middle_ms))
            parts += [(middle, (high_ms, high)), ((low_ms, low), middle)]
        return None

    def charge(self, current_ma: float, duration_ms: float) -> float:
        """Take charge until all that was drawn is back; see BatteryModel."""
        accepted_uc = max(0.0, min(current_ma * duration_ms, self.capacity_uc - self.stored_uc))
        taking_ms = accepted_uc / current_ma if current_ma > 0 else 0.0
        self._carry(-current_ma, taking_ms)
        self._carry(0.0, duration_ms - taking_ms)
        return accepted_uc

    def snapshot(self) -> ModelState:
        """Return the stored charge and the ten terms."""
        return {"stored_uc": self.stored_uc, "unavailable_uc": list(self._unavailable)}

    def restore(self, state: Mapping[str, float | list[float]]) -> None:
        """Take up a snapshot."""
        terms = state.get("unavailable_uc")
        if not isinstance(terms, list) or len(terms) != TERMS:
            raise PowerValueError("snapshot.unavailable_uc", f"{TERMS} numbers", terms)
        self.stored_uc = number(state, "stored_uc")
        self._unavailable = [float(term) for term in terms]
