"""Generators of recordings: links that behave like a kind of link, the same way each time for the same seed.

Each generator is a frozen struct of checked parameters whose `phases` yields spans for ever; `generate` cuts them to a
duration. Promises: randomness comes from the injected `random.Random` alone; parameters out of range raise
`GeneratorError` naming the parameter. Figures without a source are round numbers for a typical link of that kind.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import Annotated, Any

import msgspec

from edge.outages.events import PPM, Cause, Status
from edge.outages.recording import Recording
from tidegate.outage.builder import MS_US, SECOND_US, Provenance
from tidegate.outage.decoded import field_and_expectation
from tidegate.outage.phases import Phase, record_phases

DAY_S = 86_400
DURATION_MAX_S = 400 * DAY_S
"""A year and a month: longer recordings belong in several files."""

Probability = Annotated[float, msgspec.Meta(gt=0, le=1)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0.001, le=DURATION_MAX_S)]
Few = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class GeneratorError(ValueError):
    """A generator cannot be made so. Carries `field` and `expected`."""

    def __init__(self, field: str, expected: str) -> None:
        self.field = field
        self.expected = expected
        super().__init__(f"{field}: expected {expected}")


class Generator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of link; its fields are its parameters."""

    def phases(self, rng: Random) -> Iterator[Phase]:
        """What the link does, span by span, for ever."""
        raise NotImplementedError


class GilbertElliott(Generator, frozen=True):
    """Two states, good and bad, with bursts of loss (Gilbert 1960, Elliott 1963); one step per `step_s`.

    Good turns bad with probability `p` per step, bad turns good with `r`; `good_loss` and `bad_loss` are the shares
    lost in each. Overall loss is p/(p+r) bad_loss + r/(p+r) good_loss, a burst lasts 1/r steps on average. A bad
    state that loses everything is down.
    """

    p: Probability = 0.01
    r: Probability = 0.1
    good_loss: Share = 0.0
    bad_loss: Share = 1.0
    step_s: Seconds = 1.0

    def phases(self, rng: Random) -> Iterator[Phase]:
        """Geometric sojourns in turn, good first."""
        step_us = max(1, round(self.step_s * SECOND_US))
        good_ppm, bad_ppm = round(self.good_loss * PPM), round(self.bad_loss * PPM)
        while True:
            yield Phase(_geometric(rng, self.p) * step_us, loss_ppm=good_ppm)
            length_us = _geometric(rng, self.r) * step_us
            if bad_ppm == PPM:
                yield Phase(length_us, Status.DOWN, Cause.TIMEOUT, loss_ppm=bad_ppm)
            else:
                yield Phase(length_us, Status.DEGRADED, Cause.SLOW, loss_ppm=bad_ppm)


class Periodic(Generator, frozen=True):
    """Down for `down_s` at the end of every `period_s`."""

    period_s: Seconds = 3600.0
    down_s: Seconds = 60.0
    cause: Cause = Cause.TIMEOUT

    def __post_init__(self) -> None:
        if self.down_s >= self.period_s:
            raise GeneratorError("down_s", f"less than period_s {self.period_s}")

    def phases(self, rng: Random) -> Iterator[Phase]:  # noqa: ARG002  (nothing here is left to chance)
        """Up, down, up, down."""
        up_us = round((self.period_s - self.down_s) * SECOND_US)
        while True:
            yield Phase(up_us)
            yield _down(round(self.down_s * SECOND_US), self.cause)


class TunnelCommute(Generator, frozen=True):
    """A vehicle that drives through so many tunnels every morning and evening; the link fades, then is gone."""

    morning_s: Annotated[float, msgspec.Meta(ge=0, le=DAY_S / 2)] = 7.5 * 3600
    evening_s: Annotated[float, msgspec.Meta(ge=DAY_S / 2, le=DAY_S * 0.9)] = 17.0 * 3600
    tunnels: Annotated[int, msgspec.Meta(ge=1, le=12)] = 4
    shortest_s: Annotated[float, msgspec.Meta(gt=0, le=300)] = 20.0
    longest_s: Annotated[float, msgspec.Meta(gt=0, le=300)] = 90.0

    def __post_init__(self) -> None:
        if self.longest_s < self.shortest_s:
            raise GeneratorError("longest_s", f"at least shortest_s {self.shortest_s}")

    def phases(self, rng: Random) -> Iterator[Phase]:
        """Days of standing, driving, standing, driving, standing."""
        good = Phase(0, latency_us=45 * MS_US, capacity_bytes_per_s=1_500_000, loss_ppm=0)
        fading = _slow(latency_us=250 * MS_US, capacity_bytes_per_s=40_000, loss_ppm=100_000)
        while True:
            gone_us = 0
            for leave_s in (self.morning_s, self.evening_s):
                waiting_us = round(leave_s * SECOND_US) - gone_us
                yield replace(good, length_us=waiting_us)
                gone_us += waiting_us
                for _ in range(self.tunnels):
                    fade_us = _between(rng, 3.0, 8.0)
                    dark_us = _between(rng, self.shortest_s, self.longest_s)
                    clear_us = _between(rng, 60.0, 300.0)
                    yield replace(fading, length_us=fade_us)
                    yield _down(dark_us, Cause.TIMEOUT)
                    yield replace(good, length_us=clear_us)
                    gone_us += fade_us + dark_us + clear_us
            yield replace(good, length_us=DAY_S * SECOND_US - gone_us)


class SatellitePasses(Generator, frozen=True):
    """A single satellite in low orbit: a pass now and then, slow near the horizon, nothing between passes."""

    orbit_s: Annotated[float, msgspec.Meta(ge=5_000, le=8_000)] = 5_700.0
    visible_share: Probability = 0.4
    shortest_s: Annotated[float, msgspec.Meta(ge=60, le=900)] = 240.0
    longest_s: Annotated[float, msgspec.Meta(ge=60, le=900)] = 600.0

    def __post_init__(self) -> None:
        if self.longest_s < self.shortest_s:
            raise GeneratorError("longest_s", f"at least shortest_s {self.shortest_s}")

    def phases(self, rng: Random) -> Iterator[Phase]:
        """One orbit after the other: out of sight, and in some a pass."""
        low = _slow(latency_us=60 * MS_US, capacity_bytes_per_s=1_200, loss_ppm=50_000)
        high = Phase(0, latency_us=25 * MS_US, capacity_bytes_per_s=6_000, loss_ppm=2_000)
        orbit_us = round(self.orbit_s * SECOND_US)
        while True:
            if rng.random() >= self.visible_share:
                yield _down(orbit_us, Cause.UNREACHABLE)
                continue
            pass_us = _between(rng, self.shortest_s, self.longest_s)
            horizon_us = pass_us // 4
            yield _down(orbit_us - pass_us, Cause.UNREACHABLE)
            yield replace(low, length_us=horizon_us)
            yield replace(high, length_us=pass_us - 2 * horizon_us)
            yield replace(low, length_us=horizon_us)


class CellularHandover(Generator, frozen=True):
    """A moving modem: every cell is another link, a short interruption lies between two, now and then a long one."""

    dwell_s: Annotated[float, msgspec.Meta(ge=5, le=DAY_S)] = 90.0
    failure_share: Share = 0.02

    def phases(self, rng: Random) -> Iterator[Phase]:
        """In a cell, at its edge, between cells."""
        while True:
            # Log-uniform over a decade and more: cells differ by factors, not by amounts.
            capacity = round(100_000 * 20 ** rng.random())
            latency_us = _between(rng, 0.03, 0.12)
            cell = Phase(
                round((2.0 + rng.expovariate(1.0 / self.dwell_s)) * SECOND_US),
                latency_us=latency_us,
                capacity_bytes_per_s=capacity,
                loss_ppm=0,
            )
            yield cell
            edge = _slow(latency_us=3 * latency_us, capacity_bytes_per_s=capacity // 3, loss_ppm=50_000)
            yield replace(edge, length_us=_between(rng, 1.0, 3.0))
            failed = rng.random() < self.failure_share
            yield _down(_between(rng, 2.0, 8.0) if failed else _between(rng, 0.04, 0.3), Cause.TIMEOUT)


class Flapping(Generator, frozen=True):
    """Long calm, then a burst of short outages, each failing in another way."""

    calm_s: Seconds = 1_800.0
    flaps: Few = 12
    up_s: Seconds = 4.0
    down_s: Seconds = 2.0

    def phases(self, rng: Random) -> Iterator[Phase]:
        """Calm, burst, calm, burst; lengths vary by half around their means."""
        while True:
            yield Phase(_between(rng, self.calm_s / 2, self.calm_s * 1.5))
            for _ in range(self.flaps):
                yield _down(_between(rng, self.down_s / 2, self.down_s * 1.5), rng.choice(tuple(Cause)))
                yield Phase(_between(rng, self.up_s / 2, self.up_s * 1.5))


GENERATORS: Mapping[str, type[Generator]] = {
    "gilbert-elliott": GilbertElliott,
    "periodic": Periodic,
    "tunnel-commute": TunnelCommute,
    "satellite-passes": SatellitePasses,
    "cellular-handover": CellularHandover,
    "flapping": Flapping,
}
_HTTP_UNAVAILABLE = 503


def make_generator(kind: str, parameters: Mapping[str, Any]) -> Generator:
    """A generator by name, from parameters as text or numbers. Raises `GeneratorError`."""
    made_by = GENERATORS.get(kind)
    if made_by is None:
        raise GeneratorError("kind", f"one of {', '.join(GENERATORS)}, found {kind!r}")
    try:
        return msgspec.convert(dict(parameters), type=made_by, strict=False)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, GeneratorError):
            raise error.__cause__ from None
        fields = [f"{field.name}={field.default}" for field in msgspec.structs.fields(made_by)]
        field, expected = field_and_expectation(error, fields, list(Cause))
        raise GeneratorError(field or kind, expected) from error


def generate(generator: Generator, rng: Random, duration_s: float, link: str = "uplink", title: str = "") -> Recording:
    """A recording of `duration_s` of such a link. Raises `GeneratorError`."""
    if not 0 < duration_s <= DURATION_MAX_S:
        raise GeneratorError("duration_s", f"more than 0 and at most {DURATION_MAX_S} seconds, found {duration_s}")
    provenance = Provenance(title=title, source="generated")
    return record_phases(generator.phases(rng), round(duration_s * SECOND_US), link, provenance)


def _down(length_us: int, cause: Cause) -> Phase:
    return Phase(length_us, Status.DOWN, cause, _HTTP_UNAVAILABLE if cause is Cause.HTTP else None)


def _slow(*, latency_us: int, capacity_bytes_per_s: int, loss_ppm: int) -> Phase:
    return Phase(0, Status.DEGRADED, Cause.SLOW, None, latency_us, capacity_bytes_per_s, loss_ppm)


def _between(rng: Random, shortest_s: float, longest_s: float) -> int:
    return round(rng.uniform(shortest_s, longest_s) * SECOND_US)


def _geometric(rng: Random, p: float) -> int:
    """Steps up to and with the first success of probability p (inverse transform of the geometric distribution)."""
    return 1 if p >= 1.0 else 1 + int(math.log(1.0 - rng.random()) / math.log1p(-p))
