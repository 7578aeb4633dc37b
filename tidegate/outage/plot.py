"""A recording as a picture: the status of each link, and latency, bandwidth and loss where they are known, over time.

Promises: an outage is visible however long the recording is: one that is shorter than a `WIDTH_MIN_PARTS`-th of it is a
mark of half the height, so that many short ones do not look like a long one. A quantity with more values than a screen
has columns is drawn with the smallest and the largest of each column; what is not known is a hole, not a zero.
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from edge.outages.events import PPM, Status
from edge.outages.recording import Recording
from edge.outages.timeline import LinkState, Segment
from tidegate.outage.picture import load_matplotlib, picture_format, save, span_unit
from tidegate.outage.report import link_stats, wall_clock

OPTION = "--out"
WIDTH_INCHES = 11.0
PANEL_INCHES = 1.9
ROW_INCHES = 0.4
BAR, MARK = 0.8, 0.4  # of a row's height
WIDTH_MIN_PARTS = 900
"""A mark is one of so many parts of the axis wide: about a pixel and a half of a picture of 1320."""
COLUMNS_MAX = 2_000
"""More columns than a wide screen has pixels; a month at 1 Hz would be 2.6 million points."""
_STATES: tuple[tuple[Status | None, str, str], ...] = (
    (Status.UP, "up", "#2e7d32"),
    (Status.DEGRADED, "degraded", "#f9a825"),
    (Status.DOWN, "down", "#c62828"),
    (None, "not known", "#d0d0d0"),
)
_LINE_COLOURS = ("#1565c0", "#6a1b9a", "#00838f", "#ef6c00", "#455a64", "#ad1457")
Run = tuple[Status | None, float, float]  # of one status: from when, how long
Value = Callable[[LinkState], float | None]


def _latency(state: LinkState) -> float | None:
    return None if state.latency_us is None else state.latency_us / 1000


def _capacity(state: LinkState) -> float | None:
    return None if state.bandwidth_bytes_per_s is None else state.bandwidth_bytes_per_s / 1000


def _carried(state: LinkState) -> float | None:
    return None if state.throughput_bytes_per_s is None else state.throughput_bytes_per_s / 1000


def _loss(state: LinkState) -> float | None:
    return None if state.loss_ppm is None else state.loss_ppm * 100 / PPM


_PANELS: tuple[tuple[str, tuple[tuple[str, str, Value], ...]], ...] = (
    ("one-way latency (ms)", (("", "-", _latency),)),
    ("bandwidth (kB/s)", ((" could carry", "-", _capacity), (" carried", ":", _carried))),
    ("loss (%)", (("", "-", _loss),)),
)


def write_plot(recording: Recording, title: str, path: Path) -> None:
    """Write the picture; the name's ending says the format. Raises `PlotError`, `OSError`."""
    kind = picture_format(path, OPTION)
    save(_draw(load_matplotlib(OPTION), recording, title), title, path, kind)


def _draw(matplotlib: Any, recording: Recording, title: str) -> Any:
    """The figure: the status of all links above, a panel for each quantity that is known below, over one time."""
    courses = {link: recording.timeline(link).segments() for link in recording.link_names}
    per_unit_ms, unit = span_unit(recording.end_us // 1000)
    per_unit_us = per_unit_ms * 1000
    panels = [panel for panel in _PANELS if any(_is_known(course, panel[1]) for course in courses.values())]
    status_inches = 0.3 + ROW_INCHES * len(courses)
    heights = (status_inches, *(PANEL_INCHES for _ in panels))
    figure = matplotlib.figure.Figure(figsize=(WIDTH_INCHES, 0.8 + sum(heights)), layout="constrained")
    figure.suptitle(title, parse_math=False)
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    _draw_status(axes[0], courses, recording.end_us, per_unit_us)
    axes[0].set(yticks=range(len(courses)), yticklabels=[_row_label(recording, link) for link in courses])
    for of, (label, lines) in zip(axes[1:], panels, strict=True):
        _draw_panel(of, courses, label, lines, recording.end_us, per_unit_us)
    started = wall_clock(recording, 0)
    axes[-1].set(
        xlabel=f"time ({unit}{f' since {started}' if started else ''})",
        xlim=(0, max(1, recording.end_us) / per_unit_us),
    )
    return figure


def _draw_status(axes: Any, courses: dict[str, tuple[Segment, ...]], end_us: int, per_unit_us: int) -> None:
    width_us_min = end_us / WIDTH_MIN_PARTS
    for row, course in enumerate(courses.values()):
        bars, marks = _bars_and_marks(course, width_us_min)
        for status, name, colour in _STATES:
            spans, short = (
                [(start_us / per_unit_us, length_us / per_unit_us) for of, start_us, length_us in found if of is status]
                for found in (bars, marks)
            )
            label = name if row == 0 else None
            axes.broken_barh(spans, (row - BAR / 2, BAR), color=colour, label=label, linewidth=0)
            axes.broken_barh(short, (row - MARK / 2, MARK), color=colour, linewidth=0, zorder=2)
    axes.set(ylim=(len(courses) - 0.5, -0.5))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(_STATES), fontsize="small", frameon=False)


def _row_label(recording: Recording, link: str) -> str:
    """The link's name, and the share of the known time in which it was not down."""
    available_ppm = link_stats(recording, link)["availability_ppm"]
    return link if available_ppm is None else f"{link}\n{available_ppm * 100 / PPM:.3f} % available"


def _draw_panel(
    axes: Any,
    courses: dict[str, tuple[Segment, ...]],
    label: str,
    lines: tuple[tuple[str, str, Value], ...],
    end_us: int,
    per_unit_us: int,
) -> None:
    for number, (link, course) in enumerate(courses.items()):
        for what, style, value in lines:
            points = list(_thinned(course, value, end_us))
            if all(known is None for _, known in points):
                continue
            axes.plot(
                [at_us / per_unit_us for at_us, _ in points],
                [float("nan") if known is None else known for _, known in points],
                style,
                color=_LINE_COLOURS[number % len(_LINE_COLOURS)],
                drawstyle="steps-post",
                linewidth=1,
                label=link + what,
            )
    axes.set(ylabel=label)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=6, fontsize="small", frameon=False)


def _runs(course: tuple[Segment, ...]) -> Iterator[Run]:
    """Spans of equal status: status, start and length."""
    for status, segments in groupby(course, key=lambda segment: segment.state.status):
        run = list(segments)
        yield status, run[0].start_us, run[-1].end_us - run[0].start_us


def _bars_and_marks(course: tuple[Segment, ...], width_us_min: float) -> tuple[list[Run], list[Run]]:
    """Runs as long as they are, and marks of those too short to see, which stand in the bar before them."""
    bars: list[Run] = []
    marks: list[Run] = []
    for status, start_us, length_us in _runs(course):
        if status is Status.UP or length_us >= width_us_min:
            bars.append((status, start_us, length_us))
            continue
        marks.append((status, start_us, width_us_min))
        if bars:
            before, from_us, _ = bars[-1]
            bars[-1] = (before, from_us, start_us + length_us - from_us)
    return bars, marks


def _thinned(course: tuple[Segment, ...], value: Value, end_us: int) -> Iterator[tuple[int, float | None]]:
    """Start and value of every change; of each column of a long course the smallest and the largest value."""
    points = [(segment.start_us, value(segment.state)) for segment in course]
    if points:
        points.append((end_us, points[-1][1]))
    if len(points) <= 2 * COLUMNS_MAX:
        yield from points
        return
    for _, column in groupby(points, key=lambda point: point[0] * COLUMNS_MAX // max(1, end_us)):
        held = list(column)
        known = [each for each in held if each[1] is not None]
        extremes = {min(known, key=_size), max(known, key=_size)} if known else {held[0]}
        gone = [each for each in held if each[1] is None][:1]
        yield from sorted({*extremes, *gone, held[-1]}, key=lambda point: point[0])


def _size(point: tuple[int, float | None]) -> float:
    return point[1] or 0.0


def _is_known(course: tuple[Segment, ...], lines: tuple[tuple[str, str, Value], ...]) -> bool:
    return any(value(segment.state) is not None for segment in course for _, _, value in lines)
