"""Rows and pages: equal to the ledger, sorted and paged as asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.dashboard.directory import CHANGED_MAX, RANGES_MAX, READERS, Directory
from edge.dashboard.documents import DevicesChanged
from edge.dashboard.entries import Entry, Query, Sums, select
from edge.desk import Desk
from edge.forward.forwarder import Batch
from edge.forward.outcome import Accepted
from edge.ingest import Message
from edge.intervals import Intervals
from sensors.messages import LostRange, State, encode
from sensors.reading import Reading, Value
from sensors.topics import Kind, build_topic
from tests.edge.kit import SITE, T0_MS, message, open_desk, reading


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path, batch_rows=2)
    yield opened
    opened.close()


def _deliver_one_batch(desk: Desk) -> None:
    batch = desk.next_batch(0)
    assert isinstance(batch, Batch)
    desk.settle(batch, Accepted(), 0, T0_MS)


def test_a_row_says_what_the_ledger_says(desk: Desk) -> None:
    desk.take_in([message(*(reading(seq) for seq in (0, 1, 2, 5, 6)))], 0, T0_MS)
    state = State(online=True, lost=(LostRange(1, 3, 3, "evicted"),))
    desk.take_in([Message(build_topic(SITE, "d1", Kind.STATE), encode(state))], 0, T0_MS)
    _deliver_one_batch(desk)
    row = Directory(desk).rows([1])[0]
    assert (row.received, row.missing, row.lost, row.held, row.quarantined) == (5, 1, 1, 3, 0)
    assert (row.site, row.device, row.boot, row.seq, row.last_seen_ms) == (SITE, "d1", 1, 6, T0_MS)


def test_a_detail_has_every_seq_in_one_class(desk: Desk) -> None:
    desk.take_in([message(*(reading(seq) for seq in (0, 1, 2, 5, 6)))], 0, T0_MS)
    _deliver_one_batch(desk)
    detail = Directory(desk).device(1)
    assert detail is not None
    boot = detail.boots[0]
    assert (boot.delivered.ranges, boot.held.ranges, boot.missing.ranges) == ([(0, 1)], [(2, 2), (5, 6)], [(3, 4)])
    assert detail.readings.seq == [0, 1, 2, 5, 6]
    assert detail.readings.numbers == [[0.0, 1.0, 2.0, 5.0, 6.0]]


def test_boots_come_newest_first(desk: Desk) -> None:
    desk.take_in([message(reading(0, boot=boot)) for boot in (1, 3, 2)], 0, T0_MS)
    detail = Directory(desk).device(1)
    assert detail is not None
    assert [boot.boot for boot in detail.boots] == [3, 2, 1]


def test_what_a_policy_gave_up_is_told_apart(desk: Desk) -> None:
    desk.take_in([message(*(reading(seq) for seq in range(6)))], 0, T0_MS)
    (_, account), *_ = desk.ledger.accounts_of(1)
    for seq, name in enumerate(("thinned", "expired/age", "expired/size", "suppressed", "thinned@other")):
        account.entry(name).update(Intervals([(seq, seq)]))
    detail = Directory(desk).device(1)
    assert detail is not None
    (boot,) = detail.boots
    assert [boot.thinned.ranges, boot.expired.ranges, boot.suppressed.ranges] == [[(0, 0)], [(1, 2)], [(3, 3)]]
    assert (boot.held.ranges, detail.row.held) == ([(4, 5)], 2)


def test_ranges_are_bounded_to_the_newest(desk: Desk) -> None:
    desk.take_in([message(*(reading(2 * seq) for seq in range(RANGES_MAX + 9)))], 0, T0_MS)
    detail = Directory(desk).device(1)
    assert detail is not None
    held = detail.boots[0].held
    assert held.truncated
    assert (len(held.ranges), held.count) == (RANGES_MAX, RANGES_MAX + 9)
    assert held.ranges[-1] == (2 * (RANGES_MAX + 8),) * 2


def test_a_key_that_was_never_given_is_no_device(desk: Desk) -> None:
    assert Directory(desk).device(1) is None
    assert Directory(desk).device(0) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((Value("battery_voltage", 3.6, "V"), Value("battery_level", 80.0, "%EL")), (3.6, 80.0)),
        ((Value("battery_voltage", 3600.0, "mV"), Value("battery_level", 0.8, "/")), (3.6, 80.0)),
        ((Value("battery_voltage", "low"),), (None, None)),
    ],
)
def test_battery_is_shown_in_volts_and_percent(
    desk: Desk, values: tuple[Value, ...], expected: tuple[float | None, float | None]
) -> None:
    desk.take_in([message(Reading("d1", 1, 0, T0_MS, values))], 0, T0_MS)
    row = Directory(desk).rows([1])[0]
    assert (row.battery_v, row.battery_percent) == expected


def test_changes_are_bounded_and_say_so(desk: Desk) -> None:
    directory = Directory(desk)
    desk.take_in([message(reading(0, device=f"d{at}")) for at in range(CHANGED_MAX)], 0, T0_MS)
    version, changed = directory.changed(0)
    assert (len(changed.rows), changed.truncated) == (CHANGED_MAX, False)
    desk.take_in([message(reading(0, device="one more"))], 0, T0_MS)
    assert [row.device for row in directory.changed(version)[1].rows] == ["one more"]
    assert directory.changed(0)[1] == DevicesChanged(rows=[], truncated=True)


def test_an_update_has_only_what_came_since(desk: Desk) -> None:
    directory = Directory(desk)
    desk.take_in([message(reading(0))], 0, T0_MS)
    version = directory.version()
    assert directory.update(1, version) == (version, None)
    desk.take_in([message(reading(1))], 0, T0_MS)
    update = directory.update(1, version)[1]
    assert update is not None
    assert update.readings.seq == [1]


def _entry(key: int, device: str, site: str = "a", seen: int | None = None, held: int = 0) -> Entry:
    return Entry(key, site, device, seen, None, Sums(held=held))


ENTRIES = [_entry(1, "Pump", held=3), _entry(2, "attic", "b", seen=5), _entry(3, "<script>", seen=9, held=8)]


@pytest.mark.parametrize(
    ("query", "total", "keys"),
    [
        (Query(), 3, [3, 2, 1]),
        (Query(text="PU"), 1, [1]),
        (Query(text="script"), 1, [3]),
        (Query(site="b"), 1, [2]),
        (Query(sort="held", descending=True), 3, [3, 1, 2]),
        (Query(sort="seen"), 3, [2, 3, 1]),
        (Query(sort="seen", descending=True), 3, [3, 2, 1]),
        (Query(sort="battery"), 3, [1, 2, 3]),
        (Query(offset=1, limit=1), 3, [2]),
        (Query(offset=9), 3, []),
    ],
)
def test_devices_are_found_sorted_and_paged(query: Query, total: int, keys: list[int]) -> None:
    assert select(ENTRIES, query) == (total, keys)


def test_a_level_and_a_voltage_do_not_mix() -> None:
    entries = [
        Entry(1, "a", "x", None, (1, 3.6), None), Entry(2, "a", "y", None, (0, 90.0), None),
        Entry(3, "a", "z", None, (0, 2.0), None),
    ]  # fmt: skip
    assert select(entries, Query(sort="battery"))[1] == [3, 2, 1]


def test_the_store_page_has_every_consumer(desk: Desk) -> None:
    desk.take_in([message(*(reading(seq) for seq in range(3)))], 0, T0_MS)
    _deliver_one_batch(desk)
    detail = Directory(desk).store(T0_MS)
    assert detail.head == 3
    assert {cursor.name: cursor.behind for cursor in detail.cursors}["forward/influx"] == 1
    assert all(cursor.name.startswith(READERS) for cursor in detail.cursors)
    assert "rollups/head/10" not in {cursor.name for cursor in detail.cursors}, "it counts rollups, not readings"
    assert detail.totals["received"] == 3
