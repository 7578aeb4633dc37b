"""From which state of charge on it is certain that no load of a given size browns a device out.

A device in good health draws a million times and nothing happens. With this bound a battery knows beforehand that
nothing will (`Battery.spend`), and books such draws together, later. The bound holds over whole parts of the curve:
between two neighbouring marks a table is straight and Shepherd's curve is monotone, so the ends of a part have its
extremes.
"""

import math
from itertools import pairwise

from firmware_sim.power.cells import CellSpec

PARTS = 64  # of the curve: fine enough that a healthy cell is sure of nearly all that it can carry
MARGIN_MV = 1.0  # far above rounding
WORST_SCALE = 1.3  # how much more resistance than now the bound allows for: a fall of some ten degrees
SCALE_SPARE = 1.02  # how much of it age may add before the next look
COLDEST_MV = 50.0  # and by how much less voltage, for a cell: 20 degrees at 2.5 mV/K
SHARE_MARGIN = 0.01  # of the curve: what ageing moves between two looks at the bound is far below


class SureBound:
    """The bound of one battery, found anew when a load, cold or age goes beyond what it was found for."""

    __slots__ = ("_brownout_mv", "_coldest_mv", "_series_ohm", "_share", "_spec", "_worst_scale", "load_ma")

    def __init__(self, spec: CellSpec, brownout_mv: float, series_ohm: float) -> None:
        self._spec, self._brownout_mv, self._series_ohm = spec, brownout_mv, series_ohm
        self.load_ma = -1.0  # the largest load that it holds for
        self._share, self._worst_scale, self._coldest_mv = math.inf, 0.0, math.inf

    def share(self, load_ma: float, resistance_scale: float, temperature_mv: float) -> float:
        """Return the share from which on loads up to this one, and all before it, are certain; see `sure_share`."""
        beyond = resistance_scale * SCALE_SPARE > self._worst_scale or temperature_mv < self._coldest_mv
        if beyond or load_ma > self.load_ma:
            # Some way beyond what is: the weather of the next days asks for no new bound.
            self.load_ma = max(load_ma, self.load_ma)
            self._worst_scale, self._coldest_mv = resistance_scale * WORST_SCALE, temperature_mv - COLDEST_MV
            self._share = sure_share(
                self._spec,
                self.load_ma,
                self._brownout_mv,
                temperature_mv=self._coldest_mv,
                resistance_scale=self._worst_scale,
                series_ohm=self._series_ohm,
            )
        return self._share

    def holds(self, load_ma: float, resistance_scale: float, temperature_mv: float) -> bool:
        """Whether it is known already that a full cell can carry this load; finds nothing anew."""
        milder = resistance_scale <= self._worst_scale and temperature_mv >= self._coldest_mv
        return milder and load_ma <= self.load_ma and self._share <= 1.0


def sure_share(
    spec: CellSpec,
    load_ma: float,
    brownout_mv: float,
    *,
    temperature_mv: float,
    resistance_scale: float,
    series_ohm: float,
) -> float:
    """Return the share of the voltage curve at and above which loads up to `load_ma` stay over `brownout_mv`.

    Also loads that have lasted: the cell's filtered current is taken to be as high. Infinite where even a full cell
    would not do.
    """
    marks = sorted({n / PARTS for n in range(PARTS + 1)} | set(spec.curve.corners) | set(spec.resistance_ohm.corners))
    sure = math.inf
    for high, low in pairwise(reversed([mark for mark in marks if 0 <= mark <= 1])):
        open_mv = min(spec.curve.open_circuit_mv(low), spec.curve.open_circuit_mv(high)) + temperature_mv
        ohm = max(spec.resistance_ohm(low), spec.resistance_ohm(high)) * resistance_scale
        polar_ohm = max(spec.curve.polarisation_ohm(low), spec.curve.polarisation_ohm(high))
        loaded_mv = spec.series * (open_mv - load_ma * (ohm + polar_ohm)) - load_ma * series_ohm
        if loaded_mv < brownout_mv + MARGIN_MV:
            break
        sure = low + SHARE_MARGIN
    return sure
