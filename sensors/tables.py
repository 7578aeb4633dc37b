"""Reading TOML tables strictly, with errors that name file, key and what was expected.

A `TableReader` walks one table of one file. Every key must be asked for: `finish` refuses the keys that nobody read,
so a misspelt key is an error and never a silent default.
"""

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class DataFileError(ValueError):
    """A data file does not say what it must; the message names file, key and what was expected.

    To be mended by whoever wrote the file.
    """

    def __init__(self, file: str, key: str, expected: str, found: object) -> None:
        self.file = file
        self.key = key
        self.expected = expected
        self.found = found
        super().__init__(f"{file}: {key}: expected {expected}, found {found!r}")


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of the TOML file at `path`; raise `DataFileError` if it cannot be read as TOML."""
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise DataFileError(str(path), "(file)", "a readable file", error.strerror) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataFileError(str(path), "(file)", "valid TOML", str(error)) from error


class TableReader:
    """One table of a data file, read key by key."""

    def __init__(self, file: str, key: str, table: object) -> None:
        if not isinstance(table, Mapping):
            raise DataFileError(file, key, "a table", table)
        self._file = file
        self._key = key
        self._table: Mapping[str, Any] = table
        self._read: set[str] = set()

    def keys(self) -> tuple[str, ...]:
        """Return the keys of this table in the order of the file."""
        return tuple(self._table)

    def error(self, name: str, expected: str) -> DataFileError:
        """Return the error that says what `name` should have been."""
        return DataFileError(self._file, f"{self._key}.{name}", expected, self._table.get(name, "nothing"))

    def table(self, name: str) -> "TableReader":
        """Return the table called `name` inside this one."""
        return TableReader(self._file, f"{self._key}.{name}", self._take(name, "a table"))

    def text(self, name: str) -> str:
        """Return a string that is not blank."""
        value = self._take(name, "a text")
        if not isinstance(value, str) or not value.strip():
            raise self.error(name, "a text that is not empty")
        return value

    def number(self, name: str, *, at_least: float = -math.inf) -> float:
        """Return a finite number, not below `at_least`."""
        expected = "a finite number" if at_least == -math.inf else f"a finite number, at least {at_least:g}"
        value = self._take(name, expected)
        # TOML's true is Python's 1: a switch where a number belongs is a mistake, not a one.
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(name, expected)
        if not math.isfinite(value) or value < at_least:
            raise self.error(name, expected)
        return float(value)

    def optional_number(self, name: str, *, at_least: float = -math.inf) -> float | None:
        """Return a number as `number` does, or None where the key is absent."""
        self._read.add(name)
        return self.number(name, at_least=at_least) if name in self._table else None

    def finish(self) -> None:
        """Refuse the keys that were not asked for."""
        for name in self._table:
            if name not in self._read:
                raise DataFileError(self._file, f"{self._key}.{name}", "one of " + ", ".join(sorted(self._read)), name)

    def _take(self, name: str, expected: str) -> object:
        self._read.add(name)
        if name not in self._table:
            raise self.error(name, expected)
        value: object = self._table[name]
        return value
