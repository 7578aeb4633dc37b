"""A forecast as a picture: for each type of device when its batteries end, how many are alive, and what drains them.

Drawn with Matplotlib's own canvas (no window, no global state). The same forecast gives the same SVG, on any machine.
"""

import io
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from firmware_sim.forecast.report import TypeForecast
from sensors.svg import SALT, named_in_order

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito: told apart by everybody
ROW_INCHES, WIDTH_INCHES = 3.4, 15.0
DAYS_PER_YEAR = 365.25
YEARS_FROM_DAYS = 1_000.0  # a longer axis is in years
SHARES_SHOWN_PERCENT = 1.0  # of the drain; what is less is summed up as "other"
OTHER_SHOWN_PERCENT = 0.1  # thinner than a line
DOTS_PER_INCH = 110
LEGEND_ROOM = 1.4  # the legend stands over the highest bar, not on it


class PlotFileError(ValueError):
    """The file's name does not say which picture to make."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: expected a name that ends in .png or .svg")


def save_plot(forecasts: Sequence[TypeForecast], path: Path) -> None:
    """Write the picture. Raises `PlotFileError`, and OSError when it cannot be written."""
    if path.suffix.lower() not in {".png", ".svg"}:
        raise PlotFileError(path)
    by_type = [list(group) for _, group in groupby(sorted(forecasts, key=lambda f: f.type), key=lambda f: f.type)]
    with rc_context({"svg.hashsalt": SALT, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(WIDTH_INCHES, ROW_INCHES * len(by_type) + 0.4), layout="constrained")
        rows = figure.subplots(len(by_type), 3, squeeze=False, width_ratios=(1.1, 1.1, 1.0))
        for axes, variants in zip(rows, by_type, strict=True):
            per_unit, unit = _time_axis(variants)
            _histogram(axes[0], variants, per_unit, unit)
            _survival(axes[1], variants, per_unit, unit)
            _drain(axes[2], variants)
        if path.suffix.lower() == ".png":
            figure.savefig(path, format="png", dpi=DOTS_PER_INCH)
            return
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    path.write_text(named_in_order(drawn.getvalue()), encoding="utf-8")


def _time_axis(variants: list[TypeForecast]) -> tuple[float, str]:
    """Days, or years if the interesting part is that long."""
    last = max(forecast.histogram_days[-1] if forecast.histogram_days else 0.0 for forecast in variants)
    still_alive = any(forecast.ended_percent < 100 for forecast in variants)
    shown = max(forecast.horizon_days for forecast in variants) if still_alive else last
    return (DAYS_PER_YEAR, "years") if shown > YEARS_FROM_DAYS else (1.0, "days")


def _histogram(axes: Axes, variants: list[TypeForecast], per_unit: float, unit: str) -> None:
    first = variants[0]
    axes.set_title(f"{first.type}: end of the battery ({first.runs} lives)", fontsize=10)
    axes.set_xlabel(f"lifetime ({unit})")
    axes.set_ylabel("lives per bin")
    for colour, forecast in zip(COLOURS * len(variants), variants, strict=False):
        label = f"{forecast.variant}: {100 - forecast.ended_percent:.3g} % alive at the horizon"
        if forecast.histogram_days:
            edges = [day / per_unit for day in forecast.histogram_days]
            axes.stairs(forecast.histogram, edges, fill=True, alpha=0.35, color=colour)
            axes.stairs(forecast.histogram, edges, color=colour, label=label)
        else:
            axes.plot([], [], color=colour, label=label)
    axes.set_xlim(0, None if any(f.histogram_days for f in variants) else first.horizon_days / per_unit)
    top = max((max(forecast.histogram) for forecast in variants if forecast.histogram), default=1)
    axes.set_ylim(0, top * LEGEND_ROOM)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if not any(forecast.histogram_days for forecast in variants):
        axes.text(0.5, 0.5, "none ends within the horizon", transform=axes.transAxes, ha="center", fontsize=9)
    axes.legend(fontsize=7, loc="upper left")


def _survival(axes: Axes, variants: list[TypeForecast], per_unit: float, unit: str) -> None:
    axes.set_title("still alive, with 95 % band", fontsize=10)
    axes.set_xlabel(f"time since new ({unit})")
    axes.set_ylabel("share of devices (%)")
    for colour, forecast in zip(COLOURS * len(variants), variants, strict=False):
        days = [point.day / per_unit for point in forecast.survival]
        low, high = [100 * point.low for point in forecast.survival], [100 * point.high for point in forecast.survival]
        axes.plot(days, [100 * point.alive for point in forecast.survival], color=colour, label=forecast.variant)
        axes.fill_between(days, low, high, color=colour, alpha=0.25, linewidth=0)
    axes.set_ylim(0, 103)
    axes.set_xlim(0, None)
    axes.legend(fontsize=7, loc="best")  # where no curve runs: some fall at once, some never


def _drain(axes: Axes, variants: list[TypeForecast]) -> None:
    axes.set_title("what drains the battery", fontsize=10)
    axes.set_xlabel("share of all charge (%)")
    names = [name for name, share in variants[0].drain_percent.items() if share >= SHARES_SHOWN_PERCENT]
    shares = [[forecast.drain_percent.get(name, 0.0) for name in names] for forecast in variants]
    others = [
        max(0.0, 100 - sum(each)) if forecast.drain_percent else 0.0  # one that cannot even start drains nothing
        for each, forecast in zip(shares, variants, strict=True)
    ]
    bars = [name.replace("_", " ") for name in names]
    if max(others) >= OTHER_SHOWN_PERCENT:
        bars.append("other")
        shares = [[*each, other] for each, other in zip(shares, others, strict=True)]
    height = 0.8 / len(variants)
    for n, (colour, forecast) in enumerate(zip(COLOURS * len(variants), variants, strict=False)):
        axes.barh([at + n * height for at in range(len(bars))], shares[n], height, color=colour, label=forecast.variant)
    middle = height * (len(variants) - 1) / 2
    axes.set_yticks([at + middle for at in range(len(bars))], bars, fontsize=8)
    axes.invert_yaxis()
    axes.legend(fontsize=7, loc="lower right")
