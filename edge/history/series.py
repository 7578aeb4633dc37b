"""Points of one value into a line for a chart: merged until they fit, with gaps where nothing was measured.

Promises: at most `limit` points and as many gaps; a merged point has the lowest, the highest and the mean of
what it stands for, and is late if any of it was; a gap is a point without numbers, so that no line crosses it.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

POINTS_MAX = 2000  # of one answer: twice the width of a chart
GAP_STEPS = 3  # a pause of so many usual steps is a gap, as on the live charts


class Point(NamedTuple):
    """What was measured from `at_ms` on; a single reading is a point whose lowest is its highest."""

    at_ms: int
    samples: int
    low: float
    high: float
    mean: float
    late: bool


class Series(BaseModel):
    """One value over a span, as columns of equal length; null is a gap.

    `resolution_s`: how long a window is, 0 for raw readings. `step_ms`: what a point stands for, 0 for one reading.
    `late`: some of it was received over a minute after it was measured. `raw_from_ms`: from here on, raw readings.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    unit: str | None
    from_ms: int
    to_ms: int
    resolution_s: int
    step_ms: int
    raw_from_ms: int | None
    resolutions_s: list[int]
    at_ms: list[int]
    mean: list[float | None]
    low: list[float | None]
    high: list[float | None]
    late: list[bool]


class ValueName(BaseModel):
    """A value of a device."""

    model_config = ConfigDict(frozen=True)

    name: str
    unit: str | None


class ValueNames(BaseModel):
    """The numbers of one device, in the order in which it tells them."""

    model_config = ConfigDict(frozen=True)

    values: list[ValueName]


def merged(points: Sequence[Point], step_ms: int) -> list[Point]:
    """The points of every step in one; they are in order of time. A step of 0 merges nothing."""
    if not step_ms:
        return list(points)
    found: list[Point] = []
    for point in points:
        at_ms = point.at_ms - point.at_ms % step_ms
        if found and found[-1].at_ms == at_ms:
            found[-1] = _merge(found[-1], point)
        else:
            found.append(point._replace(at_ms=at_ms))
    return found


def _merge(one: Point, other: Point) -> Point:
    samples = one.samples + other.samples
    mean = one.mean * (one.samples / samples) + other.mean * (other.samples / samples)
    low, high = min(one.low, other.low), max(one.high, other.high)
    return Point(one.at_ms, samples, low, high, min(max(mean, low), high), one.late or other.late)


def step_for(count: int, from_ms: int, to_ms: int, unit_ms: int, limit: int) -> int:
    """The step at which a span has at most `limit` points: a multiple of `unit_ms`; 0 if `count` points fit as is."""
    if count <= limit:
        return 0
    units = -(-(to_ms - from_ms) // unit_ms)
    return unit_ms * -(-units // max(1, limit - 1))  # a span may begin and end within a step


def with_gaps(points: Iterable[Point]) -> list[Point | int]:
    """The points, and between them the time (ms) of every gap."""
    known = list(points)
    steps = sorted(late.at_ms - early.at_ms for early, late in itertools.pairwise(known))
    usual = steps[len(steps) // 2] if steps else 0
    found: list[Point | int] = []
    for at, point in enumerate(known):
        if at and usual > 0 and point.at_ms - known[at - 1].at_ms > GAP_STEPS * usual:
            found.append(known[at - 1].at_ms + usual)
        found.append(point)
    return found


def columns(points: Sequence[Point | int]) -> dict[str, list[int] | list[float | None] | list[bool]]:
    """The columns of a `Series`."""
    real = [None if isinstance(point, int) else point for point in points]
    return {
        "at_ms": [point if isinstance(point, int) else point.at_ms for point in points],
        "mean": [point and point.mean for point in real],
        "low": [point and point.low for point in real],
        "high": [point and point.high for point in real],
        "late": [point is not None and point.late for point in real],
    }
