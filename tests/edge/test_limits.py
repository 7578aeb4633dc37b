"""Limits: what goes over one is kept, counted, and harms nobody else."""

from pathlib import Path

import pytest

from edge.desk import Desk
from edge.feedback import ACK_EVERY_MS, Downlink
from edge.ingest import Message
from edge.limits import Limits, Throttle
from edge.store import StoreFailed
from sensors.messages import Ack, LostRange, State, encode
from sensors.reading import Reading, Value
from sensors.topics import Kind, build_topic
from tests.edge.kit import SITE, T0_MS, message, open_desk, reading
from tests.edge.mapping.kit import THERMOMETER, rules


def desk_with(tmp_path: Path, **limits: float) -> Desk:
    return open_desk(tmp_path, mapping=rules(THERMOMETER), limits=Limits(**limits))  # type: ignore[arg-type]


def named(seq: int, *names: str) -> Reading:
    return Reading("d1", 1, seq, T0_MS, tuple(Value(name, 1.0) for name in names))


def ack(seq: int, device: str = "d1") -> Downlink:
    return Downlink(build_topic(SITE, device, Kind.ACK), encode(Ack(((1, seq),))))


def test_one_device_too_many_is_quarantined_and_the_known_ones_go_on(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, devices_max=2)
    state = Message(
        build_topic(SITE, "d4", Kind.STATE), encode(State(online=True, lost=(LostRange(1, 0, 0, "acked"),)))
    )
    foreign = Message("plant/hall/t1/temp", b"1")
    known = [message(reading(0)), message(reading(0, device="d2"))]
    third, later = message(reading(0, device="d3")), message(reading(1))
    ingested, _ = desk.take_in([*known, third, state, foreign, later], 0, T0_MS)
    assert (ingested.stored, ingested.undecodable, desk.store.device_count) == (3, 3, 2)
    assert desk.ledger.totals["over_devices"] == 3
    assert "limits.devices_max" in desk.quarantine.items()[0].reason
    desk.close()
    wider = desk_with(tmp_path, devices_max=3)
    assert wider.quarantine.retry([1])[0].stored == 1
    wider.store.close()


def test_a_cardinality_bomb_is_quarantined_and_the_device_s_known_series_go_on(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, series_per_device_max=3)
    bomb = message(named(1, "c", "d"))
    ingested, downlinks = desk.take_in([message(named(0, "a", "b")), bomb, message(named(2, "a", "c"))], 0, T0_MS)
    assert (ingested.stored, ingested.undecodable) == (2, 1)
    assert desk.ledger.totals["over_series"] == 1
    assert downlinks == [ack(2)]
    desk.close()
    again = desk_with(tmp_path, series_per_device_max=3)
    assert again.take_in([message(named(3, "d"))], 0, T0_MS)[0].undecodable == 1
    again.close()
    wider = desk_with(tmp_path, series_per_device_max=4)
    assert [each.stored for each in wider.quarantine.retry([1, 2])] == [1, 1]
    assert wider.ledger.balance("influx").received == 4
    wider.store.close()


def test_a_unit_makes_another_series(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, series_per_device_max=1)
    metres, feet = (Reading("d1", 1, at, T0_MS, (Value("level", 1.0, unit),)) for at, unit in enumerate(("m", None)))
    assert desk.take_in([message(metres), message(feet)], 0, T0_MS)[0].undecodable == 1
    desk.store.close()


def test_series_of_a_failed_commit_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_with(tmp_path, series_per_device_max=1)

    def fail(*_: object) -> None:
        raise StoreFailed("disk")

    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "append", fail)
        with pytest.raises(StoreFailed):
            desk.take_in([message(named(0, "a"))], 0, T0_MS)
    assert desk.take_in([message(named(0, "b"))], 0, T0_MS)[0].stored == 1
    desk.store.close()


def test_a_device_over_its_rate_is_stored_and_its_ack_withheld_until_it_has_recovered(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, readings_per_s_per_device=10, readings_burst_per_device=20)
    flood = message(*(reading(seq) for seq in range(25)))
    ingested, downlinks = desk.take_in([flood, message(reading(0, device="d2"))], 0, T0_MS)
    assert ingested.stored == 26
    assert downlinks == [ack(0, "d2")]
    assert desk.standing(0, T0_MS).throttled_devices == 1
    assert desk.owed(499) == []
    assert desk.owed(500) == [ack(24)]
    after = desk.standing(500, T0_MS)
    assert (after.throttled_devices, after.throttled) == (0, 1)
    desk.store.close()


def test_a_device_within_its_burst_hears_its_acks(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, readings_per_s_per_device=10, readings_burst_per_device=20)
    for turn in range(10):
        _, downlinks = desk.take_in([message(reading(turn))], turn * ACK_EVERY_MS, T0_MS)
        assert downlinks == [ack(turn)]
    desk.store.close()


def test_debt_is_bounded_so_that_nobody_is_silenced_for_ever() -> None:
    throttle = Throttle(10, 20)
    throttle.note({1: 10**9}, 0)
    assert not throttle.is_open(1, 1999)
    assert throttle.is_open(1, 2000)
    assert throttle.throttled == 1


def test_a_full_bucket_is_forgotten() -> None:
    throttle = Throttle(10, 20)
    throttle.note({1: 5}, 0)
    assert throttle.is_open(1, 1000)
    assert throttle._buckets == {}
