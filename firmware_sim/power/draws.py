"""What is drawn from a battery, and what became of it: plain data.

A load is a plain tuple where there are many of them; `Step` is the same with names.
"""

from collections.abc import Iterable
from typing import NamedTuple

Load = tuple[str, float, float]
"""The state that draws it, how much (mA), and for how long (ms)."""


class Step(NamedTuple):
    """One state of a report, ready to draw."""

    state: str
    current_ma: float
    duration_ms: float


class Run(NamedTuple):
    """Draws that always come together, in this order; what they ask of a cell as a whole is added up beforehand."""

    steps: tuple[Step, ...]
    peak_ma: float
    charge_uc: float
    span_ms: float

    @classmethod
    def of(cls, steps: Iterable[Step]) -> "Run":
        """Add them up."""
        drawn = tuple(steps)
        return cls(
            drawn,
            max((step.current_ma for step in drawn), default=0.0),
            sum(step.current_ma * step.duration_ms for step in drawn),
            sum(step.duration_ms for step in drawn),
        )


class DrawResult(NamedTuple):
    """What one draw did.

    `terminal_voltage_mv` under the load at the end of the draw (or, where nothing could be carried, as it tried);
    `browned_out`: the voltage was under the device's brown-out level at one of the ends;
    `empty`: the cell can carry no load now; `sustained_ms`: how long the load was carried (less than asked: it died
    there);
    `overrated`: more current than the maker allows for that long.
    """

    terminal_voltage_mv: float
    browned_out: bool
    empty: bool
    sustained_ms: float
    overrated: bool
