"""What the firmware needs of a power supply: the narrow interface that a battery model stands behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol

import msgspec

from firmware_sim.days_left import TimeLeft
from firmware_sim.phases import Phase
from firmware_sim.power.ledger import LedgerLine
from firmware_sim.radio.energy import EnergyPhase


class PowerState(Enum):
    """What the supply says after a draw."""

    GOOD = "good"
    SAG = "sag"  # under the brown-out threshold while the load was on
    WEAK = "weak"  # nothing comes now, but warmth or a rest will bring some of it back
    EMPTY = "empty"  # nothing will come any more


Stages = tuple[tuple[Phase, int], ...]
"""States that follow each other, and how many ms each lasts."""


@dataclass(frozen=True, slots=True)
class Timings:
    """How long each state takes, in ms; the defaults are those of a Wi-Fi node that keeps its lease.

    `weak_ms`: until a battery that gave out for now is tried again.
    """

    boot_ms: int = 350
    sense_ms: int = 15
    process_ms: int = 5
    connect_ms: int = 180
    transmit_ms: int = 20
    brown_out_ms: int = 2_000
    weak_ms: int = 600_000


class BatteryTruth(msgspec.Struct, frozen=True):
    """A battery as it is, and not as the device sees it. `left_mah`: until empty, at this temperature and age."""

    state_of_charge: float
    left_mah: float
    used_mah: float
    open_circuit_mv: float
    temperature_c: float
    health: float
    cycles: float


class Supply(Protocol):
    """Feeds one device."""

    def draw(self, phase: Phase, duration_ms: int, now_ms: int) -> PowerState:
        """Feed the board in this state for `duration_ms`, ending at `now_ms`; the sum of all draws is its life."""

    def draw_through(self, stages: Stages, from_ms: int) -> PowerState | None:
        """`draw` states in a row, which begins at `from_ms`; None, and nothing is drawn, if they need a look at each.

        It saves time with the same tuple each time.
        """

    def draw_radio(self, phases: Sequence[EnergyPhase], *, resting: bool) -> PowerState:
        """Feed the board through a radio's phases: of an exchange, or of the rest between two."""

    def timings(self) -> Timings:
        """How long the firmware's states last on the board that this supply feeds."""

    def voltage_v(self) -> float | None:
        """The terminal voltage as the device's own converter reads it, or None for a mains supply."""

    def level_percent(self) -> float | None:
        """The state of charge, 0 to 100, or None for a mains supply."""

    def look(self, now_ms: int) -> None:
        """Let the device's fuel gauge have a look at the battery; it knows itself whether one is due."""

    def time_left(self) -> TimeLeft | None:
        """How long the battery will last by the device's own gauge; None where it cannot tell."""

    def true_state(self) -> BatteryTruth | None:
        """What is really in the battery, for the ground truth; None for a mains supply."""

    def energy(self) -> dict[str, LedgerLine]:
        """Where the energy went, by state of the board and by sensor part; nothing of a mains supply."""

    def snapshot(self) -> dict[str, Any] | None:
        """All that changes, ready for JSON; None for a mains supply."""

    def restore(self, state: Mapping[str, Any]) -> bool:
        """Take up a snapshot; False, and nothing is changed, if it is of another battery: a new one was put in."""


class MainsSupply:
    """Never sags, never ends, and has no level to report. `sense_ms`: how long its slowest sensor takes."""

    def __init__(self, sense_ms: int = 0) -> None:
        self._timings = replace(Timings(), sense_ms=max(sense_ms, Timings().sense_ms))

    def draw(self, phase: Phase, duration_ms: int, now_ms: int) -> PowerState:  # noqa: ARG002 - any load is fine
        """Always good."""
        return PowerState.GOOD

    def draw_through(self, stages: Stages, from_ms: int) -> PowerState | None:  # noqa: ARG002 - the same
        """Always good."""
        return PowerState.GOOD

    def draw_radio(self, phases: Sequence[EnergyPhase], *, resting: bool) -> PowerState:  # noqa: ARG002 - the same
        """Always good."""
        return PowerState.GOOD

    def timings(self) -> Timings:
        """The defaults, and the sensors' own time."""
        return self._timings

    def voltage_v(self) -> float | None:
        """None: there is no battery."""
        return None

    def level_percent(self) -> float | None:
        """None: there is no battery."""
        return None

    def look(self, now_ms: int) -> None:
        """There is nothing to look at."""

    def time_left(self) -> TimeLeft | None:
        """None: there is no battery."""
        return None

    def true_state(self) -> BatteryTruth | None:
        """None: there is no battery."""
        return None

    def energy(self) -> dict[str, LedgerLine]:
        """Nothing: nobody counts it."""
        return {}

    def snapshot(self) -> dict[str, Any] | None:
        """None: there is nothing that changes."""
        return None

    def restore(self, state: Mapping[str, Any]) -> bool:  # noqa: ARG002 - whatever it was
        """False: it was a battery's."""
        return False
