"""Who survives when LoRa frames overlap on a channel.

Two frames interfere when they share frequency and spreading factor and overlap in time; the stronger one survives if
it is at least 6 dB above the sum of its interferers (capture), otherwise both are lost. Different spreading factors
are taken as orthogonal.
Sources: Bor, Roedig, Voigt, Alonso, "Do LoRa low-power wide-area networks scale?", MSWiM 2016 (LoRaSim); capture 6
dB: Goursaud and Gorce 2015. Pure ALOHA: N. Abramson, AFIPS 1970: with load G (mean frames per frame time) a frame
gets through with exp(-2 G).

`Ether` does the same while devices live: frames are put on the air one by one, by their start or a little out of
order, and each `Transmission` can say at its end whether it survived.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from firmware_sim.radio.errors import require

CAPTURE_DB = 6.0

ETHER_FRAMES_MAX = 65_536
"""Frames that a channel remembers at one spreading factor: an hour of 10,000 devices that send every ten minutes."""


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


@dataclass(slots=True)
class Transmission:
    """A frame on the air, and the power of all that overlap with it, as far as they are known by now."""

    frame: AirFrame
    rivals_dbm: list[float] = field(default_factory=list)
    capture_db: float = CAPTURE_DB

    def survives(self) -> bool:
        """Say whether the gateway could hear it; final once every frame that starts before its end is on the air."""
        return not self.rivals_dbm or captures(self.frame.rssi_dbm, self.rivals_dbm, self.capture_db)


class Ether:
    """The air about one gateway."""

    def __init__(self, capture_db: float = CAPTURE_DB) -> None:
        self._capture_db = capture_db
        self._sent: dict[tuple[int, int], list[Transmission]] = {}
        self._longest_us: dict[tuple[int, int], int] = {}

    def send(self, frame: AirFrame) -> Transmission:
        """Put a frame on the air; it and those it overlaps with learn of each other."""
        key = frame.sf, frame.frequency_hz
        sent = self._sent.setdefault(key, [])
        longest_us = self._longest_us[key] = max(self._longest_us.get(key, 0), frame.end_us - frame.start_us)
        mine = Transmission(frame, capture_db=self._capture_db)
        for at in range(bisect_left(sent, frame.start_us - longest_us, key=_start_us), len(sent)):
            other = sent[at]
            if other.frame.start_us >= frame.end_us:
                break
            if other.frame.end_us > frame.start_us:
                mine.rivals_dbm.append(other.frame.rssi_dbm)
                other.rivals_dbm.append(frame.rssi_dbm)
        insort(sent, mine, key=_start_us)
        if len(sent) > ETHER_FRAMES_MAX:
            del sent[: ETHER_FRAMES_MAX // 2]
        return mine


def _start_us(sent: Transmission) -> int:
    return sent.frame.start_us


def aloha_delivery(load: float) -> float:
    """Return the delivery ratio of pure ALOHA without capture at load G, exp(-2 G)."""
    require(load >= 0, "load", load, "0 or more frames per frame time")
    return math.exp(-2 * load)
