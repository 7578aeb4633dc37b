"""Quantiles of the numbers of one window within one percent, in a few kilobytes: a DDSketch.

C. Masson, J. E. Rim, H. K. Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees",
PVLDB 12(12), 2019. Which number falls into which bin, and which number a bin stands for, is the `ddsketch` package's;
here is the state, sparse so that it can be stored with the window it belongs to.

Promises: a quantile is within `RELATIVE_ACCURACY` of the number that has that rank, as long as the numbers of one sign
span less than a factor of 10^17 (beyond it the smallest count as larger ones); the answer depends on which numbers
were added, never on their order or on how sketches were merged.
"""

import msgspec
from ddsketch.ddsketch import BaseDDSketch
from ddsketch.mapping import LogarithmicMapping
from ddsketch.store import CollapsingLowestDenseStore

RELATIVE_ACCURACY = 0.01
BINS_MAX = 2048  # of each sign; a sensor's window rarely fills fifty. 0.02 BINS_MAX = ln(10^17)

_mapping = LogarithmicMapping(RELATIVE_ACCURACY)
_LEAST, _MOST = _mapping.min_possible, _mapping.max_possible


class Sketch(msgspec.Struct, array_like=True):
    """The state: how many zeros, and how many numbers of each bin."""

    zeros: int = 0
    positive: dict[int, int] = {}
    negative: dict[int, int] = {}

    def add(self, number: float) -> None:
        """Add one finite number."""
        size = abs(number)
        if size <= _LEAST:
            self.zeros += 1
            return
        bins = self.positive if number > 0 else self.negative
        key = _mapping.key(min(size, _MOST))
        bins[key] = bins.get(key, 0) + 1
        if len(bins) > BINS_MAX:
            _collapse(bins)

    def merge(self, other: "Sketch") -> None:
        """Add all that another holds."""
        self.zeros += other.zeros
        for mine, theirs in ((self.positive, other.positive), (self.negative, other.negative)):
            for key, count in theirs.items():
                mine[key] = mine.get(key, 0) + count
            if len(mine) > BINS_MAX:
                _collapse(mine)

    def quantiles(self, wanted: tuple[float, ...]) -> list[float]:
        """The numbers at these shares (0 to 1) of the rank, of a sketch that holds any."""
        sketch = BaseDDSketch(_mapping, _dense(self.positive), _dense(self.negative), self.zeros)
        return [float(sketch.get_quantile_value(share) or 0.0) for share in wanted]


def _collapse(bins: dict[int, int]) -> None:
    """What lies too far below the highest bin counts in the lowest one that is kept."""
    lowest = max(bins) - BINS_MAX + 1
    for key in [key for key in bins if key < lowest]:
        bins[lowest] = bins.get(lowest, 0) + bins.pop(key)


def _dense(bins: dict[int, int]) -> CollapsingLowestDenseStore:
    store = CollapsingLowestDenseStore(BINS_MAX)
    for key in sorted(bins, reverse=True):  # the highest first: it decides what is collapsed
        store.add(key, bins[key])
    return store
