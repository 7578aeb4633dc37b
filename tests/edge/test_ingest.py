"""Ingest: what is committed, what is recognised, what goes to quarantine, and what the device hears."""

import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from edge.desk import STORE_FILE, Desk
from edge.feedback import ACK_EVERY_MS, RESEND_AFTER_MS, Downlink
from edge.ingest import Message
from edge.store import StoreFailed
from sensors.messages import Ack, LostRange, Resend, State, encode
from sensors.topics import Kind, build_topic
from tests.edge.kit import SITE, T0_MS, message, open_desk, reading


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path)
    yield opened
    opened.store.close()


def downlink(kind: Kind, content: Ack | Resend, device: str = "d1") -> Downlink:
    return Downlink(build_topic(SITE, device, kind), encode(content))


def state(lost: tuple[LostRange, ...], device: str = "d1") -> Message:
    return Message(build_topic(SITE, device, Kind.STATE), encode(State(online=True, boot=1, lost=lost)))


def test_a_batch_is_in_the_log_when_take_in_returns(desk: Desk, tmp_path: Path) -> None:
    ingested, downlinks = desk.take_in([message(reading(0), reading(1)), message(reading(2))], 0, T0_MS)
    assert ingested.stored == 3
    assert downlinks == [downlink(Kind.ACK, Ack(((1, 2),)))]
    with sqlite3.connect(tmp_path / STORE_FILE) as other:
        assert other.execute("SELECT seq FROM readings ORDER BY id").fetchall() == [(0,), (1,), (2,)]
    other.close()


def test_a_duplicate_is_counted_not_stored_and_acknowledged_again(desk: Desk) -> None:
    desk.take_in([message(reading(0))], 0, T0_MS)
    ingested, downlinks = desk.take_in([message(reading(0)), message(reading(0))], ACK_EVERY_MS, T0_MS)
    assert (ingested.stored, ingested.duplicates) == (0, 2)
    assert downlinks == [downlink(Kind.ACK, Ack(((1, 0),)))]
    assert desk.ledger.totals["received"] == 1
    assert desk.store.head == 1


def test_one_name_at_two_sites_is_two_devices(desk: Desk) -> None:
    ingested, _ = desk.take_in([message(reading(0)), message(reading(0), site="barn")], 0, T0_MS)
    assert ingested.stored == 2
    assert desk.store.device_count == 2


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        (b"tidegate/v1/\xff/d/reading", b"x", "not UTF-8"),
        ("other/topic", b"x", "no mapping rule"),
        ("tidegate/v1/s/d/nonsense", b"x", "kind"),
        ("tidegate/v1/s/d\u0007/reading", b"[]", "control"),
        ("tidegate/v1/s/d/reading", b"", "empty"),
        ("tidegate/v1/s/d/reading", b"not json", "SenML"),
        ("tidegate/v1/s/d/reading", b"\x9f" * 2000, "CBOR"),
        ("tidegate/v1/s/d/reading", b"[" * 100_000, "SenML"),
        ("tidegate/v1/s/d/reading", b'[{"n":"t","v":1}]', "seq is missing"),
        ("tidegate/v1/s/d/reading", b" " * 100_001, "at most 100000"),
        ("tidegate/v1/s/d/state", b'{"online":"yes"}', "state"),
    ],
)
def test_what_cannot_be_understood_is_kept_with_its_reason_and_harms_nothing_else(
    desk: Desk, tmp_path: Path, topic: str | bytes, payload: bytes, reason: str
) -> None:
    ingested, _ = desk.take_in([message(reading(0)), Message(topic, payload), message(reading(1))], 0, T0_MS)
    assert (ingested.stored, ingested.undecodable) == (2, 1)
    with sqlite3.connect(tmp_path / STORE_FILE) as other:
        rows = other.execute("SELECT topic, payload, reason, at_ms FROM quarantine").fetchall()
    other.close()
    assert len(rows) == 1
    raw_topic = topic if isinstance(topic, bytes) else topic.encode()
    assert (rows[0][0], rows[0][1], rows[0][3]) == (raw_topic, payload, T0_MS)
    assert reason in rows[0][2]


def test_a_failed_commit_keeps_nothing_and_the_batch_can_be_taken_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.take_in([message(reading(0))], 0, T0_MS)

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "append", fail)
        with pytest.raises(StoreFailed):
            desk.take_in([message(reading(1)), message(reading(0, device="d2"))], 0, T0_MS)
    ingested, _ = desk.take_in([message(reading(1)), message(reading(0, device="d2"))], 0, T0_MS)
    assert (ingested.stored, ingested.duplicates) == (2, 0)
    assert desk.ledger.totals["received"] == 3
    assert desk.store.head == 3


def test_an_ack_never_passes_a_gap(desk: Desk) -> None:
    _, downlinks = desk.take_in([message(reading(0)), message(reading(2))], 0, T0_MS)
    assert downlinks == [downlink(Kind.ACK, Ack(((1, 0),)))]


def test_acks_of_a_busy_device_are_coalesced_and_the_last_is_never_left_out(desk: Desk) -> None:
    heard = [desk.take_in([message(reading(seq))], seq * 10, T0_MS)[1] for seq in range(10)]
    assert heard[0] == [downlink(Kind.ACK, Ack(((1, 0),)))]
    assert not any(heard[1:])
    assert desk.owed(ACK_EVERY_MS - 1) == []
    assert desk.owed(ACK_EVERY_MS) == [downlink(Kind.ACK, Ack(((1, 9),)))]
    assert desk.owed(10 * ACK_EVERY_MS) == []


def test_a_gap_that_stays_is_asked_for_ever_more_rarely(desk: Desk) -> None:
    asked_at_ms = []
    for now_ms in range(0, 60_000, 1000):
        _, downlinks = desk.take_in([message(reading(0), reading(3))], now_ms, T0_MS)
        if downlink(Kind.RESEND, Resend(((1, 1, 2),))) in downlinks:
            asked_at_ms.append(now_ms)
    assert asked_at_ms[0] == RESEND_AFTER_MS
    pauses = [later - earlier for earlier, later in pairwise(asked_at_ms)]
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 4 * RESEND_AFTER_MS


def test_what_a_device_lost_no_longer_holds_up_its_ack(desk: Desk) -> None:
    desk.take_in([message(reading(0), reading(4))], 0, T0_MS)
    _, downlinks = desk.take_in([state((LostRange(1, 1, 3, "evicted"),))], ACK_EVERY_MS, T0_MS)
    assert downlinks == [downlink(Kind.ACK, Ack(((1, 4),)))]
    assert desk.ledger.totals["lost"] == 3
    assert desk.ledger.missing(1, 1) == []


def test_a_device_cannot_declare_lost_what_the_gateway_holds(desk: Desk) -> None:
    desk.take_in([message(reading(0), reading(2))], 0, T0_MS)
    for _ in range(2):
        desk.take_in([state((LostRange(1, 0, 2, "corrupt"),))], 0, T0_MS)
    assert desk.ledger.totals["lost"] == 1


def test_a_reading_that_was_declared_lost_and_comes_after_all_is_stored(desk: Desk) -> None:
    desk.take_in([state((LostRange(1, 0, 0, "corrupt"),))], 0, T0_MS)
    ingested, _ = desk.take_in([message(reading(0))], 0, T0_MS)
    assert ingested.stored == 1
