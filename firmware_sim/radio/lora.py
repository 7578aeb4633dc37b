"""LoRa modulation: exact time on air, receive windows, sensitivity, and bit errors over SNR.

Time on air is computed in whole microseconds (at 125, 250 and 500 kHz a quarter symbol is a whole number of them), so
it is exact.
Sources: Semtech AN1200.13 "LoRa Modem Designer's Guide" (time on air; also SX1276 datasheet section 4.1.1.7);
LoRaWAN Regional Parameters RP002 (class A); Semtech SX1276 datasheet table 13 (demodulation SNR).
"""

import math
from dataclasses import dataclass, replace
from enum import IntEnum

from firmware_sim.radio.errors import require

SF_MIN, SF_MAX = 7, 12
BANDWIDTHS_HZ = (125_000, 250_000, 500_000)
PHY_PAYLOAD_BYTES_MAX = 255
"""The length field of the LoRa header is one byte."""

LDRO_SYMBOL_US = 16_000
"""Semtech mandates low data rate optimisation for symbols longer than 16 ms."""

SENSITIVITY_DBM_125KHZ = {7: -124.0, 8: -127.0, 9: -130.0, 10: -133.0, 11: -135.0, 12: -137.0}
"""End device at 125 kHz (SX1272/SX1276 class receivers; the set used by ns-3's LoRaWAN module)."""

DEMODULATION_SNR_DB = {7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}
"""SNR a demodulator needs, SX1276 datasheet table 13; the network server's ADR uses the same figures."""

NOISE_FLOOR_DBM_PER_HZ = -174.0
"""Thermal noise at 290 K."""

WINDOW_SYMBOLS_SLOW, WINDOW_SYMBOLS_FAST = 8, 12
"""Symbols a class A device listens for a preamble: 8 at SF11 and SF12, 12 below (Casals et al., Sensors 2017)."""


class CodingRate(IntEnum):
    """Redundancy: `CR_4_5` sends 5 bits for 4."""

    CR_4_5 = 1
    CR_4_6 = 2
    CR_4_7 = 3
    CR_4_8 = 4


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """How a LoRa frame is sent. `low_data_rate` of None follows Semtech's 16 ms rule."""

    sf: int = 7
    bandwidth_hz: int = 125_000
    coding_rate: CodingRate = CodingRate.CR_4_5
    preamble_symbols: int = 8
    explicit_header: bool = True
    crc: bool = True
    low_data_rate: bool | None = None

    def __post_init__(self) -> None:
        require(SF_MIN <= self.sf <= SF_MAX, "sf", self.sf, f"{SF_MIN} to {SF_MAX}")
        require(self.bandwidth_hz in BANDWIDTHS_HZ, "bandwidth_hz", self.bandwidth_hz, f"one of {BANDWIDTHS_HZ}")
        require(self.preamble_symbols >= 0, "preamble_symbols", self.preamble_symbols, "0 or more")

    @property
    def symbol_us(self) -> int:
        """Length of a symbol, 2^SF / BW."""
        return (1 << self.sf) * 1_000_000 // self.bandwidth_hz

    @property
    def optimised(self) -> bool:
        """Whether low data rate optimisation is on."""
        return self.symbol_us > LDRO_SYMBOL_US if self.low_data_rate is None else self.low_data_rate

    @property
    def sensitivity_dbm(self) -> float:
        """Weakest signal an end device decodes; each doubling of the bandwidth costs 3 dB of noise."""
        return SENSITIVITY_DBM_125KHZ[self.sf] + 10 * math.log10(self.bandwidth_hz / BANDWIDTHS_HZ[0])

    def with_sf(self, sf: int) -> "LoraSettings":
        """Return the same settings at another spreading factor."""
        return self if sf == self.sf else replace(self, sf=sf)

    def with_bandwidth(self, bandwidth_hz: int) -> "LoraSettings":
        """Return the same settings at another bandwidth."""
        return self if bandwidth_hz == self.bandwidth_hz else replace(self, bandwidth_hz=bandwidth_hz)


def payload_symbols(settings: LoraSettings, payload_bytes: int) -> int:
    """Return the symbols after the preamble.

    8 + max(ceil((8 PL - 4 SF + 28 + 16 CRC - 20 IH) / (4 (SF - 2 DE))) (CR + 4), 0); source: AN1200.13.
    """
    require(
        0 <= payload_bytes <= PHY_PAYLOAD_BYTES_MAX, "payload_bytes", payload_bytes, f"0 to {PHY_PAYLOAD_BYTES_MAX}"
    )
    implicit = 0 if settings.explicit_header else 20
    bits = 8 * payload_bytes - 4 * settings.sf + 28 + (16 if settings.crc else 0) - implicit
    per_block = 4 * (settings.sf - (2 if settings.optimised else 0))
    return 8 + max(-(-bits // per_block) * (settings.coding_rate + 4), 0)


def time_on_air_us(settings: LoraSettings, payload_bytes: int) -> int:
    """Return the time on air of a PHY payload in whole microseconds: (preamble + 4.25 + payload symbols) symbols."""
    quarters = 4 * (settings.preamble_symbols + payload_symbols(settings, payload_bytes)) + 17
    return quarters * settings.symbol_us // 4


def longest_payload(settings: LoraSettings, limit_us: int) -> int | None:
    """Return the largest PHY payload whose time on air is within a limit; None if an empty frame is too long."""
    low, high = -1, PHY_PAYLOAD_BYTES_MAX
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if time_on_air_us(settings, middle) <= limit_us else (low, middle - 1)
    return None if low < 0 else low


def window_us(settings: LoraSettings) -> int:
    """Return how long a class A receive window stays open when no preamble comes."""
    symbols = WINDOW_SYMBOLS_SLOW if settings.sf >= 11 else WINDOW_SYMBOLS_FAST
    return symbols * settings.symbol_us


def bit_error_rate(settings: LoraSettings, snr_db: float) -> float:
    """Return the raw bit error rate in white noise: 0.5 Q(sqrt(SNR 2^(SF+1)) - sqrt(1.386 SF + 1.154)).

    Source: T. Elshabrawy and J. Robert, "Closed-form approximation of LoRa modulation BER performance",
    IEEE Communications Letters 22(9), 2018, equation 21. SNR is over the signal's bandwidth.
    """
    snr = 10 ** (snr_db / 10)
    argument = math.sqrt(snr * 2 ** (settings.sf + 1)) - math.sqrt(1.386 * settings.sf + 1.154)
    return 0.25 * math.erfc(argument / math.sqrt(2))


def packet_error_rate(settings: LoraSettings, snr_db: float, payload_bytes: int) -> float:
    """Return the chance that a frame is not decoded.

    Blocks of 4 bits are independent. CR 4/5 and 4/6 only detect errors, so a block needs all its 4 bits; 4/7 and 4/8
    are Hamming codes that repair one wrong bit of the block. The preamble is taken as heard.
    """
    ber = bit_error_rate(settings, snr_db)
    if settings.coding_rate < CodingRate.CR_4_7:
        block_passes = (1 - ber) ** 4
    else:
        coded = 4 + settings.coding_rate
        block_passes = (1 - ber) ** coded + coded * ber * (1 - ber) ** (coded - 1)
    blocks = 2 * payload_bytes + 4  # two a byte, and 16 bits of CRC
    return 1 - min(block_passes, 1.0) ** blocks  # rounding may leave the sum a hair above 1


def noise_dbm(bandwidth_hz: float, noise_figure_db: float = 6.0) -> float:
    """Return the receiver's noise power: -174 + 10 log10(BW) + noise figure (6 dB: Semtech AN1200.22)."""
    return NOISE_FLOOR_DBM_PER_HZ + 10 * math.log10(bandwidth_hz) + noise_figure_db
