"""Fails, or dies at, every operation on the store: `python -m tests.crash.every_operation ERROR once|sticky STRIDE`.

Runs with the shim loaded. ERROR is an errno's name, or `KILL`. One script is run again and again on a new folder, each
time with the next operation failing (or the one STRIDE on), until none is left to fail: opening (with the migrations),
commits, deliveries, quarantine, ledger writes, deletions, checkpoints, closing. The script acts on a `StoreError` as
the gateway does: nothing is acknowledged, the store is reopened, the same batch is tried again. A sticky failure ends
after a few tries. After each run the store is opened with a healthy disk and must hold what was acknowledged. Prints a
summary as JSON.
"""

import errno
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from edge.desk import DESTINATION, Desk
from edge.forward.forwarder import Batch
from edge.forward.lanes import LaneRules
from edge.forward.outcome import Accepted, Refused
from edge.ingest import Message
from edge.ledger import done_ranges
from edge.store import StoreError
from edge.store import store as store_module
from edge.windows import WindowRules
from tests.crash.disk import begin, count, fail, fast_folder
from tests.edge.kit import T0_MS, message, open_desk, reading

BATCHES = 8
ROWS = 3
CHECKPOINT_PAGES = 6  # instead of 1000, so that the script has several checkpoints
STICKY_TRIES = 4
TRIES_MAX = 10
LEDGER_MS = 5_000
POISON = b"seq=4i,"  # the cloud refuses this one: it is bisected until it stands in quarantine alone
WINDOWS = WindowRules(sizes_s=(10,))
Answer = TypeVar("Answer")


class Script:
    """One run. `say` is told the seq up to which all is acknowledged, each time it grows."""

    def __init__(self, folder: Path, say: Callable[[int], None], is_broken: Callable[[], bool] = lambda: False) -> None:
        self._folder = folder
        self._say = say
        self._is_broken = is_broken
        self._desk: Desk | None = None
        self.failures = 0
        self.failed_starts = 0

    def run(self) -> None:
        """All of it."""
        for _ in range(TRIES_MAX):
            try:
                desk = self._desk = open_desk(self._folder, windows=WINDOWS, lanes=LaneRules())
            except StoreError:
                self.failed_starts += 1
                self._failed()
            else:
                break
        else:
            raise AssertionError("the store does not open on a healthy disk")
        for number in range(BATCHES):
            now_ms = number * LEDGER_MS
            first = number * ROWS
            batch = [message(*map(reading, range(first, first + ROWS)))]
            self._insist(lambda: self._take_in(desk, batch, now_ms))  # noqa: B023  # called at once
            self._say(first + ROWS - 1)
            for _ in range(number % 2 * BATCHES):
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


def check(folder: Path, acknowledged: int) -> None:
    """Open what is left with a healthy disk; fails unless it holds what was acknowledged, once, and balances."""
    desk = open_desk(folder)
    balance = desk.ledger.balance(DESTINATION)
    held = desk.ledger.acknowledged_through(1, 1) if desk.store.device_count else -1
    assert held >= acknowledged, f"acknowledged through {acknowledged}, in the store through {held}"
    assert held < BATCHES * ROWS
    assert balance.balances, balance
    assert balance.quarantined <= 1, balance
    assert balance.received == held + 1, f"{balance.received} received for seqs 0 to {held}"
    done = desk.store.ranges(done_ranges(DESTINATION))
    waiting = [entry.reading.seq for entry in desk.store.read(0, 1000).entries if entry.id not in done]
    assert waiting == list(range(held + 1 - balance.held, held + 1)), waiting
    desk.close()


def with_failure(folder: Path, k: int, error: int, *, sticky: bool) -> tuple[bool, int]:
    """(whether there was a k-th operation, how many failures the script saw)."""
    acknowledged: list[int] = [-1]

    def is_broken() -> bool:
        return sticky and count() >= k and script.failures < STICKY_TRIES

    begin(folder)
    script = Script(folder, acknowledged.append, is_broken)
    fail(k, error, sticky=sticky)
    script.run()
    was_there = count() >= k or script.failures >= STICKY_TRIES
    fail(0, 0)
    check(folder, acknowledged[-1])
    return was_there, script.failures


def with_death(folder: Path, k: int) -> bool:
    """Whether there was a k-th operation to die at."""
    heard, say = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            begin(folder)
            fail(k, 0)
            Script(folder, lambda seq: _write_line(say, seq)).run()
            os._exit(0)
        finally:
            traceback.print_exc()  # it has failed: nothing else ends it
            os._exit(1)
    os.close(say)
    with os.fdopen(heard, "rb") as lines:
        acknowledged = max((int(line) for line in lines), default=-1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, -signal.SIGKILL}, f"the script ended with {code}"
    check(folder, acknowledged)
    return code != 0


def _write_line(descriptor: int, number: int) -> None:
    os.write(descriptor, f"{number}\n".encode())


def main() -> None:
    """See the top."""
    word, sticky, stride = sys.argv[1], sys.argv[2] == "sticky", int(sys.argv[3])
    store_module.WAL_AUTOCHECKPOINT_PAGES = CHECKPOINT_PAGES
    k, failures, unseen, problems = 1 - stride, 0, 0, []
    was_there = True
    while was_there:
        k += stride
        with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
            try:
                if word == "KILL":
                    was_there = with_death(Path(folder), k)
                else:
                    was_there, seen = with_failure(Path(folder), k, getattr(errno, word), sticky=sticky)
                    failures += seen
                    unseen += was_there and not seen
            except Exception as error:  # noqa: BLE001  # a finding: named, and the next operation is tried
                problems.append(f"operation {k}: {type(error).__name__}: {error}")
                fail(0, 0)
    print(json.dumps({"operations": k - 1, "failures": failures, "unseen": unseen, "problems": problems}))  # noqa: T201


if __name__ == "__main__":
    main()
