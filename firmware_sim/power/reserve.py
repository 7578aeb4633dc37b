"""Where on its voltage curve a pulse browns a device out: the charge below it is a reserve that no pulse can have.

The voltage under the pulse falls with the charge, so the place is found by bisection, sixty looks at the curve. Only
warmth, age and another pulse move it, and age moves it so little from one report to the next that a single step of
Newton's method follows it.
"""

import math
from collections.abc import Callable

from firmware_sim.power.roots import falling_root

NEWTON_STEP_MAX = 1e-7  # share of the charge; a longer way may pass a corner of the curve, and is looked for anew


class Reserve:
    """The place of one battery, as it was last asked for."""

    __slots__ = ("_asked", "_gone", "_slope")

    def __init__(self) -> None:
        self._asked: tuple[float, ...] = ()
        self._gone, self._slope = 1.0, math.nan

    def gone(self, spare_mv: Callable[[float], float], *asked: float) -> float:
        """Return at which share gone `spare_mv` falls to zero; 1 if it never does.

        `spare_mv` is positive for a full cell, and the same function as long as `asked` is the same.
        """
        if asked != self._asked:
            moved = -spare_mv(self._gone) / self._slope
            if abs(moved) < NEWTON_STEP_MAX and self._gone + moved <= 1.0:
                self._gone += moved
            else:  # also at first, when nothing is known: a comparison with nan is false
                self._find(spare_mv)
            self._asked = asked
        return self._gone

    def _find(self, spare_mv: Callable[[float], float]) -> None:
        if spare_mv(1.0) >= 0:
            self._gone, self._slope = 1.0, math.nan
            return
        self._gone = falling_root(spare_mv, 0.0, 1.0)
        before = max(0.0, self._gone - NEWTON_STEP_MAX)
        slope = (spare_mv(self._gone) - spare_mv(before)) / (self._gone - before)
        self._slope = slope if slope < 0 else math.nan
