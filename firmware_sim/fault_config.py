"""How sensors fail, as configuration: the faults of `sensors.faults`, at set times or at random.

Models only, like `firmware_sim.config`; `firmware_sim.build_sensors` makes fault plans of them. A kind is called as its
label in the ground truth.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from firmware_sim.config_model import ConfigModel
from sensors.fault_plans import DURATION_MAX_S, PER_DAY_MAX


class _Fault(ConfigModel):
    """When: once, `from_s` after the fleet's start, for `lasts_s` or for ever; or `per_day` times a day, each for
    `lasts_s`, both on average. `only`: numbers of the devices of the group that have it, from 1; empty: all."""

    from_s: float | None = Field(default=None, ge=0)
    per_day: float | None = Field(default=None, gt=0, le=PER_DAY_MAX)
    lasts_s: float | None = Field(default=None, gt=0)
    only: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _once_or_at_random(self) -> Self:
        if (self.from_s is None) == (self.per_day is None):
            raise ValueError("expected either from_s (once) or per_day (at random)")
        if self.per_day is not None and self.lasts_s is None:
            raise ValueError("expected lasts_s beside per_day: how long it lasts on average")
        if self.per_day is not None and (self.lasts_s or 0) > DURATION_MAX_S:
            raise ValueError(f"lasts_s: expected at most {DURATION_MAX_S:g} beside per_day, found {self.lasts_s:g}")
        return self


class StuckFault(_Fault):
    """Repeats what the sensor said last."""

    kind: Literal["stuck"]


class DriftFault(_Fault):
    """An error that grows from the start."""

    kind: Literal["drift"]
    per_hour: float


class OffsetFault(_Fault):
    """A constant error."""

    kind: Literal["offset"]
    by: float


class SpikeFault(_Fault):
    """One wrong reading, the first."""

    kind: Literal["spike"]
    by: float


class DropoutFault(_Fault):
    """No value."""

    kind: Literal["dropout"]


class SaturationFault(_Fault):
    """Cannot leave the bounds."""

    kind: Literal["saturation"]
    low: float
    high: float

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"expected low < high, found {self.low:g} and {self.high:g}")
        return self


class SwappedUnitFault(_Fault):
    """The number in another unit: degrees Fahrenheit sent as Cel."""

    kind: Literal["swapped_unit"]


FaultConfig = Annotated[
    StuckFault | DriftFault | OffsetFault | SpikeFault | DropoutFault | SaturationFault | SwappedUnitFault,
    Field(discriminator="kind"),
]
