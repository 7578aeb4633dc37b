"""NB-IoT and LTE-M: connect, transfer with coverage enhancement, RRC tail, then eDRX or power saving mode (PSM).

An exchange connects (unless the network still holds the connection from the last one), sends, and waits for the
answer. What follows is idle: the inactivity tail in connected mode, the active time T3324, then PSM with a tracking
area update each T3412, or eDRX for good. Coupling loss decides the coverage level: how often each transfer is
repeated, and whether there is a network at all. Below the normal level's limit the network also lets the device send
with less power. Noise is left to those repetitions; other losses come from the link process.
Sources: 3GPP TS 24.301 (T3324, T3412), TS 36.321 (inactivity), TR 45.820 (coupling loss); the data files for currents
and times.
"""

import random
from enum import StrEnum
from itertools import pairwise

from firmware_sim.radio.datafile import RadioData
from firmware_sim.radio.energy import EnergyPhase, Exchange, IdleClock, IdlePlan, LinkState, Sending, frame_fate, split
from firmware_sim.radio.errors import RadioDataError
from firmware_sim.radio.links import LinkFate

MS_PER_S = 1000
EDRX_ROUND_MS = 3_600_000.0
"""eDRX is kept as its published average; the length of its round is of no consequence."""

TRANSFER_ATTEMPTS = 3
"""Sends of one block before the device gives up; the network's own retransmissions are part of the rate."""


class CellularSaving(StrEnum):
    """What the device does once the tail is over."""

    PSM = "psm"
    EDRX = "edrx"


class CellularRadio:
    """One modem. `active_ms` (T3324) and `update_period_ms` (T3412) override the data file's; with
    `release_assistance` the network drops the connection at once, without a tail."""

    def __init__(
        self,
        data: RadioData,
        rng: random.Random,
        *,
        saving: CellularSaving = CellularSaving.PSM,
        active_ms: float | None = None,
        update_period_ms: float | None = None,
        release_assistance: bool = False,
    ) -> None:
        self._data = data
        self._rng = rng
        self._tx_ma = sorted((float(dbm), ma) for dbm, ma in data.numbers("power.tx_ma").items())
        self._levels = sorted(data.tables("coverage"), key=lambda level: level.number("loss_max_db"))
        if not self._tx_ma or not self._levels:
            raise RadioDataError(data.name, "power.tx_ma, coverage", "at least one entry each")
        self._tail_ms = 0.0 if release_assistance else data.number("tail.ms")
        if active_ms is None:
            active_ms = data.number("active.ms")
        if update_period_ms is None:
            update_period_ms = data.number("psm.update_period_ms")
        self._clock = IdleClock(_plan(data, saving, self._tail_ms, active_ms, update_period_ms))

    @property
    def scope(self) -> str:
        """What the currents include."""
        return self._data.scope

    def earliest_ms(self, now_ms: int, payload_bytes: int) -> int:  # noqa: ARG002 (the protocol's shape)
        """Return `now_ms`; the network schedules within the exchange."""
        return now_ms

    def exchange(self, now_ms: int, payload_bytes: int, link: LinkState) -> Exchange:
        """Send the payload. Without coverage, or on a link that is down, the modem searches and gives up."""
        connected = self._clock.start(now_ms) < self._tail_ms
        data, sending = self._data, Sending(now_ms)
        loss_db = data.number("power.max_dbm") - link.rssi_dbm
        level = next((level for level in self._levels if loss_db <= level.number("loss_max_db")), None)
        if level is None or not link.process.is_up(now_ms):
            sending.add(EnergyPhase("search", data.number("connect.give_up_ms"), data.number("connect.give_up_ma")))
            failed = Exchange(tuple(sending.phases), delivered=False, latency_ms=sending.elapsed_ms, attempts=0)
            return self._clock.finish(now_ms, failed, in_vain=True)  # nobody to hold a connection with
        if not connected:
            sending.add(EnergyPhase("connect", data.number("connect.ms"), data.number("connect.ma")))
        tx_ma = self._transmit_ma(loss_db)
        sizes = split(payload_bytes, data.whole("transfer.payload_bytes_max"))
        delivered, attempts, added_ms = sending.fragments(
            sizes, TRANSFER_ATTEMPTS, lambda n: self._block(sending, n, level, tx_ma, link)
        )
        rtt_ms = data.number("transfer.round_trip_ms")
        latency_ms = sending.elapsed_ms + rtt_ms / 2 + added_ms
        sending.add(EnergyPhase("wait", rtt_ms + 2 * added_ms, data.number("transfer.rx_ma")))
        return self._clock.finish(now_ms, Exchange(tuple(sending.phases), delivered, latency_ms, attempts))

    def idle(self, from_ms: float, to_ms: float) -> tuple[EnergyPhase, ...]:
        """Tail, active time, then PSM with its updates, or eDRX."""
        return self._clock.idle(from_ms, to_ms)

    def _transmit_ma(self, loss_db: float) -> float:
        """Return the transmit current at the power this loss asks for, between the listed powers in a straight line."""
        data = self._data
        wanted_dbm = data.number("power.max_dbm") - max(self._levels[0].number("loss_max_db") - loss_db, 0.0)
        if wanted_dbm <= self._tx_ma[0][0]:
            return self._tx_ma[0][1]
        for (low_dbm, low_ma), (high_dbm, high_ma) in pairwise(self._tx_ma):
            if wanted_dbm <= high_dbm:
                return low_ma + (high_ma - low_ma) * (wanted_dbm - low_dbm) / (high_dbm - low_dbm)
        return self._tx_ma[-1][1]

    def _block(self, sending: Sending, size: int, level: RadioData, tx_ma: float, link: LinkState) -> LinkFate:
        size_bytes = size + self._data.whole("transfer.overhead_bytes")
        seconds = 8 * size_bytes * level.whole("repetitions") / level.number("rate_bits_per_s")
        sending.add(EnergyPhase("transmit", seconds * MS_PER_S, tx_ma))
        return frame_fate(link, sending.at_ms, size_bytes, 0.0, self._rng)


def _plan(
    data: RadioData, saving: CellularSaving, tail_ms: float, active_ms: float, update_period_ms: float
) -> IdlePlan:
    tail = EnergyPhase("tail", tail_ms, data.number("tail.ma"))
    edrx_ma = data.number("active.ma")
    if saving is CellularSaving.EDRX:
        return IdlePlan(repeat=(EnergyPhase("edrx", EDRX_ROUND_MS, edrx_ma),), once=(tail,))
    update_ms = data.number("psm.update_ms")
    floor = EnergyPhase("psm", max(update_period_ms - update_ms, 0.0), data.number("psm.floor_ma"))
    update = EnergyPhase("update", update_ms, data.number("psm.update_ma"))
    return IdlePlan(repeat=(floor, update), once=(tail, EnergyPhase("active", active_ms, edrx_ma)))
