"""The topics seen: bounded, with true rates, and the last thing each said."""

from edge.topics import TOPICS_MAX, TopicTable
from edge.topics.table import RATE_WINDOW_MS, SAMPLE_BYTES_MAX


def note(table: TopicTable, topic: str, at_ms: int = 0, payload: bytes = b"1", *, retained: bool = False) -> None:
    table.note(topic, payload, retained=retained, listened_ms=at_ms, wall_ms=1_000_000 + at_ms)


def test_a_topic_keeps_its_count_and_the_beginning_of_its_last_payload() -> None:
    table = TopicTable()
    note(table, "a/b")
    note(table, "a/b", 500, b"x" * (SAMPLE_BYTES_MAX + 7))
    row = table.get("a/b")
    assert row is not None
    assert (row.messages, row.payload_bytes, len(row.sample)) == (2, SAMPLE_BYTES_MAX + 7, SAMPLE_BYTES_MAX)
    assert row.last_wall_ms == 1_000_500


def test_topics_come_by_name_and_those_beyond_the_bound_are_counted() -> None:
    table = TopicTable()
    for at in reversed(range(TOPICS_MAX)):
        note(table, f"t/{at:05d}")
    note(table, "one/more")
    note(table, "one/more")
    note(table, "t/00003", 9)
    assert [row.topic for row in table][:2] == ["t/00000", "t/00001"]
    assert (len(table), table.beyond) == (TOPICS_MAX, 2)
    table.clear()
    assert (len(table), table.beyond) == (0, 0)


def test_a_rate_is_that_of_the_last_whole_window_and_the_brokers_memory_is_no_message() -> None:
    table = TopicTable()
    note(table, "t", 0, retained=True)
    row = table.get("t")
    assert row is not None
    assert row.per_s(5_000) == 0
    for at_ms in range(100, RATE_WINDOW_MS, 100):
        note(table, "t", at_ms)
    assert round(row.per_s(RATE_WINDOW_MS), 1) == 10
    note(table, "t", RATE_WINDOW_MS)
    assert round(row.per_s(RATE_WINDOW_MS + 1_000), 1) == 10
    assert row.per_s(3 * RATE_WINDOW_MS) < 0.1, "a device that fell silent has no rate"


def test_the_first_moment_is_no_rate_of_a_thousand_a_second() -> None:
    table = TopicTable()
    note(table, "t", 40)
    row = table.get("t")
    assert row is not None
    assert row.per_s(41) == 1
