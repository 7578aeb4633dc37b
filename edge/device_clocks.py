"""Device clocks are never trusted: which times are impossible, and how far each device's clock is off.

A time before 2000 or more than a day ahead of the gateway's own clock is impossible: such a reading gets the time of
its receipt, once, before it is stored, and a flag that says so; so it is the same line on every resend.

The offset of a device is the median of (receipt - device time) over its newest readings, so it holds the time that the
message took: a device with a backlog shows its delay until as many fresh messages have come. Drift is the Theil-Sen
slope (H. Theil, 1950; P. K. Sen, 1968: the median of the slopes of all pairs) of the same samples.
Synchronous and sans-IO; memory: about 500 bytes a device.
"""

from array import array
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from sensors.reading import Reading
from sensors.senml import TAKEN_AT_MS_MAX

EARLIEST_MS = 946_684_800_000  # 2000-01-01: clocks that were never set start at 1970 or 1980
AHEAD_MAX_MS = 86_400_000  # a day: more than any time zone that was taken for UTC
OWN_CLOCK_SET_MS = 1_735_689_600_000  # 2025-01-01: a gateway whose own clock is behind this release has not been set
SAMPLES_MAX = 15
SAMPLE_EVERY_MS = 10_000  # so that a busy device costs no more than a quiet one, and samples span minutes
DRIFT_SPAN_MS = 60_000  # a shorter span says more about the network than about the crystal
RESTAMPED = "restamped"
"""The ledger's total of readings whose time was impossible."""


@dataclass(frozen=True, slots=True)
class ClockEstimate:
    """A device's clock: positive `offset_ms` means that it is behind, or its messages late.

    `drift_ppm` is positive if it runs slow, and None until the samples span a minute.
    """

    offset_ms: int
    drift_ppm: float | None
    samples: int


def latest_possible_ms(now_ms: int) -> int:
    """The latest time that a reading may claim; any, while the gateway's own clock cannot tell."""
    return now_ms + AHEAD_MAX_MS if now_ms >= OWN_CLOCK_SET_MS else TAKEN_AT_MS_MAX


def restamp(reading: Reading, now_ms: int) -> Reading:
    """The reading at the time of its receipt, flagged."""
    return Reading(reading.device, reading.boot, reading.seq, now_ms, reading.values, synced=False, time_replaced=True)


class DeviceClocks:
    """The estimates of all devices since the gateway's start."""

    def __init__(self) -> None:
        self._samples: dict[int, array[int]] = {}  # device key -> received_ms, delta_ms, received_ms, delta_ms, ...

    def note(self, device_key: int, taken_at_ms: int, received_at_ms: int) -> None:
        """One possible device time of a synchronised device, and when it came."""
        samples = self._samples.get(device_key)
        if samples is None:
            samples = self._samples[device_key] = array("q")
        elif 0 <= received_at_ms - samples[-2] < SAMPLE_EVERY_MS:
            return
        samples.append(received_at_ms)
        samples.append(received_at_ms - taken_at_ms)
        if len(samples) > 2 * SAMPLES_MAX:
            del samples[:2]

    def offset_ms(self, device_key: int) -> int | None:
        """The offset alone, which costs a tenth of the estimate."""
        samples = self._samples.get(device_key)
        return None if samples is None else round(median(samples[1::2]))

    def estimate(self, device_key: int) -> ClockEstimate | None:
        """The device's clock, or None if it has told no time yet."""
        samples = self._samples.get(device_key)
        if samples is None:
            return None
        received, deltas = samples[::2], samples[1::2]
        drift = None
        if max(received) - min(received) >= DRIFT_SPAN_MS:
            pairs = combinations(zip(received, deltas, strict=True), 2)
            slopes = [(late - early) / (end - start) for (start, early), (end, late) in pairs if end != start]
            drift = round(median(slopes) * 1e6, 1)
        return ClockEstimate(round(median(deltas)), drift, len(deltas))
