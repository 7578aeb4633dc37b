"""A battery and a board behind the firmware's `Supply`: what each state of the firmware draws, and what it does to it.

A board that was measured as a whole report (`Board.cycle`) is fed that report for each message, and its other states
last no time (`timings`); any other board draws the current that it names for a state over the firmware's own times.
The brown-out is looked for under the highest current that the board names for transmitting, because it is the pulse
that pulls the voltage down, long before the cell is empty.
"""

from firmware_sim.phases import Phase
from firmware_sim.power import Battery, Board
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
            draws = [self.battery.draw(step.state, step.current_ma, step.duration_ms) for step in self._report]
        else:
            current_ma = 0.0 if phase in _OFF else self._current_ma[phase]
            draws = [self.battery.draw(phase.value, current_ma, duration_ms)]
        if any(draw.empty for draw in draws):
            return PowerState.EMPTY
        if phase not in _OFF and (any(draw.browned_out for draw in draws) or self._sags_in_pulse(phase)):
            return PowerState.SAG
        return PowerState.GOOD

    def voltage_v(self) -> float:
        """The voltage at rest, as a divider on a sleeping board sees it."""
        return self.battery.open_circuit_mv / _MV_PER_V

    def level_percent(self) -> float:
        """The true state of charge."""
        return self.battery.state_of_charge * _PERCENT

    def _sags_in_pulse(self, phase: Phase) -> bool:
        if phase is not Phase.TRANSMIT or self._peak_ma is None or self._brownout_mv is None:
            return False
        return self.battery.loaded_voltage_mv(self._peak_ma) < self._brownout_mv
