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

import msgspec

from edge.sketch import Sketch

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
        cls, name: str, unit: str | None, content: float | bool | str, at: At, *, quantiles: bool = False
    ) -> "Stats":
        """The statistics of one value; those that shall have `quantiles` have them from their first value on."""
        if isinstance(content, str):
            return cls(name, unit, 1, content, at)
        number = float(content) + 0.0  # -0.0 becomes 0.0: which of the two is the lower would depend on the order
        sketch = None
        if quantiles:
            sketch = Sketch()
            sketch.add(number)
        return cls(name, unit, 1, number, at, number, number, [number], sketch)

    def add(self, content: float | bool | str, at: At) -> None:
        """Add one more value; a text to a text, a number to a number."""
        self.count += 1
        if isinstance(content, str):
            if at >= self.last_at:
                self.last, self.last_at = content, at
            return
        number = float(content) + 0.0
        if at >= self.last_at:
            self.last, self.last_at = number, at
        if number < self.low:
            self.low = number
        elif number > self.high:
            self.high = number
        _grow(self.partials, number)
        if self.sketch is not None:
            self.sketch.add(number)

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


def _grow(partials: list[float], number: float) -> None:
    """Add to a list of partial sums that do not overlap, smallest first, without losing a bit."""
    if not math.isfinite(partials[-1]):
        return
    kept = 0
    for partial in partials:
        big, small = (number, partial) if abs(number) >= abs(partial) else (partial, number)
        number = big + small
        rest = small - (number - big)
        if rest:
            partials[kept] = rest
            kept += 1
    partials[kept:] = [number]
    if not math.isfinite(number):
        partials[:] = [math.inf]
