"""A LoRaWAN class A device's radio: uplink, two receive windows, confirmation with retransmission, ADR, airtime rules.

An exchange runs: [the board's own wake-up], wait for airtime if the law demands it, transmit, wait, RX1, wait, RX2,
and for a confirmed uplink that is not answered a random back-off and the same again, slower. An answer in RX1 leaves
RX2 out.

With an `Ether` the frames of several devices meet on the air. A frame that is hit by one that was there before is
lost to this exchange, and repeated where it is confirmed; whether one that comes later hits it, its `Transmission`
says at the end. Answers are not hit, and a gateway that answers is not deaf.
Sources: LoRaWAN 1.0.4 (class A, RECEIVE_DELAY1 1 s, RECEIVE_DELAY2 2 s); LoRaWAN 1.0 section 18.4 (at most 8
transmissions, one data rate slower after each two) and section 7 (ACK_TIMEOUT 2 +/- 1 s); Casals et al., Sensors 2017
(the phases).
"""

import math
import random
from dataclasses import dataclass, field, replace

from firmware_sim.radio.adr import AdrDevice, AdrServer, RateAndPower
from firmware_sim.radio.collisions import AirFrame, Ether, Transmission
from firmware_sim.radio.datafile import RadioData
from firmware_sim.radio.energy import EnergyPhase, Exchange, IdleClock, IdlePlan, LinkState, Sending, frame_fate
from firmware_sim.radio.errors import RadioDataError, require
from firmware_sim.radio.lora import LoraSettings, packet_error_rate, time_on_air_us, window_us
from firmware_sim.radio.regulation import Airtime, Region

MAC_OVERHEAD_BYTES = 13
"""MHDR 1, frame header 7 without options, port 1, MIC 4."""

ANSWER_BYTES = 12
"""A downlink that only acknowledges: no port, no payload."""

ADR_COMMAND_BYTES = 5
"""LinkADRReq with its command byte, carried in the frame options."""

TRANSMISSIONS_MAX = 8
ACK_TIMEOUT_MS = (1000, 3000)
POWER_STEP_DB = 2.0
US_PER_MS = 1000
SLEEP_ROUND_MS = 3_600_000.0
"""Sleep is one state without events; the length of its round is of no consequence."""


@dataclass(frozen=True, slots=True)
class LorawanConfig:
    """How the device uses the network. `rx2_sf` is 12 by the regional default of EU868, 9 on The Things Network."""

    settings: LoraSettings = field(default_factory=LoraSettings)
    region: str = "eu868"
    channels_hz: tuple[int, ...] = (868_100_000, 868_300_000, 868_500_000)
    confirmed: bool = False
    adr: bool = True
    rx2_sf: int = 12

    def __post_init__(self) -> None:
        require(len(self.channels_hz) > 0, "channels_hz", self.channels_hz, "at least one channel")


class LorawanRadio:
    """One device's LoRaWAN radio and the network server's ADR state for it."""

    def __init__(
        self, data: RadioData, rng: random.Random, config: LorawanConfig | None = None, ether: Ether | None = None
    ) -> None:
        config = config or LorawanConfig()
        self._ether = ether
        self.config = config
        self._data = data
        self._rng = rng
        self._region = Region.bundled(config.region)
        for channel_hz in config.channels_hz:
            self._region.check_channel(channel_hz)
        self._airtime = Airtime(self._region)
        self._tx_ma = {float(dbm): ma for dbm, ma in data.numbers("tx_ma").items()}
        if not self._tx_ma:
            raise RadioDataError(data.name, "tx_ma", "at least one transmit power")
        require(config.settings.sf <= self._region.sf_max, "sf", config.settings.sf, f"at most {self._region.sf_max}")
        self._adr = AdrDevice(RateAndPower(config.settings.sf, 0), self._region.sf_max)
        self._server = AdrServer(self._region.tx_power_steps)
        self._before, self._after = _phases(data, "before"), _phases(data, "after")
        self._sleep_ma = data.number("idle.sleep_ma")
        self._clock = IdleClock(IdlePlan((EnergyPhase("sleep", SLEEP_ROUND_MS, self._sleep_ma),)))

    @property
    def scope(self) -> str:
        """What the currents include."""
        return self._data.scope

    @property
    def settings(self) -> LoraSettings:
        """What the next uplink is sent with, after ADR."""
        return self.config.settings.with_sf(self._adr.settings.sf)

    @property
    def tx_power_dbm(self) -> float:
        """What the next uplink is sent at: the region's limit less the ADR steps, as far as the transmitter goes."""
        return min(self._region.tx_power_dbm_max - POWER_STEP_DB * self._adr.settings.power_step, max(self._tx_ma))

    def earliest_ms(self, now_ms: int, payload_bytes: int) -> int:
        """Return when the exchange may start so that its first frame need not wait for airtime."""
        lead_ms = math.ceil(sum(phase.duration_ms for phase in self._before))
        return self._earliest(now_ms + lead_ms, payload_bytes + MAC_OVERHEAD_BYTES, self.settings)[0] - lead_ms

    def exchange(self, now_ms: int, payload_bytes: int, link: LinkState) -> Exchange:
        """Send one uplink. Raises `AirtimeError` if it can never be sent at this data rate.

        `link` holds at `tx_power_dbm`; noise takes uplink and downlink alike. A confirmed uplink is `delivered` once
        the gateway has it, even if the device never learns.
        """
        self._clock.start(now_ms)
        sending = Sending(now_ms)
        sending.add(*self._before)
        arrived_ms: float | None = None
        arrived: Transmission | None = None
        attempt = 0
        for attempt in range(1, (TRANSMISSIONS_MAX if self.config.confirmed else 1) + 1):
            settings = self._slower((attempt - 1) // 2, payload_bytes + MAC_OVERHEAD_BYTES)
            fate_ms, answered, frame = self._attempt(sending, payload_bytes + MAC_OVERHEAD_BYTES, settings, link)
            if arrived_ms is None and fate_ms is not None:
                arrived_ms, arrived = fate_ms, frame
            if answered or not self.config.confirmed:
                break
            if attempt < TRANSMISSIONS_MAX:
                sending.add(EnergyPhase("back-off", self._rng.uniform(*ACK_TIMEOUT_MS), self._sleep_ma))
        sending.add(*self._after)
        latency_ms = sending.elapsed_ms if arrived_ms is None else arrived_ms - now_ms
        done = Exchange(tuple(sending.phases), arrived_ms is not None, latency_ms, attempt, arrived)
        return self._clock.finish(now_ms, done)

    def idle(self, from_ms: float, to_ms: float) -> tuple[EnergyPhase, ...]:
        """Sleep."""
        return self._clock.idle(from_ms, to_ms)

    def _slower(self, rates: int, frame_bytes: int) -> LoraSettings:
        """Return the data rate so many steps down, or the slowest on the way there that the frame's length allows."""
        settings = self.settings.with_sf(min(self.settings.sf + rates, self._region.sf_max))
        while settings.sf > self.settings.sf and not self._region.holds_dwell(time_on_air_us(settings, frame_bytes)):
            settings = settings.with_sf(settings.sf - 1)
        return settings

    def _earliest(self, at_ms: int, frame_bytes: int, settings: LoraSettings) -> tuple[int, list[int]]:
        """Return when the first channel is free, and the channels that are free then."""
        air_us = time_on_air_us(settings, frame_bytes)
        free = {channel: self._airtime.earliest_ms(at_ms, air_us, channel) for channel in self.config.channels_hz}
        first_ms = min(free.values())
        return first_ms, [channel for channel, free_ms in free.items() if free_ms == first_ms]

    def _attempt(
        self, sending: Sending, frame_bytes: int, settings: LoraSettings, link: LinkState
    ) -> tuple[float | None, bool, Transmission | None]:
        """Send one frame and listen; return when the gateway had it (or None), whether a downlink was heard, and the
        frame among the others."""
        air_us = time_on_air_us(settings, frame_bytes)
        start_ms, channels_hz = self._earliest(math.ceil(sending.at_ms), frame_bytes, settings)
        sending.add(EnergyPhase("airtime wait", start_ms - sending.at_ms, self._sleep_ma))
        channel_hz = self._rng.choice(channels_hz)
        self._airtime.record(start_ms, air_us, channel_hz)
        frame = self._put_on_air(start_ms * US_PER_MS, air_us, settings.sf, channel_hz, link.rssi_dbm)
        sending.add(EnergyPhase("transmit", air_us / US_PER_MS, self._transmit_ma()))
        error_rate = packet_error_rate(settings, link.snr_db, frame_bytes)
        fate = frame_fate(link, start_ms, frame_bytes, error_rate, self._rng)
        heard = fate.delivered and (frame is None or frame.survives())
        heard_ms = sending.at_ms + fate.latency_ms if heard else None
        command = self._network(link, settings) if heard else None
        expected = heard and (self.config.confirmed or command is not None or self._adr.wants_answer)
        if self.config.adr:
            self._adr.sent()
        answered = self._listen(sending, settings, link, expected, command)
        return heard_ms, answered, frame

    def _put_on_air(self, start_us: int, air_us: int, sf: int, channel_hz: int, rssi_dbm: float) -> Transmission | None:
        if self._ether is None:
            return None
        return self._ether.send(AirFrame(start_us, start_us + air_us, sf, channel_hz, rssi_dbm))

    def _network(self, link: LinkState, settings: LoraSettings) -> RateAndPower | None:
        if not self.config.adr:
            return None
        return self._server.heard(link.snr_db, RateAndPower(settings.sf, self._adr.settings.power_step))

    def _listen(
        self, sending: Sending, settings: LoraSettings, link: LinkState, expected: bool, command: RateAndPower | None
    ) -> bool:
        """Open the receive windows; return whether the expected downlink arrived."""
        data, region = self._data, self._region
        down = settings.with_bandwidth(region.rx1_bandwidth_hz or settings.bandwidth_hz)
        rx1_ms = window_us(down) / US_PER_MS
        sending.add(EnergyPhase("wait", data.number("wait.rx1_ms"), data.number("wait.rx1_ma")))
        size = ANSWER_BYTES + (ADR_COMMAND_BYTES if command else 0)
        error_rate = packet_error_rate(settings, link.snr_db, size)
        if expected and frame_fate(link, sending.at_ms, size, error_rate, self._rng).delivered:
            air_ms = time_on_air_us(replace(down, crc=False), size) / US_PER_MS
            sending.add(EnergyPhase("rx1", air_ms, data.number("receive.rx1_ma")))
            self._adr.answered(command)
            return True
        sending.add(EnergyPhase("rx1", rx1_ms, data.number("receive.rx1_ma")))
        gap_ms = max(data.number("wait.rx2_ms") - rx1_ms, 0.0)
        sending.add(EnergyPhase("wait", gap_ms, data.number("wait.rx2_ma")))
        measured_ms = data.number_or_none("receive.rx2_ms")
        second = settings.with_sf(self.config.rx2_sf).with_bandwidth(region.rx2_bandwidth_hz)
        rx2_ms = window_us(second) / US_PER_MS if measured_ms is None else measured_ms
        sending.add(EnergyPhase("rx2", rx2_ms, data.number("receive.rx2_ma")))
        return False

    def _transmit_ma(self) -> float:
        """Return the current of the weakest listed power that reaches the wanted one."""
        return self._tx_ma[min(dbm for dbm in self._tx_ma if dbm >= self.tx_power_dbm)]


def _phases(data: RadioData, key: str) -> tuple[EnergyPhase, ...]:
    tables = data.tables(key)
    return tuple(EnergyPhase(t.text("state"), t.number("duration_ms"), t.number("current_ma")) for t in tables)
