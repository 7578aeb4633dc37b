"""GPS tracks: published distances, constant speed, stops and rounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.signals import SignalError
from sensors.tracks import EARTH_RADIUS_M, Track, Waypoint, distance_m

BERLIN = Waypoint(52.52, 13.405, stop_s=600.0)
HAMBURG = Waypoint(53.5511, 9.9937, stop_s=300.0)
KIEL = Waypoint(54.3233, 10.1228)


def test_nashville_to_los_angeles_is_the_published_distance() -> None:
    """Source: Rosetta Code, Haversine formula: 2887.2599 km for a radius of 6372.8 km, less 0.028 % by R1's radius."""
    distance = distance_m(Waypoint(36.12, -86.67), Waypoint(33.94, -118.40))
    assert distance == pytest.approx(2_887_259.95 * EARTH_RADIUS_M / 6_372_800, rel=1e-6)


def test_a_quarter_of_the_equator_is_a_quarter_of_the_circle() -> None:
    assert distance_m(Waypoint(0, 0), Waypoint(0, 90)) == pytest.approx(EARTH_RADIUS_M * 3.141592653589793 / 2)


@given(st.floats(0, 0.999), st.booleans())
def test_a_vehicle_moves_at_its_speed_or_stands(part: float, loop: bool) -> None:
    track = Track((BERLIN, HAMBURG, KIEL), speed_m_s=25.0, loop=loop)
    at_ms = round(part * track.round_s * 1_000)
    here, there = (Waypoint(*track.position(ms)) for ms in (at_ms, at_ms + 10_000))
    assert distance_m(here, there) <= 250.1


def test_legs_are_driven_in_time_after_their_stops() -> None:
    track = Track((BERLIN, HAMBURG), speed_m_s=25.0, start_ms=5_000, loop=False)
    drive_s = distance_m(BERLIN, HAMBURG) / 25.0
    assert track.round_s == pytest.approx(600 + drive_s)
    assert track.position(0) == track.position(5_000 + 600_000) == (BERLIN.lat, BERLIN.lon)
    lat, lon = track.position(5_000 + 600_000 + round(drive_s * 500))
    halfway = Waypoint(lat, lon)
    assert distance_m(BERLIN, halfway) == pytest.approx(distance_m(halfway, HAMBURG), abs=1)
    assert list(track.position(10**12)) == pytest.approx([HAMBURG.lat, HAMBURG.lon])


def test_a_round_repeats() -> None:
    track = Track((BERLIN, HAMBURG, KIEL), speed_m_s=20.0)
    for second in range(0, 20_000, 777):
        first = track.position(second * 1_000)
        again = track.position(second * 1_000 + round(track.round_s * 1_000))
        assert list(again) == pytest.approx(list(first), abs=1e-5)


def test_latitude_and_longitude_are_signals_of_one_place() -> None:
    track = Track((BERLIN, HAMBURG), speed_m_s=20.0)
    at_ms = 4_000_000
    assert (track.latitude.value(at_ms), track.longitude.value(at_ms)) == track.position(at_ms)


def test_a_place_named_twice_is_only_a_longer_stop() -> None:
    track = Track((BERLIN, BERLIN, HAMBURG), speed_m_s=20.0, loop=False)
    assert track.position(1_200_000) == (BERLIN.lat, BERLIN.lon)
    assert track.position(1_300_000) != (BERLIN.lat, BERLIN.lon)


def test_senseless_tracks_are_refused_by_name() -> None:
    with pytest.raises(SignalError, match="lat"):
        Waypoint(91, 0)
    with pytest.raises(SignalError, match="lon"):
        Waypoint(0, 181)
    with pytest.raises(SignalError, match="stop_s"):
        Waypoint(0, 0, -1.0)
    with pytest.raises(SignalError, match="at least two"):
        Track((BERLIN,), 1.0)
    with pytest.raises(SignalError, match="different"):
        Track((KIEL, KIEL), 1.0)
