"""Readings in files: JSON lines and Parquet hold the same, and gather no more than a group."""

import io
from collections.abc import Iterator
from itertools import islice

import msgspec
import pyarrow.parquet as pq
import pytest

from firmware_sim import readings_files
from firmware_sim.readings_files import JsonLines, ParquetRows, ReadingLine
from sensors.reading import Value


def readings() -> Iterator[ReadingLine]:
    at_ms = 1_767_225_600_000
    for n in range(10_000):
        values = tuple(Value(f"v{k}", n / 7 + k, "Cel" if k else None) for k in range(n % 3))
        yield ReadingLine(f"d{n % 7}", 1 + n % 2, n, at_ms + n, n % 5 > 0, at_ms + 2 * n, values)


def parquet(count: int, flush_every: int) -> bytes:
    file = io.BytesIO()
    rows = ParquetRows(file)
    for n, line in enumerate(islice(readings(), count)):
        rows.take(line)
        if n % flush_every == 0:
            rows.flush()
    rows.close()
    return file.getvalue()


def test_a_parquet_file_has_the_columns_and_values_of_the_lines() -> None:
    lines: list[bytes] = []
    json = JsonLines(lines.append)
    for line in islice(readings(), 50):
        json.take(line)
    json.close()
    told = [msgspec.json.decode(line) for line in b"".join(lines).splitlines()]
    rows = pq.read_table(io.BytesIO(parquet(50, 1))).to_pylist()
    assert [list(row) for row in rows] == [list(line) for line in told]
    for row in rows:
        row["values"] = [
            [each["name"], each["value"]] + ([each["unit"]] if each["unit"] else [None]) for each in row["values"]
        ]
    assert rows == told


def test_groups_are_of_one_size_so_the_bytes_do_not_depend_on_who_flushes_when(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings_files, "ROWS_OF_GROUP", 1000)
    written = parquet(2500, 1)
    assert written == parquet(2500, 700)
    groups = pq.ParquetFile(io.BytesIO(written)).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [1000, 1000, 500]


def test_what_gathers_is_written_with_each_full_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings_files, "ROWS_OF_GROUP", 100)
    file = io.BytesIO()
    rows = ParquetRows(file)
    sizes = []
    for line in islice(readings(), 1000):
        rows.take(line)
        sizes.append(file.tell())
    assert sizes[98] < sizes[99] < sizes[199] < sizes[999], "each hundredth reading puts a group into the file"
    assert len(set(sizes)) == 11
    rows.close()


def test_a_run_that_measured_nothing_is_still_a_parquet_file() -> None:
    table = pq.read_table(io.BytesIO(parquet(0, 1)))
    assert table.num_rows == 0
    assert table.column_names == list(ReadingLine.__struct_fields__)
