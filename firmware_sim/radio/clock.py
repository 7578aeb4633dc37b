"""The device's clock: a crystal that runs a little fast or slow, and the time sync that corrects it.

Model: rate error in ppm = offset at 25 C + curvature (T - 25)^2 + ageing per year. The clock integrates that error over
true time: call `advance` whenever the temperature changes, read with `device_ms`. `sntp_offset` turns four timestamps
into a correction.

Sources: curvature -0.04 ppm/C^2 about 25 C is the usual figure of 32.768 kHz tuning-fork crystals (for instance Micro
Crystal CM7V-T1A: -0.035 +/- 0.01; Epson FC-135: -0.04 max); sync after RFC 5905 section 8 (offset and delay).
"""

from dataclasses import dataclass

from firmware_sim.radio.errors import TimeOrderError, require

TURNOVER_C = 25.0
"""Where a tuning-fork crystal runs fastest."""

CURVATURE_PPM_PER_C2 = -0.04
"""The parabola of tuning-fork crystals; see the module's sources."""

MS_PER_YEAR = 365.25 * 86_400_000
PPM = 1e-6


@dataclass(frozen=True, slots=True)
class Crystal:
    """A crystal: `offset_ppm` at 25 C when new (+ is fast), `ageing_ppm_per_year` added linearly from time 0."""

    offset_ppm: float = 0.0
    curvature_ppm_per_c2: float = CURVATURE_PPM_PER_C2
    turnover_c: float = TURNOVER_C
    ageing_ppm_per_year: float = 0.0

    def rate_ppm(self, temperature_c: float, age_ms: float = 0.0) -> float:
        """Return the rate error: how many microseconds per second the clock gains."""
        bend = self.curvature_ppm_per_c2 * (temperature_c - self.turnover_c) ** 2
        return self.offset_ppm + bend + self.ageing_ppm_per_year * age_ms / MS_PER_YEAR


@dataclass(frozen=True, slots=True)
class SyncSample:
    """What one SNTP exchange tells: the device's correction to add, and the round trip; both in ms.

    The true offset lies within `offset_ms` +/- `delay_ms` / 2: an asymmetric path shifts it by half the asymmetry.
    """

    offset_ms: float
    delay_ms: float


def sntp_offset(sent_ms: float, server_received_ms: float, server_sent_ms: float, received_ms: float) -> SyncSample:
    """Compute offset and delay from the four timestamps of RFC 5905: T1 and T4 device time, T2 and T3 server time."""
    offset_ms = ((server_received_ms - sent_ms) + (server_sent_ms - received_ms)) / 2
    return SyncSample(offset_ms, (received_ms - sent_ms) - (server_sent_ms - server_received_ms))


class DeviceClock:
    """Device time as a function of true time, piecewise integrated. True time never goes back; device time may step.

    `start_error_ms` is what the device is wrong by at `true_ms`: a device without a battery-backed clock that boots in
    1970 has a large negative one.
    """

    def __init__(
        self, crystal: Crystal, true_ms: int = 0, *, start_error_ms: float = 0.0, temperature_c: float = TURNOVER_C
    ) -> None:
        self.crystal = crystal
        self._born_ms = true_ms
        self._at_ms = true_ms
        self._error_ms = start_error_ms
        self._temperature_c = temperature_c

    def error_ms(self, true_ms: int) -> float:
        """Return device time minus true time, with fractions. Raises `TimeOrderError` before the last `advance`."""
        if true_ms < self._at_ms:
            raise TimeOrderError("true_ms", true_ms, self._at_ms)
        middle_ms = (self._at_ms + true_ms) / 2 - self._born_ms  # ageing is linear: its mean is its middle
        rate_ppm = self.crystal.rate_ppm(self._temperature_c, middle_ms)
        return self._error_ms + (true_ms - self._at_ms) * rate_ppm * PPM

    def device_ms(self, true_ms: int) -> int:
        """Read the clock."""
        return round(true_ms + self.error_ms(true_ms))

    def advance(self, true_ms: int, temperature_c: float) -> None:
        """Let the clock run to `true_ms` at the old temperature; from then on it is at `temperature_c`."""
        self._error_ms = self.error_ms(true_ms)
        self._at_ms = true_ms
        self._temperature_c = temperature_c

    def correct(self, true_ms: int, offset_ms: float) -> None:
        """Step the clock by a correction found by `sntp_offset`."""
        self._error_ms = self.error_ms(true_ms) + offset_ms
        self._at_ms = true_ms

    def sync(self, true_ms: int, *, uplink_ms: int, downlink_ms: int, server_ms: int = 0) -> SyncSample:
        """Do one SNTP exchange that starts at `true_ms` and step the clock; return what it measured.

        `uplink_ms` and `downlink_ms` are the two ways' latencies, `server_ms` the time in the server, whose clock is
        true.
        """
        require(
            min(uplink_ms, downlink_ms, server_ms) >= 0, "latencies", (uplink_ms, downlink_ms, server_ms), "0 or more"
        )
        back_ms = true_ms + uplink_ms + server_ms + downlink_ms
        sample = sntp_offset(
            true_ms + self.error_ms(true_ms),
            true_ms + uplink_ms,
            true_ms + uplink_ms + server_ms,
            back_ms + self.error_ms(back_ms),
        )
        self.correct(back_ms, sample.offset_ms)
        return sample
