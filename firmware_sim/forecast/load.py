"""What a type of device draws, hour by hour and state by state: measured on devices of the event simulation.

A few devices of the type (probes) run in virtual time with the same firmware, board, radio, link and seed rules as the
fleet, with a meter where the battery would be. The meter never sags and never ends, so what it books is the load alone.
Each probe has shadowing, jitter, losses and retries of its own; each of its days is one that a life may draw.

Promises: what the meter books sums to what the supply drew; the first day (boot, joining) is not among the days.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_sim.battery_supply import HOUR_MS, BatterySupply
from firmware_sim.build_power import find_board, find_cell
from firmware_sim.build_sensors import known_parts, sensor_loads
from firmware_sim.config import DeviceGroup, FailureConfig, FleetConfig
from firmware_sim.power import BatteryModel, CellSpec, DrawResult, EnergyLedger, Run
from firmware_sim.sensor_loads import SensorLoads
from firmware_sim.supply import Supply
from firmware_sim.virtual import run_virtual

Floats = npt.NDArray[np.float64]

HOURS_PER_DAY = 24
DAY_MS = HOURS_PER_DAY * HOUR_MS
PROBES_MAX = 8  # places with their own shadowing: enough for a spread, few enough to run in a second or two
DAYS_MAX = 28  # four weeks hold a rare burst of losses, and a recording that repeats every few days
WAKE_UPS_MAX = 10_000  # of all probes of a type together: some two seconds of one core
SAMPLES_MIN = 20  # of each probe, however rarely it measures
PROBE_DAYS_HARD_MAX = 3_660  # ten years: a device that measures less often than twice a year is not simulated longer
NO_SAG_MV = math.inf
RATE_LOSS = "rate_loss"


@dataclass(frozen=True, slots=True)
class LoadProfile:
    """What the probes drew. Axes: probe, day, hour; `charge_mah` has the state as a fourth.

    `peak_ma` is the largest current of an hour, `filtered_ma` the largest that the cell's polarisation has followed.
    """

    states: tuple[str, ...]
    charge_mah: Floats
    peak_ma: Floats
    filtered_ma: Floats

    @property
    def hourly_mah(self) -> Floats:
        """All states together: probe, day, hour."""
        return np.asarray(self.charge_mah.sum(axis=3))

    @property
    def mean_ma(self) -> float:
        """The average current of the type."""
        return float(self.hourly_mah.mean())


class LoadMeter:
    """In the place of a battery: books every draw by hour and state. `level`: the charge that it shows the firmware.

    As a battery it is new, always the same, and tells nothing of its future.
    """

    remaining_mah = charge_lost_mah = cycles = 0.0
    health = 1.0

    def __init__(self, spec: CellSpec, model: BatteryModel, started_ms: int, level: float) -> None:
        self.state_of_charge = level
        self.open_circuit_mv = spec.curve.open_circuit_mv(1.0) * spec.series
        self._drain_ma = model.drain_ma
        self._response_ms = spec.response_ms
        self._at_ms = float(started_ms)
        self._filtered_ma = 0.0
        self.ledger = EnergyLedger()  # the meter has books of its own, by the hour
        self.charge_uc: dict[tuple[int, str], float] = {}
        self.lasted_ms: dict[tuple[int, str], float] = {}
        self.peak_ma: dict[int, float] = {}
        self.filtered_ma: dict[int, float] = {}

    def mah_above_brownout(self, pulse_ma: float) -> float:  # noqa: ARG002 - whatever the pulse
        """Nothing is ever used up."""
        return math.inf

    def rested_share(self, temperature_c: float) -> float:  # noqa: ARG002 - however warm
        """Nothing is ever used up."""
        return self.state_of_charge

    def snapshot(self) -> dict[str, Any]:
        """Nothing that changes."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to take up."""

    def loaded_voltage_mv(self, current_ma: float) -> float:
        """Note a pulse that is looked at without being drawn."""
        self._note_peak(current_ma)
        return NO_SAG_MV

    def spend(self, state: str, current_ma: float, duration_ms: float) -> bool:
        """Draw it: nothing ever happens."""
        self.draw(state, current_ma, duration_ms)
        return True

    def spend_run(self, run: Run) -> bool:
        """Draw all of it."""
        for state, current_ma, duration_ms in run.steps:
            self.draw(state, current_ma, duration_ms)
        return True

    def is_sure_of(self, pulse_ma: float, brownout_mv: float) -> bool:  # noqa: ARG002 - to be noted, it is asked for
        """Never: a pulse must be looked at, and is then noted."""
        return False

    def draw(
        self,
        state: str,
        current_ma: float,
        duration_ms: float,
        temperature_c: float = 20.0,  # noqa: ARG002 - a load is the same at any temperature
        harvest_ma: float = 0.0,  # noqa: ARG002 - and whatever shines
    ) -> DrawResult:
        """Book it, cut at full hours."""
        rate_ma = self._drain_ma(current_ma) - current_ma
        left_ms = duration_ms
        while left_ms > 0:
            hour = int(self._at_ms // HOUR_MS)
            part_ms = min(left_ms, (hour + 1) * HOUR_MS - self._at_ms)
            self._book(hour, state, current_ma * part_ms, part_ms)
            if rate_ma:
                self._book(hour, RATE_LOSS, rate_ma * part_ms, 0.0)
            self._filter(current_ma, part_ms)
            self._note_peak(current_ma)
            self._at_ms += part_ms
            left_ms -= part_ms
        return DrawResult(NO_SAG_MV, browned_out=False, empty=False, sustained_ms=duration_ms, overrated=False)

    def _book(self, hour: int, state: str, charge_uc: float, lasted_ms: float) -> None:
        key = hour, state
        self.charge_uc[key] = self.charge_uc.get(key, 0.0) + charge_uc
        self.lasted_ms[key] = self.lasted_ms.get(key, 0.0) + lasted_ms

    def _filter(self, current_ma: float, duration_ms: float) -> None:
        if self._response_ms:
            gone = -math.expm1(-duration_ms / self._response_ms)
            self._filtered_ma += (current_ma - self._filtered_ma) * gone

    def _note_peak(self, current_ma: float) -> None:
        hour = int(self._at_ms // HOUR_MS)
        self.peak_ma[hour] = max(self.peak_ma.get(hour, 0.0), current_ma)
        self.filtered_ma[hour] = max(self.filtered_ma.get(hour, 0.0), self._filtered_ma)


def measure_load(config: FleetConfig, group: DeviceGroup, *, is_low: bool = False) -> LoadProfile:
    """Run probes of a group that has a battery. `is_low`: as it is once its battery is low. Raises `FleetError`."""
    probes, days = probe_size(group, is_low=is_low)
    slow = group.battery.low_stretch if is_low and group.battery else 1
    lasting_ms = (days + 2) * DAY_MS + math.ceil(2_000 * (group.interval_s * slow + group.jitter_s))
    # No place, harvest or failures: the meter wants only what the board and the radio of a device that works draw.
    bare = group.model_copy(update={"count": probes, "harvest": None, "failures": FailureConfig()})
    meters: list[LoadMeter] = []

    def supply_of(fleet: FleetConfig, its_group: DeviceGroup, started_ms: int) -> Supply:
        return _metered(fleet, its_group, started_ms, meters, level=0.0 if is_low else 1.0)

    run_virtual(config.model_copy(update={"devices": (bare,)}), lasting_ms, len, supply_of=supply_of)
    first_hour = (round(config.virtual_start.timestamp() * 1000) // DAY_MS + 1) * HOURS_PER_DAY
    return _profile(meters, first_hour, days, sensor_loads(group, known_parts(config)))


def probe_size(group: DeviceGroup, *, is_low: bool = False) -> tuple[int, int]:
    """Return (probes, days of each) that keep the run short and still hold enough samples."""
    slow = group.battery.low_stretch if is_low and group.battery else 1
    samples_a_day = DAY_MS / (1000 * group.interval_s * slow)
    days = max(1, min(DAYS_MAX, math.floor(WAKE_UPS_MAX / (PROBES_MAX * samples_a_day))))
    days = min(max(days, math.ceil(SAMPLES_MIN / samples_a_day)), PROBE_DAYS_HARD_MAX)
    probes = max(1, min(PROBES_MAX, math.floor(WAKE_UPS_MAX / (days * samples_a_day))))
    return probes, days


def _metered(
    config: FleetConfig, group: DeviceGroup, started_ms: int, meters: list[LoadMeter], level: float
) -> BatterySupply[LoadMeter]:
    given = group.battery
    assert given is not None  # noqa: S101 - only groups with a battery are measured
    spec = find_cell(config, given)
    meter = LoadMeter(spec, spec.build_model(given.model), started_ms, level)
    meters.append(meter)
    sensors = sensor_loads(group, known_parts(config))
    return BatterySupply(meter, find_board(config, given), None, started_ms, sensors)


def _profile(meters: list[LoadMeter], first_hour: int, days: int, sensors: SensorLoads) -> LoadProfile:
    books = [_by_part(meter, sensors) for meter in meters]
    states = list(dict.fromkeys(state for charges in books for _, state in charges))
    places = {state: at for at, state in enumerate(states)}
    hours = days * HOURS_PER_DAY
    charge = np.zeros((len(meters), hours, len(states)))
    peaks, filtered = np.zeros((len(meters), hours)), np.zeros((len(meters), hours))
    for n, meter in enumerate(meters):
        for (hour, state), charge_uc in books[n].items():
            if 0 <= hour - first_hour < hours:
                charge[n, hour - first_hour, places[state]] = charge_uc / HOUR_MS
        _fill(peaks[n], meter.peak_ma, first_hour)
        _fill(filtered[n], meter.filtered_ma, first_hour)
    drawn = [at for at in range(len(states)) if charge[:, :, at].any()]
    charge, states = charge[:, :, drawn], [states[at] for at in drawn]
    shape: Any = (len(meters), days, HOURS_PER_DAY)
    return LoadProfile(
        tuple(states), charge.reshape(*shape, len(states)), peaks.reshape(shape), filtered.reshape(shape)
    )


def _by_part(meter: LoadMeter, sensors: SensorLoads) -> dict[tuple[int, str], float]:
    """A meter's books by state of the board and by part."""
    charges: dict[tuple[int, str], float] = {}
    for (hour, account), charge_uc in meter.charge_uc.items():
        for name, share_uc in sensors.split(account, charge_uc, meter.lasted_ms[hour, account]).items():
            charges[hour, name] = charges.get((hour, name), 0.0) + share_uc
    return charges


def _fill(row: Floats, by_hour: dict[int, float], first_hour: int) -> None:
    for hour, value in by_hour.items():
        if 0 <= hour - first_hour < len(row):
            row[hour - first_hour] = value
