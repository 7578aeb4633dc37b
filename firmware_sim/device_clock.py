"""The device's own clock: a crystal that is a few ppm off, and wall time only after somebody told it.

The same crystal drives the wake-up timer (`wait_ms`): a slow clock also measures less often.

The device counts a time line of its own, that the crystal drives and that no synchronisation steps. Wall time is that
time line plus a correction. Readings taken before the first synchronisation carry the time line and are sent as an age
(see `sensors.senml`); the correction that comes later makes wall time of them, also after a restart, because the outbox
remembers it (`Outbox.note_clock`).

A tuning-fork crystal runs slow off its turnover: -0.04 ppm per square degree about 25 Cel (crystal datasheets, such as
Epson FC-135): 49 ppm slow at 60 Cel, and 10 ppm is 0.864 s a day. With a temperature to go by, `ppm` is the crystal's
own at 25 Cel, and the parabola (`firmware_sim.radio.clock.Crystal`) comes on top, hour by hour; without, it is all. So
does ageing, from the day on which the device was new.

A synchronisation is one exchange of four timestamps (SNTP). Its round trip is twice `sync_error_ms`, and how that is
shared between the ways out and back is drawn evenly: half the difference is the error that nobody can see.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from firmware_sim.radio.clock import TURNOVER_C, Crystal, sntp_offset

_HOUR_MS = 3_600_000
_RESYNC_MS = 24 * 3600 * 1000  # once a day: at 20 ppm it is then never more than 1.7 s off


class TimeSource(StrEnum):
    """Where wall time comes from."""

    RTC = "rtc"  # a battery-backed clock, right within the error from the start
    NETWORK = "network"  # asked for at the first contact after a boot, and every day
    NONE = "none"  # never: every reading is sent as an age


@dataclass(frozen=True, slots=True)
class ClockSpec:
    """How good a clock is. Each synchronisation is off by up to `sync_error_ms` either way.

    `new_at_ms`: when its crystal had no age; `ageing_ppm_per_year` adds to `ppm` from then on.
    """

    ppm: float = 0.0
    source: TimeSource = TimeSource.NETWORK
    sync_error_ms: int = 0
    ageing_ppm_per_year: float = 0.0
    new_at_ms: int = 0


class DeviceClock:
    """One device's clock. `now_ms` is true time; what comes back is what the device believes."""

    def __init__(self, spec: ClockSpec, rng: Random, temperature_c: Callable[[int], float] | None = None) -> None:
        self._spec = spec
        self._temperature_c = temperature_c
        self._crystal = Crystal(offset_ppm=spec.ppm, ageing_ppm_per_year=spec.ageing_ppm_per_year)
        self._is_steady = temperature_c is None and not spec.ageing_ppm_per_year
        self._drift_at_ms = 0
        self._drift_ms = 0.0
        self._rng = rng
        self._base_ms = 0
        self._started_ms = 0
        self._synced_at_ms: int | None = None
        self.correction_ms: int | None = None
        self._rate_hour = -1
        self._rate_ppm = spec.ppm
        self._wait_rest_ms = 0.0

    def wait_ms(self, span_ms: int, now_ms: int) -> int:
        """How much true time passes while the crystal counts so much; what rounding leaves is in the next answer."""
        if not self._is_steady and now_ms // _HOUR_MS != self._rate_hour:
            self._rate_hour = now_ms // _HOUR_MS
            self._rate_ppm = self._rate_at(now_ms)
        if not self._rate_ppm:
            return span_ms
        true_ms = span_ms / (1 + self._rate_ppm / 1e6) + self._wait_rest_ms
        whole_ms = round(true_ms)
        self._wait_rest_ms = true_ms - whole_ms
        return whole_ms

    def _rate_at(self, at_ms: int) -> float:
        """What the crystal is wrong by, ppm."""
        temperature_c = TURNOVER_C if self._temperature_c is None else self._temperature_c(at_ms)
        return self._crystal.rate_ppm(temperature_c, at_ms - self._spec.new_at_ms)

    def restart(self, now_ms: int, base_ms: int) -> None:
        """The device booted: the time line goes on from `base_ms`, the newest time that its flash remembers."""
        self._base_ms, self._started_ms = base_ms, now_ms
        self._drift_at_ms, self._drift_ms = now_ms, 0.0
        self._synced_at_ms, self.correction_ms = None, None
        if self._spec.source is TimeSource.RTC:
            self._set(now_ms)

    def timeline_ms(self, now_ms: int) -> int:
        """The device's own count, never stepped."""
        passed_ms = now_ms - self._started_ms
        return self._base_ms + passed_ms + round(self._drift_to(now_ms))

    def _drift_to(self, now_ms: int) -> float:
        """What the crystal has gained since the start; asked about the past, it goes back at the present rate."""
        if self._is_steady:
            return (now_ms - self._started_ms) * self._spec.ppm / 1e6
        while self._drift_at_ms < now_ms:
            hour = self._drift_at_ms // _HOUR_MS
            until_ms = min(now_ms, (hour + 1) * _HOUR_MS)
            rate_ppm = self._rate_at(hour * _HOUR_MS + _HOUR_MS // 2)
            self._drift_ms += (until_ms - self._drift_at_ms) * rate_ppm / 1e6
            self._drift_at_ms = until_ms
        return self._drift_ms + (now_ms - self._drift_at_ms) * self._spec.ppm / 1e6

    def read(self, now_ms: int) -> tuple[int, bool]:
        """(time, whether it is wall time)."""
        if self.correction_ms is None:
            return self.timeline_ms(now_ms), False
        return self.timeline_ms(now_ms) + self.correction_ms, True

    def contact(self, now_ms: int) -> bool:
        """The network is there: synchronise if that is due. True if this gave the first wall time of this boot."""
        if self._spec.source is TimeSource.NONE:
            return False
        if self._synced_at_ms is not None and now_ms - self._synced_at_ms < _RESYNC_MS:
            return False
        first = self._synced_at_ms is None
        self._set(now_ms)
        return first

    def _set(self, now_ms: int) -> None:
        most_ms = self._spec.sync_error_ms
        out_ms = most_ms + self._rng.randint(-most_ms, most_ms)
        sent_ms, stamped_ms = self.timeline_ms(now_ms), now_ms + out_ms
        sample = sntp_offset(sent_ms, stamped_ms, stamped_ms, sent_ms + 2 * most_ms)
        self.correction_ms = round(sample.offset_ms)
        self._synced_at_ms = now_ms
