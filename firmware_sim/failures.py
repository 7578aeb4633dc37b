"""How a device fails as a whole: its watchdog restarts it now and then, and one day the board breaks.

Both come at a constant rate, without memory (exponential gaps), as in any reliability handbook's first model of random
failures. The gap to the next restart counts from the last start of the firmware. Instants come from the device's
own stream: a fleet with failures measures the same values at the same instants until the first of them.
"""

import math
from dataclasses import dataclass
from random import Random

_DAY_MS = 86_400_000
_YEAR_MS = 365 * _DAY_MS


@dataclass(frozen=True, slots=True)
class FailureRates:
    """How often, on average. 0: never."""

    resets_per_day: float = 0.0
    breaks_per_year: float = 0.0


class Failures:
    """The failures of one device, in true time. `born_ms`: when it was switched on for the first time."""

    def __init__(self, rates: FailureRates, rng: Random, born_ms: int) -> None:
        self._rng = rng
        self._resets_per_ms = rates.resets_per_day / _DAY_MS
        self._breaks_at_ms = born_ms + self._gap_ms(rates.breaks_per_year / _YEAR_MS)

    def next_ms(self, started_ms: int) -> int | None:
        """When the firmware that starts now will be stopped by one or the other; None for never."""
        at_ms = min(started_ms + self._gap_ms(self._resets_per_ms), max(started_ms, self._breaks_at_ms))
        return None if at_ms == math.inf else int(at_ms)

    def has_broken(self, now_ms: int) -> bool:
        """Whether the board is broken: it will not start again."""
        return now_ms >= self._breaks_at_ms

    def _gap_ms(self, rate: float) -> float:
        return math.ceil(self._rng.expovariate(rate)) if rate else math.inf


NO_FAILURES = Failures(FailureRates(), Random(0), 0)  # noqa: S311 - is never asked for a number
