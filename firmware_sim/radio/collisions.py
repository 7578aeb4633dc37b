"""Who survives when LoRa frames overlap on a channel.

Two frames interfere when they share frequency and spreading factor and overlap in time; the stronger one survives if
it is at least 6 dB above the sum of its interferers (capture), otherwise both are lost. Different spreading factors
are taken as orthogonal.
Sources: Bor, Roedig, Voigt, Alonso, "Do LoRa low-power wide-area networks scale?", MSWiM 2016 (LoRaSim); capture 6
dB: Goursaud and Gorce 2015. Pure ALOHA: N. Abramson, AFIPS 1970: with load G (mean frames per frame time) a frame
gets through with exp(-2 G).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from firmware_sim.radio.errors import require

CAPTURE_DB = 6.0


@dataclass(frozen=True, slots=True)
class AirFrame:
    """A frame as one gateway hears it; `end_us` is the first instant without it."""

    start_us: int
    end_us: int
    sf: int
    frequency_hz: int
    rssi_dbm: float


def survivors(frames: Sequence[AirFrame], capture_db: float = CAPTURE_DB) -> list[bool]:
    """Say for each frame, in the order given, whether it survives.

    The powers of all frames that overlap with it anywhere add up.
    """
    order = sorted(range(len(frames)), key=lambda n: frames[n].start_us)
    rivals: list[list[float]] = [[] for _ in frames]
    on_air: dict[tuple[int, int], list[int]] = {}
    for n in order:
        frame = frames[n]
        key = (frame.sf, frame.frequency_hz)
        others = [m for m in on_air.get(key, []) if frames[m].end_us > frame.start_us]
        for m in others:
            rivals[n].append(frames[m].rssi_dbm)
            rivals[m].append(frame.rssi_dbm)
        on_air[key] = [*others, n]
    return [captures(frames[n].rssi_dbm, rivals[n], capture_db) for n in range(len(frames))]


def captures(rssi_dbm: float, rivals_dbm: Iterable[float], capture_db: float = CAPTURE_DB) -> bool:
    """Say whether a frame is at least `capture_db` above the sum of its rivals; without rivals it is."""
    rivals_mw = sum(10 ** (rival / 10) for rival in rivals_dbm)
    return rivals_mw <= 0 or rssi_dbm - 10 * math.log10(rivals_mw) >= capture_db - 1e-9


def aloha_delivery(load: float) -> float:
    """Return the delivery ratio of pure ALOHA without capture at load G, exp(-2 G)."""
    require(load >= 0, "load", load, "0 or more frames per frame time")
    return math.exp(-2 * load)
