"""One sensor of one device, end to end: a signal, seen by a part's individual, spoilt by its faults."""

from collections.abc import Sequence

from sensors.catalogue import Quantity
from sensors.faults import FaultInjector, FaultPlan, Sample
from sensors.seeds import derive_seed
from sensors.signals import Signal
from sensors.transducer import Transducer


class Channel:
    """A sensor's samples over time; `name` and `unit` are what its readings are called on the wire."""

    def __init__(
        self, name: str, quantity: Quantity, signal: Signal, seed: int, plans: Sequence[FaultPlan] = ()
    ) -> None:
        self.name = name
        self.unit = quantity.unit
        self._signal = signal
        self._transducer = Transducer(quantity, derive_seed(seed, "transducer", name))
        self._injector = FaultInjector(plans)

    def sample(self, at_ms: int) -> Sample:
        """Return the sample at `at_ms`; instants must not go back (`TimeWentBackError`)."""
        truth = self._signal.value(at_ms)
        return self._injector.apply(at_ms, self._transducer.measure(at_ms, truth), truth)
