"""A run as a picture: what the uplink did, what the gateway held, and how far the cloud lagged behind, over time.

matplotlib does the drawing: see `tidegate.outage.picture`. With a name that ends in `.json` the course is written as
data, which the dashboard's page of outages draws.
"""

import json
from pathlib import Path
from types import ModuleType

from tidegate.outage.picture import PlotError, load_matplotlib, picture_format, save, span_unit
from tidegate.replay.verdict import Moment, Verdict

DATA = ".json"
SIZE_INCHES = (11.0, 6.5)
UP_COLOUR, DOWN_COLOUR, BACKLOG_COLOUR, LAG_COLOUR = "#2e7d32", "#c62828", "#1565c0", "#6a1b9a"


def write_plot(verdict: Verdict, title: str, path: Path) -> None:
    """Write the picture; the name's ending says the format. Raises `PlotError`, `OSError`."""
    kind = DATA if path.suffix.lower() == DATA else picture_format(path, "--plot")
    if not verdict.course:
        raise PlotError("--plot: the run has no course to draw")
    if kind == DATA:
        path.write_text(json.dumps(_data(verdict, title)) + "\n", encoding="utf-8")
        return
    save(_draw(load_matplotlib("--plot"), verdict, title), title, path, kind)


def _data(verdict: Verdict, title: str) -> dict[str, object]:
    """The same as columns; None where the gateway did not run."""
    course = verdict.course
    return {
        "title": title,
        "outages": [
            {"start_ms": each.start_ms, "end_ms": each.end_ms, "cause": each.cause, "held": each.held}
            for each in verdict.outages
        ],
        "course": {
            "at_ms": [moment.at_ms for moment in course],
            "backlog": [moment.backlog for moment in course],
            "lag_ms": [moment.lag_ms for moment in course],
        },
    }


def _draw(matplotlib: ModuleType, verdict: Verdict, title: str):  # type: ignore[no-untyped-def]
    """The figure: three axes over one time."""
    moments = verdict.course
    per_unit_ms, unit = span_unit(moments[-1].at_ms)
    times = [moment.at_ms / per_unit_ms for moment in moments]
    figure = matplotlib.figure.Figure(figsize=SIZE_INCHES, layout="constrained")
    link, backlog, lag = figure.subplots(3, 1, sharex=True, height_ratios=(1, 3, 3))
    figure.suptitle(title)
    end_ms = moments[-1].at_ms
    downs = [(each.start_ms / per_unit_ms, (each.end_ms - each.start_ms) / per_unit_ms) for each in verdict.outages]
    link.broken_barh([(0, end_ms / per_unit_ms)], (0, 1), color=UP_COLOUR, label="up")
    link.broken_barh(downs, (0, 1), color=DOWN_COLOUR, label="down")
    link.set(yticks=[], ylabel="uplink", ylim=(0, 1))
    link.legend(loc="upper right", ncols=2, fontsize="small")
    backlog.plot(times, _values([moment.backlog for moment in moments]), color=BACKLOG_COLOUR, linewidth=1)
    backlog.set(ylabel="backlog (readings)")
    lags = [moment.lag_ms for moment in moments]
    per_lag_ms, lag_unit = span_unit(max((each for each in lags if each is not None), default=0))
    lag.plot(times, [each / per_lag_ms for each in _values(lags)], color=LAG_COLOUR, linewidth=1)
    lag.set(ylabel=f"cloud lag ({lag_unit})", xlabel=f"time ({unit})", xlim=(0, end_ms / per_unit_ms))
    for axes in (backlog, lag):
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        for start, width in downs:
            axes.axvspan(start, start + width, color=DOWN_COLOUR, alpha=0.12, linewidth=0)
    for number in _dead(moments):
        backlog.axvline(times[number], color="black", linestyle=":", linewidth=1)
    return figure


def _values(values: list[int | None]) -> list[float]:
    """With a hole in the line where nobody could know."""
    return [float("nan") if value is None else float(value) for value in values]


def _dead(moments: tuple[Moment, ...]) -> list[int]:
    """Where the gateway is found not to run."""
    return [number for number, moment in enumerate(moments) if moment.backlog is None]
