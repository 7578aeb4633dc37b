"""What the firmware needs of a power supply: the narrow interface that a battery model stands behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from firmware_sim.phases import Phase
from firmware_sim.radio.energy import EnergyPhase


class PowerState(Enum):
    """What the supply says after a draw."""

    GOOD = "good"
    SAG = "sag"  # under the brown-out threshold while the load was on
    EMPTY = "empty"  # nothing will come any more


@dataclass(frozen=True, slots=True)
class Timings:
    """How long each state takes, in ms; the defaults are those of a Wi-Fi node that keeps its lease."""

    boot_ms: int = 350
    sense_ms: int = 15
    process_ms: int = 5
    connect_ms: int = 180
    transmit_ms: int = 20
    brown_out_ms: int = 2_000


class Supply(Protocol):
    """Feeds one device."""

    def draw(self, phase: Phase, duration_ms: int, now_ms: int) -> PowerState:
        """Feed the board in this state for `duration_ms`, ending at `now_ms`; the sum of all draws is its life."""

    def draw_radio(self, phases: Sequence[EnergyPhase], *, resting: bool) -> PowerState:
        """Feed the board through a radio's phases: of an exchange, or of the rest between two."""

    def timings(self) -> Timings:
        """How long the firmware's states last on the board that this supply feeds."""

    def voltage_v(self) -> float | None:
        """The terminal voltage as the device's own converter reads it, or None for a mains supply."""

    def level_percent(self) -> float | None:
        """The state of charge, 0 to 100, or None for a mains supply."""


class MainsSupply:
    """Never sags, never ends, and has no level to report."""

    def draw(self, phase: Phase, duration_ms: int, now_ms: int) -> PowerState:  # noqa: ARG002 - any load is fine
        """Always good."""
        return PowerState.GOOD

    def draw_radio(self, phases: Sequence[EnergyPhase], *, resting: bool) -> PowerState:  # noqa: ARG002 - the same
        """Always good."""
        return PowerState.GOOD

    def timings(self) -> Timings:
        """The defaults."""
        return Timings()

    def voltage_v(self) -> float | None:
        """None: there is no battery."""
        return None

    def level_percent(self) -> float | None:
        """None: there is no battery."""
        return None
