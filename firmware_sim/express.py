"""The short way of a reading: from a device with nothing else on its mind to a gateway in the same memory.

In virtual time nearly every wake-up is the same: one reading is stored, sent, taken and acknowledged at one instant,
and the flash is empty again. Where that is certain beforehand, device and gateway leave out what nobody looks at: the
bytes of the flash frames, of the SenML pack and of the acknowledgement. Every book that they keep (seq, wear, counters,
energy, what the gateway has) is as it would have been on the long way; tests hold the two against each other.
"""

import math
from typing import Protocol

from sensors.reading import Reading, Value
from sensors.senml import RELATIVE_BELOW_S

_AS_THEY_ARE = frozenset({bool, str})
_WALL_TIME_MS_MIN = RELATIVE_BELOW_S * 1000  # what is earlier would read as an age


class Express(Protocol):
    """A gateway that has what it is told at once, and acknowledges it."""

    silent_until_ms: int
    """Before this instant it says nothing by itself, and nobody looks at the device."""

    def expects(self, boot: int, seq: int) -> bool:
        """Whether this is the next reading of that boot, and no earlier one is missing."""

    def take(self, reading: Reading, now_ms: int) -> None:
        """Take a reading that is expected."""


def as_received(reading: Reading) -> Reading | None:
    """The reading as it comes out of a SenML pack, where numbers are floats; None if it would come out otherwise."""
    if reading.taken_at_ms < _WALL_TIME_MS_MIN or not reading.synced:
        return None
    values, as_they_are = list(reading.values), True
    for at, value in enumerate(values):
        number = value.value
        if type(number) is float:
            if not math.isfinite(number):
                return None
        elif type(number) not in _AS_THEY_ARE:
            values[at], as_they_are = Value(value.name, float(number), value.unit), False
    if as_they_are:
        return reading
    return Reading(reading.device, reading.boot, reading.seq, reading.taken_at_ms, tuple(values), reading.synced)
