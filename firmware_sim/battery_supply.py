"""A battery and a board behind the firmware's `Supply`: what each state of the firmware draws, and what it does to it.

A board that was measured as a whole report (`Board.cycle`) is fed that report for each message, and its other states
last no time (`timings`); any other board draws the current that it names for a state over the firmware's own times.
The brown-out is looked for under the highest current that the board names for transmitting, because it is the pulse
that pulls the voltage down, long before the cell is empty.
"""

from collections.abc import Iterable, Sequence

from firmware_sim.phases import Phase
from firmware_sim.power import Battery, Board, Step
from firmware_sim.radio.energy import EnergyPhase
from firmware_sim.supply import PowerState, Timings

_MV_PER_V = 1000.0
_PERCENT = 100.0

# Boards name the states that were measured on them; where one has no figure, the next best of its own stands in.
_STATES: dict[Phase, tuple[str, ...]] = {
    Phase.BOOT: ("boot", "wake", "process", "standby"),
    Phase.SENSE: ("process", "wake", "standby"),
    Phase.PROCESS: ("process", "wake", "standby"),
    Phase.CONNECT: ("connect", "prepare", "process", "standby"),
    Phase.TRANSMIT: ("transmit", "exchange"),
    Phase.DOWNLINK: ("receive", "receive1", "connect", "process", "standby"),
    Phase.FLASH: ("process", "wake", "standby"),
    Phase.RECEIVE: ("light_sleep_dtim3", "receive", "receive1"),  # Wi-Fi listens to every third beacon, asleep between
}
_OFF = frozenset({Phase.OFF, Phase.BROWN_OUT, Phase.DEAD})
_PEAK_STATE = "transmit_peak"


class BatterySupply:
    """Feeds one device from one battery."""

    def __init__(self, battery: Battery, board: Board) -> None:
        self.battery = battery
        self._report = board.report()
        named = {phase: [name for name in names if name in board.current_ma] for phase, names in _STATES.items()}
        self._current_ma = {phase: board.current_in((names or [board.rest])[0]) for phase, names in named.items()}
        self._current_ma[Phase.SLEEP] = board.current_in(board.rest)
        self._current_ma |= dict.fromkeys(_OFF, 0.0)
        self._names = {phase: phase.value for phase in Phase}
        self._peak_ma = board.current_ma.get(_PEAK_STATE)
        self._brownout_mv = board.brownout_mv

    def timings(self) -> Timings:
        """How long the firmware's states last on this board."""
        if not self._report:
            return Timings()
        report_ms = round(sum(step.duration_ms for step in self._report))
        return Timings(boot_ms=0, sense_ms=0, process_ms=0, connect_ms=0, transmit_ms=report_ms)

    def draw(self, phase: Phase, duration_ms: int, now_ms: int) -> PowerState:  # noqa: ARG002 - no weather here yet
        """Feed the board and say how the voltage stood it."""
        if phase is Phase.TRANSMIT and self._report:
            return self._draw_all(self._report, pulse=True)
        if duration_ms == 0:  # a state that the board's measured report already holds
            return PowerState.GOOD
        drawn = self.battery.draw(self._names[phase], self._current_ma[phase], duration_ms)
        if drawn.empty:
            return PowerState.EMPTY
        if phase not in _OFF and (drawn.browned_out or (phase is Phase.TRANSMIT and self._sags_in_pulse())):
            return PowerState.SAG
        return PowerState.GOOD

    def draw_radio(self, phases: Sequence[EnergyPhase], *, resting: bool) -> PowerState:
        """Feed the board through a radio's phases; the ledger has them under the radio's own names."""
        steps = (Step(phase.state, phase.current_ma, phase.duration_ms) for phase in phases)
        return self._draw_all(steps, pulse=not resting)

    def voltage_v(self) -> float:
        """The voltage at rest, as a divider on a sleeping board sees it."""
        return self.battery.open_circuit_mv / _MV_PER_V

    def level_percent(self) -> float:
        """The true state of charge."""
        return self.battery.state_of_charge * _PERCENT

    def _draw_all(self, steps: Iterable[Step], *, pulse: bool) -> PowerState:
        empty = sagged = False
        for state, current_ma, duration_ms in steps:
            drawn = self.battery.draw(state, current_ma, duration_ms)
            empty, sagged = empty or drawn.empty, sagged or drawn.browned_out
        if empty:
            return PowerState.EMPTY
        return PowerState.SAG if sagged or (pulse and self._sags_in_pulse()) else PowerState.GOOD

    def _sags_in_pulse(self) -> bool:
        if self._peak_ma is None or self._brownout_mv is None:
            return False
        return self.battery.loaded_voltage_mv(self._peak_ma) < self._brownout_mv
