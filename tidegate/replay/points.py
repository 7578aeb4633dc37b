"""The points of the simulated cloud: InfluxDB's rules for what a write means, in memory.

The rules are those of `cloud.points.PointStore`, and a test holds the two against each other: a point is a series and
a time; writing it again overwrites it field by field; a field keeps the type of its first value; a point that conflicts
is dropped and the conflict named. In memory, because a replay writes a month of points in minutes; what was written
long ago is packed, so that a point takes some 60 bytes.
"""

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import chain
from typing import Any

import msgspec

from cloud.lineprotocol import TYPE_NAMES, FieldValue, Point, Series, field_type
from cloud.points import RESERVED_NAME, WriteReport

FRESH_MAX = 512  # points of one series that are not packed: at one a minute a working day's
PACK_POINTS = 256  # packed together: some 50 KB, which take half a millisecond
PACK_LEVEL = 1  # zlib's quickest: a sixth is left of a rollup, and the next levels take as long again for a tenth
BETWEEN = b"\n"  # what no JSON of ours holds
NEVER_NS = -(2**63)
SHAPES_MAX = 10_000  # remembered as being without fault
_encoder = msgspec.json.Encoder(enc_hook=int, order="sorted")
_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def encode_fields(fields: Mapping[str, FieldValue]) -> bytes:
    """Fields as JSON; equal fields are equal bytes."""
    return _encoder.encode(fields)


class Met(Enum):
    """What a point met when it was written."""

    NOTHING = "nothing"
    ITSELF = "itself"
    ANOTHER = "another"


Observer = Callable[[Point, Met], None]


class Held(Mapping[int, bytes]):
    """The points of one series: time in ns -> fields as JSON, names in order.

    The `FRESH_MAX` that were written last are at hand, older ones lie in packs, each of them in the order of its times.
    """

    __slots__ = ("_at_hand", "_fresh", "_near", "_packed", "_packed_through_ns", "_packs")

    def __init__(self) -> None:
        self._fresh: dict[int, bytes] = {}
        self._packs: list[tuple[array[int], bytes]] = []
        self._packed = self._near = 0
        self._packed_through_ns = NEVER_NS
        self._at_hand: tuple[int, list[bytes]] | None = None  # a pack by its number, unpacked

    def put(self, time_ns: int, fields: bytes) -> None:
        """Write a point."""
        place = self._place(time_ns)
        if place is not None:
            number, at = place
            stored = self._unpacked(number)
            stored[at] = fields
            self._packs[number] = self._packs[number][0], _packed(stored)
            return
        self._fresh[time_ns] = fields
        if len(self._fresh) >= FRESH_MAX:
            self._pack_oldest()

    def _pack_oldest(self) -> None:
        times = sorted(self._fresh)[:PACK_POINTS]
        self._packs.append((array("q", times), _packed([self._fresh.pop(time_ns) for time_ns in times])))
        self._packed += len(times)
        self._packed_through_ns = max(self._packed_through_ns, times[-1])

    def _place(self, time_ns: int) -> tuple[int, int] | None:
        """In which pack a point is, and at which place of it."""
        if time_ns > self._packed_through_ns:
            return None
        near, packs = self._near, self._packs
        for number in chain(range(near, len(packs)), range(near)):  # who reads all of it goes on where it was
            times = packs[number][0]
            if times[0] <= time_ns <= times[-1]:
                at = bisect_left(times, time_ns)
                if times[at] == time_ns:
                    self._near = number
                    return number, at
        return None

    def _unpacked(self, number: int) -> list[bytes]:
        if self._at_hand is None or self._at_hand[0] != number:
            self._at_hand = number, zlib.decompress(self._packs[number][1]).split(BETWEEN)
        return self._at_hand[1]

    def __getitem__(self, time_ns: int) -> bytes:
        fields = self._fresh.get(time_ns)
        if fields is not None:
            return fields
        place = self._place(time_ns)
        if place is None:
            raise KeyError(time_ns)
        return self._unpacked(place[0])[place[1]]

    def get(self, time_ns: int, default: object = None) -> Any:
        """`Mapping.get`, without the price of an exception for each new point."""
        if time_ns in self._fresh or self._place(time_ns) is not None:
            return self[time_ns]
        return default

    def __iter__(self) -> Iterator[int]:
        for times, _ in self._packs:
            yield from times
        yield from self._fresh

    def __len__(self) -> int:
        return self._packed + len(self._fresh)


def _packed(fields: Sequence[bytes]) -> bytes:
    return zlib.compress(BETWEEN.join(fields), PACK_LEVEL)


class Points:
    """One bucket."""

    def __init__(self, observer: Observer) -> None:
        """`observer` is given each point that was stored."""
        self._observer = observer
        self._series: dict[Series, Held] = {}
        self._types: dict[str, dict[str, type]] = {}
        self._good: set[tuple[str | type, ...]] = set()  # measurement, names and types that were found without fault
        self.count = 0
        self._written = 0
        self._changed = 0

    def write(self, points: Sequence[Point]) -> WriteReport:
        """Store points in order; what became of them."""
        before, known, changed = self.count, 0, 0
        dropped, reason = 0, ""
        for point in points:
            fields = point.fields
            if RESERVED_NAME in fields:
                fields = {name: value for name, value in fields.items() if name != RESERVED_NAME}
            fault = self._fault(point.series, fields)
            if fault:
                dropped += 1
                reason = reason or fault
                continue
            met = self._store(point, fields)
            known += met is Met.ITSELF
            changed += met is Met.ANOTHER
            self._written += 1
            self._changed += met is not Met.ITSELF
            self._observer(point, met)
        return WriteReport(self.count - before, known, changed, dropped, reason)

    def counts(self) -> tuple[int, int]:
        """(points written so far, those of them that changed anything)."""
        return self._written, self._changed

    def of(self, measurement: str) -> Iterator[tuple[Series, Mapping[int, bytes]]]:
        """Every series of a measurement, with its points: time in ns -> fields as JSON, names in order."""
        return ((series, held) for series, held in self._series.items() if series.measurement == measurement)

    def fields(self, series: Series, time_ns: int) -> dict[str, FieldValue] | None:
        """The fields of a point as JSON has them, or None where there is no point."""
        held = self._series.get(series)
        stored = None if held is None else held.get(time_ns)
        return None if stored is None else msgspec.json.decode(stored)

    def _fault(self, series: Series, fields: dict[str, FieldValue]) -> str:
        measurement = series.measurement
        shape: tuple[str | type, ...] = (measurement, *fields, *map(type, fields.values()))
        if shape in self._good and series in self._series:
            return ""
        if any(name == RESERVED_NAME for name, _ in series.tags):
            return f'invalid tag key: input tag "{RESERVED_NAME}" on measurement "{measurement}" is invalid'
        if not fields:
            return f'invalid field name: input field "{RESERVED_NAME}" on measurement "{measurement}" is invalid'
        types = self._types.setdefault(measurement, {})
        unseen = False
        for name, value in fields.items():
            known = types.get(name)
            if known is None:
                unseen = True
            elif known is not type(value):
                given = field_type(value)
                return (
                    f'field type conflict: input field "{name}" on measurement "{measurement}" is type {given},'
                    f" already exists as type {TYPE_NAMES[known]}"
                )
        if unseen:
            for name, value in fields.items():
                types.setdefault(name, type(value))
        if len(self._good) < SHAPES_MAX:
            self._good.add(shape)
        return ""

    def _store(self, point: Point, fields: dict[str, FieldValue]) -> Met:
        held = self._series.get(point.series)
        if held is None:
            held = self._series[point.series] = Held()
        encoded = _encoder.encode(fields)
        stored = held.get(point.time_ns)
        if stored is None:
            held.put(point.time_ns, encoded)
            self.count += 1
            return Met.NOTHING
        if stored == encoded:
            return Met.ITSELF
        merged = _decoder.decode(stored)
        merged.update({name: msgspec.Raw(_encoder.encode(value)) for name, value in fields.items()})
        held.put(point.time_ns, _encoder.encode(merged))
        return Met.ANOTHER
