"""From configuration to a device's supply: cell, board, panel and surroundings.

Raises `PowerError` for what the catalogue or a cell refuses, with the part's name or the data file's key in it, and
OSError for a file that cannot be read; the caller names the key of the configuration.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from firmware_sim.battery_supply import BatterySupply
from firmware_sim.build_sensors import known_parts, sensor_loads
from firmware_sim.config import DeviceGroup, FleetConfig
from firmware_sim.power import (
    Battery,
    Board,
    CellSpec,
    PowerValueError,
    UnknownPartError,
    builtin_boards,
    builtin_cells,
    parse_boards,
    parse_cells,
)
from firmware_sim.power_config import AmbientConfig, BatteryConfig, SolarConfig
from firmware_sim.supply import MainsSupply, Supply
from firmware_sim.surroundings import Panel, Surroundings
from sensors.seeds import derive_seed


def build_supply(config: FleetConfig, group: DeviceGroup, started_ms: int) -> Supply:
    """The supply of one device of the group, switched off at `started_ms`."""
    given, sensors = group.battery, sensor_loads(group, known_parts(config))
    if given is None:
        return MainsSupply(sensors.sense_ms(0))
    spec, board = find_cell(config, given), find_board(config, given)
    battery = Battery(
        spec,
        model=given.model,
        state_of_charge=given.state_of_charge,
        brownout_mv=board.brownout_mv,
        series_resistance_ohm=given.series_resistance_ohm,
    )
    return BatterySupply(battery, board, build_surroundings(config, group, spec), started_ms, sensors)


def find_cell(config: FleetConfig, given: BatteryConfig) -> CellSpec:
    """The cell that a battery names, of the file's own cells or the catalogue's, in the size that it asks for."""
    known = {**builtin_cells(), **(_cells(config.cells) if config.cells else {})}
    if given.cell not in known:
        raise UnknownPartError("cell", given.cell, known)
    spec = known[given.cell]
    return spec if given.capacity_mah is None else spec.resized(given.capacity_mah)


def find_board(config: FleetConfig, given: BatteryConfig) -> Board:
    """The board that a battery names, of the file's own boards or the catalogue's."""
    known = {**builtin_boards(), **(_boards(config.boards) if config.boards else {})}
    if given.board not in known:
        raise UnknownPartError("board", given.board, known)
    return known[given.board]


def ambient_temperature(config: FleetConfig, group: DeviceGroup) -> Callable[[int], float] | None:
    """The temperature around the group, Cel, by the instant; None where the place says nothing of it."""
    place = group.place or config.place
    return None if place.ambient == AmbientConfig() else _surroundings(config, group, None).temperature_c


def build_surroundings(config: FleetConfig, group: DeviceGroup, spec: CellSpec) -> Surroundings | None:
    """What is around the group; None where it is 20 degrees for ever and nothing shines."""
    place = group.place or config.place
    panel = None
    if group.harvest is not None:
        if spec.charging is None:
            raise PowerValueError("harvest", "a rechargeable battery.cell beside it", spec.name)
        if isinstance(group.harvest, SolarConfig) and place.latitude_deg is None:
            raise PowerValueError("harvest", "latitude_deg and longitude_deg in place, for the sun", "neither")
        panel = Panel.of(group.harvest)
    return None if panel is None and place.ambient == AmbientConfig() else _surroundings(config, group, panel)


def _surroundings(config: FleetConfig, group: DeviceGroup, panel: Panel | None) -> Surroundings:
    """All groups without a place of their own stand in the same weather."""
    where = "fleet" if group.place is None else group.name
    return Surroundings(group.place or config.place, derive_seed(config.seed, "place", where), panel)


@cache
def _cells(path: Path) -> dict[str, CellSpec]:
    return parse_cells(path.read_text(encoding="utf-8"), str(path))


@cache
def _boards(path: Path) -> dict[str, Board]:
    return parse_boards(path.read_text(encoding="utf-8"), str(path))
