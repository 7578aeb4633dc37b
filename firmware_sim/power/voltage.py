"""Open-circuit voltage and internal resistance as functions of what is left in a cell."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

from firmware_sim.power.errors import PowerValueError

EMPTY_SHARE_MIN = 1e-6
"""Shepherd's curve falls without end at empty; it is cut here, far below every cut-off voltage."""


class Table:
    """A piecewise linear function through (x, y) points, held level outside them."""

    __slots__ = ("_slopes", "_xs", "_ys")

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self._xs = [x for x, _ in points]
        self._ys = [y for _, y in points]
        if not points or any(a >= b for a, b in zip(self._xs, self._xs[1:], strict=False)):
            raise PowerValueError("points", "one or more (x, y) with x rising", list(points))
        self._slopes = [
            (self._ys[i + 1] - self._ys[i]) / (self._xs[i + 1] - self._xs[i]) for i in range(len(points) - 1)
        ]

    @property
    def corners(self) -> tuple[float, ...]:
        """Where it bends: between two of them it is straight."""
        return tuple(self._xs)

    def __call__(self, x: float) -> float:
        """Return y at x."""
        i = bisect_right(self._xs, x) - 1
        if i < 0:
            return self._ys[0]
        if i >= len(self._slopes):
            return self._ys[-1]
        return self._ys[i] + (x - self._xs[i]) * self._slopes[i]

    def scaled(self, factor: float) -> "Table":
        """Return the function times `factor`."""
        return Table([(x, y * factor) for x, y in zip(self._xs, self._ys, strict=True)])


class VoltageCurve(Protocol):
    """What a cell shows at rest, and what a current that flows for longer adds to its resistance."""

    @property
    def corners(self) -> tuple[float, ...]:
        """States of charge between which the curve is straight; none where it only rises with the charge."""

    def open_circuit_mv(self, state_of_charge: float) -> float:
        """Return the resting voltage at 20 degrees Celsius."""

    def polarisation_ohm(self, state_of_charge: float) -> float:
        """Return the resistance that builds up with the filtered current (0 where the data has none)."""

    def resized(self, ratio: float) -> "VoltageCurve":
        """Return the curve of a cell with `ratio` times the capacity."""


class TableCurve:
    """Open-circuit voltage read off a table of (state of charge, mV); no polarisation."""

    __slots__ = ("_table",)

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self._table = Table(points)

    @property
    def corners(self) -> tuple[float, ...]:
        """The table's own."""
        return self._table.corners

    def open_circuit_mv(self, state_of_charge: float) -> float:
        """Return the table's value."""
        return self._table(state_of_charge)

    def polarisation_ohm(self, state_of_charge: float) -> float:  # noqa: ARG002  part of the protocol
        """Return 0: a table of resting voltages says nothing of it."""
        return 0.0

    def resized(self, ratio: float) -> "TableCurve":  # noqa: ARG002  part of the protocol
        """Return itself: the resting voltage knows shares, not sizes."""
        return self


class ShepherdCurve:
    """Shepherd's curve with the exponential zone, three points of a datasheet's discharge curve turned into a voltage.

    Source: O. Tremblay, L.-A. Dessaint, "Experimental validation of a battery dynamic model for EV applications", World
    Electric Vehicle Journal 3 (2009); parameters as in ns-3's generic battery model. With q the charge gone (Ah):
    V = E0 - R i - K Q/(Q-q) (q + i*) + A exp(-B q), i* being the current filtered by the cell's response time.
    """

    __slots__ = ("_a", "_b", "_datasheet", "_e0", "_k", "_q_ah")

    def __init__(
        self,
        full_v: float,
        nominal_v: float,
        exponential_v: float,
        rated_ah: float,
        nominal_ah: float,
        exponential_ah: float,
        resistance_ohm: float,
        rated_current_a: float,
    ) -> None:
        if not 0 < exponential_ah < nominal_ah < rated_ah:
            raise PowerValueError(
                "exponential_ah, nominal_ah, rated_ah", "rising", (exponential_ah, nominal_ah, rated_ah)
            )
        self._a = full_v - exponential_v
        self._b = 3 / exponential_ah  # three time constants: the exponential zone is over at 95 %
        sag_v = resistance_ohm * rated_current_a
        self._e0 = full_v + sag_v - self._a
        self._k = (self._e0 - nominal_v - sag_v + self._a * math.exp(-self._b * nominal_ah)) / (
            rated_ah / (rated_ah - nominal_ah) * (nominal_ah + rated_current_a)
        )
        self._q_ah = rated_ah
        self._datasheet = (
            full_v,
            nominal_v,
            exponential_v,
            rated_ah,
            nominal_ah,
            exponential_ah,
            resistance_ohm,
            rated_current_a,
        )

    def resized(self, ratio: float) -> "ShepherdCurve":
        """Return the curve of a cell with `ratio` times the plates: the same voltage, 1/ratio of the polarisation."""
        full_v, nominal_v, exponential_v, rated_ah, nominal_ah, exponential_ah, ohm, current_a = self._datasheet
        charges = (rated_ah * ratio, nominal_ah * ratio, exponential_ah * ratio)
        return ShepherdCurve(full_v, nominal_v, exponential_v, *charges, ohm / ratio, current_a * ratio)

    @property
    def corners(self) -> tuple[float, ...]:
        """None: it only rises with the charge, and its polarisation only falls."""
        return ()

    def open_circuit_mv(self, state_of_charge: float) -> float:
        """Return E0 - K Q/(Q-q) q + A exp(-B q), in mV and not below 0."""
        gone_ah = self._q_ah * (1 - state_of_charge)
        share = max(EMPTY_SHARE_MIN, state_of_charge)
        open_mv = 1000 * (self._e0 - self._k / share * gone_ah + self._a * math.exp(-self._b * gone_ah))
        return max(0.0, open_mv)

    def polarisation_ohm(self, state_of_charge: float) -> float:
        """Return K Q/(Q-q)."""
        return self._k / max(state_of_charge, EMPTY_SHARE_MIN)
