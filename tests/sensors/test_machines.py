"""Machine vibration: published bearing frequencies, root mean squares, and hours of running."""

import math
import statistics
from itertools import pairwise

import pytest

from sensors.machines import BearingDefect, Machine, VibrationLevel
from sensors.signals import MS_PER_DAY, SignalError

# SKF 6205-2RS of the Case Western Reserve University bearing data: 9 balls, 0.3126 in on a pitch of 1.537 in.
SKF_6205 = BearingDefect(9, 0.3126, 1.537, starts_ms=MS_PER_DAY, growth_m_s2_per_day=0.5)


def test_an_outer_race_defect_of_skf_6205_has_the_published_frequency() -> None:
    """Source: Case Western Reserve University Bearing Data Center: 3.5848 times the running speed."""
    assert SKF_6205.passes_per_turn == pytest.approx(3.5848, abs=0.0005)


def test_10_m_s2_at_159_2_hz_moves_at_10_mm_s() -> None:
    """Vibration calibrators run at 159.155 Hz, where 10 m/s2 is 10 mm/s and 10 um."""
    machine = Machine(1, speed_rpm=159.155 * 60, harmonics_m_s2=(10.0 * math.sqrt(2),))
    assert machine.velocity_rms_mm_s(0) == pytest.approx(10.0, rel=1e-4)


def test_a_higher_harmonic_of_the_same_acceleration_moves_less() -> None:
    first, second = Machine(1, 1_500.0, (1.0, 0.0)), Machine(1, 1_500.0, (0.0, 1.0))
    assert first.velocity_rms_mm_s(0) == pytest.approx(2 * second.velocity_rms_mm_s(0))


def test_the_level_is_the_root_mean_square_of_the_wave() -> None:
    machine = Machine(5, 1_500.0, (2.0, 1.0, 0.5), noise_m_s2=0.4, defect=SKF_6205)
    start_ms = 3 * MS_PER_DAY
    wave = [machine.value(start_ms + ms) for ms in range(20_000)]
    assert VibrationLevel(machine).value(start_ms) == pytest.approx(
        math.sqrt(statistics.fmean(a * a for a in wave)), rel=0.01
    )


def test_a_harmonic_has_its_frequency() -> None:
    wave = [Machine(5, 1_500.0, (1.0,)).value(ms) for ms in range(1_000)]
    rises = sum(first < 0 <= second for first, second in pairwise(wave))
    assert rises == 25


def test_a_defect_grows_from_its_start() -> None:
    assert [SKF_6205.amplitude_m_s2(day * MS_PER_DAY) for day in (0, 1, 2, 5)] == [0.0, 0.0, 0.5, 2.0]
    machine = Machine(1, 1_500.0, (1.0,), defect=SKF_6205)
    assert VibrationLevel(machine).value(10 * MS_PER_DAY) > 3 * VibrationLevel(machine).value(0)
    assert machine.velocity_rms_mm_s(10 * MS_PER_DAY) > machine.velocity_rms_mm_s(0)


def test_a_standing_machine_is_still() -> None:
    machine = Machine(1, 1_500.0, (1.0,), noise_m_s2=1.0, on_s=60.0, off_s=30.0, start_ms=1_000)
    assert [machine.is_running(at_ms) for at_ms in (999, 1_000, 60_999, 61_000, 91_000)] == [
        False,
        True,
        True,
        False,
        True,
    ]
    assert machine.value(61_000) == VibrationLevel(machine).value(61_000) == machine.velocity_rms_mm_s(61_000) == 0.0


def test_a_tone_that_would_alias_is_refused() -> None:
    with pytest.raises(SignalError, match="speed_rpm"):
        Machine(1, 6_000.0, (1.0,) * 6)
    with pytest.raises(SignalError, match="speed_rpm"):
        Machine(1, 9_000.0, (1.0,), defect=SKF_6205)
