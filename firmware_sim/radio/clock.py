"""What a device's clock rests on: a crystal that runs a little fast or slow, and the time sync that corrects it.

Model: rate error in ppm = offset at 25 C + curvature (T - 25)^2 + ageing per year. `firmware_sim.device_clock`
integrates it over true time. `sntp_offset` turns four timestamps into a correction.

Sources: curvature -0.04 ppm/C^2 about 25 C is the usual figure of 32.768 kHz tuning-fork crystals (for instance Micro
Crystal CM7V-T1A: -0.035 +/- 0.01; Epson FC-135: -0.04 max); sync after RFC 5905 section 8 (offset and delay).
"""

from dataclasses import dataclass

TURNOVER_C = 25.0
"""Where a tuning-fork crystal runs fastest."""

CURVATURE_PPM_PER_C2 = -0.04
"""The parabola of tuning-fork crystals; see the module's sources."""

MS_PER_YEAR = 365.25 * 86_400_000


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
