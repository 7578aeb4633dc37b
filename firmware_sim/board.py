"""A device's sensors together: what they say at an instant, and which faults were at work in it.

Promise: every fault that touched a sample is in `faults`, by the name of its value, also where it left no value at all.
Instants must not go back (`TimeWentBackError`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from sensors.faults import FaultInjector
from sensors.reading import Value
from sensors.signals import Signal
from sensors.transducer import Transducer


class FaultTruth(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was wrong with one value: `label` names the faults, joined by "+"; `truth` is what there really was."""

    name: str
    label: str
    truth: float


@dataclass(frozen=True, slots=True)
class Probe:
    """One sensor: a signal, seen by a part's individual (or as it is), spoilt by its faults."""

    name: str
    unit: str
    signal: Signal
    transducer: Transducer | None
    injector: FaultInjector | None


class Board:
    """Called with an instant, it measures."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self.faults: tuple[FaultTruth, ...] = ()
        self._probes = tuple(probes)

    def __call__(self, at_ms: int) -> tuple[Value, ...]:
        """The values at `at_ms`; one that dropped out is not among them."""
        values: list[Value] = []
        faults: list[FaultTruth] = []
        for probe in self._probes:
            truth = probe.signal.value(at_ms)
            said: float | None = truth if probe.transducer is None else probe.transducer.measure(at_ms, truth)
            if probe.injector is not None and said is not None:
                sample = probe.injector.apply(at_ms, said, truth)
                said = sample.value
                if sample.fault_label is not None:
                    faults.append(FaultTruth(probe.name, sample.fault_label, truth))
            if said is not None:
                values.append(Value(probe.name, said, probe.unit))
        self.faults = tuple(faults)
        return tuple(values)
