"""The quarantine: look, retry after a rule was mended, purge."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.desk import Desk
from edge.forward.forwarder import Batch
from edge.forward.outcome import Refused
from edge.ingest import Message
from edge.quarantine import PREVIEW_BYTES, RetryOutcome, item_document
from sensors.reading import FOREIGN_BOOT
from tests.edge.kit import T0_MS, message, open_desk, reading
from tests.edge.mapping.kit import THERMOMETER, rules

UNMAPPED = "no mapping rule takes the topic"
LATER_MS = T0_MS + 3_600_000


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk with two unknown messages and a bad one in quarantine, opened again with a rule for the first two."""
    before = open_desk(tmp_path)
    unknown = [Message(f"plant/hall/t{at}/temp", b"21.5") for at in (1, 2)]
    before.take_in([*unknown, Message(b"\xff", b"\x00\x01")], 0, T0_MS)
    before.close()
    opened = open_desk(tmp_path, mapping=rules(THERMOMETER))
    yield opened
    opened.store.close()


def test_items_are_listed_in_order_page_by_page(desk: Desk) -> None:
    quarantine = desk.quarantine
    assert [item.id for item in quarantine.items()] == [1, 2, 3]
    assert [item.id for item in quarantine.items(after_id=1, limit=1)] == [2]
    assert quarantine.count() == 3


def test_the_newest_are_listed_first_page_by_page_and_by_reason(desk: Desk) -> None:
    quarantine = desk.quarantine
    assert [item.id for item in quarantine.newest()] == [3, 2, 1]
    assert [item.id for item in quarantine.newest(before_id=3, limit=1)] == [2]
    assert [item.id for item in quarantine.newest(reason=UNMAPPED)] == [2, 1]
    assert quarantine.newest(reason="another' OR '1'='1") == []


def test_reasons_are_summed_up_the_most_frequent_first(desk: Desk) -> None:
    often, seldom = desk.quarantine.reasons()
    assert (often.count, often.reason, often.newest_ms) == (2, UNMAPPED, T0_MS)
    assert (seldom.count, seldom.reason) == (1, desk.quarantine.items()[2].reason)


def test_all_of_a_reason_are_purged_and_counted_and_the_others_stay(desk: Desk) -> None:
    assert desk.quarantine.purge(None, "nobody's reason") == 0
    assert desk.quarantine.purge(None, UNMAPPED) == 2
    assert [item.id for item in desk.quarantine.items()] == [3]
    assert desk.ledger.totals["purged"] == 2


def test_a_list_holds_the_beginning_of_a_long_payload_and_an_item_the_whole(desk: Desk) -> None:
    payload = b"x" * 5000
    desk.take_in([Message("long", payload)], 0, T0_MS)
    listed = desk.quarantine.items(after_id=3)[0]
    assert (listed.payload, listed.payload_bytes) == (payload[:PREVIEW_BYTES], 5000)
    item = desk.quarantine.item(4)
    assert item is not None
    assert item.payload == payload


def test_bytes_that_are_no_text_are_shown_safely(desk: Desk) -> None:
    item = desk.quarantine.item(3)
    assert item is not None
    document = item_document(item)
    assert (document["topic"], document["payload_base64"]) == ("\\xff", "AAE=")


def test_a_retry_takes_a_message_in_as_received_when_it_first_came(desk: Desk) -> None:
    (done,) = desk.quarantine.retry([1])
    assert (done.outcome, done.stored) == (RetryOutcome.TAKEN, 1)
    (entry,) = desk.store.read(0, 10).entries
    assert (entry.reading.device, entry.reading.boot, entry.received_at_ms) == ("t1", FOREIGN_BOOT, T0_MS)
    assert entry.reading.taken_at_ms == T0_MS
    assert [item.id for item in desk.quarantine.items()] == [2, 3]
    assert desk.ledger.totals["retried"] == 1
    assert desk.ledger.balance("influx").balances


def test_what_is_still_not_understood_stays_and_harms_no_other_retry(desk: Desk) -> None:
    outcomes = [each.outcome for each in desk.quarantine.retry([3, 1, 99, 1])]
    assert outcomes == [RetryOutcome.STILL_BAD, RetryOutcome.TAKEN, RetryOutcome.UNKNOWN]
    assert [item.id for item in desk.quarantine.items()] == [2, 3]
    assert desk.store.head == 1


def test_a_retried_native_message_that_came_again_meanwhile_is_a_duplicate(tmp_path: Path) -> None:
    with_limit = open_desk(tmp_path)
    native = message(reading(0))
    with_limit.take_in([native], 0, T0_MS)
    with with_limit.store.transaction():
        assert isinstance(native.topic, str)
        with_limit.store.quarantine(
            at_ms=T0_MS, source="ingest", reason="", topic=native.topic.encode(), payload=native.payload
        )
    (done,) = with_limit.quarantine.retry([1])
    assert (done.stored, done.duplicates) == (0, 1)
    with_limit.store.close()


def test_a_purge_is_counted(desk: Desk) -> None:
    assert desk.quarantine.purge([1, 77]) == 1
    assert desk.quarantine.purge(None) == 2
    assert desk.quarantine.purge(None) == 0
    assert desk.ledger.totals["purged"] == 3


def test_a_purged_reading_that_the_cloud_refused_never_counts_as_delivered(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    desk.take_in([message(reading(0))], 0, T0_MS)
    batch = desk.next_batch(0)
    assert isinstance(batch, Batch)
    desk.settle(batch, Refused(400, "bad"), 0, LATER_MS)
    (item,) = desk.quarantine.items()
    (done,) = desk.quarantine.retry([item.id])
    assert done.outcome is RetryOutcome.NOT_A_MESSAGE
    desk.quarantine.purge([item.id])
    desk.store.close()  # as after a crash: nothing more is written
    again = open_desk(tmp_path)
    balance = again.ledger.balance("influx")
    assert (balance.received, balance.delivered, balance.quarantined, balance.balances) == (1, 0, 1, True)
    again.store.close()
