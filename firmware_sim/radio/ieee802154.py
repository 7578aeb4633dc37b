"""IEEE 802.15.4 at 2.4 GHz as a Thread sleepy end device: CSMA/CA, acknowledged frames, polls of the parent.

An exchange wakes the chip, and for each fragment backs off a random time, senses the channel (taken as free), sends,
and listens for the acknowledgement; a frame that is not acknowledged is repeated. Between exchanges the device polls
its parent.
Sources: IEEE 802.15.4-2015 (times, back-off); IEEE 802.15.4-2006 annex E.4.1.8 (bit error rate); the data file for
currents.
"""

import math
import random
from functools import cache

from firmware_sim.radio.datafile import RadioData
from firmware_sim.radio.energy import EnergyPhase, Exchange, IdleClock, IdlePlan, LinkState, Sending, frame_fate, split
from firmware_sim.radio.errors import require
from firmware_sim.radio.links import LinkFate

US_PER_MS = 1000
REFERENCE_BITS, REFERENCE_PER = 160, 0.01
"""The standard's definition of sensitivity: a PSDU of 20 bytes at a packet error rate of 1 %."""


def bit_error_rate(sinr_db: float) -> float:
    """Return the bit error rate of O-QPSK with 16-ary spreading.

    8/15 1/16 sum over k = 2 to 16 of (-1)^k C(16, k) exp(20 SINR (1/k - 1)); source: the module's annex E.
    """
    sinr = 10 ** (sinr_db / 10)
    terms = ((-1) ** k * math.comb(16, k) * math.exp(20 * sinr * (1 / k - 1)) for k in range(2, 17))
    return min(max(8 / 15 / 16 * math.fsum(terms), 0.0), 0.5)


def packet_error_rate(sinr_db: float, bits: int) -> float:
    """Return the chance that at least one of `bits` is wrong."""
    return 1 - (1 - bit_error_rate(sinr_db)) ** bits


@cache
def sinr_at_sensitivity_db() -> float:
    """Return the SINR at which the standard's sensitivity is defined, found by bisection to 1e-6 dB."""
    low, high = -10.0, 10.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if packet_error_rate(middle, REFERENCE_BITS) > REFERENCE_PER else (low, middle)
    return high


class ThreadRadio:
    """One sleepy end device and its parent, polled every `poll_period_ms` (OpenThread's default is 236 s)."""

    def __init__(self, data: RadioData, rng: random.Random, *, poll_period_ms: int = 236_000) -> None:
        poll_ms = data.number("poll.ms")
        require(poll_period_ms > poll_ms, "poll_period_ms", poll_period_ms, f"more than a poll takes, {poll_ms} ms")
        self._data = data
        self._rng = rng
        sleep = EnergyPhase("sleep", poll_period_ms - poll_ms, data.number("idle.sleep_ma"))
        poll = EnergyPhase("poll", poll_ms, data.number("poll.charge_uc") / poll_ms)
        self._clock = IdleClock(IdlePlan((sleep, poll)))

    @property
    def scope(self) -> str:
        """What the currents include."""
        return self._data.scope

    def earliest_ms(self, now_ms: int, payload_bytes: int) -> int:  # noqa: ARG002 (the protocol's shape)
        """Return `now_ms`."""
        return now_ms

    def exchange(self, now_ms: int, payload_bytes: int, link: LinkState) -> Exchange:
        """Send the payload to the parent, in 6LoWPAN fragments if it is long."""
        self._clock.start(now_ms)
        data, sending = self._data, Sending(now_ms)
        sending.add(EnergyPhase("wake", data.number("wake.ms"), data.number("wake.ma")))
        sizes = split(payload_bytes, data.whole("frame.payload_bytes"))
        attempts_max = 1 + data.whole("mac.retries")
        delivered, attempts, added_ms = sending.fragments(sizes, attempts_max, lambda n: self._frame(sending, n, link))
        latency_ms = sending.elapsed_ms + added_ms
        return self._clock.finish(now_ms, Exchange(tuple(sending.phases), delivered, latency_ms, attempts))

    def idle(self, from_ms: float, to_ms: float) -> tuple[EnergyPhase, ...]:
        """Sleep and polls in turn."""
        return self._clock.idle(from_ms, to_ms)

    def _frame(self, sending: Sending, size: int, link: LinkState) -> LinkFate:
        data = self._data
        psdu_bytes = size + data.whole("frame.overhead_bytes")
        tx_us = (psdu_bytes + data.whole("mac.header_bytes")) * data.whole("mac.byte_us")
        slots = self._rng.randrange(2 ** data.whole("mac.backoff_exponent_min"))
        sense_us = data.whole("mac.sense_us") + data.whole("mac.turnaround_us")
        rx_ma = data.number("radio.rx_ma")
        sending.add(
            EnergyPhase("back-off", slots * data.whole("mac.backoff_us") / US_PER_MS, data.number("wake.ma")),
            EnergyPhase("sense", sense_us / US_PER_MS, rx_ma),
            EnergyPhase("transmit", tx_us / US_PER_MS, data.number("radio.tx_ma")),
        )
        sinr_db = sinr_at_sensitivity_db() + link.rssi_dbm - data.number("receiver.sensitivity_dbm")
        fate = frame_fate(link, sending.at_ms, psdu_bytes, packet_error_rate(sinr_db, 8 * psdu_bytes), self._rng)
        ack_us = data.whole("mac.turnaround_us") + data.whole("mac.ack_bytes") * data.whole("mac.byte_us")
        listen_us = ack_us if fate.delivered else data.whole("mac.ack_wait_us")
        sending.add(EnergyPhase("listen", listen_us / US_PER_MS, rx_ma))
        return fate
