"""One value of one device over one window: count, min, max, sum and last, kept exactly.

Promises: the result depends on which readings were added, never on their order or on where a restart fell between
them: the sum is kept as exact partial sums (J. R. Shewchuk, "Adaptive Precision Floating-Point Arithmetic", Discrete
& Computational Geometry 18, 1997; what `math.fsum` does) and rounded once, at the end; `last` is the value with the
highest device time, and of equal times the one with the higher boot and seq. One exception: a sum whose partial sums
leave the range of a double has no value from there on.

Numbers have all of these; true and false count as 1.0 and 0.0, so that the mean is the share of time; a text has a
count and a last value.
"""

import math
from collections.abc import Sequence

import msgspec

from edge.sketch import Sketch

Content = float | bool | str
SeriesKey = tuple[str, str | None, bool]
"""(name, unit, whether it is a text)."""
At = tuple[int, int, int]
"""(taken_at_ms, boot, seq): what decides which value is the last one."""


class Stats(msgspec.Struct, array_like=True):
    """What is known of one value of one window so far. `last` is a text for a text, and a float for everything else."""

    name: str
    unit: str | None
    count: int
    last: float | str
    last_at: At
    low: float = 0.0
    high: float = 0.0
    partials: list[float] = []
    sketch: Sketch | None = None

    @classmethod
    def of(
        cls,
        name: str,
        unit: str | None,
        contents: Sequence[Content],
        last: Content,
        last_at: At,
        *,
        quantiles: bool = False,
    ) -> "Stats":
        """The statistics of values that are all texts, or all none; `last` is the one with the highest `At`."""
        if isinstance(last, str):
            return cls(name, unit, len(contents), last, last_at)
        numbers = [content + 0.0 for content in contents if not isinstance(content, str)]
        # -0.0 became 0.0: which of the two is the lower would depend on the order
        sketch = Sketch.of(numbers) if quantiles else None
        low, high = min(numbers), max(numbers)
        return cls(name, unit, len(numbers), last + 0.0, last_at, low, high, exact_sum(numbers), sketch)

    def copy(self) -> "Stats":
        """The same, to be merged into on its own."""
        sketch = None if self.sketch is None else self.sketch.copy()
        count, last, last_at, low, high = self.count, self.last, self.last_at, self.low, self.high
        return Stats(self.name, self.unit, count, last, last_at, low, high, self.partials, sketch)

    def merge(self, other: "Stats") -> None:
        """Add what another holds of the same value; a text to a text, a number to a number.

        Quantiles are told of a value that has had them from its first number to its last, or not at all.
        """
        self.count += other.count
        if other.last_at >= self.last_at:
            self.last, self.last_at = other.last, other.last_at
        if isinstance(self.last, str):
            return
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)
        self.partials = exact_sum(self.partials + other.partials)
        if self.sketch is not None and other.sketch is not None:
            self.sketch.merge(other.sketch)
        else:
            self.sketch = None

    def summary(self, quantiles: tuple[float, ...] = ()) -> "Summary":
        """The finished figures, with these quantiles if they were kept."""
        if isinstance(self.last, str):
            return Summary(self.name, self.unit, self.count, self.last)
        total = math.fsum(self.partials) if math.isfinite(self.partials[-1]) else None
        shares: tuple[tuple[float, float], ...] = ()
        if quantiles and self.sketch is not None:
            found = [min(max(number, self.low), self.high) for number in self.sketch.quantiles(quantiles)]
            shares = tuple(zip(quantiles, found, strict=True))
        return Summary(self.name, self.unit, self.count, self.last, self.low, self.high, total, shares)


class Summary(msgspec.Struct, frozen=True, array_like=True):
    """The figures of one value over one window. For a text, `low`, `high` and `total` (the sum) are None.

    `total` is also None where the sum is beyond the range of a double. `quantiles`: (share, number).
    """

    name: str
    unit: str | None
    count: int
    last: float | str
    low: float | None = None
    high: float | None = None
    total: float | None = None
    quantiles: tuple[tuple[float, float], ...] = ()

    @property
    def mean(self) -> float | None:
        """The arithmetic mean, or None where there is no sum."""
        return None if self.total is None else self.total / self.count


def exact_sum(numbers: list[float]) -> list[float]:
    """Partial sums that do not overlap and add up to exactly these numbers, smallest first.

    `math.fsum` gives the sum, rounded once; what the rounding left out is the sum of the numbers less that; and so on.
    """
    if len(numbers) == 1:
        return numbers
    rest, partials = list(numbers), []
    try:
        while total := math.fsum(rest):
            partials.append(total)
            rest.append(-total)
    except (OverflowError, ValueError):  # beyond a double; ValueError: it was so before, and inf meets -inf
        return [math.inf]
    return partials[::-1] or [0.0]
