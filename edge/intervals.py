"""Sets of whole numbers kept as ranges: a million contiguous seqs cost two integers.

Promises: ranges are disjoint, sorted and never adjacent, so equal sets are equal objects; adding in order costs O(1),
anywhere else O(log n + ranges moved); what `encode` wrote, `decode` reads back.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from operator import le

import msgspec

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[list[int], list[int]])


def _is_apart(end: int, following: int) -> bool:
    return following - end > 1


class IntervalsError(ValueError):
    """Stored ranges that do not decode."""


class Intervals:
    """A mutable set of integers, as sorted closed ranges."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for first, last in ranges:
            self.add_range(first, last)

    @classmethod
    def of(cls, numbers: Iterable[int]) -> "Intervals":
        """The set of these numbers; quick where they rise."""
        made = cls()
        for number in numbers:
            made.add(number)
        return made

    def add(self, number: int) -> bool:
        """Add one number; whether it was new."""
        ends = self._ends
        if ends and number == ends[-1] + 1:  # the common case: the next seq of a device
            ends[-1] = number
            return True
        if number in self:
            return False
        self.add_range(number, number)
        return True

    def add_range(self, first: int, last: int) -> None:
        """Add `first` to `last`, both included. Raises `ValueError` if they are the wrong way round."""
        if first > last:
            raise ValueError(f"range {first} to {last}: expected first <= last")
        low = bisect_left(self._ends, first - 1)  # the first range that touches or lies behind
        high = bisect_right(self._starts, last + 1)  # behind the last range that touches or lies before
        if low < high:
            first = min(first, self._starts[low])
            last = max(last, self._ends[high - 1])
        self._starts[low:high] = [first]
        self._ends[low:high] = [last]

    def discard(self, number: int) -> bool:
        """Take one number out; whether it was there."""
        at = bisect_left(self._ends, number)
        if at == len(self._starts) or self._starts[at] > number:
            return False
        first, last = self._starts[at], self._ends[at]
        left = [(one, other) for one, other in ((first, number - 1), (number + 1, last)) if one <= other]
        self._starts[at : at + 1] = [one for one, _ in left]
        self._ends[at : at + 1] = [other for _, other in left]
        return True

    def update(self, other: "Intervals") -> None:
        """Add everything that the other set holds."""
        for first, last in other:
            self.add_range(first, last)

    def copy(self) -> "Intervals":
        """A set of the same numbers."""
        copied = Intervals()
        copied._starts, copied._ends = self._starts[:], self._ends[:]
        return copied

    def minus(self, other: "Intervals") -> "Intervals":
        """What this set holds and the other does not."""
        left = Intervals()
        if self == other:  # what is asked most: whether all is there
            return left
        for first, last in self:
            for gap_first, gap_last in other.gaps(first, last):
                left.add_range(gap_first, gap_last)
        return left

    def gaps(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The ranges within `first` to `last` that this set does not hold, in order."""
        at = first
        for index in range(bisect_left(self._ends, first), len(self._starts)):
            start, end = self._starts[index], self._ends[index]
            if start > last:
                break
            if start > at:
                yield at, start - 1
            at = end + 1
        if at <= last:
            yield at, last

    def end_of_run(self, first: int) -> int:
        """The last number of the unbroken run that starts at `first`; `first - 1` if `first` is not held."""
        index = bisect_left(self._ends, first)
        if index < len(self._starts) and self._starts[index] <= first:
            return self._ends[index]
        return first - 1

    def has_any(self, numbers: Iterable[int]) -> bool:
        """Whether any of these is held."""
        highest = self._ends[-1] if self._ends else None
        # Most who ask have numbers above all that is held, and need no search.
        return highest is not None and any(number <= highest and number in self for number in numbers)

    @property
    def highest(self) -> int | None:
        """The highest number held, or None."""
        return self._ends[-1] if self._ends else None

    def count(self) -> int:
        """How many numbers are held."""
        return sum(self._ends) - sum(self._starts) + len(self._starts)

    def encode(self) -> bytes:
        """The ranges as bytes: about ten bytes a range."""
        return _encoder.encode((self._starts, self._ends))

    @classmethod
    def decode(cls, raw: bytes) -> "Intervals":
        """Read back what `encode` wrote. Raises `IntervalsError` for anything else."""
        try:
            starts, ends = _decoder.decode(raw)
        except msgspec.DecodeError as error:
            raise IntervalsError(f"stored ranges do not decode: {error}") from None
        nexts = starts[1:]
        if not (len(starts) == len(ends) and all(map(le, starts, ends)) and all(map(_is_apart, ends, nexts))):
            raise IntervalsError("stored ranges do not decode: expected ranges in order, none touching the next")
        made = cls()
        made._starts, made._ends = starts, ends
        return made

    def __contains__(self, number: int) -> bool:
        index = bisect_left(self._ends, number)
        return index < len(self._starts) and self._starts[index] <= number

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._ends, strict=True))

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __len__(self) -> int:
        """How many ranges the set takes (not how many numbers: see `count`)."""
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervals) and (self._starts, self._ends) == (other._starts, other._ends)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return "Intervals(" + ", ".join(f"{first}-{last}" for first, last in self) + ")"
