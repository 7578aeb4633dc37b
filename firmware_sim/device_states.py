"""The states of one device's firmware, what they cost, and when they end: the part of it that knows the supply.

Promises:
- Every millisecond that a device has power is booked once, in the order in which its states follow each other.
- When the supply sags or ends, nothing that was due is due any more: only the next try to boot, if there is one.
"""

from dataclasses import replace

from firmware_sim.device_radio import DeviceRadio
from firmware_sim.device_spec import Counters
from firmware_sim.failures import Failures
from firmware_sim.phases import AT_REST, RESTING, UNPOWERED, Event, Phase, next_phase
from firmware_sim.supply import PowerState, Stages, Supply


class DeviceStates:
    """What `firmware_sim.device.Device` stands on."""

    def __init__(self, supply: Supply, radio: DeviceRadio | None, failures: Failures) -> None:
        self.counters = Counters()
        self.phase = Phase.OFF
        self.supply = supply
        self._radio = radio
        self._failures = failures
        # A radio's exchange includes joining: there is nothing more to connect.
        self._timings = supply.timings() if radio is None else replace(supply.timings(), connect_ms=0)
        self._busy_until_ms = 0  # up to which instant all is booked
        self._sample_due_ms: int | None = None
        self._listen_until_ms: int | None = None
        self._power_due_ms: int | None = None
        self._reset_due_ms: int | None = None

    @property
    def powered(self) -> bool:
        """Whether the board runs; a radio without power drops its connection."""
        return self.phase not in UNPOWERED

    @property
    def level_percent(self) -> float | None:
        """The true state of charge of its battery, 0 to 100; None without one."""
        return self.supply.level_percent()

    def _enter(self, event: Event) -> None:
        self.phase = next_phase(self.phase, event)

    def _end_rest(self, event: Event | None, now_ms: int) -> bool:
        """Book the energy of the rest that ends now and move on; False if the supply did not last through it."""
        if not self._spend(max(0, now_ms - self._busy_until_ms), now_ms):
            return False
        if event is not None:
            self._enter(event)
        return True

    def _spend(self, duration_ms: int, now_ms: int) -> bool:
        """Book `duration_ms` in this state after all that was booked before; False if the supply gave way."""
        phase = self.phase
        from_ms = now_ms - duration_ms if phase in AT_REST else now_ms
        if from_ms < self._busy_until_ms:
            from_ms = self._busy_until_ms
        self._busy_until_ms = until_ms = from_ms + duration_ms
        if self._radio is not None and phase in RESTING:
            return self._survives(self.supply.draw_radio(self._radio.rest(from_ms, until_ms), resting=True))
        return self._survives(self.supply.draw(phase, duration_ms, until_ms))

    def _spend_through(self, stages: Stages, now_ms: int) -> PowerState | None:
        """Book states in a row, of which this one is the first; None, and nothing is booked, if each needs a look.

        What the supply says is still to be told to `_survives`.
        """
        from_ms = max(now_ms, self._busy_until_ms)
        state = self.supply.draw_through(stages, from_ms)
        if state is not None:
            self._busy_until_ms = from_ms + sum([duration_ms for _, duration_ms in stages])
        return state

    def _breaks(self, now_ms: int) -> bool:
        """Whether the board is broken by now; then it is dead."""
        if not self._failures.has_broken(now_ms):
            return False
        if self._end_rest(None, now_ms):
            self._survives(PowerState.EMPTY)
        return True

    def _work(self, phase: Phase, duration_ms: int, now_ms: int) -> bool:
        """Book something that is done beside the state; False if the supply gave way."""
        if self.phase in RESTING and not self._end_rest(None, now_ms):
            return False
        self._busy_until_ms = max(now_ms, self._busy_until_ms) + duration_ms
        return self._survives(self.supply.draw(phase, duration_ms, self._busy_until_ms))

    def _survives(self, state: PowerState) -> bool:
        """Go on, or take up what the supply's end or sag means."""
        if state is PowerState.GOOD:
            return True
        self._sample_due_ms = self._listen_until_ms = self._power_due_ms = self._reset_due_ms = None
        if state is PowerState.EMPTY:
            self._enter(Event.EXHAUSTED)
        else:
            self.counters.brown_outs += 1
            self._enter(Event.SAG)
            weak = state is PowerState.WEAK
            pause_ms = self._timings.weak_ms if weak else self._timings.brown_out_ms
            self._power_due_ms = self._busy_until_ms + pause_ms
        return False
