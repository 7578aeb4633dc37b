"""What a forecast says of one type of device: how long its batteries last, how sure that is, and what drains them.

Lifetimes are in days. A life that reached the horizon has no end and counts as longer than all others: quantiles that
fall there are None ("over the horizon"). The survival curve has the Wilson score interval at 95 % (E. B. Wilson, J. Am.
Stat. Assoc. 22 (1927) 209-212) of the share that is alive, for the runs that were made: the band says how much the
number of runs leaves open, the curve itself how much devices differ.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from firmware_sim.config import DeviceGroup
from firmware_sim.forecast.cell_arrays import Flags, Floats
from firmware_sim.forecast.engine import BlockResult, DeviceType

HOURS_PER_DAY = 24
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
CURVE_POINTS = 120  # of the survival curve; a step of a month in ten years
BINS = 30
WILSON_Z = 1.959964  # 95 %
DIGITS = 6  # of a number in the report: the sum of a million lives is not known better, whatever the machine


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """All lives of one type: `days` ascending, inf where a life had not ended; `browned_out`: how many ended so."""

    days: Floats
    browned_out: int

    @property
    def ended(self) -> int:
        """How many lives had an end."""
        return int(np.isfinite(self.days).sum())

    def quantile(self, share: float) -> float | None:
        """Return the day by which this share of the devices has ended; None where that is beyond the horizon."""
        day = float(self.days[max(0, math.ceil(share * len(self.days)) - 1)])
        return day if math.isfinite(day) else None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """How many are alive on a day, as a share, with the band's two ends."""

    day: float
    alive: float
    low: float
    high: float


class TypeForecast(msgspec.Struct, frozen=True):
    """One type of device in one variant. Days unless the name says otherwise; `drain_percent` sums to 100.

    `mean_ma`: the load without self-discharge. `first_of_group_days`: the median day on which the first of `devices`
    ends. `left_percent`: of the capacity, what is still in a cell that ended (cold, sag and cut-off keep it there).
    `harvest_percent`: of what went out of the cell, what a panel gave back.
    """

    variant: str
    type: str
    devices: int
    cell: str
    board: str
    runs: int
    horizon_days: float
    mean_ma: float
    ended_percent: float
    browned_out_percent: float
    days_by_quantile: dict[str, float | None]
    mean_days: float | None
    first_of_group_days: float | None
    left_percent: float | None
    harvest_percent: float | None
    drain_percent: dict[str, float]
    survival: list[CurvePoint]
    histogram_days: list[float]
    histogram: list[int]

    @classmethod
    def of(
        cls,
        variant: str,
        group: DeviceGroup,
        kind: DeviceType,
        horizon_days: float,
        lives: Lifetimes,
        blocks: list[BlockResult],
    ) -> "TypeForecast":
        """Work it out."""
        runs, ended = len(lives.days), lives.ended
        edges, counts = histogram(lives, horizon_days)
        battery = group.battery
        assert battery is not None  # noqa: S101 - a type has one
        first = lives.quantile(1 - 0.5 ** (1 / group.count))
        left = sum(block.left_mah for block in blocks) / (ended * kind.spec.capacity_mah) if ended else None
        return cls(
            variant=variant,
            type=group.name,
            devices=group.count,
            cell=battery.cell,
            board=battery.board,
            runs=runs,
            horizon_days=horizon_days,
            mean_ma=_short(kind.load.mean_ma),
            ended_percent=_short(100 * ended / runs),
            browned_out_percent=_short(100 * lives.browned_out / runs),
            days_by_quantile={f"p{round(100 * q):02d}": _maybe(lives.quantile(q)) for q in QUANTILES},
            mean_days=_short(float(lives.days.mean())) if ended == runs else None,
            first_of_group_days=_maybe(first),
            left_percent=None if left is None else _short(100 * left),
            harvest_percent=harvest_percent(blocks),
            drain_percent=drain_percent(blocks),
            survival=survival(lives, horizon_days),
            histogram_days=edges,
            histogram=counts,
        )


def lifetimes(ended_h: Sequence[npt.NDArray[np.int64]], browned_out: Sequence[Flags]) -> Lifetimes:
    """Join the blocks' ends."""
    hours = np.concatenate(ended_h)
    days = np.where(hours < 0, np.inf, hours / HOURS_PER_DAY)
    return Lifetimes(np.sort(days), int(sum(int(flags.sum()) for flags in browned_out)))


def survival(lives: Lifetimes, horizon_days: float) -> list[CurvePoint]:
    """Return the share alive over time, with its band."""
    points, runs = [], len(lives.days)
    for n in range(CURVE_POINTS + 1):
        day = horizon_days * n / CURVE_POINTS
        alive = runs - int(np.searchsorted(lives.days, day, side="right"))
        low, high = wilson(alive, runs)
        points.append(CurvePoint(_short(day), _short(alive / runs), _short(low), _short(high)))
    return points


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share."""
    share, z2 = hits / of, WILSON_Z**2
    centre = share + z2 / (2 * of)
    half = WILSON_Z * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, (centre - half) / (1 + z2 / of)), min(1.0, (centre + half) / (1 + z2 / of))


def histogram(lives: Lifetimes, horizon_days: float) -> tuple[list[float], list[int]]:
    """Return the edges and counts of the ends between the first and the last; none where nothing ended."""
    ends = lives.days[np.isfinite(lives.days)]
    if not len(ends):
        return [], []
    low, high = float(ends[0]), float(ends[-1])
    if high - low < 1:  # all on one day: a bin of a day about it
        low, high = max(0.0, low - 0.5), min(horizon_days, high + 0.5)
    counts, edges = np.histogram(ends, bins=BINS, range=(low, high))
    return [_short(float(edge)) for edge in edges], [int(count) for count in counts]


def drain_percent(blocks: list[BlockResult]) -> dict[str, float]:
    """Return what took how much of all charge, the most first."""
    total: dict[str, float] = {}
    for block in blocks:
        for state, charge in [*block.by_state.items(), ("self_discharge", block.by_cell.get("self_discharge", 0.0))]:
            total[state] = total.get(state, 0.0) + charge
    everything = math.fsum(total.values())
    ordered = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    return {state: _short(100 * charge / everything) for state, charge in ordered} if everything else {}


def harvest_percent(blocks: list[BlockResult]) -> float | None:
    """Return what a panel gave, as a share of what was drained; None without one."""
    given = [block.by_cell["harvested"] for block in blocks if "harvested" in block.by_cell]
    if not given:
        return None
    out = math.fsum(math.fsum(block.by_state.values()) + block.by_cell["self_discharge"] for block in blocks)
    return _short(100 * math.fsum(given) / out) if out else None


def to_json(forecasts: Sequence[TypeForecast], *, seed: int) -> bytes:
    """Return the whole report as JSON, keys in a fixed order, numbers to six digits."""
    document: dict[str, Any] = {"seed": seed, "forecasts": list(forecasts)}
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _short(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def _maybe(number: float | None) -> float | None:
    return None if number is None else _short(number)
