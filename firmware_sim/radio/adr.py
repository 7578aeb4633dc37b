"""LoRaWAN adaptive data rate: the network's algorithm, and the device's own way back when nobody answers.

Network side, after Semtech "LoRaWAN - simple rate adaptation recommended algorithm" (2016), as The Things Network
runs it: over the last 20 uplinks take the best SNR, subtract what the spreading factor needs and a safety margin;
every 3 dB left over is one step, first faster, then quieter; a shortage raises the power but never slows the device
down. Device side, after LoRaWAN 1.0.4 section 4.3.1.1: with no downlink for ADR_ACK_LIMIT uplinks ask for one, and
after each further ADR_ACK_DELAY go to full power, then one data rate down.
"""

from collections import deque
from dataclasses import dataclass

from firmware_sim.radio.errors import require
from firmware_sim.radio.lora import DEMODULATION_SNR_DB, SF_MAX, SF_MIN

HISTORY_UPLINKS = 20
"""Uplinks the network looks back on; below that it does not act."""

STEP_DB = 3.0
"""Worth of one step: a spreading factor is 2.5 dB, a power step 2 dB; Semtech rounds up to 3."""

MARGIN_DB = 10.0
"""Semtech's default installation margin for fading."""

ADR_ACK_LIMIT, ADR_ACK_DELAY = 64, 32
"""Defaults of RP002: uplinks without a downlink before asking, and between the steps back."""


@dataclass(frozen=True, slots=True)
class RateAndPower:
    """What a device sends with; power step 0 is full power, each further step 2 dB less."""

    sf: int
    power_step: int


class AdrServer:
    """The network's side for one device."""

    def __init__(self, power_steps: int, margin_db: float = MARGIN_DB) -> None:
        require(power_steps >= 0, "power_steps", power_steps, "0 or more")
        self._power_steps = power_steps
        self._margin_db = margin_db
        self._snr_db: deque[float] = deque(maxlen=HISTORY_UPLINKS)

    def heard(self, snr_db: float, now: RateAndPower) -> RateAndPower | None:
        """Take an uplink into account; return new settings to command, or None to leave the device alone.

        A command clears the history: SNR at the old power says little about the new.
        """
        self._snr_db.append(snr_db)
        if len(self._snr_db) < HISTORY_UPLINKS:
            return None
        spare_db = max(self._snr_db) - DEMODULATION_SNR_DB[now.sf] - self._margin_db
        wanted = self._apply(int(spare_db / STEP_DB), now)
        if wanted == now:
            return None
        self._snr_db.clear()
        return wanted

    def _apply(self, steps: int, now: RateAndPower) -> RateAndPower:
        if steps < 0:
            return RateAndPower(now.sf, max(now.power_step + steps, 0))
        sf = max(now.sf - steps, SF_MIN)
        left = steps - (now.sf - sf)
        return RateAndPower(sf, min(now.power_step + left, max(self._power_steps, now.power_step)))


class AdrDevice:
    """The device's side: counts uplinks since the last downlink. `sf_max`: of the region's slowest data rate."""

    def __init__(self, settings: RateAndPower, sf_max: int = SF_MAX) -> None:
        self.settings = settings
        self._sf_max = sf_max
        self._silent = 0

    @property
    def wants_answer(self) -> bool:
        """Whether the next uplink carries ADRACKReq, which obliges the network to answer."""
        return self._silent >= ADR_ACK_LIMIT

    def sent(self) -> None:
        """Count an uplink; step back when the silence is too long."""
        self._silent += 1
        over = self._silent - ADR_ACK_LIMIT
        if over > 0 and over % ADR_ACK_DELAY == 0:
            if self.settings.power_step > 0:
                self.settings = RateAndPower(self.settings.sf, 0)
            else:
                self.settings = RateAndPower(min(self.settings.sf + 1, self._sf_max), 0)

    def answered(self, command: RateAndPower | None = None) -> None:
        """Take any downlink, with or without new settings in it."""
        self._silent = 0
        if command is not None:
            self.settings = command
