"""Sensor faults, each labelled in the ground truth, so that detectors can be scored.

A fault (`Stuck`, `Drift`, ...) says how it distorts a reading; an `Episode` says when; a plan (`Schedule`,
`RandomFaults`) says which episodes there are; the `FaultInjector` of one sensor applies them in order of time.
Taxonomy after Ni et al., "Sensor network data fault types", ACM Transactions on Sensor Networks 5 (2009).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from sensors.signals import MS_PER_HOUR
from sensors.transducer import TimeWentBackError

LABEL_SEPARATOR = "+"  # between the labels of faults that are at work at the same time


@dataclass(frozen=True, slots=True)
class Sample:
    """What came out of a sensor, and the truth about it.

    `value` is the reading, None when there is none. `fault_label` names the faults at work, in order of their start and
    joined by "+"; None when the sensor is well.
    """

    value: float | None
    truth: float
    fault_label: str | None


@dataclass(frozen=True, slots=True)
class Moment:
    """A reading under a fault: the fault's age, what the sensor said before it, whether it is its first reading."""

    age_ms: int
    held: float
    is_first: bool


class FaultError(ValueError):
    """A fault was given a parameter that makes no sense; the message names it and what was expected."""

    def __init__(self, fault: str, parameter: str, expected: str, found: object) -> None:
        self.fault = fault
        self.parameter = parameter
        self.expected = expected
        self.found = found
        super().__init__(f"{fault}: {parameter}: expected {expected}, found {found!r}")


class Fault(Protocol):
    """A way in which a sensor lies."""

    @property
    def label(self) -> str:
        """The name of the fault in the ground truth."""

    def is_at_work(self, reading: float, moment: Moment) -> bool:
        """Whether the fault touches this reading; when not, the reading is not labelled with it."""

    def distort(self, reading: float, moment: Moment) -> float | None:
        """Return what the sensor says instead of `reading`; None is no reading."""

    def mirrored(self) -> "Fault":
        """Return the fault that errs to the other side; itself where there are no sides."""


class _Always:
    """The common case: a fault that touches every reading and has no sides."""

    __slots__ = ()

    def is_at_work(self, reading: float, moment: Moment) -> bool:  # noqa: ARG002 - the answer is the same
        """Whether the fault touches this reading: it does."""
        return True


@dataclass(frozen=True, slots=True)
class Stuck(_Always):
    """The sensor goes on saying what it said last before the fault."""

    label: ClassVar[str] = "stuck"

    def distort(self, reading: float, moment: Moment) -> float:  # noqa: ARG002 - that is the fault
        """Return the last reading before the fault."""
        return moment.held

    def mirrored(self) -> "Stuck":
        """Return the same: there are no sides."""
        return self


@dataclass(frozen=True, slots=True)
class Drift(_Always):
    """The error grows by `per_hour` from the start of the fault."""

    per_hour: float
    label: ClassVar[str] = "drift"

    def distort(self, reading: float, moment: Moment) -> float:
        """Return the reading with the error so far."""
        return reading + self.per_hour * moment.age_ms / MS_PER_HOUR

    def mirrored(self) -> "Drift":
        """Return the drift to the other side."""
        return Drift(-self.per_hour)


@dataclass(frozen=True, slots=True)
class Offset(_Always):
    """The reading is off by `by`."""

    by: float
    label: ClassVar[str] = "offset"

    def distort(self, reading: float, moment: Moment) -> float:  # noqa: ARG002 - an offset has no memory
        """Return the reading with the error."""
        return reading + self.by

    def mirrored(self) -> "Offset":
        """Return the offset to the other side."""
        return Offset(-self.by)


@dataclass(frozen=True, slots=True)
class Spike:
    """One reading, the first of the episode, is off by `by`."""

    by: float
    label: ClassVar[str] = "spike"

    def is_at_work(self, reading: float, moment: Moment) -> bool:  # noqa: ARG002 - any reading can spike
        """Whether this is the reading that spikes."""
        return moment.is_first

    def distort(self, reading: float, moment: Moment) -> float:  # noqa: ARG002 - a spike has no memory
        """Return the reading with the spike."""
        return reading + self.by

    def mirrored(self) -> "Spike":
        """Return the spike to the other side."""
        return Spike(-self.by)


@dataclass(frozen=True, slots=True)
class Dropout(_Always):
    """There is no reading."""

    label: ClassVar[str] = "dropout"

    def distort(self, reading: float, moment: Moment) -> None:
        """Return None: no reading."""

    def mirrored(self) -> "Dropout":
        """Return the same: there are no sides."""
        return self


@dataclass(frozen=True, slots=True)
class Saturation:
    """The reading cannot leave `low` to `high` (a wrong gain, a dirty lens); labelled only where it would have."""

    low: float
    high: float
    label: ClassVar[str] = "saturation"

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise FaultError("Saturation", "high", f"a number of at least low ({self.low})", self.high)

    def is_at_work(self, reading: float, moment: Moment) -> bool:  # noqa: ARG002 - only the reading matters
        """Whether the reading is outside the bounds."""
        return not self.low <= reading <= self.high

    def distort(self, reading: float, moment: Moment) -> float:  # noqa: ARG002 - only the reading matters
        """Return the reading within the bounds."""
        return min(max(reading, self.low), self.high)

    def mirrored(self) -> "Saturation":
        """Return the same: the bounds are where they are."""
        return self


UNIT_SWAPS = {
    "Cel": (1.8, 32.0),  # degrees Fahrenheit
    "%RH": (0.01, 0.0),  # a fraction
    "Pa": (0.01, 0.0),  # hPa
    "m/s2": (1 / 9.80665, 0.0),  # multiples of standard gravity
    "m/s": (3.6, 0.0),  # km/h
    "lx": (1 / 10.763910416709722, 0.0),  # foot-candles, lumens per square foot
    "ppm": (1e-6, 0.0),  # a fraction
    "V": (1_000.0, 0.0),  # mV
    "A": (1_000.0, 0.0),  # mA
    "W": (1_000.0, 0.0),  # mW
    "l/s": (60.0, 0.0),  # l/min
    "l": (0.001, 0.0),  # m3
    "lat": (math.pi / 180, 0.0),  # radians
    "lon": (math.pi / 180, 0.0),  # radians
}
"""Per SenML unit, factor and offset of the unit that firmware takes it for."""


@dataclass(frozen=True, slots=True)
class SwappedUnit(_Always):
    """The number is in another unit than the label says: degrees Fahrenheit sent as Cel, for one (see `UNIT_SWAPS`)."""

    unit: str
    label: ClassVar[str] = "swapped_unit"

    def __post_init__(self) -> None:
        if self.unit not in UNIT_SWAPS:
            raise FaultError("SwappedUnit", "unit", "one of " + ", ".join(UNIT_SWAPS), self.unit)

    def distort(self, reading: float, moment: Moment) -> float:  # noqa: ARG002 - a swap has no memory
        """Return the number in the other unit."""
        factor, offset = UNIT_SWAPS[self.unit]
        return reading * factor + offset

    def mirrored(self) -> "SwappedUnit":
        """Return the same: there are no sides."""
        return self


@dataclass(frozen=True, slots=True)
class Episode:
    """A fault from `start_ms` to before `end_ms`."""

    fault: Fault
    start_ms: int
    end_ms: int

    def __post_init__(self) -> None:
        if self.end_ms <= self.start_ms:
            raise FaultError("Episode", "end_ms", f"a time after start_ms ({self.start_ms})", self.end_ms)


class FaultPlan(Protocol):
    """Which faults a sensor has when."""

    def episodes_at(self, at_ms: int) -> Sequence[Episode]:
        """Return the episodes that hold `at_ms`, in order of their start."""


class FaultInjector:
    """The faults of one sensor, applied to its readings in order of time."""

    def __init__(self, plans: Sequence[FaultPlan]) -> None:
        self._plans = tuple(plans)
        self._last_ms: int | None = None
        self._said: float | None = None
        self._held: dict[Episode, float] = {}

    def apply(self, at_ms: int, reading: float, truth: float) -> Sample:
        """Return the sample at `at_ms`, when the sensor without its faults says `reading` and `truth` is true.

        Raises `TimeWentBackError` when `at_ms` is before the last call's.
        """
        if self._last_ms is not None and at_ms < self._last_ms:
            raise TimeWentBackError(at_ms, self._last_ms)
        episodes = [episode for plan in self._plans for episode in plan.episodes_at(at_ms)]
        episodes.sort(key=lambda episode: episode.start_ms)
        before = self._held
        # A sensor that is stuck from its first reading on has nothing to hold but that reading.
        held = reading if self._said is None else self._said
        self._held = {episode: before.get(episode, held) for episode in episodes}
        value: float | None = reading
        labels = []
        for episode in episodes:
            moment = Moment(at_ms - episode.start_ms, self._held[episode], episode not in before)
            if value is not None and episode.fault.is_at_work(value, moment):
                labels.append(episode.fault.label)
                value = episode.fault.distort(value, moment)
        self._said = self._said if value is None else value
        self._last_ms = at_ms
        return Sample(value, truth, LABEL_SEPARATOR.join(labels) or None)
