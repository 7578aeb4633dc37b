"""A battery and a board behind the firmware's `Supply`: what each state of the firmware draws, and what it does to it.

A board that was measured as a whole report (`Board.cycle`) is fed that report for each message, and its other states
last no time (`timings`); any other board draws the current that it names for a state over the firmware's own times.
The brown-out is looked for under the highest current that the board names for transmitting, because it is the pulse
that pulls the voltage down, long before the cell is empty.

With surroundings, every draw happens at the temperature of its hour, and what the panel gives goes into the cell: draws
are cut at full hours (quarters of an hour under a panel). A cell that a panel can fill again is never `EMPTY` for ever:
the board waits, and looks again every ten minutes, as an under-voltage lock-out does. One that only the cold or a heavy
load has emptied is `WEAK`: a warmer day or a rest brings some of it back.

What the sensors draw (`firmware_sim.sensor_loads`) comes on top of the board in every state that has power, and in the
sense state while they measure; `energy` has it apart.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

from firmware_sim.days_left import FuelGauge, TimeLeft
from firmware_sim.phases import Phase
from firmware_sim.power import REFERENCE_C, Board, DrawResult, EnergyLedger, LedgerLine, PowerValueError, Run, Step
from firmware_sim.radio.energy import EnergyPhase
from firmware_sim.sensor_loads import NO_SENSORS, SensorLoads
from firmware_sim.supply import BatteryTruth, PowerState, Stages, Timings
from firmware_sim.surroundings import Surroundings

_MV_PER_V = 1000.0
HOUR_MS = 3_600_000
SUN_STEP_MS = 900_000  # the sun moves 4 degrees in a quarter of an hour
COMEBACK_SHARE_MIN = 0.01  # of the charge: for less it is not worth while to wait
LOCK_OUT_MS = 600_000  # how long a charger's under-voltage lock-out holds before the board has another try
CHARGER_MV_MIN = 500.0  # the least voltage that a boost charger works into; below it, it gives the current of this one
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
_CALM = False, False
_ROUNDING_MS = 1.0  # how near to the next full step instants that are no whole milliseconds are not told from it


class Cell(Protocol):
    """What the supply needs of a battery: `firmware_sim.power.Battery`, or the forecast's meter in its place."""

    @property
    def ledger(self) -> EnergyLedger:
        """Where the charge went."""

    @property
    def state_of_charge(self) -> float:
        """Share of what the cell can give, 0 to 1."""

    @property
    def open_circuit_mv(self) -> float:
        """Voltage at rest."""

    @property
    def remaining_mah(self) -> float:
        """Usable charge left."""

    @property
    def charge_lost_mah(self) -> float:
        """What has left the cell since it was put in."""

    @property
    def health(self) -> float:
        """Share of the capacity that age has left."""

    @property
    def cycles(self) -> float:
        """Full cycles so far."""

    def mah_above_brownout(self, pulse_ma: float) -> float:
        """Charge left until a pulse of so much current browns the device out."""

    def snapshot(self) -> dict[str, Any]:
        """All that changes, ready for JSON."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a snapshot. Raises PowerValueError when it is of another cell."""

    def rested_share(self, temperature_c: float) -> float:
        """The usable share that there would be after a long rest at a temperature."""

    def loaded_voltage_mv(self, current_ma: float) -> float:
        """The voltage at the first instant of a load, without drawing it."""

    def spend(self, state: str, current_ma: float, duration_ms: float) -> bool:
        """Spend time in a state if it is certain that nothing will happen; see `firmware_sim.power.Battery.spend`."""

    def spend_run(self, run: Run) -> bool:
        """The same for draws that come together: all of them or none."""

    def is_sure_of(self, pulse_ma: float, brownout_mv: float) -> bool:
        """Whether it is certain that a pulse would not brown the device out."""

    def draw(
        self, state: str, current_ma: float, duration_ms: float, temperature_c: float = 20.0, harvest_ma: float = 0.0
    ) -> DrawResult:
        """Spend time in a state; see `firmware_sim.power.Battery.draw`."""


CellT = TypeVar("CellT", bound=Cell)


class BatterySupply(Generic[CellT]):
    """Feeds one device from one battery. `started_ms`: the instant up to which nothing is drawn yet."""

    def __init__(
        self,
        battery: CellT,
        board: Board,
        surroundings: Surroundings | None = None,
        started_ms: float = 0.0,
        sensors: SensorLoads = NO_SENSORS,
    ) -> None:
        self.battery = battery
        self._sensors = sensors
        self._asleep_ma = sensors.all_asleep_ma
        self._surroundings = surroundings
        self._at_ms = float(started_ms)
        self._step_ms = HOUR_MS if surroundings is None or surroundings.panel is None else SUN_STEP_MS
        self._step = -1
        self._temperature_c = REFERENCE_C
        self._light_w_m2 = 0.0
        self._gauge = FuelGauge()
        self._highest_ma = 0.0
        self._can_recover = surroundings is not None and surroundings.panel is not None
        self._report = board.report()
        named = {phase: [name for name in names if name in board.current_ma] for phase, names in _STATES.items()}
        self._current_ma = {phase: board.current_in((names or [board.rest])[0]) for phase, names in named.items()}
        self._current_ma[Phase.SLEEP] = board.current_in(board.rest)
        self._current_ma = {phase: ma + self._asleep_ma for phase, ma in self._current_ma.items()}
        self._current_ma |= dict.fromkeys(_OFF, 0.0)
        self._names = {phase: phase.value for phase in Phase}
        self._peak_ma = board.current_ma.get(_PEAK_STATE)
        self._brownout_mv = board.brownout_mv
        self._runs = self._known_runs(board)
        # The states that were last asked for in a row.
        self._stages: Stages = ()
        self._through, self._through_pulse = Run.of(()), False

    def timings(self) -> Timings:
        """How long the firmware's states last on this board."""
        given = replace(Timings(), brown_out_ms=LOCK_OUT_MS) if self._can_recover else Timings()
        given = replace(given, sense_ms=self._sensors.sense_ms(self._board_sense_ms()))
        if not self._report:
            return given
        report_ms = round(sum(step.duration_ms for step in self._report))
        return replace(given, boot_ms=0, process_ms=0, connect_ms=0, transmit_ms=report_ms)

    def draw(self, phase: Phase, duration_ms: int, now_ms: int) -> PowerState:
        """Feed the board and say how the voltage stood it."""
        self._at_ms = float(now_ms - duration_ms)
        run = self._runs.get(phase)
        if run is not None:
            pulse = phase is Phase.TRANSMIT
            state = self._draw_run(run, pulse=pulse)
            return self._draw_all(run.steps, pulse=pulse) if state is None else state
        if duration_ms == 0:  # a state that the board's measured report already holds
            return PowerState.GOOD
        empty, browned_out = self._feed(self._names[phase], self._current_ma[phase], duration_ms)
        if not (empty or browned_out or phase is Phase.TRANSMIT):
            return PowerState.GOOD
        if empty and not (phase in _OFF and self._can_recover):
            return self._exhausted()
        if phase not in _OFF and (browned_out or (phase is Phase.TRANSMIT and self._sags_in_pulse())):
            return PowerState.SAG
        return PowerState.GOOD

    def draw_radio(self, phases: Sequence[EnergyPhase], *, resting: bool) -> PowerState:
        """Feed the board through a radio's phases; the ledger has them under the radio's own names."""
        asleep_ma = self._asleep_ma
        steps = (Step(phase.state, phase.current_ma + asleep_ma, phase.duration_ms) for phase in phases)
        return self._draw_all(steps, pulse=not resting)

    def draw_through(self, stages: Stages, from_ms: int) -> PowerState | None:
        """Feed the board through states in a row if it is certain that the cell carries all of them."""
        if stages is not self._stages:
            self._stages = stages
            self._through = Run.of(step for stage in stages for step in self._steps_of(*stage))
            self._through_pulse = any(phase is Phase.TRANSMIT for phase, _ in stages)
        self._at_ms = float(from_ms)
        return self._draw_run(self._through, pulse=self._through_pulse)

    def voltage_v(self) -> float:
        """The voltage at rest, as a divider on a sleeping board sees it."""
        return self.battery.open_circuit_mv / _MV_PER_V

    def level_percent(self) -> float:
        """The true state of charge."""
        return self.battery.state_of_charge * _PERCENT

    def look(self, now_ms: int) -> None:
        """The fuel gauge's look; see `firmware_sim.days_left`."""
        if self._gauge.is_due(now_ms):
            self._gauge.observe(now_ms, self.battery.charge_lost_mah)

    def time_left(self) -> TimeLeft | None:
        """What the device's fuel gauge makes of the last two weeks."""
        if not self._gauge.can_tell:
            return None
        return self._gauge.estimate(self.battery.mah_above_brownout(self._highest_ma))

    def true_state(self) -> BatteryTruth:
        """The model's own state, and the temperature of the last draw."""
        cell = self.battery
        return BatteryTruth(
            state_of_charge=cell.state_of_charge,
            left_mah=cell.remaining_mah,
            used_mah=cell.charge_lost_mah,
            open_circuit_mv=cell.open_circuit_mv,
            temperature_c=self._temperature_c,
            health=cell.health,
            cycles=cell.cycles,
        )

    def energy(self) -> dict[str, LedgerLine]:
        """The ledger, by state of the board and by part."""
        return self._sensors.lines(self.battery.ledger.lines())

    def snapshot(self) -> dict[str, Any]:
        """The battery's; the gauge starts afresh, as one that lost its power does."""
        return self.battery.snapshot()

    def restore(self, state: Mapping[str, Any]) -> bool:
        """Take up a snapshot, unless it is of another battery."""
        try:
            self.battery.restore(state)
        except PowerValueError:
            return False
        return True

    def _board_sense_ms(self) -> int:
        """How long the board itself works for a measurement; a measured report holds that already."""
        return 0 if self._report else Timings().sense_ms

    def _steps_of(self, phase: Phase, duration_ms: int) -> tuple[Step, ...]:
        """What a state draws from the cell; nothing where the board's measured report already holds it."""
        if phase in self._runs:
            return self._runs[phase].steps
        return (Step(self._names[phase], self._current_ma[phase], duration_ms),) if duration_ms else ()

    def _known_runs(self, board: Board) -> dict[Phase, Run]:
        """The states whose draws are known in advance: a report that was measured, and what the sensors take."""
        known = {Phase.TRANSMIT: self._report, Phase.SENSE: self._sense_steps(board)}
        with_parts = {
            phase: Run.of(step._replace(current_ma=step.current_ma + self._asleep_ma) for step in steps)
            for phase, steps in known.items()
        }
        return {phase: run for phase, run in with_parts.items() if run.steps}

    def _sense_steps(self, board: Board) -> Sequence[Step]:
        """One measurement of the parts; none where there are no parts, and the board's own time is all there is."""
        if not self._sensors.measure_ms:
            return ()
        awake_ma = board.current_in(
            next((name for name in _STATES[Phase.SENSE] if name in board.current_ma), board.rest)
        )
        rest_ma = board.current_in(board.rest)
        return tuple(
            Step(step.account, (awake_ma if step.board_awake else rest_ma) + step.parts_ma, step.duration_ms)
            for step in self._sensors.steps(self._board_sense_ms())
        )

    def _draw_run(self, run: Run, *, pulse: bool) -> PowerState | None:
        """Draw a run if it is certain that nothing happens in it, in the cell or around it; None: it is not drawn."""
        if self._surroundings is not None:
            began_ms = self._step * self._step_ms
            ends_ms = began_ms + self._step_ms - _ROUNDING_MS
            if self._light_w_m2 or not began_ms <= self._at_ms < ends_ms - run.span_ms:
                return None
        if not self.battery.spend_run(run):
            return None
        self._at_ms += run.span_ms
        if run.peak_ma > self._highest_ma:
            self._highest_ma = run.peak_ma
        return PowerState.SAG if pulse and self._sags_in_pulse() else PowerState.GOOD

    def _draw_all(self, steps: Iterable[Step], *, pulse: bool) -> PowerState:
        to_come = iter(steps)
        for state, current_ma, duration_ms in to_come:
            empty, sagged = self._feed(state, current_ma, duration_ms)
            if empty or sagged:  # the board is off for the rest of it
                off_ms = math.fsum(left_ms for _, _, left_ms in to_come)
                if off_ms:
                    self._feed(self._names[Phase.BROWN_OUT], 0.0, off_ms)
                return self._exhausted() if empty else PowerState.SAG
        return PowerState.SAG if pulse and self._sags_in_pulse() else PowerState.GOOD

    def _exhausted(self) -> PowerState:
        if self._can_recover:
            return PowerState.SAG
        warmest_c = REFERENCE_C if self._surroundings is None else self._surroundings.warmest_c
        return PowerState.WEAK if self.battery.rested_share(warmest_c) > COMEBACK_SHARE_MIN else PowerState.EMPTY

    def _feed(self, state: str, current_ma: float, duration_ms: float) -> tuple[bool, bool]:
        """Draw from the cell, at the temperature and under the light of each step; (empty, browned out)."""
        if current_ma > self._highest_ma:
            self._highest_ma = current_ma
        if self._surroundings is None:
            if self.battery.spend(state, current_ma, duration_ms):
                return _CALM
            drawn = self.battery.draw(state, current_ma, duration_ms)
            return drawn.empty, drawn.browned_out
        empty = sagged = False
        left_ms = float(duration_ms)
        while True:
            step_left_ms = self._step_ms - self._at_ms % self._step_ms
            part_ms = min(left_ms, step_left_ms)
            calm = self._at_ms // self._step_ms == self._step and not self._light_w_m2
            if not (calm and self.battery.spend(state, current_ma, part_ms)):
                drawn = self.battery.draw(state, current_ma, part_ms, *self._around(self._surroundings))
                empty, sagged = empty or drawn.empty, sagged or drawn.browned_out
            self._at_ms += part_ms
            left_ms -= part_ms
            if left_ms <= 0:
                return empty, sagged

    def _around(self, surroundings: Surroundings) -> tuple[float, float]:
        """Temperature and harvested current now; the weather is asked once a step, in its middle."""
        step = int(self._at_ms // self._step_ms)
        if step != self._step:
            self._step = step
            middle_ms = step * self._step_ms + self._step_ms // 2
            self._temperature_c = surroundings.temperature_c(middle_ms)
            self._light_w_m2 = surroundings.light_w_m2(middle_ms)
        if not self._light_w_m2 or surroundings.panel is None:
            return self._temperature_c, 0.0
        into_mv = max(CHARGER_MV_MIN, self.battery.open_circuit_mv)
        return self._temperature_c, surroundings.panel.harvester.current_ma(self._light_w_m2, into_mv)

    def _sags_in_pulse(self) -> bool:
        if self._peak_ma is None or self._brownout_mv is None:
            return False
        self._highest_ma = max(self._highest_ma, self._peak_ma)
        if self.battery.is_sure_of(self._peak_ma, self._brownout_mv):
            return False
        return self.battery.loaded_voltage_mv(self._peak_ma) < self._brownout_mv
