"""What the law allows on air: duty cycle per sub-band (EU868) and dwell time (US915).

The duty cycle is kept as the rule is written: in no span of one hour, wherever it starts, is the sum of the device's
time on air in the sub-band above its share. That admits short bursts, unlike the older "be silent for airtime / duty
after each frame", and never exceeds the limit. Limits come from ``data/lora_regions.toml``. Airtimes are whole
microseconds.
"""

from collections import deque
from dataclasses import dataclass

from firmware_sim.radio.datafile import RadioData
from firmware_sim.radio.errors import AirtimeError, RadioSettingError, TimeOrderError, require

HOUR_US = 3_600_000_000
"""The observation time of ETSI EN 300 220-2 clause 4.3.3."""

US_PER_MS = 1000


@dataclass(frozen=True, slots=True)
class SubBand:
    """A part of the spectrum with a duty cycle of its own. `duty` is a share of time, 0.01 for 1 %."""

    name: str
    low_hz: int
    high_hz: int
    duty: float
    power_dbm_max: float


class DutyCycle:
    """Counts one sub-band's airtime over the last hour and says when the next frame may go."""

    def __init__(self, duty: float, window_us: int = HOUR_US) -> None:
        require(0 < duty <= 1, "duty", duty, "a share of time above 0, up to 1")
        self.budget_us = int(duty * window_us)
        self._window_us = window_us
        self._frames: deque[tuple[int, int]] = deque()

    def used_us(self, now_ms: int) -> int:
        """Return the airtime in the window that ends now."""
        since_us = now_ms * US_PER_MS - self._window_us
        return sum(min(end, now_ms * US_PER_MS) - max(start, since_us) for start, end in self._frames if end > since_us)

    def earliest_ms(self, now_ms: int, airtime_us: int) -> int:
        """Return the first whole millisecond from `now_ms` on at which a frame may start.

        The fullest hour that a new last frame lies in is the one that ends with it, so that hour alone is checked.
        Raises `AirtimeError` if the frame alone is over the budget.
        """
        if airtime_us > self.budget_us:
            raise AirtimeError("duty cycle", airtime_us, self.budget_us)
        start_us = max(now_ms * US_PER_MS, self._frames[-1][1] if self._frames else 0)
        allowed_us = self.budget_us - airtime_us
        after_us = 0
        for frame_start, frame_end in reversed(self._frames):
            after_us += frame_end - frame_start
            if after_us > allowed_us:
                # This frame may stay in the window only by what is over: the window must begin that far into it.
                begin_us = frame_start + (after_us - allowed_us)
                start_us = max(start_us, begin_us + self._window_us - airtime_us)
                break
        return -(-start_us // US_PER_MS)

    def record(self, now_ms: int, airtime_us: int) -> None:
        """Book a frame that starts now. Raises `TimeOrderError` if it may not start yet."""
        earliest_ms = self.earliest_ms(now_ms, airtime_us)
        if now_ms < earliest_ms:
            raise TimeOrderError("now_ms", now_ms, earliest_ms)
        start_us = now_ms * US_PER_MS
        self._frames.append((start_us, start_us + airtime_us))
        while self._frames[0][1] <= start_us - self._window_us:
            self._frames.popleft()


@dataclass(frozen=True, slots=True)
class Region:
    """A region's limits: sub-bands with duty cycle, or a dwell time per frame, or both.

    `uplink_hz`: where its channels lie. `sf_max`: of its slowest uplink data rate.
    `rx1_bandwidth_hz`, `rx2_bandwidth_hz`: of what a gateway answers with; None is the uplink's.
    """

    name: str
    sub_bands: tuple[SubBand, ...]
    dwell_us_max: int | None
    uplink_hz: tuple[int, int]
    sf_max: int
    rx1_bandwidth_hz: int | None
    rx2_bandwidth_hz: int
    tx_power_dbm_max: float
    tx_power_steps: int

    @classmethod
    def bundled(cls, name: str) -> "Region":
        """Read ``eu868`` or ``us915`` from the bundled file."""
        data = RadioData.bundled("lora_regions")
        dwell_us = data.whole(f"{name}.dwell_us_max")
        bands = (
            SubBand(t.text("name"), t.whole("low_hz"), t.whole("high_hz"), t.number("duty"), t.number("power_max_dbm"))
            for t in data.tables(f"{name}.sub_band")
        )
        return cls(
            name,
            tuple(bands),
            dwell_us or None,
            (data.whole(f"{name}.uplink_low_hz"), data.whole(f"{name}.uplink_high_hz")),
            data.whole(f"{name}.sf_max"),
            data.whole(f"{name}.rx1_bandwidth_hz") or None,
            data.whole(f"{name}.rx2_bandwidth_hz"),
            data.number(f"{name}.tx_power_max_dbm"),
            data.whole(f"{name}.tx_power_steps"),
        )

    def sub_band(self, frequency_hz: int) -> SubBand:
        """Return the sub-band of a frequency. Raises `RadioSettingError` outside all of them."""
        for band in self.sub_bands:
            if band.low_hz <= frequency_hz < band.high_hz:
                return band
        raise RadioSettingError("frequency_hz", frequency_hz, f"a frequency in a sub-band of {self.name}")

    def check_channel(self, frequency_hz: int) -> None:
        """Raise `RadioSettingError` where the region has no such channel."""
        low_hz, high_hz = self.uplink_hz
        if not low_hz <= frequency_hz <= high_hz:
            raise RadioSettingError("channels_hz", frequency_hz, f"{low_hz} to {high_hz} in {self.name}")
        if self.sub_bands:
            self.sub_band(frequency_hz)

    def holds_dwell(self, airtime_us: int) -> bool:
        """Whether one frame is no longer than the region lets a channel be held."""
        return self.dwell_us_max is None or airtime_us <= self.dwell_us_max

    def check_dwell(self, airtime_us: int) -> None:
        """Raise `AirtimeError` if one frame is longer than the region lets a channel be held."""
        if self.dwell_us_max is not None and not self.holds_dwell(airtime_us):
            raise AirtimeError(f"{self.name} dwell time", airtime_us, self.dwell_us_max)


class Airtime:
    """A device's books: one duty-cycle account per sub-band, and the region's dwell time."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self._accounts = {band.name: DutyCycle(band.duty) for band in region.sub_bands}

    def earliest_ms(self, now_ms: int, airtime_us: int, frequency_hz: int) -> int:
        """Return when a frame may start on a channel. Raises `AirtimeError` if never."""
        self.region.check_dwell(airtime_us)
        if not self._accounts:
            return now_ms
        return self._accounts[self.region.sub_band(frequency_hz).name].earliest_ms(now_ms, airtime_us)

    def record(self, now_ms: int, airtime_us: int, frequency_hz: int) -> None:
        """Book a frame. Raises `AirtimeError` or `TimeOrderError` if it is not allowed now."""
        self.region.check_dwell(airtime_us)
        if self._accounts:
            self._accounts[self.region.sub_band(frequency_hz).name].record(now_ms, airtime_us)
