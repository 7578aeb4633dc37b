"""What the store keeps in memory tells what the file holds, at any moment, and is bounded."""

import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge.intervals import Intervals
from edge.store import Store
from edge.store import tail as tail_module
from edge.store.rows import LogEntry, pack
from edge.store.tail import Tail
from tests.edge.kit import T0_MS, reading

SMALL_BYTES = 200


class Broken(Exception):
    """What fails in the middle of a transaction."""


class StoreInMemory(RuleBasedStateMachine):
    """A store that is written, deleted from, rolled back and reopened, against the rows of its own file."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(tail_module, "TAIL_BYTES_MAX", SMALL_BYTES)
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.folder.name) / "s.sqlite")
        self.seq = self.head = 0
        self.later = Intervals()

    def _write(self, count: int, position: int) -> None:
        if count:
            self.store.append([(1, reading(self.seq + at)) for at in range(count)], T0_MS)
        self.seq += count
        self.store.set_cursor("c", position)
        self.store.put_ranges("r", Intervals([(1, position)]))

    @rule(count=st.integers(0, 6), position=st.integers(1, 50))
    def commit(self, count: int, position: int) -> None:
        with self.store.transaction():
            self._write(count, position)
        self.head += count
        assert not self.store.waiting_ids

    @rule(count=st.integers(1, 6))
    def append(self, count: int) -> None:
        waiting = self.store.waiting_ids
        with self.store.transaction(leaves_waiting=True):
            self.store.append([(1, reading(self.seq + at)) for at in range(count)], T0_MS)
        self.seq += count
        self.head += count
        assert self.store.waiting_ids == waiting

    @rule(position=st.integers(1, 50))
    def put_one_that_waits(self, position: int) -> None:
        with self.store.transaction(leaves_waiting=True):
            self.store.put_ranges("r", Intervals([(1, position)]))
        assert not self.store.waiting_ids

    @rule(count=st.integers(0, 6), position=st.integers(1, 50))
    def fail(self, count: int, position: int) -> None:
        with suppress(Broken), self.store.transaction():
            self._write(count, position)
            raise Broken

    @rule(position=st.integers(1, 50))
    def put_later(self, position: int) -> None:
        self.later = Intervals([(1, position)])
        self.store.put_ranges_later("r", self.later, 1)

    @rule(position=st.integers(0, 40), limit=st.integers(1, 5))
    def delete(self, position: int, limit: int) -> None:
        self.store.delete_through(position, limit)

    @rule(position=st.integers(0, 40))
    def drop(self, position: int) -> None:
        with self.store.transaction():
            self.store.drop_through(position)

    @rule()
    def reopen(self) -> None:
        self.store.reopen()

    @rule(number=st.integers(100, 200))
    def change_what_was_told(self, number: int) -> None:
        self.store.ranges("r").add(number)

    @invariant()
    def memory_is_the_file(self) -> None:
        for after_id, limit in ((0, 3), (self.store.head - 3, 2), (self.store.head - 2, 10), (self.store.head, 1)):
            rows = self.store.run("SELECT * FROM readings WHERE id > ? ORDER BY id LIMIT ?", (after_id, limit))
            assert [pack(entry) for entry in self.store.read(after_id, limit).entries] == rows
        assert self.store.head == self.head
        cursor = self.store.run("SELECT position FROM cursors WHERE name = 'c'")
        assert self.store.cursor("c") == (cursor[0][0] if cursor else 0)
        ranges = self.store.run("SELECT ranges FROM ranges WHERE name = 'r'")
        written = Intervals.decode(ranges[0][0]) if ranges else Intervals()
        assert self.store.ranges("r") == (self.later if self.store.waiting_ids else written)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()
        self.patch.undo()


TestStoreInMemory = StoreInMemory.TestCase
TestStoreInMemory.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)


def test_the_end_of_the_log_in_memory_is_bounded_by_bytes() -> None:
    kept: Tail[LogEntry] = Tail()
    for at in range(1, 1000):
        kept.append([LogEntry(at, 1, T0_MS, reading(at))], tail_module.TAIL_BYTES_MAX // 10)
    assert kept.read(0, 2000) is None
    assert [entry.id for entry in kept.read(989, 2000) or ()] == list(range(990, 1000))
