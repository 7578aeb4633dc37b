"""A run as a picture: what the uplink did, what the gateway held, and how far the cloud lagged behind, over time.

matplotlib does the drawing: see `tidegate.outage.picture`. With a name that ends in `.json` the course is written as
data, which the dashboard's page of outages draws.
"""

import json
from itertools import pairwise
from pathlib import Path
from types import ModuleType

from tidegate.outage.picture import PlotError, check_free, load_matplotlib, picture_format, save, span_unit
from tidegate.replay.verdict import Moment, Verdict

DATA = ".json"
SIZE_INCHES = (11.0, 6.5)
UP_COLOUR, DOWN_COLOUR, OFF_COLOUR, BACKLOG_COLOUR, LAG_COLOUR = "#2e7d32", "#c62828", "#9e9e9e", "#1565c0", "#6a1b9a"
OPTION = "--plot"


def check_plot(path: Path, *, force: bool) -> None:
    """Whether a picture of this name can be made: before a run that takes minutes. Raises `PlotError`."""
    check_free(path, OPTION, force=force)
    if _kind(path) != DATA:
        load_matplotlib(OPTION)


def write_plot(verdict: Verdict, title: str, path: Path) -> None:
    """Write the picture; the name's ending says the format. Raises `PlotError`, `OSError`."""
    kind = _kind(path)
    if not verdict.course:
        raise PlotError(f"{OPTION}: the run has no course to draw")
    if kind == DATA:
        path.write_text(json.dumps(_data(verdict, title)) + "\n", encoding="utf-8")
        return
    save(_draw(load_matplotlib(OPTION), verdict, title), title, path, kind)


def _kind(path: Path) -> str:
    return DATA if path.suffix.lower() == DATA else picture_format(path, OPTION)


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
    figure.suptitle(title, parse_math=False)
    end_ms = moments[-1].at_ms
    downs = [(each.start_ms / per_unit_ms, (each.end_ms - each.start_ms) / per_unit_ms) for each in verdict.outages]
    offs = [(start_ms / per_unit_ms, (until_ms - start_ms) / per_unit_ms) for start_ms, until_ms in _offs(moments)]
    link.broken_barh([(0, end_ms / per_unit_ms)], (0, 1), color=UP_COLOUR, label="uplink up")
    link.broken_barh(downs, (0, 1), color=DOWN_COLOUR, label="uplink down")
    link.broken_barh(offs, (-1, 0), color=OFF_COLOUR, label="gateway off")
    link.set(yticks=[], ylabel="uplink", ylim=(0, 1))
    link.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=3, fontsize="small", frameon=False)
    backlog.plot(times, _values([moment.backlog for moment in moments]), color=BACKLOG_COLOUR, linewidth=1)
    backlog.set(ylabel="backlog (readings)")
    lags = [moment.lag_ms for moment in moments]
    per_lag_ms, lag_unit = span_unit(max((each for each in lags if each is not None), default=0))
    lag.plot(times, [each / per_lag_ms for each in _values(lags)], color=LAG_COLOUR, linewidth=1)
    lag.set(ylabel=f"cloud lag ({lag_unit})", xlabel=f"time ({unit})", xlim=(0, end_ms / per_unit_ms))
    for axes in (backlog, lag):
        axes.set_ylim(0, max(1, axes.get_ylim()[1]))  # where nothing was held, no crowd of hundredths
        axes.grid(visible=True, alpha=0.3)
        for start, width in downs:
            axes.axvspan(start, start + width, color=DOWN_COLOUR, alpha=0.12, linewidth=0)
        for start, width in offs:
            axes.axvspan(start, start + width, color=OFF_COLOUR, alpha=0.35, linewidth=1)
    return figure


def _values(values: list[int | None]) -> list[float]:
    """With a hole in the line where nobody could know."""
    return [float("nan") if value is None else float(value) for value in values]


def _offs(moments: tuple[Moment, ...]) -> list[tuple[int, int]]:
    """From when until when the gateway was found not to run; the end is the moment that found it again."""
    spans: list[tuple[int, int]] = []
    for moment, after in pairwise((*moments, moments[-1])):
        if moment.backlog is None:
            start_ms = spans.pop()[0] if spans and spans[-1][1] == moment.at_ms else moment.at_ms
            spans.append((start_ms, after.at_ms))
    return spans
