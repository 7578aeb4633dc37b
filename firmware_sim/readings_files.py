"""Where the readings of a run in virtual time go: lines of JSON, or a Parquet file, one row for each reading.

Both have the same columns (`ReadingLine`), in the order of arrival, and the same bytes for the same readings, however
they are handed in (a Parquet file: written by the same release of pyarrow, whose name stands in it). Memory does not
grow with the number of readings: JSON goes out with every `flush`, Parquet by row groups of `ROWS_OF_GROUP`.

In Parquet, `values` is a list of structs of name, value (a double) and unit: what a fleet measures is a number. pyarrow
is imported where a Parquet file is opened, so that nobody else needs it.
"""

from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import msgspec

from sensors.reading import Value

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_OF_GROUP = 65_536  # some 20 MB of memory while it fills; ten million readings make 153 groups
_VALUES = "values"
_COMPRESSION = "zstd"  # a tenth of the JSON's size


class ReadingLine(msgspec.Struct, frozen=True, gc=False):
    """One reading that arrived: a line, or a row."""

    device: str
    boot: int
    seq: int
    taken_at_ms: int
    synced: bool
    received_at_ms: int
    values: tuple[Value, ...]


class ReadingsFile(Protocol):
    """Takes readings as they arrive."""

    def take(self, line: ReadingLine) -> None:
        """Add one."""

    def flush(self) -> None:
        """Hand on what has gathered, if it is enough to be worth it; called often."""

    def close(self) -> None:
        """Hand on all the rest: the file is complete then."""


class JsonLines:
    """A line of JSON for each reading; `write` gets whole lines."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._encode = msgspec.json.Encoder().encode
        self._lines: list[bytes] = []

    def take(self, line: ReadingLine) -> None:
        """Add one."""
        self._lines.append(self._encode(line))

    def flush(self) -> None:
        """Write them."""
        if self._lines:
            self._lines.append(b"")
            self._write(b"\n".join(self._lines))
            self._lines.clear()

    def close(self) -> None:
        """Write the rest."""
        self.flush()


class ParquetRows:
    """A row of a Parquet file for each reading. Raises ModuleNotFoundError where pyarrow is not installed."""

    def __init__(self, file: BinaryIO) -> None:
        import pyarrow as pa  # the extra `parquet`
        import pyarrow.parquet as pq

        self._pa = pa
        self._schema = _schema(pa)
        self._writer = pq.ParquetWriter(file, self._schema, compression=_COMPRESSION)
        self._rows: list[ReadingLine] = []

    def take(self, line: ReadingLine) -> None:
        """Add one; a full group is written."""
        self._rows.append(line)
        if len(self._rows) >= ROWS_OF_GROUP:
            self._write_group()

    def flush(self) -> None:
        """Nothing: groups are of one size, so that the bytes do not depend on who asks when."""

    def close(self) -> None:
        """Write the last group and what a reader finds the others by."""
        if self._rows:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        pa, rows, schema = self._pa, self._rows, self._schema
        plain = [pa.array([getattr(row, name) for row in rows], schema.field(name).type) for name in schema.names[:-1]]
        values = [value for row in rows for value in row.values]
        value_type = schema.field(_VALUES).type.value_type
        columns = (
            [value.name for value in values],
            [float(value.value) for value in values],
            [value.unit for value in values],
        )
        structs = pa.StructArray.from_arrays(
            [pa.array(column, field.type) for column, field in zip(columns, value_type, strict=True)],
            fields=list(value_type),
        )
        ends = pa.array(accumulate((len(row.values) for row in rows), initial=0), pa.int32())
        table = pa.Table.from_arrays([*plain, pa.ListArray.from_arrays(ends, structs)], schema=schema)
        self._writer.write_table(table, row_group_size=ROWS_OF_GROUP)
        self._rows.clear()


def _schema(pa: Any) -> "pa.Schema":
    value = pa.struct(
        [
            pa.field("name", pa.string(), nullable=False),
            pa.field("value", pa.float64(), nullable=False),
            pa.field("unit", pa.string()),
        ]
    )
    return pa.schema(
        [
            pa.field("device", pa.string(), nullable=False),
            pa.field("boot", pa.int64(), nullable=False),
            pa.field("seq", pa.int64(), nullable=False),
            pa.field("taken_at_ms", pa.int64(), nullable=False),
            pa.field("synced", pa.bool_(), nullable=False),
            pa.field("received_at_ms", pa.int64(), nullable=False),
            pa.field(_VALUES, pa.list_(pa.field("element", value, nullable=False)), nullable=False),
        ]
    )
