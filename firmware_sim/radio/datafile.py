"""Radio data files: TOML with provenance, read with typed getters that name file and key when something is wrong.

A data file has a `[provenance]` table with `source` (where the figures come from) and `scope`: what the currents
include. `radio` is the transceiver alone, `chip` the transceiver and its processor, `board` everything the battery
feeds. A device model adds the rest of its board to the first two and nothing to the last.
"""

import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from firmware_sim.radio.errors import RadioDataError

SCOPES = ("radio", "chip", "board")


@dataclass(frozen=True, slots=True)
class RadioData:
    """One data file. Keys are dotted: ``idle.sleep_ma``."""

    name: str
    values: dict[str, Any]
    _checked: dict[str, float] = field(default_factory=dict, init=False, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str, name: str) -> "RadioData":
        """Parse TOML text. Raises `RadioDataError` for bad TOML or missing provenance."""
        try:
            data = cls(name, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise RadioDataError(name, "(file)", f"valid TOML ({error})") from error
        data.text("provenance.source")
        if data.scope not in SCOPES:
            raise RadioDataError(name, "provenance.scope", f"one of {', '.join(SCOPES)}")
        return data

    @classmethod
    def bundled(cls, name: str) -> "RadioData":
        """Read a file that comes with the package, such as ``wifi_esp32``."""
        file = resources.files("firmware_sim.radio").joinpath("data", f"{name}.toml")
        if not file.is_file():
            raise RadioDataError(f"{name}.toml", "(file)", "one of " + ", ".join(bundled_names()))
        return cls.parse(file.read_text(encoding="utf-8"), f"{name}.toml")

    @classmethod
    def read(cls, path: Path) -> "RadioData":
        """Read a file of the user's own, of the same form."""
        return cls.parse(path.read_text(encoding="utf-8"), str(path))

    @property
    def scope(self) -> str:
        """What the currents include: ``radio``, ``chip`` or ``board``."""
        return self.text("provenance.scope")

    def number(self, key: str) -> float:
        """Return a number of 0 or more, or signed for keys in dBm and dB."""
        known = self._checked.get(key)
        if known is not None:  # a radio asks for the same few numbers at every frame
            return known
        value = self._find(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RadioDataError(self.name, key, "a number")
        if value < 0 and not key.endswith(("_dbm", "_db")):
            raise RadioDataError(self.name, key, "a number of 0 or more")
        self._checked[key] = float(value)
        return float(value)

    def number_or_none(self, key: str) -> float | None:
        """Return a number, or None if the key is absent."""
        return self.number(key) if self._has(key) else None

    def whole(self, key: str) -> int:
        """Return a whole number of 0 or more."""
        value = self._find(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise RadioDataError(self.name, key, "a whole number of 0 or more")
        return value

    def text(self, key: str) -> str:
        """Return a string that is not empty."""
        value = self._find(key)
        if not isinstance(value, str) or not value:
            raise RadioDataError(self.name, key, "a string")
        return value

    def tables(self, key: str) -> tuple["RadioData", ...]:
        """Return a list of tables; one that is absent is empty."""
        if not self._has(key):
            return ()
        value = self._find(key)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise RadioDataError(self.name, key, "a list of tables")
        return tuple(RadioData(f"{self.name}: {key}[{n}]", item) for n, item in enumerate(value))

    def numbers(self, key: str) -> dict[str, float]:
        """Return a table whose values are all numbers."""
        value = self._find(key)
        if not isinstance(value, dict):
            raise RadioDataError(self.name, key, "a table of numbers")
        return {name: self.number(f"{key}.{name}") for name in value}

    def _has(self, key: str) -> bool:
        try:
            self._find(key)
        except RadioDataError:
            return False
        return True

    def _find(self, key: str) -> Any:
        value: Any = self.values
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value:
                raise RadioDataError(self.name, key, "the key to be present")
            value = value[part]
        return value


def bundled_names() -> tuple[str, ...]:
    """Return the names of the data files that come with the package, sorted."""
    folder = resources.files("firmware_sim.radio").joinpath("data")
    return tuple(sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")))
