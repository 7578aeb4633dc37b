"""Reading TOML data with errors that name file, key and what was expected; unknown keys are refused."""

import math
import tomllib
from typing import Any

from firmware_sim.power.errors import PowerDataError


def parse_toml(text: str, file: str) -> "Section":
    """Return the whole file as a section. Raises PowerDataError when it is no TOML."""
    try:
        return Section(file, "", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise PowerDataError(file, "(file)", f"TOML ({error})", text[:40]) from error


class Section:
    """One table of a data file. Every read marks its key; `done` refuses what nobody read."""

    def __init__(self, file: str, key: str, values: dict[str, Any]) -> None:
        self.file, self.key = file, key
        self._values = values
        self._read: set[str] = set()

    def _path(self, key: str) -> str:
        return f"{self.key}.{key}" if self.key else key

    def fail(self, key: str, expected: str, got: object) -> PowerDataError:
        """Return the error for one key of this section."""
        return PowerDataError(self.file, self._path(key), expected, got)

    def has(self, key: str) -> bool:
        """Say whether the key is there."""
        return key in self._values

    def keys(self) -> list[str]:
        """Return the keys in the file's order."""
        return list(self._values)

    def _take(self, key: str, expected: str) -> Any:
        self._read.add(key)
        if key not in self._values:
            raise self.fail(key, expected, None)
        return self._values[key]

    def number(self, key: str, low: float = 0.0, high: float = math.inf, default: float | None = None) -> float:
        """Return a finite number in [low, high]."""
        expected = f"a number from {low:g} to {high:g}" if math.isfinite(high) else f"a number of at least {low:g}"
        if default is not None and not self.has(key):
            return default
        return self._number_in(key, self._take(key, expected), low, high, expected)

    def positive(self, key: str) -> float:
        """Return a finite number over 0."""
        value = self.number(key)
        if value == 0:
            raise self.fail(key, "a number over 0", value)
        return value

    def _number_in(self, key: str, value: object, low: float, high: float, expected: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.fail(key, expected, value)
        if not low <= value <= high:
            raise self.fail(key, expected, value)
        return float(value)

    def text(self, key: str) -> str:
        """Return a text that is not empty."""
        value = self._take(key, "a text")
        if not isinstance(value, str) or not value.strip():
            raise self.fail(key, "a text", value)
        return value

    def flag(self, key: str) -> bool:
        """Return true or false; false when the key is not there."""
        if not self.has(key):
            return False
        value = self._take(key, "true or false")
        if not isinstance(value, bool):
            raise self.fail(key, "true or false", value)
        return value

    def points(self, key: str) -> list[tuple[float, float]]:
        """Return a list of [x, y] pairs with x rising."""
        expected = "a list of [x, y] numbers with x rising"
        value = self._take(key, expected)
        if not isinstance(value, list) or not value:
            raise self.fail(key, expected, value)
        pairs: list[tuple[float, float]] = []
        for item in value:
            if not isinstance(item, list) or len(item) != 2:
                raise self.fail(key, expected, item)
            x, y = (self._number_in(key, part, -math.inf, math.inf, expected) for part in item)
            if pairs and x <= pairs[-1][0]:
                raise self.fail(key, expected, item)
            pairs.append((x, y))
        return pairs

    def section(self, key: str) -> "Section":
        """Return a table within this one."""
        value = self._take(key, "a table")
        if not isinstance(value, dict):
            raise self.fail(key, "a table", value)
        return Section(self.file, self._path(key), value)

    def optional_section(self, key: str) -> "Section | None":
        """Return a table within this one, or None."""
        return self.section(key) if self.has(key) else None

    def sections(self, key: str) -> list["Section"]:
        """Return a list of tables."""
        value = self._take(key, "a list of tables")
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.fail(key, "a list of tables", value)
        return [Section(self.file, f"{self._path(key)}[{i}]", item) for i, item in enumerate(value)]

    def done(self) -> None:
        """Refuse a key that nothing read: a typo must not pass for a setting."""
        for key in self._values:
            if key not in self._read:
                raise self.fail(key, f"one of {', '.join(sorted(self._read))}", self._values[key])
