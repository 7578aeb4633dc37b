"""From truth to reading: what one individual of a catalogue part makes of a quantity.

In this order: first-order response (t63), tolerance of the individual, noise, saturation, quantisation. Two individuals
with different seeds differ as two parts from one reel do; the same seed is the same part for ever. The noise of an
instant depends on seed and instant alone, so sampling more often does not change what is read at the other instants
of a part without a stated response time.
"""

import math

from sensors.catalogue import Quantity
from sensors.seeds import derive_seed, normal
from sensors.signals import MS_PER_S

_TOLERANCE_SIGMAS = 2.0  # datasheets' typical tolerances hold for about 95 % of the parts, two standard deviations
_TIDY_DIGITS = 9  # more than any part resolves; it strips float dust such as 23.450000000000003


class TimeWentBackError(ValueError):
    """A stateful model was asked about an instant before the last one; the caller must sample in order of time."""

    def __init__(self, at_ms: int, last_ms: int) -> None:
        self.at_ms = at_ms
        self.last_ms = last_ms
        super().__init__(f"at_ms: expected {last_ms} or later, found {at_ms}")


class Transducer:
    """One individual of a part, measuring one quantity.

    Its tolerance is drawn once: an offset within `accuracy_abs` and a gain within `accuracy_rel` of 1, both normal and
    cut at the figure of the datasheet. A figure that the datasheet does not state (None) counts as no effect.
    """

    def __init__(self, quantity: Quantity, seed: int) -> None:
        self.quantity = quantity
        self.offset = quantity.accuracy_abs * _tolerance(derive_seed(seed, "offset"))
        self.gain = 1.0 + quantity.accuracy_rel * _tolerance(derive_seed(seed, "gain"))
        self._noise_seed = derive_seed(seed, "noise")
        self._tau_ms = (quantity.response_t63_s or 0.0) * MS_PER_S
        self._last: _Response | None = None

    def measure(self, at_ms: int, truth: float) -> float:
        """Return the reading at `at_ms`, in the quantity's unit, when the true value is `truth`.

        The first call finds the part settled at `truth`; between two calls the truth is taken to run straight. Raises
        `TimeWentBackError` when `at_ms` is before the last call's.
        """
        if self._last is not None and at_ms < self._last.at_ms:
            raise TimeWentBackError(at_ms, self._last.at_ms)
        last = self._last or _Response(at_ms, truth, truth)
        self._last = last.next(at_ms, truth, self._tau_ms)
        noise = (self.quantity.noise_rms or 0.0) * normal(self._noise_seed, at_ms)
        return quantise(self._last.output * self.gain + self.offset + noise, self.quantity)


def quantise(value: float, quantity: Quantity) -> float:
    """Return `value` as the part reports it: kept within its range, and a whole number of its resolution.

    The range's ends are reported as they are, also where they are no multiple of the resolution.
    """
    if value <= quantity.low:
        return quantity.low
    if value >= quantity.high:
        return quantity.high
    stepped = round(round(value / quantity.resolution) * quantity.resolution, _TIDY_DIGITS)
    return min(max(stepped, quantity.low), quantity.high)


def _tolerance(seed: int) -> float:
    return min(max(normal(seed, 0) / _TOLERANCE_SIGMAS, -1.0), 1.0)


class _Response:
    """The state of a first-order lag: its input and output at one instant."""

    __slots__ = ("at_ms", "input", "output")

    def __init__(self, at_ms: int, value: float, output: float) -> None:
        self.at_ms = at_ms
        self.input = value
        self.output = output

    def next(self, at_ms: int, value: float, tau_ms: float) -> "_Response":
        """Return the state at `at_ms`, exact for an input that runs straight from the last value to this one."""
        if tau_ms == 0:
            return _Response(at_ms, value, value)
        passed_ms = at_ms - self.at_ms
        if passed_ms == 0:
            return _Response(at_ms, value, self.output)
        lag = (value - self.input) / passed_ms * tau_ms
        return _Response(at_ms, value, value - lag + (self.output - self.input + lag) * math.exp(-passed_ms / tau_ms))
