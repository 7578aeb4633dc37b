"""What a device measured at one instant.

A reading is named by its identity (device, boot, seq): `boot` counts the device's restarts and `seq` its readings since
that restart, from 0 and without gaps. Everything that the gateway promises, it promises for identities.
"""

from typing import NamedTuple

import msgspec

BOOT_MAX = 2**32 - 2  # a device that restarts every second reaches this after 136 years
FOREIGN_BOOT = 2**32 - 1
"""The boot of readings whose device knows none: the gateway numbers them itself. No device may claim it."""

SEQ_MAX = 2**48 - 1  # fits SQLite's and InfluxDB's signed 64 bits with room, and a float64 exactly


class Value(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One named value; `unit` is a SenML unit symbol (RFC 8428, section 12.1), or None where there is none."""

    name: str
    value: float | bool | str
    unit: str | None = None


class Identity(NamedTuple):
    """The name of a reading, unique for ever."""

    device: str
    boot: int
    seq: int


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One reading.

    `taken_at_ms` is the device's time in milliseconds since 1970 when `synced` is true. When it is false the device had
    no wall clock, and the time was reckoned back from the moment of reception by the age that the device stated.
    """

    device: str
    boot: int
    seq: int
    taken_at_ms: int
    values: tuple[Value, ...]
    synced: bool = True

    @property
    def identity(self) -> Identity:
        """The name of this reading."""
        return Identity(self.device, self.boot, self.seq)
