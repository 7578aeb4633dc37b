"""Many lives of one type of device at once: a block of lives in, their ends and their books out.

A life is one device with one battery: a capacity, a self-discharge, a spot and a panel of its own (the spread), and for
each day a day of one of the probes (`load`) and a day of weather. It ends at the first hour in which the cell is empty,
or sags under the board's brown-out voltage in the hour's highest pulse: somebody has to go there then, also where a
rest or the sun would bring the device back.

Promises: the same block gives the same result, whatever runs beside it and wherever; ends are hours from the start.
What the books hold is what the scalar ledger holds: charge per state, self-discharge, harvest (see
`firmware_sim.power.ledger`), here summed over all lives of the block up to their ends.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from firmware_sim.forecast.cell_arrays import CellTables, Charge, Climate, Flags, Floats, Places, charge_of
from firmware_sim.forecast.load import LoadProfile
from firmware_sim.forecast.weather_arrays import HOURS_PER_DAY, WeatherDays, Year, has_clouds
from firmware_sim.power import CellSpec
from firmware_sim.power_config import HarvestConfig, PlaceConfig, SpreadConfig
from firmware_sim.surroundings import Panel

HOURS_PER_JULIAN_YEAR = 8_766.0
SPREAD_MIN = 0.2  # no device is made with less than a fifth of what the type has, whatever the normal law says
CHARGER_MV_MIN = 500.0
PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class DeviceType:
    """What all lives of a type share. `low`: the load once the charge is under `low_percent`."""

    spec: CellSpec
    model: str | None
    state_of_charge: float
    brownout_mv: float
    series_resistance_ohm: float
    load: LoadProfile
    low: LoadProfile | None
    low_percent: float
    place: PlaceConfig
    year: Year
    harvest: HarvestConfig | None
    spread: SpreadConfig


@dataclass(frozen=True, slots=True)
class Block:
    """So many lives of one type for at most so many days; `seed` is the block's own."""

    type: DeviceType
    lives: int
    days: int
    seed: int


@dataclass(slots=True)
class BlockResult:
    """`ended_h`: the hour at which each life ended, -1 where it had not. `by_state`, `by_cell`: charge in mAh, summed
    over all lives. `left_mah`: what was still in the cells of those that ended."""

    ended_h: npt.NDArray[np.int64]
    browned_out: Flags
    by_state: dict[str, float] = field(default_factory=dict)
    by_cell: dict[str, float] = field(default_factory=dict)
    left_mah: float = 0.0


def run_block(block: Block) -> BlockResult:
    """Live all lives of the block to their ends."""
    return _Lives(block).run()


@dataclass(slots=True)
class _Flow:
    """What moved in each hour and cell of a day, mAh; None where there is no panel."""

    available: Floats
    leak: Floats
    harvested: Floats | None = None
    spilled: Floats | None = None
    charge_loss: Floats | None = None


class _Lives:
    """The state of a block. Arrays of the living shrink as lives end; `_alive` says which they are."""

    def __init__(self, block: Block) -> None:
        kind, lives = block.type, block.lives
        spread = kind.spread
        rng = np.random.Generator(np.random.PCG64(block.seed))
        self._block, self._rng = block, rng
        self._tables = CellTables(kind.spec, kind.series_resistance_ohm)
        capacity_mah = kind.spec.capacity_mah * _around_one(rng, spread.capacity, lives)
        self._leak_factor = _around_one(rng, spread.self_discharge, lives)
        self._panel_factor = _around_one(rng, spread.harvest, lives)
        self._spot_c = spread.temperature_c * rng.standard_normal(lives)
        self._charge: Charge = charge_of(kind.spec.build_model(kind.model), capacity_mah, kind.state_of_charge)
        self._weather = WeatherDays(kind.place, kind.year, lives, rng, clouds=has_clouds(kind.harvest))
        self._panel = None if kind.harvest is None else Panel.of(kind.harvest)
        self._books = [_Books(load) for load in (kind.load, kind.low) if load is not None]
        probes = kind.load.hourly_mah.shape[0]
        self._probe = np.arange(lives) % probes
        self._alive: Places = np.arange(lives)
        self._cycles, self._aged_years = np.zeros(lives), np.zeros(lives)
        self._open_mv: Floats = np.full(lives, kind.spec.curve.open_circuit_mv(1.0) * kind.spec.series)
        self._result = BlockResult(np.full(lives, -1, dtype=np.int64), np.zeros(lives, dtype=np.bool_))

    def run(self) -> BlockResult:
        for day in range(self._block.days):
            if not len(self._alive):
                break
            self._day(day)
        result = self._result
        for books in self._books:
            books.add_to(result.by_state)
        return result

    def _day(self, day: int) -> None:
        alive = self._alive
        temperature_c, light, sky = self._weather.day(day)
        pick = self._rng.random(self._block.lives)[alive]
        climate = self._tables.climate(temperature_c[:, alive] + self._spot_c[alive])
        health = self._tables.health(self._cycles, self._aged_years)
        window = self._tables.window(health, climate.capacity_factor)
        low = self._is_low(window[0])
        days = [books.pick(pick, self._probe[alive]) for books in self._books]
        load = _chosen(low, [books.load(places) for books, places in zip(self._books, days, strict=True)])
        if self._panel is None:
            flow = self._drain(load, climate)
        else:
            flow = self._drain_and_charge(load, climate, window, health, light, sky[alive])
        standing = self._tables.standing(flow.available, window, health, climate)
        self._open_mv = standing.open_mv[-1]
        ohm, polar_ohm = standing.ohm, standing.polar_ohm
        sags = [books.sag_mv(places, ohm, polar_ohm) for books, places in zip(self._books, days, strict=True)]
        loaded_mv = standing.open_mv - _chosen(low, sags)
        over = standing.is_empty | (loaded_mv < self._block.type.brownout_mv)
        lasted = np.where(over.any(axis=0), over.argmax(axis=0), HOURS_PER_DAY)
        self._book(flow, climate, lasted, low, days)
        self._bury(day, lasted, standing.is_empty)

    def _is_low(self, window: Floats) -> Flags:
        kind = self._block.type
        if kind.low is None:
            return np.zeros(len(window), dtype=np.bool_)
        share = 1 - (1 - self._charge.stored_mah / self._charge.capacity_mah) / window
        return np.asarray(share * PERCENT < kind.low_percent)

    def _drain(self, load: Floats, climate: Climate) -> _Flow:
        charge = self._charge
        leak = climate.leak_share * (charge.capacity_mah * self._leak_factor)
        drain = load + leak
        available = np.empty_like(drain)
        for hour in range(HOURS_PER_DAY):
            charge.step(drain[hour])
            available[hour] = charge.available()
        return _Flow(available, leak)

    def _drain_and_charge(
        self, load: Floats, climate: Climate, window: Floats, health: Floats, light: Floats, sky: Floats
    ) -> _Flow:
        """The same with a panel, whose current depends on the voltage that it works into."""
        charging, harvester, charge = self._block.type.spec.charging, self._panel, self._charge
        assert charging is not None  # noqa: S101 - a panel on a primary cell was refused
        assert harvester is not None  # noqa: S101 - see `_day`
        leak = climate.leak_share * (charge.capacity_mah * self._leak_factor)
        through = sky if has_clouds(self._block.type.harvest) else np.ones_like(sky)
        panel_mw = harvester.harvester.panel_mw(1.0) * np.outer(light, through * self._panel_factor)
        panel_mw[panel_mw < harvester.harvester.start_mw] = 0.0
        into_mw = panel_mw * harvester.harvester.charger_efficiency
        flow = _Flow(np.empty_like(load), leak, *(np.empty_like(load) for _ in range(3)))
        for hour in range(HOURS_PER_DAY):
            harvest = 1000 * into_mw[hour] / np.maximum(self._open_mv, CHARGER_MV_MIN)
            outgo = load[hour] + leak[hour]
            surplus = np.maximum(harvest - outgo, 0.0)
            intake = np.minimum(surplus * charging.efficiency, charging.current_max_ma) * climate.may_charge[hour]
            before = charge.stored_mah
            charge.step(np.where(surplus > 0, -intake, outgo - harvest))
            accepted = np.where(surplus > 0, charge.stored_mah - before, 0.0)
            self._cycles += accepted / charge.capacity_mah
            lost = accepted * (1 / charging.efficiency - 1)
            used = np.where(surplus > 0, outgo + accepted, harvest)
            _set(flow, hour, charge.available(), used, harvest - used - lost, lost)
            self._open_mv = self._open_now(flow.available[hour], window[hour], health, climate, hour)
        return flow

    def _open_now(self, available: Floats, window: Floats, health: Floats, climate: Climate, hour: int) -> Floats:
        now = Climate(*(getattr(climate, name)[hour] for name in Climate.__dataclass_fields__))
        return self._tables.standing(available, window, health, now).open_mv

    def _book(self, flow: _Flow, climate: Climate, lasted: Places, low: Flags, days: list[Places]) -> None:
        """Book what moved up to each life's end."""
        lived = np.arange(HOURS_PER_DAY)[:, None] < lasted
        self._aged_years += (climate.ageing_speed * lived).sum(axis=0) / HOURS_PER_JULIAN_YEAR
        weight = lasted / HOURS_PER_DAY
        for at, (books, places) in enumerate(zip(self._books, days, strict=True)):
            books.count(places, np.where(low == bool(at), weight, 0.0))
        moved = {
            "self_discharge": flow.leak,
            "harvested": flow.harvested,
            "spilled": flow.spilled,
            "charge_loss": flow.charge_loss,
        }
        for name, each in moved.items():
            if each is not None:
                sums = self._result.by_cell
                sums[name] = sums.get(name, 0.0) + float((each * lived).sum())

    def _bury(self, day: int, lasted: Places, is_empty: Flags) -> None:
        ended = np.flatnonzero(lasted < HOURS_PER_DAY)
        if not len(ended):
            return
        result, who = self._result, self._alive[ended]
        result.ended_h[who] = day * HOURS_PER_DAY + lasted[ended]
        result.browned_out[who] = ~is_empty[lasted[ended], ended]
        result.left_mah += float(np.maximum(self._charge.stored_mah[ended], 0.0).sum())
        living = np.flatnonzero(lasted == HOURS_PER_DAY)
        self._charge.keep(living)
        self._alive, self._open_mv = self._alive[living], self._open_mv[living]
        self._cycles, self._aged_years = self._cycles[living], self._aged_years[living]
        self._leak_factor, self._panel_factor = self._leak_factor[living], self._panel_factor[living]


class _Books:
    """A load profile, flat over probes and days, and how often each of its days was lived."""

    def __init__(self, load: LoadProfile) -> None:
        self._states = load.states
        self._days = load.peak_ma.shape[1]
        flat = -1, HOURS_PER_DAY
        self._hourly = load.hourly_mah.reshape(flat)
        self._peak, self._filtered = load.peak_ma.reshape(flat), load.filtered_ma.reshape(flat)
        self._sags = bool(self._filtered.any())
        self._by_state = load.charge_mah.sum(axis=2).reshape(-1, len(load.states))
        self._lived = np.zeros(len(self._hourly))

    def pick(self, chance: Floats, probe: Places) -> Places:
        """Return a day of the life's own probe, by a number from 0 to 1."""
        return np.asarray(probe * self._days + (chance * self._days).astype(np.intp))

    def load(self, places: Places) -> Floats:
        """Return the load of these days: hour, life."""
        return np.asarray(self._hourly[places].T)

    def sag_mv(self, places: Places, ohm: Floats, polar_ohm: Floats) -> Floats:
        """Return how far the highest pulse of each hour pulls the voltage down."""
        sag = self._peak[places].T * ohm
        return np.asarray(sag + self._filtered[places].T * polar_ohm if self._sags else sag)

    def count(self, places: Places, weight: Floats) -> None:
        """Note that these days were lived, in whole or in part."""
        self._lived += np.bincount(places, weights=weight, minlength=len(self._lived))

    def add_to(self, by_state: dict[str, float]) -> None:
        """Add the charge of all lived days."""
        for state, charge_mah in zip(self._states, self._lived @ self._by_state, strict=True):
            by_state[state] = by_state.get(state, 0.0) + float(charge_mah)


def _chosen(low: Flags, both: list[Floats]) -> Floats:
    """Return the first, or where the battery is low the second, if there is one."""
    return both[0] if len(both) == 1 else np.where(low, both[1], both[0])


def _around_one(rng: np.random.Generator, spread: float, lives: int) -> Floats:
    return np.maximum(SPREAD_MIN, 1.0 + spread * rng.standard_normal(lives))


def _set(flow: _Flow, hour: int, available: Floats, harvested: Floats, spilled: Floats, lost: Floats) -> None:
    assert flow.harvested is not None  # noqa: S101 - made with all of them
    assert flow.spilled is not None  # noqa: S101
    assert flow.charge_loss is not None  # noqa: S101
    flow.available[hour], flow.harvested[hour] = available, harvested
    flow.spilled[hour], flow.charge_loss[hour] = spilled, lost
