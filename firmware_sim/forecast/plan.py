"""From a fleet to blocks of lives, and from their results to what is reported.

A plan is a list of independent blocks: whoever runs them, here or on a cluster, in any order, `summarise` puts them
together in the plan's order, so that the report does not depend on where it was computed. All variants of a type use
the same seeds: what differs between them is the change, and not the dice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from firmware_sim.build import FleetError, check_fleet
from firmware_sim.build_power import find_board, find_cell
from firmware_sim.config import DeviceGroup, FleetConfig
from firmware_sim.forecast.engine import Block, BlockResult, DeviceType
from firmware_sim.forecast.load import DAY_MS, LoadProfile, measure_load
from firmware_sim.forecast.report import Lifetimes, TypeForecast, lifetimes
from firmware_sim.forecast.weather_arrays import Year
from firmware_sim.power import PowerError
from sensors.seeds import derive_seed

LIVES_OF_BLOCK = 2_000  # a day of so many lives fits into the second-level cache of a common core
DAYS_PER_YEAR = 365.25


@dataclass(frozen=True, slots=True)
class Variant:
    """A fleet under a name: the file's own, or one with what-if changes. `changed`: the groups that differ."""

    name: str
    config: FleetConfig
    changed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Part:
    """One type in one variant: its lives are `blocks` of the plan, from `first` on."""

    variant: str
    group: DeviceGroup
    type: DeviceType
    first: int
    blocks: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be computed."""

    years: float
    runs: int
    parts: tuple[Part, ...]
    blocks: tuple[Block, ...]


def plan_forecast(variants: Sequence[Variant], *, years: float, runs: int, seed: int | None = None) -> Plan:
    """Measure the loads and cut the work. The first variant is the fleet as it is; of the others only what changed.

    Groups on mains power have no battery to forecast. Raises `FleetError`, also when no group has a battery.
    """
    parts: list[Part] = []
    blocks: list[Block] = []
    days = round(years * DAYS_PER_YEAR)
    for variant in variants:
        check_fleet(variant.config)
        for group in variant.config.devices:
            if group.battery is None or (variant.changed and group.name not in variant.changed):
                continue
            kind = device_type(variant.config, group)
            base = variant.config.seed if seed is None else seed
            own = _blocks(kind, days, runs, derive_seed(base, group.name, "forecast"))
            parts.append(Part(variant.name, group, kind, len(blocks), len(own)))
            blocks += own
    if not parts:
        raise FleetError("devices", "expected at least one group with a battery: mains power has no end")
    return Plan(years, runs, tuple(parts), tuple(blocks))


def device_type(config: FleetConfig, group: DeviceGroup) -> DeviceType:
    """What all lives of a group share. Runs its probes: takes a few seconds. Raises `FleetError`."""
    battery, place = group.battery, group.place or config.place
    assert battery is not None  # noqa: S101 - asked for groups with a battery only
    try:
        spec, board = find_cell(config, battery), find_board(config, battery)
    except (PowerError, OSError) as error:
        raise FleetError(f"devices ({group.name}).battery", str(error)) from error
    low: LoadProfile | None = None
    if battery.low_percent > 0 and battery.low_stretch > 1:
        low = measure_load(config, group, is_low=True)
    start_ms = round(config.virtual_start.timestamp() * 1000) // DAY_MS * DAY_MS
    return DeviceType(
        spec=spec,
        model=battery.model,
        state_of_charge=battery.state_of_charge,
        brownout_mv=spec.battery_brownout_mv if board.brownout_mv is None else board.brownout_mv,
        series_resistance_ohm=battery.series_resistance_ohm,
        load=measure_load(config, group),
        low=low,
        low_percent=battery.low_percent,
        place=place,
        year=Year.at(place, group.harvest, start_ms),
        harvest=group.harvest,
        spread=config.spread,
    )


def summarise(plan: Plan, results: Sequence[BlockResult]) -> tuple[TypeForecast, ...]:
    """Put the blocks' results together: one forecast per type and variant, in the plan's order."""
    forecasts = []
    for part in plan.parts:
        own = results[part.first : part.first + part.blocks]
        lives: Lifetimes = lifetimes([block.ended_h for block in own], [block.browned_out for block in own])
        forecasts.append(
            TypeForecast.of(part.variant, part.group, part.type, plan.years * DAYS_PER_YEAR, lives, list(own))
        )
    return tuple(forecasts)


def _blocks(kind: DeviceType, days: int, runs: int, seed: int) -> list[Block]:
    return [
        Block(kind, min(LIVES_OF_BLOCK, runs - first), days, derive_seed(seed, str(first)))
        for first in range(0, runs, LIVES_OF_BLOCK)
    ]
