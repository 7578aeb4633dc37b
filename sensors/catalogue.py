"""The part catalogue: what the datasheets of real sensors promise.

The facts are data (`data/parts.toml`), each part with its source; `load_parts` also reads a file of your own in the
same form. Figures are typical ones at 25 Cel and the voltage that the source names, unless a part's notes say
otherwise. A figure that the datasheet does not state is absent in the file and None here, never a guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from types import MappingProxyType

from sensors.tables import DataFileError, TableReader, read_toml
from sensors.units import is_registered


@dataclass(frozen=True, slots=True)
class Quantity:
    """One thing that a part measures. All figures but the times are in `unit`.

    `low` and `high` bound what the part can report. `accuracy_abs` and `accuracy_rel` (a fraction of the reading) add
    up to the typical tolerance of an individual; `noise_rms` is the standard deviation of repeated readings;
    `response_t63_s` is the time to 63 % of a step. `conversion_s` is the time to convert this quantity alone.
    """

    name: str
    unit: str
    low: float
    high: float
    resolution: float
    accuracy_abs: float
    accuracy_rel: float
    noise_rms: float | None
    response_t63_s: float | None
    conversion_s: float


@dataclass(frozen=True, slots=True)
class Supply:
    """What a part draws: mean current over one measurement, and between measurements, in mA; and its voltage range."""

    voltage_min_v: float
    voltage_max_v: float
    measuring_ma: float
    asleep_ma: float


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the catalogue. `measurement_s` is the time of one measurement of all its quantities."""

    key: str
    maker: str
    description: str
    source: str
    notes: str
    measurement_s: float
    supply: Supply
    quantities: Mapping[str, Quantity]

    def quantity(self, name: str) -> Quantity:
        """Return the quantity called `name`; raise `UnknownQuantityError`."""
        if name not in self.quantities:
            raise UnknownQuantityError(self.key, name, tuple(self.quantities))
        return self.quantities[name]

    @property
    def charge_per_measurement_mas(self) -> float:
        """The charge of one measurement, in mA s."""
        return self.supply.measuring_ma * self.measurement_s


class UnknownPartError(LookupError):
    """A part that the catalogue does not have; the message lists those that it has."""

    def __init__(self, part: str, known: tuple[str, ...]) -> None:
        self.part = part
        self.known = known
        super().__init__(f"part {part!r} is not in the catalogue; expected one of {', '.join(known)}")


class UnknownQuantityError(LookupError):
    """A quantity that a part does not measure; the message lists those that it measures."""

    def __init__(self, part: str, quantity: str, known: tuple[str, ...]) -> None:
        self.part = part
        self.quantity = quantity
        self.known = known
        super().__init__(f"part {part} does not measure {quantity!r}; expected one of {', '.join(known)}")


def load_parts(path: Path | None = None) -> Mapping[str, Part]:
    """Return the parts of the file at `path`, or of the catalogue that comes with this package, by key.

    Raises `DataFileError` naming file, key and what was expected.
    """
    if path is not None:
        return _parse(str(path), read_toml(path))
    with as_file(files("sensors").joinpath("data/parts.toml")) as shipped:
        return _parse(shipped.name, read_toml(shipped))


def find_part(parts: Mapping[str, Part], key: str) -> Part:
    """Return the part called `key`; raise `UnknownPartError`."""
    if key not in parts:
        raise UnknownPartError(key, tuple(parts))
    return parts[key]


def _parse(file: str, document: Mapping[str, object]) -> Mapping[str, Part]:
    if not document:
        raise DataFileError(file, "(file)", "at least one part", "nothing")
    return MappingProxyType({key: _part(key, TableReader(file, key, table)) for key, table in document.items()})


def _part(key: str, reader: TableReader) -> Part:
    quantities = reader.table("quantities")
    names = quantities.keys()
    if not names:
        raise reader.error("quantities", "at least one quantity")
    part = Part(
        key=key,
        maker=reader.text("maker"),
        description=reader.text("description"),
        source=reader.text("source"),
        notes=reader.text("notes"),
        measurement_s=reader.number("measurement_s", at_least=0),
        supply=_supply(reader.table("supply")),
        quantities=MappingProxyType({name: _quantity(name, quantities.table(name)) for name in names}),
    )
    reader.finish()
    return part


def _supply(reader: TableReader) -> Supply:
    lowest = reader.number("voltage_min_v", at_least=0)
    supply = Supply(
        voltage_min_v=lowest,
        voltage_max_v=reader.number("voltage_max_v", at_least=lowest),
        measuring_ma=reader.number("measuring_ma", at_least=0),
        asleep_ma=reader.number("asleep_ma", at_least=0),
    )
    reader.finish()
    return supply


def _quantity(name: str, reader: TableReader) -> Quantity:
    unit = reader.text("unit")
    if not is_registered(unit):
        raise reader.error("unit", "a SenML unit symbol (RFC 8428, RFC 8798)")
    low = reader.number("low")
    quantity = Quantity(
        name=name,
        unit=unit,
        low=low,
        high=reader.number("high", at_least=low),
        resolution=reader.number("resolution", at_least=0),
        accuracy_abs=reader.number("accuracy_abs", at_least=0),
        accuracy_rel=reader.number("accuracy_rel", at_least=0),
        noise_rms=reader.optional_number("noise_rms", at_least=0),
        response_t63_s=reader.optional_number("response_t63_s", at_least=0),
        conversion_s=reader.number("conversion_s", at_least=0),
    )
    if not quantity.resolution:
        raise reader.error("resolution", "a number above 0")
    reader.finish()
    return quantity
