"""The cells, as data: what `data/cells.toml` (or a file of the user's own, same form) says of each, checked.

All figures hold for one cell at 20 degrees Celsius unless a key says otherwise; `series` cells in a row multiply the
voltage and the resistance. Every cell names its `source`. A broken file raises PowerDataError with file, key and what
was expected.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from firmware_sim.power.datafile import Section, parse_toml
from firmware_sim.power.errors import PowerValueError, UnknownPartError
from firmware_sim.power.kibam import KibamModel
from firmware_sim.power.models import BatteryModel, IdealModel, PeukertModel, checked
from firmware_sim.power.rakhmatov import RakhmatovModel
from firmware_sim.power.roots import falling_root
from firmware_sim.power.units import MS_PER_HOUR, MS_PER_YEAR
from firmware_sim.power.voltage import ShepherdCurve, Table, TableCurve, VoltageCurve

REFERENCE_C = 20.0  # the catalogue's temperature
COLDEST_C, WARMEST_C = -100.0, 200.0  # no cell here works beyond

MODEL_PARAMETERS = {
    "ideal": (),
    "peukert": ("exponent", "reference_ma"),
    "kibam": ("c", "k_per_hour"),
    "rakhmatov": ("beta_per_sqrt_min",),
}
"""The models by name, and the parameters that a cell's `models.<name>` table must give (beside its capacity)."""


@dataclass(frozen=True, slots=True)
class Charging:
    """How a rechargeable cell takes charge: coulombic efficiency, the largest current, the temperatures it may be
    done at."""

    efficiency: float
    current_max_ma: float
    temperature_min_c: float
    temperature_max_c: float


@dataclass(frozen=True, slots=True)
class Ageing:
    """How a rechargeable cell fades: capacity lost per full cycle and per year at 20 degrees, linear.

    `doubling_k`: the calendar part doubles with every so many kelvin. `resistance_growth`: share by which the
    resistance has grown when 20 % of the capacity is gone (the usual end of life).
    """

    fade_per_cycle: float
    fade_per_year: float
    doubling_k: float
    resistance_growth: float

    def speed(self, temperature_c: float) -> float:
        """Return how many times as fast as at the reference the calendar part goes."""
        return float(2.0 ** ((temperature_c - REFERENCE_C) / self.doubling_k))


@dataclass(frozen=True, slots=True)
class CellSpec:
    """One kind of cell; see the module docstring and docs/models-power.md for each figure's meaning."""

    name: str
    title: str
    source: str
    capacity_mah: float
    series: int
    curve: VoltageCurve
    response_ms: float
    resistance_ohm: Table
    resistance_factor: Table
    capacity_factor: Table
    temperature_mv_per_k: float
    self_discharge_per_year: float
    self_discharge_doubling_k: float
    cutoff_mv: float
    brownout_mv: float
    continuous_max_ma: float
    pulse_max_ma: float
    pulse_max_ms: float
    cutoff_share: float
    default_model: str
    models: Mapping[str, Mapping[str, float]]
    charging: Charging | None
    ageing: Ageing | None

    @property
    def battery_brownout_mv(self) -> float:
        """The voltage of the whole battery, all `series` cells, at which a device on it stops that names no other."""
        return self.brownout_mv * self.series

    def build_model(self, name: str | None = None, state_of_charge: float = 1.0) -> BatteryModel:
        """Return a charge model with this cell's figures; UnknownPartError when the data has none for that model."""
        name = name or self.default_model
        if not 0.0 <= state_of_charge <= 1.0:
            raise PowerValueError("state_of_charge", "0 to 1", state_of_charge)
        given = self.models.get(name, {} if name == "ideal" else None)
        if given is None:
            raise UnknownPartError(f"model of cell {self.name}", name, {"ideal", *self.models})
        if name == "kibam":
            return KibamModel(self.capacity_mah, **given, state_of_charge=state_of_charge)
        if name == "peukert":
            return PeukertModel(self.capacity_mah, **given, state_of_charge=state_of_charge)
        if name == "rakhmatov":
            return RakhmatovModel(self.capacity_mah, **given, state_of_charge=state_of_charge)
        return IdealModel(self.capacity_mah, state_of_charge)

    def leak_ma(self, temperature_c: float) -> float:
        """Return the self-discharge as a current; it doubles every `self_discharge_doubling_k` kelvin."""
        doublings = (temperature_c - REFERENCE_C) / self.self_discharge_doubling_k
        at_reference_ma = self.capacity_mah * self.self_discharge_per_year * MS_PER_HOUR / MS_PER_YEAR
        return float(at_reference_ma * 2.0**doublings)

    def resized(self, capacity_mah: float) -> "CellSpec":
        """Return the same chemistry in another size: n times the plates, so n times the current and 1/n the
        resistance."""
        ratio = checked("capacity_mah", capacity_mah, 0.0) / self.capacity_mah
        models = {name: dict(given) for name, given in self.models.items()}
        if "peukert" in models:
            models["peukert"]["reference_ma"] *= ratio
        return replace(
            self,
            capacity_mah=capacity_mah,
            curve=self.curve.resized(ratio),
            models=models,
            resistance_factor=self.resistance_factor.scaled(1 / ratio),
            continuous_max_ma=self.continuous_max_ma * ratio,
            pulse_max_ma=self.pulse_max_ma * ratio,
            charging=self.charging and replace(self.charging, current_max_ma=self.charging.current_max_ma * ratio),
        )


def parse_cells(text: str, file: str) -> dict[str, CellSpec]:
    """Read a cell file. Raises PowerDataError."""
    top = parse_toml(text, file)
    cells = top.section("cell")
    top.done()
    return {name: _cell(name, cells.section(name)) for name in cells.keys()}  # noqa: SIM118  not a mapping


@cache
def builtin_cells() -> Mapping[str, CellSpec]:
    """Return the cells that come with Tidegate, by name."""
    return parse_cells((files("firmware_sim.power") / "data" / "cells.toml").read_text("utf-8"), "cells.toml")


def cell(name: str) -> CellSpec:
    """Return a built-in cell; UnknownPartError lists the names that are known."""
    try:
        return builtin_cells()[name]
    except KeyError:
        raise UnknownPartError("cell", name, builtin_cells()) from None


def _cell(name: str, given: Section) -> CellSpec:
    series = given.number("series", 1, 100, default=1)
    if series != int(series):
        raise given.fail("series", "a whole number", series)
    curve = _curve(given)
    cutoff_mv = given.number("cutoff_mv")
    models = _models(given.section("models"))
    default_model = given.text("model")
    if default_model != "ideal" and default_model not in models:
        raise given.fail("model", f"one of {', '.join(['ideal', *models])}", default_model)
    spec = CellSpec(
        name=name,
        title=given.text("title"),
        source=given.text("source"),
        capacity_mah=given.positive("capacity_mah"),
        series=int(series),
        curve=curve,
        response_ms=given.number("response_ms", default=0.0),
        resistance_ohm=Table(given.points("resistance_ohm")),
        resistance_factor=Table(given.points("resistance_factor_by_c")),
        capacity_factor=Table(given.points("capacity_factor_by_c")),
        temperature_mv_per_k=given.number("temperature_mv_per_k", -100, 100, default=0.0),
        self_discharge_per_year=given.number("self_discharge_per_year", 0, 1000),
        self_discharge_doubling_k=given.positive("self_discharge_doubling_k"),
        cutoff_mv=cutoff_mv,
        brownout_mv=given.number("brownout_mv", cutoff_mv),
        continuous_max_ma=given.positive("continuous_max_ma"),
        pulse_max_ma=given.positive("pulse_max_ma"),
        pulse_max_ms=given.positive("pulse_max_ms"),
        cutoff_share=_cutoff_share(given, curve, cutoff_mv),
        default_model=default_model,
        models=models,
        charging=_charging(given.optional_section("charging")),
        ageing=_ageing(given.optional_section("ageing")),
    )
    given.done()
    return spec


def _curve(given: Section) -> VoltageCurve:
    if not given.has("shepherd"):
        return TableCurve(given.points("open_circuit_mv"))
    part = given.section("shepherd")
    keys = ("full_v", "nominal_v", "exponential_v", "rated_ah", "nominal_ah", "exponential_ah")
    figures = {key: part.positive(key) for key in (*keys, "resistance_ohm", "rated_current_a")}
    part.done()
    if not figures["exponential_ah"] < figures["nominal_ah"] < figures["rated_ah"]:
        raise part.fail("nominal_ah", "a number between exponential_ah and rated_ah", figures["nominal_ah"])
    return ShepherdCurve(**figures)


def _cutoff_share(given: Section, curve: VoltageCurve, cutoff_mv: float) -> float:
    """Return the state of charge at which the resting cell meets its cut-off voltage: what is below is out of reach."""
    if curve.open_circuit_mv(1.0) <= cutoff_mv:
        raise given.fail("cutoff_mv", f"less than the full cell's {curve.open_circuit_mv(1.0):.0f} mV", cutoff_mv)
    if curve.open_circuit_mv(0.0) >= cutoff_mv:
        return 0.0
    return 1.0 - falling_root(lambda gone: curve.open_circuit_mv(1.0 - gone) - cutoff_mv, 0.0, 1.0)


def _models(given: Section) -> dict[str, dict[str, float]]:
    models: dict[str, dict[str, float]] = {}
    for name in given.keys():  # noqa: SIM118  not a mapping
        if name not in MODEL_PARAMETERS:
            raise given.fail(name, f"one of {', '.join(MODEL_PARAMETERS)}", name)
        part = given.section(name)
        models[name] = {key: part.positive(key) for key in MODEL_PARAMETERS[name]}
        part.done()
        if not models[name].get("c", 0.5) < 1:
            raise part.fail("c", "a number between 0 and 1", models[name]["c"])
        if not 1 <= models[name].get("exponent", 1.0) <= 2:
            raise part.fail("exponent", "a number from 1 to 2", models[name]["exponent"])
    return models


def _charging(given: Section | None) -> Charging | None:
    if given is None:
        return None
    charging = Charging(
        efficiency=given.number("efficiency", 0.01, 1),
        current_max_ma=given.positive("current_max_ma"),
        temperature_min_c=given.number("temperature_min_c", -100, 100),
        temperature_max_c=given.number("temperature_max_c", -100, 150),
    )
    given.done()
    return charging


def _ageing(given: Section | None) -> Ageing | None:
    if given is None:
        return None
    ageing = Ageing(
        fade_per_cycle=given.number("fade_per_cycle", 0, 1),
        fade_per_year=given.number("fade_per_year", 0, 1),
        doubling_k=given.positive("doubling_k"),
        resistance_growth=given.number("resistance_growth"),
    )
    given.done()
    return ageing
