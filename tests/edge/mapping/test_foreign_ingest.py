"""Foreign devices at ingest: numbering, repeats, retained messages, and no ack."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edge.desk import STORE_FILE, Desk
from edge.ingest import Message
from edge.mapping import recent
from edge.mqtt.framing import parse_publish
from edge.store import StoreFailed
from sensors.reading import FOREIGN_BOOT, Reading, Value
from sensors.senml import encode
from sensors.topics import TO_DEVICES, Kind, build_topic
from tests.edge.kit import SITE, T0_MS, message, open_desk, reading
from tests.edge.mapping.kit import STATION, THERMOMETER, rules

RULES = rules(THERMOMETER + STATION)
TIMED = b'{"ts":1700000000,"is raining":true}'


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path, mapping=RULES)
    yield opened
    opened.store.close()


def number(payload: bytes = b"21.5", *, packet_id: int | None = 7, again: bool = False, device: str = "t1") -> Message:
    return Message(f"plant/{SITE}/{device}/temp", payload, packet_id=packet_id, redelivered=again)


def timed(payload: bytes = TIMED) -> Message:
    return Message("weather/w1", payload, packet_id=1)


def stored(desk: Desk, *messages: Message) -> tuple[int, int]:
    ingested, _ = desk.take_in(messages, 0, T0_MS)
    return ingested.stored, ingested.duplicates


EVERYTHING = """
[[mapping]]
name = "everything"
topic = "#"
payload = "number"
site = "plant"
device = "any"
[[mapping.value]]
name = "x"
"""


@pytest.mark.parametrize("kind", TO_DEVICES)
def test_a_rule_over_everything_takes_nothing_of_what_the_gateway_says_itself(tmp_path: Path, kind: Kind) -> None:
    everywhere = open_desk(tmp_path, mapping=rules(EVERYTHING))
    heard = Message(build_topic(SITE, "d1", kind), b"7", packet_id=3, retained=kind is Kind.CMD)
    ingested, downlinks = everywhere.take_in([heard], 0, T0_MS)
    assert (ingested.stored, ingested.undecodable, downlinks) == (0, 0, [])
    assert (everywhere.store.head, everywhere.store.device_count) == (0, 0)
    everywhere.store.close()


def crash(desk: Desk, tmp_path: Path) -> Desk:
    """What a `kill -9` leaves: the file, without a last word."""
    desk.store.close()
    return open_desk(tmp_path, mapping=RULES)


def test_foreign_readings_are_numbered_by_the_gateway_on_a_boot_of_its_own(desk: Desk) -> None:
    assert stored(desk, number(b"1"), number(b"2"), number(b"3", device="t2")) == (3, 0)
    entries = desk.store.read(0, 10).entries
    assert [(entry.reading.device, entry.reading.boot, entry.reading.seq) for entry in entries] == [
        ("t1", FOREIGN_BOOT, 0),
        ("t1", FOREIGN_BOOT, 1),
        ("t2", FOREIGN_BOOT, 0),
    ]
    values = (Value("temperature", 1.0, "Cel"),)
    assert entries[0].reading == Reading("t1", FOREIGN_BOOT, 0, T0_MS, values, synced=False)


def test_numbering_goes_on_after_a_crash(desk: Desk, tmp_path: Path) -> None:
    stored(desk, number(b"1"), number(b"2"))
    again = crash(desk, tmp_path)
    stored(again, number(b"3"))
    assert [entry.reading.seq for entry in again.store.read(0, 10).entries] == [0, 1, 2]
    again.store.close()


def test_a_foreign_device_is_never_sent_an_ack_or_asked_for_anything(desk: Desk) -> None:
    for at in range(20):
        _, downlinks = desk.take_in([number(b"%d" % at), timed()], at * 10_000, T0_MS)
        assert downlinks == []
        assert desk.owed(at * 10_000 + 5_000) == []


def test_a_native_device_cannot_claim_the_gateway_s_boot(desk: Desk) -> None:
    ingested, _ = desk.take_in([message(reading(0, boot=FOREIGN_BOOT))], 0, T0_MS)
    assert (ingested.stored, ingested.undecodable) == (0, 1)
    assert encode([reading(0, boot=FOREIGN_BOOT - 1)], sent_at_ms=T0_MS)


def test_equal_numbers_that_are_not_marked_as_redelivered_are_readings_of_their_own(desk: Desk) -> None:
    assert stored(desk, number(), number(), number(packet_id=8)) == (3, 0)


def test_a_redelivered_message_is_a_repeat_only_if_it_was_taken(desk: Desk, tmp_path: Path) -> None:
    assert stored(desk, number()) == (1, 0)
    again = crash(desk, tmp_path)
    assert stored(again, number(again=True)) == (0, 1)
    assert stored(again, number(again=True, packet_id=8)) == (1, 0)
    assert stored(again, number(b"22", again=True)) == (1, 0)
    assert stored(again, number(again=True, device="t2")) == (1, 0)
    assert stored(again, number(packet_id=None, again=True)) == (1, 0)
    assert again.ledger.totals["duplicates"] == 1
    again.store.close()


def test_what_a_device_sends_again_with_its_own_time_is_a_repeat_whatever_the_broker_says(
    desk: Desk, tmp_path: Path
) -> None:
    assert stored(desk, timed(), timed()) == (1, 1)
    again = crash(desk, tmp_path)
    assert stored(again, timed()) == (0, 1)
    assert stored(again, timed(TIMED.replace(b"000,", b"001,"))) == (1, 0)
    again.store.close()


def test_what_a_failed_commit_took_is_not_remembered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(desk.ledger, "checkpoint_due", fail)
        with pytest.raises(StoreFailed):
            desk.take_in([timed(), number()], 0, T0_MS)
    assert stored(desk, timed(), number(again=True)) == (2, 0)


def test_the_memory_of_repeats_is_bounded_in_store_and_memory_alike(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "RECENT_MAX", 10)
    for at in range(50):
        stored(desk, timed(b'{"ts":%d,"is raining":1}' % (1_700_000_000 + at)))
    assert desk.store.query("SELECT count(*) FROM foreign_seen") == [(10,)]
    assert stored(desk, timed(b'{"ts":1700000040,"is raining":1}')) == (0, 1)
    assert stored(desk, timed(b'{"ts":1700000039,"is raining":1}')) == (1, 0)


def test_a_retained_message_is_old_news_and_counted(desk: Desk) -> None:
    assert stored(desk, msgspec.structs.replace(number(), retained=True)) == (0, 0)
    assert desk.ledger.totals["retained"] == 1


def test_a_message_that_its_rule_cannot_read_is_kept_and_harms_nothing_else(desk: Desk, tmp_path: Path) -> None:
    ingested, _ = desk.take_in([number(b"1"), number(b"warm"), Message("plant/x", b"1"), number(b"2")], 0, T0_MS)
    assert (ingested.stored, ingested.undecodable) == (2, 2)
    with sqlite3.connect(tmp_path / STORE_FILE) as other:
        reasons = [row[0] for row in other.execute("SELECT reason FROM quarantine ORDER BY id")]
    other.close()
    assert "expected a number" in reasons[0]
    assert "no mapping rule" in reasons[1]


def test_the_ledger_balances_with_foreign_readings(desk: Desk) -> None:
    stored(desk, number(), number(b"x"), timed(), timed(), message(reading(0)))
    balance = desk.ledger.balance("influx")
    assert (balance.received, balance.held, balance.balances) == (3, 3, True)


@pytest.mark.parametrize(("first", "redelivered"), [(0x32, False), (0x3A, True)])
def test_the_broker_s_mark_of_a_redelivery_is_handed_on(first: int, redelivered: bool) -> None:
    received = parse_publish(first, b"\x00\x01a\x00\x07payload", has_properties=False)
    assert (received.redelivered, received.packet_id, received.payload) == (redelivered, 7, b"payload")
