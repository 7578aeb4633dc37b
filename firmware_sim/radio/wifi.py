"""Wi-Fi station: wake, join, send with retries, wait for the answer; between exchanges deep sleep or a kept connection.

Model: a frame takes the channel access time, its preamble and bits at the configured rate, and the acknowledgement;
one that is not acknowledged is repeated. While the connection is kept, the draw is the published average for the
power-save mode and DTIM.
Sources of all figures: the data file (``data/wifi_esp32.toml``); frame timing after IEEE 802.11-2020 clauses 10 and 15.
"""

import random
from enum import StrEnum

from firmware_sim.radio.datafile import RadioData
from firmware_sim.radio.energy import EnergyPhase, Exchange, IdleClock, IdlePlan, LinkState, Sending, frame_fate, split
from firmware_sim.radio.errors import require
from firmware_sim.radio.links import LinkFate
from firmware_sim.radio.path import packet_error_rate

MS_PER_S = 1000
ROUND_MS = 3_600_000.0
"""Idle is one averaged state; the length of its round is of no consequence."""


class WifiPowerSave(StrEnum):
    """What the station does between exchanges."""

    DEEP_SLEEP = "deep_sleep"
    MODEM_SLEEP = "modem_sleep"
    LIGHT_SLEEP = "light_sleep"


class WifiRadio:
    """One station. In deep sleep it boots and joins for every exchange; otherwise only after it lost the access point.

    `dtim` is the access point's DTIM period in beacons (one that the data file lists); `fixed_address` leaves DHCP
    and the scan out.
    """

    def __init__(
        self,
        data: RadioData,
        rng: random.Random,
        *,
        power_save: WifiPowerSave = WifiPowerSave.DEEP_SLEEP,
        dtim: int = 3,
        fixed_address: bool = True,
    ) -> None:
        self._data = data
        self._rng = rng
        self._power_save = power_save
        self._fixed_address = fixed_address
        self._joined = False
        self._clock = IdleClock(IdlePlan((EnergyPhase(power_save.value, ROUND_MS, self._idle_ma(dtim)),)))

    @property
    def scope(self) -> str:
        """What the currents include."""
        return self._data.scope

    def earliest_ms(self, now_ms: int, payload_bytes: int) -> int:  # noqa: ARG002 (the protocol's shape)
        """Return `now_ms`: nothing limits Wi-Fi's airtime."""
        return now_ms

    def exchange(self, now_ms: int, payload_bytes: int, link: LinkState) -> Exchange:
        """Join if need be, send the payload in as many frames as it takes, and wait for the broker's answer."""
        self._clock.start(now_ms)
        data, sending = self._data, Sending(now_ms)
        if not self._join(sending, link):
            failed = Exchange(tuple(sending.phases), delivered=False, latency_ms=sending.elapsed_ms, attempts=0)
            return self._clock.finish(now_ms, failed)
        sizes = split(payload_bytes, data.whole("frame.payload_bytes_max"))
        attempts_max = 1 + data.whole("tx.retries")
        delivered, attempts, added_ms = sending.fragments(sizes, attempts_max, lambda n: self._frame(sending, n, link))
        latency_ms = sending.elapsed_ms + added_ms
        if delivered:
            wait_ms = data.number("reply.round_trip_ms") + 2 * added_ms
            sending.add(EnergyPhase("wait", wait_ms, data.number("receiver.rx_ma")))
        self._joined = delivered and self._power_save is not WifiPowerSave.DEEP_SLEEP
        return self._clock.finish(now_ms, Exchange(tuple(sending.phases), delivered, latency_ms, attempts))

    def idle(self, from_ms: float, to_ms: float) -> tuple[EnergyPhase, ...]:
        """Deep sleep, or the published average of the power-save mode."""
        return self._clock.idle(from_ms, to_ms)

    def _idle_ma(self, dtim: int) -> float:
        if self._power_save is WifiPowerSave.DEEP_SLEEP:
            return self._data.number("idle.deep_sleep_ma")
        listed = self._data.numbers(f"idle.{self._power_save.value}_ma")
        require(str(dtim) in listed, "dtim", dtim, f"one of {', '.join(listed)}")
        return listed[str(dtim)]

    def _join(self, sending: Sending, link: LinkState) -> bool:
        if self._joined:
            return True
        data = self._data
        if self._power_save is WifiPowerSave.DEEP_SLEEP:
            sending.add(EnergyPhase("boot", data.number("connect.boot_ms"), data.number("connect.boot_ma")))
        if not link.process.is_up(int(sending.at_ms)):
            sending.add(EnergyPhase("search", data.number("connect.give_up_ms"), data.number("connect.join_ma")))
            return False
        sending.add(EnergyPhase("join", data.number("connect.join_ms"), data.number("connect.join_ma")))
        if not self._fixed_address:
            sending.add(EnergyPhase("address", data.number("connect.address_ms"), data.number("connect.address_ma")))
        return True

    def _frame(self, sending: Sending, size: int, link: LinkState) -> LinkFate:
        data = self._data
        bits = 8 * (size + data.whole("frame.overhead_bytes"))
        tx_ms = data.number("tx.preamble_ms") + bits * MS_PER_S / data.number("tx.rate_bits_per_s")
        rx_ma = data.number("receiver.rx_ma")
        sending.add(EnergyPhase("listen", data.number("frame.access_ms"), rx_ma))
        sending.add(EnergyPhase("transmit", tx_ms, data.number("tx.ma")))
        sending.add(EnergyPhase("listen", data.number("frame.ack_ms"), rx_ma))
        error_rate = packet_error_rate(
            link.rssi_dbm,
            data.number("receiver.sensitivity_dbm"),
            bits,
            data.whole("receiver.reference_bits"),
            data.number("receiver.reference_per"),
        )
        return frame_fate(link, sending.at_ms, bits // 8, error_rate, self._rng)
