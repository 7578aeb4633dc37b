"""The latest values and the rings: what is newest, what changed, and every bound."""

from pathlib import Path

import pytest

from edge import latest
from edge.latest import Latest
from sensors.reading import Reading, Value
from tests.edge.kit import T0_MS, message, open_desk, reading


def _names(count: int, seq: int = 0) -> Reading:
    return Reading("d1", 1, seq, T0_MS + seq, tuple(Value(f"v{at}", float(at)) for at in range(count)))


def test_the_newest_reading_gives_the_values() -> None:
    kept = Latest()
    kept.note([(1, reading(0)), (1, reading(1))], T0_MS)
    device = kept.get(1)
    assert device is not None
    assert device.values[("temperature", "Cel")].value == 1.0
    assert [recent.seq for recent in device.ring] == [0, 1]


def test_a_late_reading_joins_the_ring_and_is_never_shown_as_live() -> None:
    kept = Latest()
    kept.note([(1, reading(5))], T0_MS)
    kept.note([(1, reading(2))], T0_MS + 1)
    device = kept.get(1)
    assert device is not None
    assert (device.seq, device.values[("temperature", "Cel")].value) == (5, 5.0)
    assert [recent.seq for recent in device.ring] == [5, 2]


def test_a_device_that_set_its_clock_back_is_still_live() -> None:
    kept = Latest()
    kept.note([(1, Reading("d1", 1, 7, T0_MS + 10_000_000, (Value("v", 1.0),)))], T0_MS)
    kept.note([(1, Reading("d1", 1, 8, T0_MS, (Value("v", 2.0),)))], T0_MS)
    device = kept.get(1)
    assert device is not None
    assert device.values[("v", None)].value == 2.0


def test_values_of_other_readings_stay() -> None:
    kept = Latest()
    kept.note([(1, Reading("d1", 1, 0, T0_MS, (Value("battery_voltage", 3.6, "V"),))), (1, reading(1))], T0_MS)
    device = kept.get(1)
    assert device is not None
    assert device.number("battery_voltage") == (3.6, "V")
    assert device.number("temperature") == (1.0, "Cel")
    assert [recent.numbers for recent in device.ring] == [(3.6,), (None, 1.0)]


def test_only_what_changed_since_a_version_is_listed_last_heard_first() -> None:
    kept = Latest()
    kept.note([(1, reading(0)), (2, reading(0)), (3, reading(0))], T0_MS)
    seen = kept.version
    kept.note([(3, reading(1))], T0_MS)
    kept.note([(1, reading(1)), (1, reading(2))], T0_MS)
    assert [device.key for device in kept.changed_since(seen)] == [1, 3]
    assert list(kept.changed_since(kept.version)) == []
    device = kept.get(1)
    assert device is not None
    assert [recent.seq for recent in device.readings_since(seen)] == [1, 2]


def test_devices_are_bounded_and_the_one_not_heard_for_longest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest, "DEVICES_MAX", 2)
    kept = Latest()
    for key in (1, 2, 1, 3):
        kept.note([(key, reading(0))], T0_MS)
    assert kept.get(2) is None
    assert len(kept) == 2


def test_a_ring_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest, "RING_READINGS", 3)
    kept = Latest()
    kept.note([(1, reading(seq)) for seq in range(10)], T0_MS)
    device = kept.get(1)
    assert device is not None
    assert [recent.seq for recent in device.ring] == [7, 8, 9]


def test_all_rings_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest, "POINTS_MAX", 100)
    kept = Latest()
    for seq in range(50):
        kept.note([(key, reading(seq)) for key in range(1, 5)], T0_MS)
    rings = [device.ring for device in kept.changed_since(0)]
    assert 0 < sum(1 + len(recent.numbers) for ring in rings for recent in ring) <= 100
    assert all(ring[-1].seq == 49 for ring in rings)


def test_names_and_texts_of_a_device_are_bounded() -> None:
    kept = Latest()
    kept.note([(1, _names(latest.VALUES_MAX * 2))], T0_MS)
    kept.note([(1, Reading("d1", 1, 9, T0_MS + 9, (Value("text", "x" * 10_000),)))], T0_MS)
    device = kept.get(1)
    assert device is not None
    assert len(device.values) == latest.VALUES_MAX
    assert len(device.columns) == latest.VALUES_MAX
    assert len(str(device.values[("text", None)].value)) == latest.TEXT_CHARS_MAX


def test_a_desk_opened_again_remembers_the_end_of_the_log(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    desk.take_in([message(reading(0), reading(1))], T0_MS, T0_MS)
    assert desk.latest.version == 1
    desk.close()
    desk = open_desk(tmp_path)
    device = desk.latest.get(1)
    desk.close()
    assert device is not None
    assert device.seq == 1


def test_a_device_that_goes_gives_its_points_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest, "DEVICES_MAX", 2)
    monkeypatch.setattr(latest, "POINTS_MAX", 40)
    kept = Latest()
    for key in range(100):
        kept.note([(key, reading(seq)) for seq in range(5)], T0_MS)
    device = kept.get(99)
    assert device is not None
    assert len(device.ring) == 5
