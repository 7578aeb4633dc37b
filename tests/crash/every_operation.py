"""Fails, or dies at, every operation on the store.

    python -m tests.crash.every_operation ERROR once|sticky STRIDE
    python -m tests.crash.every_operation KILL

Runs with the shim loaded. There are three courses: a new store is made; a store of the first version, with a backlog,
is opened (every migration runs); a store that is there works (commits, deliveries, quarantine, ledger writes, rollups,
deletions, checkpoints, closing). ERROR is an errno's name: each course is run again and again in a new folder, each
time with the next operation failing (or the one STRIDE on), until none is left to fail. The course acts on a
`StoreError` as the gateway does: nothing is acknowledged, the store is reopened, the same batch is tried again. A
sticky failure ends after a few tries. KILL: a course is run once, and before each operation that finds the files
changed they are copied: that is what a `kill -9` at that moment leaves, because what was written stays in the kernel.
What is left is opened with a healthy disk and must hold what was acknowledged. Prints a summary as JSON.
"""

import errno
import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edge.budget import StoreLimits
from edge.desk import DESTINATION, STORE_FILE, Desk
from edge.forward.forwarder import Batch
from edge.forward.lanes import LaneRules
from edge.forward.outcome import Accepted, Refused
from edge.ingest import Message
from edge.lean_imports import Database
from edge.ledger import done_ranges, forward_cursor
from edge.store import StoreError
from edge.store import ballast as ballast_module
from edge.store import store as store_module
from edge.store.names import HEAD_CURSOR
from edge.store.rows import LogEntry, pack
from edge.store.schema import migrations
from edge.windows import WindowRules
from tests.crash.disk import begin, count, fail, fast_folder, telling
from tests.edge.kit import SITE, T0_MS, message, open_desk, reading

BATCHES = 4
DELIVERIES = 8
ROWS = 3
CHECKPOINT_PAGES = 6  # instead of 1000, so that the script has several checkpoints
BALLAST_BYTES = 1 << 16  # instead of 4 MiB
STICKY_TRIES = 4
TRIES_MAX = 10
LEDGER_MS = 5_000
POISON = b"seq=4i,"  # the cloud refuses this one: it is bisected until it stands in quarantine alone
WINDOWS = WindowRules(sizes_s=(10,))
SMALL = StoreLimits(disk_bytes_max=8 * 1024**2)  # and a ballast to match: making it would be a large part of a run
OLD_ROWS, OLD_SENT = 6, 2
NOT_COPIED = ("-shm", ".ballast")  # the first is made anew when nobody has the store open, the second only holds space
Answer = TypeVar("Answer")
State = dict[str, bytes]


@dataclass(frozen=True)
class Course:
    """`prepare` fills the folder; `first_seq` is the first that is taken in, in so many batches.

    `stride`: only each so many-th operation fails. `not_understood`: messages in quarantine.
    """

    name: str
    prepare: Callable[[Path], None]
    first_seq: int
    batches: int
    stride: int = 1
    not_understood: int = 0

    @property
    def end_seq(self) -> int:
        """Behind the last one."""
        return self.first_seq + self.batches * ROWS


def new(_folder: Path) -> None:
    """Nothing is there."""


def of_the_first_version(folder: Path) -> None:
    """Written by hand: a backlog, some of it delivered, and a message in quarantine."""
    with closing(sqlite3.connect(folder / STORE_FILE, isolation_level=None)) as db:
        store_module._configure(db)
        migrations.apply(Database(db, execute_plugins=False), stop_before="m0002_windows_and_rollups")
        db.execute("INSERT INTO devices VALUES (1, ?, 'd1')", (SITE,))
        rows = [pack(LogEntry(seq + 1, 1, T0_MS, reading(seq))) for seq in range(OLD_ROWS)]
        db.executemany("INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        cursors = [(HEAD_CURSOR, OLD_ROWS), (forward_cursor(DESTINATION), OLD_SENT)]
        db.executemany("INSERT INTO cursors VALUES (?, ?)", cursors)
        db.execute("INSERT INTO quarantine VALUES (1, ?, 'ingest', 'no JSON', x'74', x'ff', NULL)", (T0_MS,))


def ready(folder: Path) -> None:
    """Opened once, and closed."""
    open_desk(folder, windows=WINDOWS, lanes=LaneRules(), budget=SMALL).close()


COURSES = (
    Course("new", new, 0, 1, stride=5),  # nearly all of its operations are those of the next one, without rows
    Course("old", of_the_first_version, OLD_ROWS, 1, not_understood=1),
    Course("ready", ready, 0, BATCHES),
)


class Run:
    """One run of a course. `acknowledged`: the seq up to which all is acknowledged."""

    def __init__(self, folder: Path, course: Course, is_broken: Callable[[], bool] = lambda: False) -> None:
        self._folder = folder
        self._course = course
        self._is_broken = is_broken
        self._desk: Desk | None = None
        self.acknowledged = course.first_seq - 1
        self.failures = 0

    def run(self) -> None:
        """All of it."""
        for _ in range(TRIES_MAX):
            try:
                desk = self._desk = open_desk(self._folder, windows=WINDOWS, lanes=LaneRules(), budget=SMALL)
            except StoreError:
                self._failed()
            else:
                break
        else:
            raise AssertionError("the store does not open on a healthy disk")
        for number in range(self._course.batches):
            now_ms = number * LEDGER_MS
            first = self._course.first_seq + number * ROWS
            batch = [message(*map(reading, range(first, first + ROWS)))]
            self._insist(lambda: self._take_in(desk, batch, now_ms))  # noqa: B023  # called at once
            self.acknowledged = first + ROWS - 1
            for _ in range(number % 2 * DELIVERIES):
                self._insist(lambda: self._deliver(desk, now_ms))  # noqa: B023
            self._insist(lambda: desk.tidy(now_ms))  # noqa: B023
        with suppress(StoreError):
            desk.close()

    def _take_in(self, desk: Desk, batch: list[Message], now_ms: int) -> None:
        is_broken = self._is_broken()
        desk.take_in(batch, now_ms, T0_MS)
        assert not is_broken, "acknowledged on a broken disk"

    def _deliver(self, desk: Desk, now_ms: int) -> None:
        plan = desk.next_batch(now_ms)
        if not isinstance(plan, Batch):
            return
        if POISON in plan.body:
            desk.settle(plan, Refused(400, "not this one"), now_ms, T0_MS)
        else:
            desk.settle(plan, Accepted(), now_ms, T0_MS)

    def _insist(self, work: Callable[[], Answer]) -> Answer:
        assert self._desk is not None
        for _ in range(TRIES_MAX):
            try:
                return work()
            except StoreError:
                self._failed()
                with suppress(StoreError):
                    self._desk.reopen()
        raise AssertionError("the store does not recover on a healthy disk")

    def _failed(self) -> None:
        self.failures += 1
        if self.failures == STICKY_TRIES:
            fail(0, 0)  # the disk is well again


def check(folder: Path, course: Course, acknowledged: int) -> None:
    """Open what is left with a healthy disk; fails unless it holds what was acknowledged, once, and balances."""
    desk = open_desk(folder)
    balance = desk.ledger.balance(DESTINATION)
    held = desk.ledger.acknowledged_through(1, 1) if desk.store.device_count else -1
    assert held >= acknowledged, f"acknowledged through {acknowledged}, in the store through {held}"
    assert held < course.end_seq
    assert balance.balances, balance
    assert balance.quarantined <= 1, balance
    assert balance.received == held + 1, f"{balance.received} received for seqs 0 to {held}"
    done = desk.store.ranges(done_ranges(DESTINATION))
    waiting = [entry.reading.seq for entry in desk.store.read(0, 1000).entries if entry.id not in done]
    assert waiting == list(range(held + 1 - balance.held, held + 1)), waiting
    quarantined = desk.store.query("SELECT count(*) FROM quarantine")[0][0]
    assert quarantined == balance.quarantined + course.not_understood, f"{quarantined} in quarantine: {balance}"
    desk.close()


class Every:
    """Goes through the courses. `found` is the summary."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self.found: dict[str, Any] = {"operations": 0, "runs": 0, "failures": 0, "states": 0, "problems": []}

    def _folders(self, course: Course) -> Iterator[Path]:
        """The course's folder as it is before, again and again."""
        before, folder = self._top / f"{course.name}-before", self._top / course.name
        before.mkdir()
        course.prepare(before)
        while True:
            shutil.copytree(before, folder)
            yield folder
            shutil.rmtree(folder)

    def fail_each(self, course: Course, error: int, *, sticky: bool, stride: int) -> None:
        """Each operation of the course fails once, in a run of its own."""
        k = 1
        for folder in self._folders(course):
            try:
                was_there, failures = _with_failure(folder, course, k, error, sticky=sticky)
            except Exception as problem:  # noqa: BLE001  # a finding: named, and the next operation is tried
                fail(0, 0)
                self._note(f"{course.name}, operation {k}", problem)
            else:
                if not was_there:
                    break
                self.found["runs"] += 1
                self.found["failures"] += failures
            k += stride * course.stride
        self.found["operations"] += k - 1

    def die_at_each(self, course: Course) -> None:
        """Each state of the files that a kill can leave is looked at."""
        folder = next(self._folders(course))
        states: list[tuple[int, int, State]] = []
        told = 0

        def copy() -> None:
            nonlocal told
            before = states[-1][2] if states else {}
            state = _copy(folder, before)
            if not states or state != before or run.acknowledged != states[-1][1]:
                states.append((told + 1, run.acknowledged, state))
            told += 1

        begin(folder)
        fail(0, 0)
        run = Run(folder, course)
        with telling(copy):
            run.run()
        assert told == count(), "not every operation was looked at"
        states.append((told, run.acknowledged, _copy(folder, {})))
        self.found["operations"] += told
        self.found["states"] += len(states)
        for number, acknowledged, state in states:
            left = self._top / f"{course.name}-{number}-left"
            left.mkdir()
            for name, content in state.items():
                (left / name).write_bytes(content)
            try:
                check(left, course, acknowledged)
            except Exception as problem:  # noqa: BLE001  # a finding: named, and the next one is looked at
                self._note(f"{course.name}, killed at operation {number}", problem)
            shutil.rmtree(left)

    def _note(self, where: str, problem: Exception) -> None:
        self.found["problems"].append(f"{where}: {type(problem).__name__}: {problem}")


def _copy(folder: Path, before: State) -> State:
    """What is in the files; the same objects as `before` where nothing has changed, to save memory."""
    state: State = {}
    for path in folder.iterdir():
        if not path.name.endswith(NOT_COPIED):
            content, old = path.read_bytes(), before.get(path.name)
            state[path.name] = old if old == content else content
    return state


def _with_failure(folder: Path, course: Course, k: int, error: int, *, sticky: bool) -> tuple[bool, int]:
    """(whether there was a k-th operation, how many failures the run saw)."""

    def is_broken() -> bool:
        return sticky and count() >= k and run.failures < STICKY_TRIES

    begin(folder)
    fail(k, error, sticky=sticky)
    run = Run(folder, course, is_broken)
    run.run()
    was_there = count() >= k or run.failures >= STICKY_TRIES
    fail(0, 0)
    check(folder, course, run.acknowledged)
    return was_there, run.failures


def main() -> None:
    """See the top."""
    word, *how = sys.argv[1:]
    store_module.WAL_AUTOCHECKPOINT_PAGES = CHECKPOINT_PAGES
    ballast_module.BALLAST_BYTES_MIN = BALLAST_BYTES
    with tempfile.TemporaryDirectory(dir=fast_folder()) as top:
        every = Every(Path(top))
        for course in COURSES:
            if word == "KILL":
                every.die_at_each(course)
            else:
                every.fail_each(course, getattr(errno, word), sticky=how[0] == "sticky", stride=int(how[1]))
    print(json.dumps(every.found))  # noqa: T201


if __name__ == "__main__":
    main()
