"""What every radio is to the rest of the device: phases of current over time, a latency, and whether it arrived.

A radio answers two questions. `Radio.exchange`: what does sending these bytes cost, and do they arrive? `Radio.idle`:
what does the radio draw between two exchanges (sleep, beacons, polls, a cellular tail)? The two tile the time: idle
runs from the end of one exchange to the start of the next, so the phases of a year sum to a year and to its charge.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from firmware_sim.radio.collisions import Transmission
from firmware_sim.radio.errors import TimeOrderError, require
from firmware_sim.radio.links import LinkFate, LinkModel, PerfectLink


@dataclass(frozen=True, slots=True)
class EnergyPhase:
    """A state the radio is in for `duration_ms`, drawing `current_ma` on average."""

    state: str
    duration_ms: float
    current_ma: float

    @property
    def charge_uc(self) -> float:
        """Charge of the phase in microcoulombs (mA times ms)."""
        return self.duration_ms * self.current_ma


@dataclass(frozen=True, slots=True)
class LinkState:
    """The radio link at one instant: signal as heard by the far side, and the loss process on top of it.

    `process` is asked once for every frame on air (so a burst also hits the retries) and may add latency of its own.
    """

    rssi_dbm: float = -60.0
    snr_db: float = 20.0
    process: LinkModel = field(default_factory=PerfectLink)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One payload sent: its phases in order, whether it arrived, and after how long.

    `latency_ms` counts from the call to the moment the far side has the payload; if it never arrives, to the moment the
    device gives up. `attempts` is the number of frames put on the air for the last fragment. `transmission`: the frame
    that arrived, where frames of other devices may still hit it (see `collisions.Ether`).
    """

    phases: tuple[EnergyPhase, ...]
    delivered: bool
    latency_ms: float
    attempts: int
    transmission: Transmission | None = None

    @property
    def busy_ms(self) -> float:
        """How long the radio is occupied."""
        return sum(phase.duration_ms for phase in self.phases)

    @property
    def charge_uc(self) -> float:
        """Charge of all phases in microcoulombs."""
        return sum(phase.charge_uc for phase in self.phases)


class Radio(Protocol):
    """What a device needs of a radio. One instance belongs to one device; it remembers timers and history."""

    @property
    def scope(self) -> str:
        """What the currents include: ``radio``, ``chip`` or ``board`` (see `datafile`)."""

    def earliest_ms(self, now_ms: int, payload_bytes: int) -> int:
        """Return when a frame of this size may start: `now_ms`, or later if a duty cycle demands it."""

    def exchange(self, now_ms: int, payload_bytes: int, link: LinkState) -> Exchange:
        """Send a payload now. Calls must not go back in time."""

    def idle(self, from_ms: float, to_ms: float) -> tuple[EnergyPhase, ...]:
        """Return what the radio draws between two instants in which nothing is sent; the durations sum to the span."""


@dataclass(frozen=True, slots=True)
class IdlePlan:
    """What follows an exchange: phases that come once (a tail), then phases that repeat for ever (sleep, poll, sleep).

    Raises `RadioSettingError` if the repeated phases take no time: the plan would never end.
    """

    repeat: tuple[EnergyPhase, ...]
    once: tuple[EnergyPhase, ...] = ()

    def __post_init__(self) -> None:
        require(self.period_ms > 0, "repeat", self.repeat, "phases that take some time")

    @property
    def period_ms(self) -> float:
        """Length of one round of the repeated phases."""
        return sum(phase.duration_ms for phase in self.repeat)

    def between(self, from_ms: float, to_ms: float) -> tuple[EnergyPhase, ...]:
        """Return the phases between two offsets from the start of the plan.

        Whole rounds are merged into one phase per state, so a year of polls is a short list; durations and charge are
        exact.
        """
        if not 0 <= from_ms <= to_ms:
            raise TimeOrderError("to_ms", to_ms, max(from_ms, 0))
        phases = _clip(self.once, from_ms, to_ms)
        start = sum(phase.duration_ms for phase in self.once)
        if to_ms > start:
            phases += self._rounds(max(from_ms - start, 0.0), to_ms - start)
        return tuple(phases)

    def _rounds(self, from_ms: float, to_ms: float) -> list[EnergyPhase]:
        first, last = from_ms // self.period_ms, to_ms // self.period_ms
        head, tail = from_ms - first * self.period_ms, to_ms - last * self.period_ms
        if first == last:
            return _clip(self.repeat, head, tail)
        whole = last - first - 1
        middle = [EnergyPhase(p.state, p.duration_ms * whole, p.current_ma) for p in self.repeat if whole > 0]
        return _clip(self.repeat, head, self.period_ms) + middle + _clip(self.repeat, 0.0, tail)


def _clip(phases: tuple[EnergyPhase, ...], from_ms: float, to_ms: float) -> list[EnergyPhase]:
    """Return the parts of consecutive phases that lie between two offsets."""
    clipped, at_ms = [], 0.0
    for phase in phases:
        end_ms = at_ms + phase.duration_ms
        inside_ms = min(end_ms, to_ms) - max(at_ms, from_ms)
        if inside_ms > 0:
            clipped.append(EnergyPhase(phase.state, inside_ms, phase.current_ma))
        at_ms = end_ms
    return clipped


class IdleClock:
    """Remembers when the last exchange ended, so that an `IdlePlan` can be read in absolute time."""

    def __init__(self, plan: IdlePlan) -> None:
        self.plan = plan
        self._once_ms = sum(phase.duration_ms for phase in plan.once)
        self._ended_ms = 0.0
        self._quiet_from_ms = -self._once_ms  # a device starts long after any exchange

    def start(self, now_ms: float) -> float:
        """Check that an exchange may start now; return for how long the radio had been quiet."""
        if now_ms < self._ended_ms:
            raise TimeOrderError("now_ms", now_ms, self._ended_ms)
        return now_ms - self._quiet_from_ms

    def finish(self, now_ms: float, exchange: Exchange, *, in_vain: bool = False) -> Exchange:
        """Say that an exchange that started at `now_ms` is over; returns it. After one that found nobody (`in_vain`)
        the phases that come once do not come."""
        self._ended_ms = now_ms + exchange.busy_ms
        self._quiet_from_ms = self._ended_ms - (self._once_ms if in_vain else 0.0)
        return exchange

    def idle(self, from_ms: float, to_ms: float) -> tuple[EnergyPhase, ...]:
        """Read the plan between two absolute times, both after the last exchange."""
        if from_ms < self._ended_ms:
            raise TimeOrderError("from_ms", from_ms, self._ended_ms)
        return self.plan.between(from_ms - self._quiet_from_ms, to_ms - self._quiet_from_ms)


def frame_fate(link: LinkState, at_ms: float, size_bytes: int, error_rate: float, rng: random.Random) -> LinkFate:
    """Draw whether one frame arrives: the signal must be strong enough, and the link process must let it through."""
    heard = rng.random() >= error_rate
    fate = link.process.transfer(int(at_ms), size_bytes)
    return LinkFate(heard and fate.delivered, fate.latency_ms)


@dataclass(slots=True)
class Sending:
    """A payload under way: phases so far and the time they have taken. Radios build an `Exchange` with it."""

    now_ms: int
    phases: list[EnergyPhase] = field(default_factory=list)
    elapsed_ms: float = 0.0

    @property
    def at_ms(self) -> float:
        """The present instant."""
        return self.now_ms + self.elapsed_ms

    def add(self, *phases: EnergyPhase) -> None:
        """Let phases pass; those that take no time are left out."""
        for phase in phases:
            if phase.duration_ms > 0:
                self.phases.append(phase)
                self.elapsed_ms += phase.duration_ms

    def fragments(
        self, sizes: Sequence[int], attempts_max: int, send: Callable[[int], LinkFate]
    ) -> tuple[bool, int, int]:
        """Send frames one after the other, each up to `attempts_max` times, until one is given up.

        `send` puts one frame on the air and adds its phases. Returns whether all arrived, the attempts of the last
        frame, and the largest latency that the link process added to a frame that arrived.
        """
        slowest_ms, attempts = 0, 0
        for size in sizes:
            attempts, delivered = 0, False
            while not delivered and attempts < attempts_max:
                fate = send(size)
                attempts, delivered = attempts + 1, fate.delivered
                slowest_ms = max(slowest_ms, fate.latency_ms if delivered else 0)
            if not delivered:
                return False, attempts, slowest_ms
        return True, attempts, slowest_ms


def split(payload_bytes: int, most: int) -> list[int]:
    """Split a payload into fragments of at most `most` bytes; an empty payload is one empty fragment."""
    require(payload_bytes >= 0, "payload_bytes", payload_bytes, "0 or more")
    whole, rest = divmod(payload_bytes, most)
    return [most] * whole + ([rest] if rest or not whole else [])
