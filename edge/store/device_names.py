"""The short numbers by which rows of the store name devices. The part of `Store` that is about them.

Promises: a number is given once and for good, to whoever is heard first, from 1 upwards; numbers that a failed
transaction gave are taken back.
"""

import sqlite3

UNKNOWN_DEVICE = ("", "")


class DeviceNames:
    """The names of the devices of one open store, as (site, device); all of them are in memory."""

    _db: sqlite3.Connection

    def _read_names(self) -> None:
        rows = self._db.execute("SELECT key, site, device FROM devices ORDER BY key").fetchall()
        self._names: dict[int, tuple[str, str]] = {key: (site, device) for key, site, device in rows}
        self._keys = {name: key for key, name in self._names.items()}

    def _forget_newest(self, known: int) -> None:
        """Take back the numbers above `known`."""
        while len(self._keys) > known:
            _, key = self._keys.popitem()
            del self._names[key]

    def device_key(self, site: str, device: str) -> int:
        """The short number that rows use for a device; a new device gets one (inside a transaction)."""
        key = self._keys.get((site, device))
        if key is None:
            key = len(self._keys) + 1
            self._db.execute("INSERT INTO devices (key, site, device) VALUES (?, ?, ?)", (key, site, device))
            self._keys[site, device] = key
            self._names[key] = (site, device)
        return key

    def known_key(self, site: str, device: str) -> int | None:
        """The number of a device that was heard before, or None."""
        return self._keys.get((site, device))

    def device_name(self, key: int) -> tuple[str, str]:
        """(site, device) of a number. Raises `KeyError` for one that was never given."""
        return self._names[key]

    @property
    def device_count(self) -> int:
        """How many devices were ever heard."""
        return len(self._keys)
