"""The boards, as data: the current of each firmware state, and the measured sequence of one report where there is one.

Two real LoRaWAN boards differ by a factor of 40 in what a report costs, so no current stands in code:
`data/boards.toml` (or a file of the user's own, same form) has them, each with its `source`. A broken file raises
PowerDataError.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from firmware_sim.power.datafile import Section, parse_toml
from firmware_sim.power.draws import Step
from firmware_sim.power.errors import PowerValueError, UnknownPartError


@dataclass(frozen=True, slots=True)
class CycleStep:
    """How long a state lasts: `fixed_ms`, or the frame's time on air, or by spreading factor; less another step's
    time."""

    state: str
    fixed_ms: float
    is_airtime: bool
    ms_by_sf: Mapping[int, float]
    less: str | None


@dataclass(frozen=True, slots=True)
class Board:
    """One board. `current_ma` by state; `rest` is the state between reports; `cycle` may be empty."""

    name: str
    title: str
    source: str
    rest: str
    current_ma: Mapping[str, float]
    brownout_mv: float | None
    transmit_ma_by_dbm: tuple[tuple[float, float], ...]
    cycle: tuple[CycleStep, ...]

    def current_in(self, state: str) -> float:
        """Return the current of a state, mA; UnknownPartError lists the states that are known."""
        try:
            return self.current_ma[state]
        except KeyError:
            raise UnknownPartError(f"state of board {self.name}", state, self.current_ma) from None

    def transmit_current_ma(self, power_dbm: float) -> float:
        """Return the radio's current at a transmit power: the table's entry at or below it.

        Raises PowerValueError outside the table.
        """
        table = self.transmit_ma_by_dbm
        if not table or not table[0][0] <= power_dbm <= table[-1][0]:
            expected = f"{table[0][0]:g} to {table[-1][0]:g}" if table else f"no power: {self.name} has no table"
            raise PowerValueError("power_dbm", expected, power_dbm)
        return next(current for dbm, current in reversed(table) if dbm <= power_dbm)

    def report(self, airtime_ms: float = 0.0, spreading_factor: int = 7) -> list[Step]:
        """Return the states of one report in order. `airtime_ms`: the frame's time on air, from the radio model."""
        lasting: dict[str, float] = {}
        steps = []
        for step in self.cycle:
            duration_ms = step.fixed_ms
            if step.is_airtime:
                duration_ms = airtime_ms
            elif step.ms_by_sf:
                if spreading_factor not in step.ms_by_sf:
                    raise PowerValueError("spreading_factor", f"one of {sorted(step.ms_by_sf)}", spreading_factor)
                duration_ms = step.ms_by_sf[spreading_factor]
            if step.less is not None:
                duration_ms -= lasting[step.less]
            lasting[step.state] = duration_ms
            steps.append(Step(step.state, self.current_in(step.state), duration_ms))
        return steps

    def average_current_ma(self, period_ms: float, airtime_ms: float = 0.0, spreading_factor: int = 7) -> float:
        """Return the mean current of one report every `period_ms`, at rest between."""
        steps = self.report(airtime_ms, spreading_factor)
        busy_ms = sum(step.duration_ms for step in steps)
        if busy_ms > period_ms:
            raise PowerValueError("period_ms", f"at least the report's {busy_ms:.0f}", period_ms)
        charge_uc = sum(step.current_ma * step.duration_ms for step in steps)
        return (charge_uc + self.current_in(self.rest) * (period_ms - busy_ms)) / period_ms


def parse_boards(text: str, file: str) -> dict[str, Board]:
    """Read a board file. Raises PowerDataError."""
    top = parse_toml(text, file)
    boards = top.section("board")
    top.done()
    return {name: _board(name, boards.section(name)) for name in boards.keys()}  # noqa: SIM118  not a mapping


@cache
def builtin_boards() -> Mapping[str, Board]:
    """Return the boards that come with Tidegate, by name."""
    return parse_boards((files("firmware_sim.power") / "data" / "boards.toml").read_text("utf-8"), "boards.toml")


def board(name: str) -> Board:
    """Return a built-in board; UnknownPartError lists the names that are known."""
    try:
        return builtin_boards()[name]
    except KeyError:
        raise UnknownPartError("board", name, builtin_boards()) from None


def _board(name: str, given: Section) -> Board:
    currents = given.section("current_ma")
    current_ma = {state: currents.number(state) for state in currents.keys()}  # noqa: SIM118  not a mapping
    rest = given.text("rest")
    if rest not in current_ma:
        raise given.fail("rest", f"one of the states {', '.join(current_ma)}", rest)
    cycle: list[CycleStep] = []
    for part in given.sections("cycle") if given.has("cycle") else []:
        cycle.append(_cycle_step(part, current_ma, cycle))
    result = Board(
        name=name,
        title=given.text("title"),
        source=given.text("source"),
        rest=rest,
        current_ma=current_ma,
        brownout_mv=given.positive("brownout_mv") if given.has("brownout_mv") else None,
        transmit_ma_by_dbm=tuple(given.points("transmit_ma_by_dbm")) if given.has("transmit_ma_by_dbm") else (),
        cycle=tuple(cycle),
    )
    given.done()
    return result


def _cycle_step(given: Section, current_ma: Mapping[str, float], before: list[CycleStep]) -> CycleStep:
    state = given.text("state")
    if state not in current_ma:
        raise given.fail("state", f"one of the states {', '.join(current_ma)}", state)
    airtime = given.flag("airtime")
    by_sf = given.points("ms_by_sf") if given.has("ms_by_sf") else []
    if airtime + bool(by_sf) + given.has("ms") != 1:
        raise given.fail("ms", "just one of ms, airtime, ms_by_sf", given.keys())
    less = given.text("less") if given.has("less") else None
    if less is not None and less not in {step.state for step in before}:
        raise given.fail("less", "the state of an earlier step", less)
    step = CycleStep(
        state=state,
        fixed_ms=given.number("ms", default=0.0),
        is_airtime=airtime,
        ms_by_sf={int(sf): ms for sf, ms in by_sf},
        less=less,
    )
    given.done()
    return step
