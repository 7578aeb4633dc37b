"""Bluetooth Low Energy: a beacon that broadcasts, and a peripheral that keeps a connection.

The beacon advertises all the time, as its published average counts it; an exchange puts a payload into the next
events, each fragment repeated, and nobody acknowledges. The peripheral wakes for connection events; an exchange waits
for the next event and repeats a packet in the events that follow until it is acknowledged. Timing: Bluetooth Core
5.4, Vol 6 Part B, 1 Mbit/s.
"""

import random

from firmware_sim.radio.datafile import RadioData
from firmware_sim.radio.energy import EnergyPhase, Exchange, IdleClock, IdlePlan, LinkState, Sending, frame_fate, split
from firmware_sim.radio.errors import require
from firmware_sim.radio.links import LinkFate
from firmware_sim.radio.path import packet_error_rate

US_PER_MS = 1000

ADVERTISING_MS = (20, 10_240)
"""Interval limits of advertising events in Bluetooth Core 4.x, kept by most controllers."""

CONNECTION_MS = (7.5, 4000)
"""Interval limits of connection events."""


def _error_rate(data: RadioData, rssi_dbm: float, packet_bytes: int) -> float:
    return packet_error_rate(
        rssi_dbm,
        data.number("receiver.sensitivity_dbm"),
        8 * packet_bytes,
        data.whole("receiver.reference_bits"),
        data.number("receiver.reference_per"),
    )


class BleBeacon:
    """A broadcaster with an advertising interval."""

    def __init__(self, data: RadioData, rng: random.Random, *, interval_ms: int = 1000) -> None:
        require(ADVERTISING_MS[0] <= interval_ms <= ADVERTISING_MS[1], "interval_ms", interval_ms, f"{ADVERTISING_MS}")
        self._data = data
        self._rng = rng
        event_ms = data.number("advertising.event_ms")
        self._event = EnergyPhase("advertise", event_ms, data.number("advertising.event_ma"))
        self._sleep = EnergyPhase("sleep", interval_ms - event_ms, data.number("idle.sleep_ma"))
        self._clock = IdleClock(IdlePlan((self._event, self._sleep)))

    @property
    def scope(self) -> str:
        """What the currents include."""
        return self._data.scope

    def earliest_ms(self, now_ms: int, payload_bytes: int) -> int:  # noqa: ARG002 (the protocol's shape)
        """Return `now_ms`."""
        return now_ms

    def exchange(self, now_ms: int, payload_bytes: int, link: LinkState) -> Exchange:
        """Broadcast each fragment in several events; delivered if a scanner heard each fragment at least once."""
        self._clock.start(now_ms)
        data, sending = self._data, Sending(now_ms)
        repeats, latency_ms, delivered = data.whole("advertising.repeats"), 0.0, True
        for size in split(payload_bytes, data.whole("advertising.payload_bytes")):
            heard_ms: list[float] = []
            for _ in range(repeats):
                sending.add(self._event)
                fate = self._event_fate(sending.at_ms, size, link)
                heard_ms += [sending.elapsed_ms + fate.latency_ms] if fate.delivered else []
                sending.add(self._sleep)
            delivered = delivered and bool(heard_ms)
            latency_ms = max(latency_ms, heard_ms[0] if heard_ms else sending.elapsed_ms)
        return self._clock.finish(now_ms, Exchange(tuple(sending.phases), delivered, latency_ms, repeats))

    def idle(self, from_ms: float, to_ms: float) -> tuple[EnergyPhase, ...]:
        """Advertise and sleep in turn."""
        return self._clock.idle(from_ms, to_ms)

    def _event_fate(self, at_ms: float, size: int, link: LinkState) -> LinkFate:
        packet_bytes = size + self._data.whole("connection.overhead_bytes")
        miss = 1 - self._data.number("advertising.scanner_duty") * (
            1 - _error_rate(self._data, link.rssi_dbm, packet_bytes)
        )
        return frame_fate(link, at_ms, packet_bytes, miss, self._rng)


class BlePeripheral:
    """A connected peripheral. With `latency_events` it may skip that many events when it has nothing to say."""

    def __init__(
        self, data: RadioData, rng: random.Random, *, interval_ms: float = 100, latency_events: int = 0
    ) -> None:
        require(CONNECTION_MS[0] <= interval_ms <= CONNECTION_MS[1], "interval_ms", interval_ms, f"{CONNECTION_MS}")
        require(latency_events >= 0, "latency_events", latency_events, "0 or more")
        self._data = data
        self._rng = rng
        self._interval_ms = interval_ms
        event = self._event(None)
        sleep_ms = interval_ms * (1 + latency_events) - sum(phase.duration_ms for phase in event)
        self._clock = IdleClock(IdlePlan((*event, self._sleep(sleep_ms))))

    @property
    def scope(self) -> str:
        """What the currents include."""
        return self._data.scope

    def earliest_ms(self, now_ms: int, payload_bytes: int) -> int:  # noqa: ARG002 (the protocol's shape)
        """Return `now_ms`; the wait for the next connection event is part of the exchange."""
        return now_ms

    def exchange(self, now_ms: int, payload_bytes: int, link: LinkState) -> Exchange:
        """Send in connection events, one packet an event, until all is acknowledged or the link is given up."""
        self._clock.start(now_ms)
        data, sending = self._data, Sending(now_ms)
        sending.add(self._sleep(self._rng.random() * self._interval_ms))
        sizes = split(payload_bytes, data.whole("connection.payload_bytes"))
        tries = data.whole("connection.events_max")
        delivered, attempts, added_ms = sending.fragments(sizes, tries, lambda n: self._send(sending, n, link))
        latency_ms = sending.elapsed_ms + added_ms
        return self._clock.finish(now_ms, Exchange(tuple(sending.phases), delivered, latency_ms, attempts))

    def idle(self, from_ms: float, to_ms: float) -> tuple[EnergyPhase, ...]:
        """Empty connection events and sleep in turn."""
        return self._clock.idle(from_ms, to_ms)

    def _sleep(self, duration_ms: float) -> EnergyPhase:
        return EnergyPhase("sleep", max(duration_ms, 0.0), self._data.number("idle.sleep_ma"))

    def _event(self, size: int | None) -> tuple[EnergyPhase, ...]:
        """Return one event: wake, hear the central, answer with `size` bytes (None: an empty packet)."""
        data = self._data
        overhead, byte_us = data.whole("connection.overhead_bytes"), data.whole("connection.byte_us")
        gap_us, empty_us = data.whole("connection.gap_us"), overhead * byte_us
        tx_us = (overhead + (size or 0)) * byte_us
        ack_us = 0 if size is None else gap_us + empty_us
        return (
            EnergyPhase("wake", data.number("connection.wake_ms"), data.number("connection.wake_ma")),
            EnergyPhase("receive", (empty_us + gap_us + ack_us) / US_PER_MS, data.number("connection.rx_ma")),
            EnergyPhase("transmit", tx_us / US_PER_MS, data.number("connection.tx_ma")),
        )

    def _send(self, sending: Sending, size: int, link: LinkState) -> LinkFate:
        event = self._event(size)
        packet_bytes = size + self._data.whole("connection.overhead_bytes")
        sending.add(*event)
        error_rate = _error_rate(self._data, link.rssi_dbm, packet_bytes)
        fate = frame_fate(link, sending.at_ms, packet_bytes, error_rate, self._rng)
        if not fate.delivered:
            sending.add(self._sleep(self._interval_ms - sum(phase.duration_ms for phase in event)))
        return fate
