"""A radio in a device: what goes on the air for each message, when it may go, and the energy of all of it.

Between the firmware and a model of `firmware_sim.radio`: it turns messages into bytes on the air, adds what the rest of
the board draws beside the radio, and keeps count of the time that is booked, so that exchanges and rests tile it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from firmware_sim.radio.collisions import Transmission
from firmware_sim.radio.energy import EnergyPhase, Exchange, LinkState, Radio
from firmware_sim.radio.errors import AirtimeError


@dataclass(frozen=True, slots=True)
class RadioSpec:
    """`knows`: whether the device learns if a message arrived (a link-layer acknowledgement). `reading_bytes`: bytes
    of one reading, or of one state, on the air; None: the message as it is. `active_ma`, `rest_ma`: what the board
    draws beside the radio, in an exchange and between."""

    knows: bool
    reading_bytes: int | None = None
    active_ma: float = 0.0
    rest_ma: float = 0.0


@dataclass(frozen=True, slots=True)
class Air:
    """One message on the air. `heard`: it arrived, at `arrives_ms`. `confirmed`: what the device takes it for.
    `ends_ms`: when the radio was done; what the far side answered has come by then.

    Where devices share the air, a frame that starts later may still hit it: `arrived` and `believed` are final at
    `arrives_ms` and after."""

    heard: bool
    confirmed: bool
    arrives_ms: int
    ends_ms: int
    transmission: Transmission | None = None
    knows: bool = True

    def arrived(self) -> bool:
        """Whether the far side has it."""
        return self.heard and (self.transmission is None or self.transmission.survives())

    def believed(self) -> bool:
        """What the device takes it for, in the end."""
        return self.confirmed and (self.arrived() or not self.knows)


class DeviceRadio:
    """One device's radio. Instants are in the device's true time and must not go back."""

    def __init__(self, radio: Radio, link: Callable[[int], LinkState], spec: RadioSpec) -> None:
        """`link` is asked before each exchange: with adaptive power, or under way, the signal changes."""
        self._radio = radio
        self._link = link
        self._spec = spec
        self._booked_ms = 0.0
        self._size_bytes = spec.reading_bytes or 0

    def free_ms(self, now_ms: int) -> int:
        """When a message like the last one may go: `now_ms`, or later if a duty cycle demands it."""
        try:
            return self._radio.earliest_ms(now_ms, self._size_bytes)
        except AirtimeError:
            return now_ms

    def send(self, now_ms: int, payload: bytes, readings: int) -> tuple[Air, tuple[EnergyPhase, ...]]:
        """Send a message that holds so many readings. One that the regulation forbids for ever is never heard."""
        spec = self._spec
        size_bytes = len(payload) if spec.reading_bytes is None else spec.reading_bytes * max(1, readings)
        self._size_bytes = size_bytes
        try:
            exchange = self._radio.exchange(now_ms, size_bytes, self._link(now_ms))
        except AirtimeError:
            exchange = Exchange((), delivered=False, latency_ms=0.0, attempts=0)
        busy_ms = exchange.busy_ms
        self._booked_ms = now_ms + busy_ms
        confirmed = exchange.delivered or not spec.knows
        arrives_ms, ends_ms = now_ms + ceil(exchange.latency_ms), now_ms + ceil(busy_ms)
        air = Air(exchange.delivered, confirmed, arrives_ms, ends_ms, exchange.transmission, spec.knows)
        return air, _with(exchange.phases, spec.active_ma)

    def rest(self, from_ms: int, to_ms: int) -> tuple[EnergyPhase, ...]:
        """What is drawn between two instants in which nothing is sent."""
        start_ms = self._booked_ms if from_ms - self._booked_ms < 1 else from_ms  # ms are whole, exchanges are not
        if to_ms <= start_ms:
            return ()
        self._booked_ms = to_ms
        return _with(self._radio.idle(start_ms, to_ms), self._spec.rest_ma)


def _with(phases: tuple[EnergyPhase, ...], extra_ma: float) -> tuple[EnergyPhase, ...]:
    if not extra_ma:
        return phases
    return tuple(EnergyPhase(phase.state, phase.duration_ms, phase.current_ma + extra_ma) for phase in phases)
