"""A device's battery: a cell of the catalogue, a charge model, the voltage at its terminals, and the energy ledger.

The firmware tells it each state it spends time in; the battery answers with the voltage under that load. Promises:

* The ledger closes against the cell to 1e-9, by charge and by energy, whatever was drawn, harvested or lost
  (`imbalance`).
* Splitting a draw changes neither charge nor the instant of death (primary cells; of a rechargeable the ageing is
  taken as constant within one draw). Energy is charge times the mean of the voltages at both ends of a draw.
* A radio pulse sags by current times resistance, which rises as the cell empties or cools: `browned_out` comes
  long before `empty`, and a rested cell can serve again.

What cold and age do: they lock a share of the capacity away at the bottom. The cell is empty earlier and its voltage
curve is spread over the rest; warmth gives the cold's share back. What lies under the cut-off voltage is locked in
the same way.
"""

import math
from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any

from firmware_sim.power.cells import COLDEST_C, REFERENCE_C, WARMEST_C, CellSpec, cell
from firmware_sim.power.draws import DrawResult, Load, Run
from firmware_sim.power.errors import PowerValueError
from firmware_sim.power.ledger import Account, EnergyLedger
from firmware_sim.power.models import BatteryModel, PeukertModel, is_empty, state_of_charge
from firmware_sim.power.reserve import Reserve
from firmware_sim.power.sure import SHARE_MARGIN, SureBound
from firmware_sim.power.units import MS_PER_YEAR, NJ_PER_J, UC_PER_MAH

END_OF_LIFE_FADE = 0.2  # a cell counts as worn out at 80 % of its capacity
SPENT_MS_MAX = 86_400_000  # of one draw that is booked later: the ageing of a longer one is not small
PENDING_MAX = 64  # draws that are booked together
WINDOW_MIN = 1e-3  # a cell aged or frozen to nothing keeps this share, so that its voltage stays defined


class Battery:
    """One battery in one device. Not for sharing: a draw moves its time forward."""

    def __init__(
        self,
        spec: CellSpec | str,
        *,
        model: str | None = None,
        state_of_charge: float = 1.0,
        brownout_mv: float | None = None,
        series_resistance_ohm: float = 0.0,
    ) -> None:
        """Put a cell in a device.

        `spec`: a cell or the name of a built-in one. `model`: ideal, peukert, kibam or rakhmatov (default: the cell's
        own). `brownout_mv`: the least battery voltage at which the device runs (default: the cells').
        `series_resistance_ohm`: contacts, wires, protection. Raises UnknownPartError, PowerValueError.
        """
        self.spec = cell(spec) if isinstance(spec, str) else spec
        self._model: BatteryModel = self.spec.build_model(model, state_of_charge)
        self.brownout_mv = self.spec.battery_brownout_mv if brownout_mv is None else brownout_mv
        if not series_resistance_ohm >= 0:
            raise PowerValueError("series_resistance_ohm", "0 or more", series_resistance_ohm)
        self._series_ohm = series_resistance_ohm
        spec_curve = self.spec.curve
        self._cell_open_mv, self._cell_polar_ohm = spec_curve.open_circuit_mv, spec_curve.polarisation_ohm
        self._cell_ohm, self._series = self.spec.resistance_ohm, self.spec.series
        self._cutoff_share, self._usable_share = self.spec.cutoff_share, 1 - self.spec.cutoff_share
        self._ages, self._response_ms = self.spec.ageing is not None, self.spec.response_ms
        self._ledger = EnergyLedger()
        self._cycles = 0.0
        self._aged_years = 0.0
        self._initial_uc = self._model.stored_uc
        self._cell_loss = Account()
        self._filtered_ma = 0.0
        self._open_mv = 0.0
        self._reserve = Reserve()
        # What was spent and is not yet booked, and how much more is certain, for loads up to the bound's.
        self._pending: list[Load] = []
        self._bound, self._credit_uc = SureBound(self.spec, self.brownout_mv, series_resistance_ohm), 0.0
        self._trusting = not isinstance(self._model, PeukertModel)  # its drain is not its load
        self._set_temperature(REFERENCE_C)

    # --- reading -------------------------------------------------------------------------------------------------

    @property
    def model(self) -> BatteryModel:
        """The charge in the cell."""
        self._catch_up()
        return self._model

    @property
    def ledger(self) -> EnergyLedger:
        """Where it went."""
        self._catch_up()
        return self._ledger

    @property
    def cycles(self) -> float:
        """Full cycles so far."""
        return self._cycles

    @property
    def aged_years(self) -> float:
        """Age, in years at 20 degrees; only rechargeables count it."""
        self._catch_up()
        return self._aged_years

    @property
    def state_of_charge(self) -> float:
        """Usable share of what the cell can give when full, at its present temperature and age; 0 to 1."""
        self._catch_up()
        share = (state_of_charge(self._model) - self._floor) / self._window
        return share if 0.0 <= share <= 1.0 else min(1.0, max(0.0, share))

    @property
    def is_empty(self) -> bool:
        """Whether the cell can carry no load now (rest, warmth or charge may change that)."""
        self._catch_up()
        return is_empty(self._model, self._floor)

    def rested_share(self, temperature_c: float) -> float:
        """Return the usable share that there would be after a long rest at a temperature; 0 to 1."""
        self._catch_up()
        window = self._window_at(self._health(), self.spec.capacity_factor(temperature_c))
        return max(0.0, (state_of_charge(self._model) - (1 - window)) / window)

    @property
    def open_circuit_mv(self) -> float:
        """Voltage at rest, at the last temperature."""
        self._catch_up()
        return self._open_mv

    @property
    def health(self) -> float:
        """Share of the capacity that age has left."""
        self._catch_up()
        return self._health()

    def _health(self) -> float:
        ageing = self.spec.ageing
        if ageing is None:
            return 1.0
        return max(0.0, 1.0 - ageing.fade_per_cycle * self._cycles - ageing.fade_per_year * self._aged_years)

    @property
    def remaining_mah(self) -> float:
        """Usable charge left."""
        return self.state_of_charge * self._window * self.spec.capacity_mah

    def mah_above_brownout(self, pulse_ma: float) -> float:
        """Return the charge left until a pulse of so much browns the device out, as warm and old as it is now."""
        self._catch_up()

        def spare_mv(gone: float) -> float:
            share = 1 - gone * self._usable_share
            ohm, _ = self._ohms(share)
            return self._open_at(share) - pulse_ma * ohm - self.brownout_mv

        sure = self._bound.holds(pulse_ma, self._resistance_scale, self._temperature_mv)
        if not sure and spare_mv(0.0) <= 0:
            return 0.0
        gone = self._reserve.gone(spare_mv, pulse_ma, self._temperature_mv, self._resistance_scale)
        return max(0.0, self.state_of_charge - (1 - gone)) * self._window * self.spec.capacity_mah

    @property
    def charge_lost_mah(self) -> float:
        """What has left the cell since it was put in; negative after more harvest than use."""
        self._catch_up()
        return (self._initial_uc - self._model.stored_uc) / UC_PER_MAH

    @property
    def energy_lost_j(self) -> float:
        """The same as energy, at the cell's open-circuit voltage."""
        self._catch_up()
        return self._cell_loss.energy_nj / NJ_PER_J

    def loaded_voltage_mv(self, current_ma: float, temperature_c: float | None = None) -> float:
        """Return the terminal voltage at the first instant of a load, without drawing it."""
        self._catch_up()
        if temperature_c is not None and temperature_c != self._temperature_c:
            self._set_temperature(temperature_c)
        ohm, polar_ohm = self._ohms(self._share())
        return max(0.0, self._open_mv - current_ma * ohm - self._filtered_ma * polar_ohm)

    def imbalance(self) -> tuple[float, float]:
        """Return by how much ledger and cell differ: charge as a share of capacity, energy of the full cell's
        energy."""
        self._catch_up()
        charge_uc, energy_nj = self._ledger.balance()
        full_nj = self._model.capacity_uc * self.spec.curve.open_circuit_mv(1.0) * self.spec.series
        return (
            (self._initial_uc - self._model.stored_uc - charge_uc) / self._model.capacity_uc,
            (self._cell_loss.energy_nj - energy_nj) / full_nj,
        )

    # --- drawing -------------------------------------------------------------------------------------------------

    def draw(
        self,
        state: str,
        current_ma: float,
        duration_ms: float,
        temperature_c: float = REFERENCE_C,
        harvest_ma: float = 0.0,
    ) -> DrawResult:
        """Spend `duration_ms` in `state` at `current_ma`, with `harvest_ma` coming in at the battery's terminals.

        When the cell gives up, time stops there (`sustained_ms`); what follows is the caller's to draw, at no current
        if the device is off. Raises PowerValueError on a negative or infinite current, time or harvest, or harvest
        into a primary cell.
        """
        if not (0 <= current_ma < math.inf and 0 <= duration_ms < math.inf and 0 <= harvest_ma < math.inf):
            raise PowerValueError(
                "current_ma, duration_ms, harvest_ma", "0 or more, finite", (current_ma, duration_ms, harvest_ma)
            )
        self._catch_up()
        self._credit_uc = 0.0
        if temperature_c != self._temperature_c:
            self._set_temperature(temperature_c)
        if harvest_ma > current_ma + self._leak_ma:
            return self._charge(state, current_ma, duration_ms, harvest_ma)
        leak_ma = self._leak_ma
        net_ma = current_ma + leak_ma - harvest_ma
        sustained_ms = carried_ms = self._model.draw(net_ma, duration_ms, self._floor)
        if carried_ms < duration_ms and current_ma == 0:
            self._model.draw(0.0, duration_ms - carried_ms)  # an empty cell still rests, and cannot leak
            sustained_ms = duration_ms
        rate_ma = self._model.drain_ma(net_ma) - net_ma
        end_mv, browned_out, empty = self._settle(
            state,
            current_ma * carried_ms,
            leak_ma * carried_ms,
            rate_ma * carried_ms,
            harvest_ma * carried_ms,
            current_ma - harvest_ma,
            sustained_ms,
        )
        overrated = current_ma > self.spec.continuous_max_ma and (
            duration_ms > self.spec.pulse_max_ms or current_ma > self.spec.pulse_max_ma
        )
        return DrawResult(end_mv, browned_out, empty or sustained_ms < duration_ms, sustained_ms, overrated)

    def _charge(self, state: str, current_ma: float, duration_ms: float, harvest_ma: float) -> DrawResult:
        """Feed the load and the leak from the harvest, and put what is left into the cell."""
        charging = self.spec.charging
        if charging is None:
            raise PowerValueError(
                "harvest_ma", f"0, or no more than the load: {self.spec.name} is not rechargeable", harvest_ma
            )
        surplus_ma = harvest_ma - current_ma - self._leak_ma
        intake_ma = min(surplus_ma * charging.efficiency, charging.current_max_ma)
        if not charging.temperature_min_c <= self._temperature_c <= charging.temperature_max_c:
            intake_ma = 0.0
        accepted_uc = self._model.charge(intake_ma, duration_ms)
        lost_uc = accepted_uc / charging.efficiency - accepted_uc
        load_uc, leak_uc = current_ma * duration_ms, self._leak_ma * duration_ms
        used_uc = load_uc + leak_uc + accepted_uc
        self._cycles += accepted_uc / self._model.capacity_uc
        terminal_ma = (load_uc - used_uc) / duration_ms if duration_ms else 0.0
        result = self._settle(state, load_uc, leak_uc, 0.0, used_uc, terminal_ma, duration_ms)
        cell_accounts = self._ledger.cell
        cell_accounts["charge_loss"].add(lost_uc, lost_uc * result[0], duration_ms)
        spilled_uc = harvest_ma * duration_ms - used_uc - lost_uc
        cell_accounts["spilled"].add(spilled_uc, spilled_uc * result[0], duration_ms)
        return DrawResult(*result, duration_ms, overrated=False)

    def _settle(
        self,
        state: str,
        load_uc: float,
        leak_uc: float,
        rate_uc: float,
        harvest_uc: float,
        terminal_ma: float,
        span_ms: float,
    ) -> tuple[float, bool, bool]:
        """Book what has moved, move voltage and age on; return (terminal mV, browned out, empty)."""
        open_before_mv = self._open_mv
        filtered_before_ma = self._filtered_ma
        (mean_filtered_ma,) = self._follow(((state, terminal_ma, span_ms),))
        if self._ages:
            self._aged_years += span_ms / MS_PER_YEAR * self._ageing_speed
            self._set_floor()
        share = self._share()
        self._open_mv = open_mv = self._series * (self._cell_open_mv(share) + self._temperature_mv)
        mean_open_mv = (open_before_mv + open_mv) / 2
        ohm = self._series * self._cell_ohm(share) * self._resistance_scale + self._series_ohm
        polar_ohm = self._series * self._cell_polar_ohm(share)
        ohmic_mv = terminal_ma * ohm
        mean_sag_mv = ohmic_mv + mean_filtered_ma * polar_ohm
        mean_mv = mean_open_mv - mean_sag_mv
        account = self._ledger.states.get(state)
        if account is None:
            account = self._ledger.states[state] = Account()
        account.add(load_uc, load_uc * mean_mv, span_ms)
        accounts = self._ledger.cell
        accounts["self_discharge"].add(leak_uc, leak_uc * mean_open_mv, span_ms)
        accounts["heat"].add(0.0, (load_uc - harvest_uc) * mean_sag_mv, span_ms)
        if rate_uc:
            accounts["rate_loss"].add(rate_uc, rate_uc * mean_open_mv, span_ms)
        if harvest_uc:
            accounts["harvested"].add(harvest_uc, harvest_uc * mean_mv, span_ms)
        lost_uc = load_uc + leak_uc + rate_uc - harvest_uc
        self._cell_loss.add(lost_uc, lost_uc * mean_open_mv, span_ms)
        end_mv = max(0.0, open_mv - ohmic_mv - self._filtered_ma * polar_ohm)
        start_mv = open_before_mv - ohmic_mv - filtered_before_ma * polar_ohm
        browned_out = start_mv < self.brownout_mv or end_mv < self.brownout_mv
        return end_mv, browned_out, is_empty(self._model, self._floor)

    # --- drawing where nothing can happen ---------------------------------------------------------------------

    def spend(self, state: str, current_ma: float, duration_ms: float) -> bool:
        """Draw at the last temperature, without harvest, if it is certain that the cell carries it above the brown-out.

        False: it is not certain, and nothing was drawn. What was spent is booked together, at the next look at the
        battery; between two looks the voltage at rest is taken to run straight over the charge.
        """
        lost_uc = (current_ma + self._leak_ma) * duration_ms
        known = 0.0 <= current_ma <= self._bound.load_ma and 0.0 <= duration_ms <= SPENT_MS_MAX
        if not (known and lost_uc < self._credit_uc) and not self._is_sure(current_ma, duration_ms):
            return False
        self._credit_uc -= lost_uc
        self._pending.append((state, current_ma, duration_ms))
        if len(self._pending) >= PENDING_MAX:
            self._catch_up()
        return True

    def spend_run(self, run: Run) -> bool:
        """`spend` every step of a run; False: not all of it is certain, and nothing was drawn."""
        pending = self._pending
        if len(pending) + len(run.steps) >= PENDING_MAX:
            return False  # what is booked together ends within the run
        if run.steps and not (self._credit_uc or pending):  # ageing took the credit
            _, current_ma, duration_ms = run.steps[0]
            self._is_sure(current_ma, duration_ms)
        lost_uc = run.charge_uc + self._leak_ma * run.span_ms
        if run.peak_ma > self._bound.load_ma or not lost_uc < self._credit_uc:
            return False
        self._credit_uc -= lost_uc
        pending += run.steps
        return True

    def is_sure_of(self, pulse_ma: float, brownout_mv: float) -> bool:
        """Whether it is certain that a pulse of so much would leave the voltage above so much."""
        if brownout_mv > self.brownout_mv:
            return False
        return (pulse_ma <= self._bound.load_ma and self._credit_uc > 0) or self._is_sure(pulse_ma, 0.0)

    def _is_sure(self, current_ma: float, duration_ms: float) -> bool:
        """Whether the cell can carry a load for so long and stay above the brown-out; renews the credit."""
        if not (self._trusting and 0 <= current_ma < math.inf and 0 <= duration_ms <= SPENT_MS_MAX):
            return False
        self._catch_up()
        load_ma = max(current_ma, self._filtered_ma)
        sure_share = self._bound.share(load_ma, self._resistance_scale, self._temperature_mv)
        above = max(SHARE_MARGIN, (sure_share - self._cutoff_share) / self._usable_share)
        needed = self._floor + above * self._window
        self._credit_uc = (self._model.assured_uc - needed * self._model.capacity_uc) / self._model.fall_max
        return (current_ma + self._leak_ma) * duration_ms < self._credit_uc

    def _catch_up(self) -> None:
        """Book what was spent."""
        pending = self._pending
        if not pending:
            return
        leak_ma, open_mv = self._leak_ma, self._open_mv
        span_ms, drawn_uc = self._move_on(pending)
        share = self._share()
        self._open_mv = self._open_at(share)
        ohm, polar_ohm = self._ohms(share)
        lost_uc = drawn_uc + leak_ma * span_ms
        mv_per_uc = (self._open_mv - open_mv) / lost_uc if lost_uc else 0.0
        heat_nj = cell_nj = load_nj = gone_uc = 0.0
        states = self._ledger.states
        lagging = self._follow(pending) if self._response_ms else repeat(0.0)
        for (state, current_ma, duration_ms), filtered_ma in zip(pending, lagging, strict=False):
            load_uc = current_ma * duration_ms
            both_uc = load_uc + leak_ma * duration_ms
            mean_mv = open_mv + mv_per_uc * (gone_uc + both_uc / 2)
            gone_uc += both_uc
            sag_mv = current_ma * ohm + filtered_ma * polar_ohm
            account = states.get(state)
            if account is None:
                account = states[state] = Account()
            account.add(load_uc, load_uc * (mean_mv - sag_mv), duration_ms)
            load_nj += load_uc * mean_mv
            heat_nj += load_uc * sag_mv
            cell_nj += both_uc * mean_mv
        pending.clear()
        accounts = self._ledger.cell
        accounts["self_discharge"].add(leak_ma * span_ms, cell_nj - load_nj, span_ms)
        accounts["heat"].add(0.0, heat_nj, span_ms)
        self._cell_loss.add(lost_uc, cell_nj, span_ms)

    def _move_on(self, loads: list[Load]) -> tuple[float, float]:
        """Let charge and age follow loads that are certain; return how long they lasted and what they drew."""
        self._model.advance(loads, self._leak_ma)
        span_ms = drawn_uc = 0.0
        for _, current_ma, duration_ms in loads:
            span_ms += duration_ms
            drawn_uc += current_ma * duration_ms
        if self._ages:
            speed, aged_years = self._ageing_speed, self._aged_years
            for _, _, duration_ms in loads:
                aged_years += duration_ms / MS_PER_YEAR * speed
            self._aged_years = aged_years
            self._set_floor()
            self._credit_uc = 0.0
        return span_ms, drawn_uc

    # --- voltage, temperature, age -------------------------------------------------------------------------------

    def _follow(self, loads: Iterable[Load]) -> list[float]:
        """Let the filtered current follow the loads, first order; return its mean over each."""
        response_ms, filtered_ma = self._response_ms, self._filtered_ma
        means_ma = []
        for _, current_ma, duration_ms in loads:
            mean_ma = filtered_ma
            if response_ms and duration_ms:
                gone = -math.expm1(-duration_ms / response_ms)
                behind_ma = filtered_ma - current_ma
                filtered_ma = current_ma + behind_ma * (1 - gone)
                mean_ma = current_ma + behind_ma * gone * response_ms / duration_ms
            means_ma.append(mean_ma)
        self._filtered_ma = filtered_ma
        return means_ma

    def _share(self) -> float:
        """Return where the cell stands on its voltage curve."""
        above = (self._model.available_fraction - self._floor) / self._window
        return self._cutoff_share + above * self._usable_share

    def _open_at(self, share: float) -> float:
        return self._series * (self._cell_open_mv(share) + self._temperature_mv)

    def _ohms(self, share: float) -> tuple[float, float]:
        """Return the resistance that a current meets at once, and the one that its filtered self meets."""
        ohm = self._series * self._cell_ohm(share) * self._resistance_scale + self._series_ohm
        return ohm, self._series * self._cell_polar_ohm(share)

    def _set_temperature(self, temperature_c: float) -> None:
        """Take up a temperature: leak, resistance, capacity and voltage follow."""
        if not COLDEST_C <= temperature_c <= WARMEST_C:  # a nan or a Fahrenheit slip stops here
            raise PowerValueError("temperature_c", f"{COLDEST_C:g} to {WARMEST_C:g}", temperature_c)
        spec = self.spec
        warmer_k = temperature_c - REFERENCE_C
        self._temperature_c, self._credit_uc = temperature_c, 0.0
        self._leak_ma = spec.leak_ma(temperature_c)
        self._temperature_mv = spec.temperature_mv_per_k * warmer_k
        self._capacity_factor = spec.capacity_factor(temperature_c)
        self._cell_resistance_factor = spec.resistance_factor(temperature_c)
        self._ageing_speed = spec.ageing.speed(temperature_c) if spec.ageing else 0.0
        self._set_floor()
        self._open_mv = self._open_at(self._share())

    def _set_floor(self) -> None:
        """Work out which share of the charge is out of reach, and how far the resistance has grown."""
        health, ageing = self._health(), self.spec.ageing
        self._window = self._window_at(health, self._capacity_factor)
        self._floor = 1 - self._window
        growth = ageing.resistance_growth * (1 - health) / END_OF_LIFE_FADE if ageing is not None else 0.0
        self._resistance_scale = self._cell_resistance_factor * (1 + growth)

    def _window_at(self, health: float, capacity_factor: float) -> float:
        return max(WINDOW_MIN, self._usable_share * health * capacity_factor)

    # --- snapshots -----------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return the changing part, of plain numbers, ready for JSON; cell and device stay the constructor's."""
        self._catch_up()
        return {
            "cell": self.spec.name,
            "kind": type(self._model).__name__,
            "capacity_mah": self.spec.capacity_mah,
            "model": self._model.snapshot(),
            "ledger": self._ledger.snapshot(),
            "cell_loss": self._cell_loss.snapshot(),
            "initial_uc": self._initial_uc,
            "filtered_ma": self._filtered_ma,
            "cycles": self._cycles,
            "aged_years": self._aged_years,
            "temperature_c": self._temperature_c,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a snapshot of a battery built in the same way. Raises PowerValueError when it is of another cell."""
        built = {"cell": self.spec.name, "kind": type(self._model).__name__, "capacity_mah": self.spec.capacity_mah}
        for key, expected in built.items():
            if state.get(key) != expected:
                raise PowerValueError(f"snapshot.{key}", str(expected), state.get(key))
        self._pending.clear()
        self._credit_uc = 0.0
        self._model.restore(state["model"])
        self._ledger = EnergyLedger.restored(state["ledger"])
        self._cell_loss = Account.restored(state["cell_loss"])
        self._initial_uc = float(state["initial_uc"])
        self._filtered_ma = float(state["filtered_ma"])
        self._cycles = float(state["cycles"])
        self._aged_years = float(state["aged_years"])
        self._set_temperature(float(state["temperature_c"]))
