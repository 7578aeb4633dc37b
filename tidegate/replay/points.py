"""The points of the simulated cloud: InfluxDB's rules for what a write means, in memory.

The rules are those of `cloud.points.PointStore`, and a test holds the two against each other: a point is a series and
a time; writing it again overwrites it field by field; a field keeps the type of its first value; a point that conflicts
is dropped and the conflict named. In memory because a replay writes a month of points in seconds: about 250 bytes a
point.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum

import msgspec

from cloud.lineprotocol import TYPE_NAMES, FieldValue, Point, Series, field_type
from cloud.points import RESERVED_NAME, WriteReport

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


class Points:
    """One bucket."""

    def __init__(self, observer: Observer) -> None:
        """`observer` is given each point that was stored."""
        self._observer = observer
        self._series: dict[Series, dict[int, bytes]] = {}
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
        stored = self._series.get(series, {}).get(time_ns)
        return None if stored is None else msgspec.json.decode(stored)

    def _fault(self, series: Series, fields: dict[str, FieldValue]) -> str:
        measurement = series.measurement
        shape: tuple[str | type, ...] = (measurement, *fields, *[type(value) for value in fields.values()])
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
        held = self._series.setdefault(point.series, {})
        encoded = _encoder.encode(fields)
        stored = held.get(point.time_ns)
        if stored is None:
            held[point.time_ns] = encoded
            self.count += 1
            return Met.NOTHING
        if stored == encoded:
            return Met.ITSELF
        merged = _decoder.decode(stored)
        merged.update({name: msgspec.Raw(_encoder.encode(value)) for name, value in fields.items()})
        held[point.time_ns] = _encoder.encode(merged)
        return Met.ANOTHER
