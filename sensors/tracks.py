"""GPS tracks: a vehicle that drives between places along great circles, with stops."""

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise

from sensors.signals import MS_PER_S, Signal, SignalError, require_positive

EARTH_RADIUS_M = 6_371_008.8  # IUGG mean radius R1 (Moritz, Geodetic Reference System 1980)


@dataclass(frozen=True, slots=True)
class Waypoint:
    """A place in degrees, and how long to stop there."""

    lat: float
    lon: float
    stop_s: float = 0.0

    def __post_init__(self) -> None:
        if not -90 <= self.lat <= 90:
            raise SignalError("Waypoint", "lat", "degrees from -90 to 90", self.lat)
        if not -180 <= self.lon <= 180:
            raise SignalError("Waypoint", "lon", "degrees from -180 to 180", self.lon)
        if not (math.isfinite(self.stop_s) and self.stop_s >= 0):
            raise SignalError("Waypoint", "stop_s", "a finite number, at least 0", self.stop_s)


def distance_m(start: Waypoint, end: Waypoint) -> float:
    """Return the great-circle distance in m by the haversine formula (Sinnott, Sky and Telescope 68, 1984)."""
    lat1, lat2 = math.radians(start.lat), math.radians(end.lat)
    half_lon = math.radians(end.lon - start.lon) / 2
    h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin(half_lon) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(h)))


@dataclass(frozen=True, slots=True)
class Track:
    """A drive from the first waypoint to the last at `speed_m_s`, and back to the first and round again if `loop`.

    Each leg starts after the stop at its first waypoint. Before `start_ms` the vehicle is at the first waypoint;
    without `loop` it stays at the last one.
    """

    waypoints: tuple[Waypoint, ...]
    speed_m_s: float
    start_ms: int = 0
    loop: bool = True
    _legs: tuple[tuple[float, float, Waypoint, Waypoint], ...] = field(init=False, repr=False)
    _round_ms: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require_positive(self, speed_m_s=self.speed_m_s)
        if len(self.waypoints) < 2:
            raise SignalError("Track", "waypoints", "at least two", len(self.waypoints))
        legs = []
        clock_ms = 0.0
        stops = (*self.waypoints, self.waypoints[0]) if self.loop else self.waypoints
        for start, end in pairwise(stops):
            leaves_ms = clock_ms + start.stop_s * MS_PER_S
            drive_ms = distance_m(start, end) / self.speed_m_s * MS_PER_S
            legs.append((clock_ms, leaves_ms, start, end))
            clock_ms = leaves_ms + drive_ms
        if not clock_ms > 0:
            raise SignalError("Track", "waypoints", "at least two different places", self.waypoints)
        object.__setattr__(self, "_legs", tuple(legs))
        object.__setattr__(self, "_round_ms", clock_ms)

    @property
    def round_s(self) -> float:
        """The time of one round (or of the one way), stops included."""
        return self._round_ms / MS_PER_S

    def position(self, at_ms: int) -> tuple[float, float]:
        """Return latitude and longitude in degrees at `at_ms`."""
        start, end, part = self._leg(at_ms)
        return (start.lat, start.lon) if part == 0 else _between(start, end, part)

    def is_moving(self, at_ms: int) -> bool:
        """Whether the vehicle drives at `at_ms`."""
        return at_ms >= self.start_ms and 0 < self._leg(at_ms)[2] < 1

    def _leg(self, at_ms: int) -> tuple[Waypoint, Waypoint, float]:
        """Return the leg at `at_ms`, and how much of it lies behind (0 to 1)."""
        clock_ms: float = max(at_ms - self.start_ms, 0)
        clock_ms = clock_ms % self._round_ms if self.loop else min(clock_ms, self._round_ms)
        number = bisect_right(self._legs, clock_ms, key=lambda leg: leg[0]) - 1
        _, leaves_ms, start, end = self._legs[number]
        arrives_ms = self._legs[number + 1][0] if number + 1 < len(self._legs) else self._round_ms
        if clock_ms <= leaves_ms or arrives_ms <= leaves_ms:
            return start, end, 0.0
        return start, end, min((clock_ms - leaves_ms) / (arrives_ms - leaves_ms), 1.0)

    @property
    def latitude(self) -> Signal:
        """Latitude in degrees (unit lat)."""
        return _TrackAxis(self, 0)

    @property
    def longitude(self) -> Signal:
        """Longitude in degrees (unit lon)."""
        return _TrackAxis(self, 1)

    @property
    def speed(self) -> Signal:
        """Speed over ground in m/s: `speed_m_s` while it drives, else 0."""
        return _TrackSpeed(self)


@dataclass(frozen=True, slots=True)
class _TrackSpeed:
    track: Track

    def value(self, at_ms: int) -> float:
        return self.track.speed_m_s if self.track.is_moving(at_ms) else 0.0


@dataclass(frozen=True, slots=True)
class _TrackAxis:
    track: Track
    axis: int

    def value(self, at_ms: int) -> float:
        return self.track.position(at_ms)[self.axis]


def _between(start: Waypoint, end: Waypoint, part: float) -> tuple[float, float]:
    """Return the point that lies `part` (0 to 1) of the way along the great circle."""
    angle = distance_m(start, end) / EARTH_RADIUS_M
    a = math.sin((1 - part) * angle) / math.sin(angle)
    b = math.sin(part * angle) / math.sin(angle)
    lat1, lon1, lat2, lon2 = map(math.radians, (start.lat, start.lon, end.lat, end.lon))
    x = a * math.cos(lat1) * math.cos(lon1) + b * math.cos(lat2) * math.cos(lon2)
    y = a * math.cos(lat1) * math.sin(lon1) + b * math.cos(lat2) * math.sin(lon2)
    z = a * math.sin(lat1) + b * math.sin(lat2)
    return math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))
