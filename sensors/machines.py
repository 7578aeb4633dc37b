"""Vibration of a rotating machine: harmonics of its speed, noise, hours of running, and a bearing that wears.

Acceleration is in m/s2 and answered per millisecond, so frequencies up to 500 Hz can be sampled.
"""

import math
from dataclasses import dataclass

from sensors.seeds import derive_seed, normal, uniform
from sensors.signals import MS_PER_DAY, MS_PER_S, SignalError, require_not_negative, require_positive

_SECONDS_PER_MINUTE = 60.0
_FREQUENCY_MAX_HZ = 500.0  # half of one answer per millisecond: above it a tone would alias
_MM_PER_M = 1_000.0


@dataclass(frozen=True, slots=True)
class BearingDefect:
    """A defect in a bearing's outer race that begins at `starts_ms` and grows by `growth_m_s2_per_day`.

    `balls`, `ball_diameter` over `pitch_diameter` and the contact angle set the frequency at which balls pass it.
    """

    balls: int
    ball_diameter: float
    pitch_diameter: float
    starts_ms: int
    growth_m_s2_per_day: float
    contact_angle_deg: float = 0.0

    def __post_init__(self) -> None:
        require_positive(self, balls=self.balls, ball_diameter=self.ball_diameter, pitch_diameter=self.pitch_diameter)
        require_not_negative(self, growth_m_s2_per_day=self.growth_m_s2_per_day)

    @property
    def passes_per_turn(self) -> float:
        """Balls that pass the defect per turn of the shaft: n/2 (1 - d/D cos a).

        Source: Randall and Antoni, "Rolling element bearing diagnostics - a tutorial", Mechanical Systems and Signal
        Processing 25 (2011), equation 1.
        """
        slope = math.cos(math.radians(self.contact_angle_deg))
        return self.balls / 2 * (1 - self.ball_diameter / self.pitch_diameter * slope)

    def amplitude_m_s2(self, at_ms: int) -> float:
        """Return the amplitude of the defect's tone at `at_ms`."""
        return self.growth_m_s2_per_day * max(at_ms - self.starts_ms, 0) / MS_PER_DAY


@dataclass(frozen=True, slots=True)
class Machine:
    """The acceleration of a machine's housing, in m/s2, while it runs; 0 while it stands.

    `harmonics_m_s2` are the amplitudes at 1, 2, 3 ... times the speed. It runs for `on_s`, stands for `off_s`, and so
    on from `start_ms`.
    """

    seed: int
    speed_rpm: float
    harmonics_m_s2: tuple[float, ...]
    noise_m_s2: float = 0.0
    on_s: float = 3_600.0
    off_s: float = 0.0
    start_ms: int = 0
    defect: BearingDefect | None = None

    def __post_init__(self) -> None:
        require_positive(self, speed_rpm=self.speed_rpm, on_s=self.on_s)
        require_not_negative(self, noise_m_s2=self.noise_m_s2, off_s=self.off_s)
        highest_hz = self.turns_per_s * len(self.harmonics_m_s2)
        if self.defect is not None:
            highest_hz = max(highest_hz, self.turns_per_s * self.defect.passes_per_turn)
        if highest_hz > _FREQUENCY_MAX_HZ:
            raise SignalError("Machine", "speed_rpm", f"no tone above {_FREQUENCY_MAX_HZ:g} Hz", highest_hz)

    @property
    def turns_per_s(self) -> float:
        """The shaft's speed in turns per second."""
        return self.speed_rpm / _SECONDS_PER_MINUTE

    def is_running(self, at_ms: int) -> bool:
        """Whether the machine runs at `at_ms`."""
        cycle_ms = (self.on_s + self.off_s) * MS_PER_S
        return at_ms >= self.start_ms and (at_ms - self.start_ms) % cycle_ms < self.on_s * MS_PER_S

    def value(self, at_ms: int) -> float:
        """Return the acceleration at `at_ms`."""
        if not self.is_running(at_ms):
            return 0.0
        turns = self.turns_per_s * (at_ms - self.start_ms) / MS_PER_S
        total = self.noise_m_s2 * normal(self.seed, at_ms)
        phase_seed = derive_seed(self.seed, "phase")
        for order, amplitude in enumerate(self.harmonics_m_s2, start=1):
            total += amplitude * math.sin(2 * math.pi * (order * turns + uniform(phase_seed, order)))
        if self.defect is not None:
            tone = math.sin(2 * math.pi * self.defect.passes_per_turn * turns)
            total += self.defect.amplitude_m_s2(at_ms) * tone
        return total

    def velocity_rms_mm_s(self, at_ms: int) -> float:
        """Return the root mean square of the velocity of the tones, in mm/s, as ISO 20816 grades it; 0 at a stand."""
        if not self.is_running(at_ms):
            return 0.0
        tones = list(enumerate(self.harmonics_m_s2, start=1))
        squares = [(amplitude / (order * self.turns_per_s)) ** 2 for order, amplitude in tones]
        if self.defect is not None:
            hz = self.defect.passes_per_turn * self.turns_per_s
            squares.append((self.defect.amplitude_m_s2(at_ms) / hz) ** 2)
        return _MM_PER_M / (2 * math.pi) * math.sqrt(math.fsum(squares) / 2)


@dataclass(frozen=True, slots=True)
class VibrationLevel:
    """The root mean square of a machine's acceleration in m/s2: what a battery sensor reports, not the wave."""

    machine: Machine

    def value(self, at_ms: int) -> float:
        """Return the level at `at_ms`; 0 while the machine stands."""
        machine = self.machine
        if not machine.is_running(at_ms):
            return 0.0
        amplitudes = list(machine.harmonics_m_s2)
        if machine.defect is not None:
            amplitudes.append(machine.defect.amplitude_m_s2(at_ms))
        return math.sqrt(machine.noise_m_s2**2 + math.fsum(amplitude**2 for amplitude in amplitudes) / 2)
