"""How strong a signal arrives: log-distance path loss with shadowing, received power, error rate, and movement.

Source of the loss model: T. Rappaport, "Wireless Communications", section 4.9: L = L0 + 10 n log10(d / d0) + N(0, s).
`LORASIM` holds the figures of Bor et al., MSWiM 2016 (after Petajajarvi et al. 2015): 127.41 dB at 40 m, n 2.08,
shadowing 3.57 dB.
"""

import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from firmware_sim.radio.errors import require

MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class LogDistance:
    """Path loss over distance; below `reference_m` the loss stays at its reference (the model says nothing nearer)."""

    reference_loss_db: float
    reference_m: float
    exponent: float
    shadowing_db: float = 0.0

    def __post_init__(self) -> None:
        require(self.reference_m > 0, "reference_m", self.reference_m, "more than 0")
        require(self.exponent > 0, "exponent", self.exponent, "more than 0")
        require(self.shadowing_db >= 0, "shadowing_db", self.shadowing_db, "0 or more")

    def mean_loss_db(self, distance_m: float) -> float:
        """Return the loss without shadowing."""
        require(distance_m >= 0, "distance_m", distance_m, "0 or more")
        ratio = max(distance_m, self.reference_m) / self.reference_m
        return self.reference_loss_db + 10 * self.exponent * math.log10(ratio)

    def draw_shadowing_db(self, rng: random.Random) -> float:
        """Draw what buildings and hills add at one place: once per place, not per frame."""
        return rng.gauss(0.0, self.shadowing_db)

    def range_m(self, loss_db: float) -> float:
        """Return the distance at which the mean loss is reached (the inverse of `mean_loss_db`)."""
        return self.reference_m * 10 ** (max(loss_db - self.reference_loss_db, 0) / (10 * self.exponent))


LORASIM = LogDistance(reference_loss_db=127.41, reference_m=40.0, exponent=2.08, shadowing_db=3.57)


@dataclass(frozen=True, slots=True)
class Budget:
    """A link budget: what is sent, what the antennas add, and the receiver's noise."""

    tx_power_dbm: float
    noise_dbm: float
    antenna_gains_db: float = 0.0

    def rssi_dbm(self, loss_db: float) -> float:
        """Return the received power."""
        return self.tx_power_dbm + self.antenna_gains_db - loss_db

    def snr_db(self, loss_db: float) -> float:
        """Return the signal-to-noise ratio."""
        return self.rssi_dbm(loss_db) - self.noise_dbm


def packet_error_rate(
    rssi_dbm: float, sensitivity_dbm: float, bits: int, reference_bits: int, reference_per: float
) -> float:
    """Return the packet error rate of a receiver known only by its sensitivity.

    The sensitivity is the power at which frames of `reference_bits` have error rate `reference_per`. Bit errors follow
    non-coherent FSK, 0.5 exp(-Eb/N0 / 2) (Proakis, "Digital Communications", 5.4), scaled so that the curve passes
    there.
    """
    require(0 < reference_per < 1, "reference_per", reference_per, "between 0 and 1")
    reference_ber = 1 - (1 - reference_per) ** (1 / reference_bits)
    half_ebn0 = -math.log(2 * reference_ber) * 10 ** ((rssi_dbm - sensitivity_dbm) / 10)
    return 1 - (1 - 0.5 * math.exp(-half_ebn0)) ** bits


@dataclass(frozen=True, slots=True)
class Waypoint:
    """Where a device is at an instant, in metres on a plane."""

    at_ms: int
    x_m: float
    y_m: float


class Movement:
    """A track of waypoints, straight and even between them; still before the first and after the last.

    With `loop_ms` it begins again every `loop_ms`, counted from its first waypoint.
    """

    def __init__(self, waypoints: Sequence[Waypoint], *, loop_ms: int | None = None) -> None:
        require(len(waypoints) > 0, "waypoints", waypoints, "at least one")
        self._times = [point.at_ms for point in waypoints]
        rising = all(a < b for a, b in zip(self._times, self._times[1:], strict=False))
        require(rising, "waypoints", self._times, "at_ms rising from point to point")
        span_ms = self._times[-1] - self._times[0]
        require(loop_ms is None or loop_ms > span_ms, "loop_ms", loop_ms, f"more than the track's {span_ms} ms")
        self._points = tuple(waypoints)
        self._loop_ms = loop_ms

    def position_m(self, now_ms: int) -> tuple[float, float]:
        """Return where the device is."""
        if self._loop_ms is not None and now_ms > self._times[0]:
            now_ms = self._times[0] + (now_ms - self._times[0]) % self._loop_ms
        later = bisect_right(self._times, now_ms)
        if later == 0 or later == len(self._points):
            point = self._points[max(later - 1, 0)]
            return point.x_m, point.y_m
        a, b = self._points[later - 1], self._points[later]
        share = (now_ms - a.at_ms) / (b.at_ms - a.at_ms)
        return a.x_m + share * (b.x_m - a.x_m), a.y_m + share * (b.y_m - a.y_m)

    def distance_m(self, now_ms: int, x_m: float, y_m: float) -> float:
        """Return how far the device is from a place."""
        x, y = self.position_m(now_ms)
        return math.hypot(x - x_m, y - y_m)

    def speed_m_per_s(self, now_ms: int) -> float:
        """Return how fast the device moves over the next millisecond."""
        x, y = self.position_m(now_ms)
        return self.distance_m(now_ms + 1, x, y) * MS_PER_S
