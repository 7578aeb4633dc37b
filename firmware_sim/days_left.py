"""What a device's own fuel gauge says of the future: how long the battery will last, with a band.

A gauge counts what went through it and knows what is left above the brown-out of its own highest pulse. It takes a look
every few hours, and divides what is left by the drain of the last two weeks. The band (90 %) has two parts: the gauge
does not know its own cell better than a tenth, and the drain of the days differs.
"""

import math
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

LOOK_EVERY_MS = 6 * 3_600_000  # four looks a day: the night is told from the day, and two weeks fit into 56 numbers
HISTORY_MS = 14 * 86_400_000
HISTORY_MIN_MS = 86_400_000  # before a whole day was seen, day and night would be extrapolated
CELL_KNOWN_TO = 0.1  # capacity tolerance of makers is 3 to 5 %, and the cold's share is not known better
BAND_Z = 1.645  # 90 %
BAND_MAX = 0.9  # of the drain: beyond it the upper end would be for ever
MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """Seconds from now: the estimate, and the ends of the band."""

    middle_s: float
    low_s: float
    high_s: float


class FuelGauge:
    """One device's looks at its battery. Instants are in the device's true time and must not go back."""

    def __init__(self) -> None:
        self._looks: deque[tuple[int, float]] = deque()
        self._next_look_ms = -math.inf
        self._drain: tuple[float, float] | None = None

    def is_due(self, now_ms: int) -> bool:
        """Whether the next look is due."""
        return now_ms >= self._next_look_ms

    @property
    def can_tell(self) -> bool:
        """Whether `estimate` will say anything."""
        return self._drain is not None

    def observe(self, now_ms: int, used_mah: float) -> None:
        """Take a look if one is due. `used_mah`: what has left the cell since some fixed moment."""
        if not self.is_due(now_ms):
            return
        self._next_look_ms = now_ms + LOOK_EVERY_MS
        self._looks.append((now_ms, used_mah))
        while now_ms - self._looks[0][0] > HISTORY_MS:
            self._looks.popleft()
        self._drain = self._seen_drain()

    def estimate(self, left_mah: float) -> TimeLeft | None:
        """How long `left_mah` lasts; None before the first day is over, and where the battery does not get emptier."""
        if self._drain is None:
            return None
        mean, doubt = self._drain
        middle_s = left_mah / mean / MS_PER_S
        return TimeLeft(middle_s, middle_s / (1 + doubt), middle_s / (1 - doubt))

    def _seen_drain(self) -> tuple[float, float] | None:
        """Mean drain in mAh a ms, and the share by which it is in doubt; only a new look changes them."""
        if len(self._looks) < 3 or self._looks[-1][0] - self._looks[0][0] < HISTORY_MIN_MS:
            return None
        looks = list(self._looks)
        steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(looks)]
        mean = (looks[-1][1] - looks[0][1]) / (looks[-1][0] - looks[0][0])
        if mean <= 0:
            return None
        spread = math.sqrt(sum((used / span - mean) ** 2 for span, used in steps) / (len(steps) - 1))
        return mean, min(BAND_MAX, math.hypot(CELL_KNOWN_TO, BAND_Z * spread / (mean * math.sqrt(len(steps)))))
