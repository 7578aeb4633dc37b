"""Power cuts under load: `python -m tests.crash.power_loss.cycles FULL|NORMAL CYCLES SEED dropped|torn [SICK]`.

Runs with the shim loaded. Each cycle forks a writer that drives `Desk.take_in` and says each reading only after that
returned; at a random moment it is killed, and everything that was not synced is dropped (`torn`: any subset of its
sectors stays). The next cycle goes on with what is left. SICK: one of so many operations on the disk fails with EIO, on
average; the writer then does as the gateway does: it reopens the store and takes the same batch again. NORMAL is set
from here, behind the store's back: production has no such option. Prints {"acknowledged", "failures", "lost",
"unbalanced", "unreadable"} as JSON.
"""

import errno
import json
import os
import signal
import sqlite3
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from edge.desk import DESTINATION, Desk
from edge.forward.forwarder import Batch
from edge.forward.outcome import Accepted
from edge.store import StoreError
from edge.store import store as store_module
from tests.crash.disk import begin, fail, recover
from tests.edge.kit import T0_MS, message, open_desk, reading

ROWS_PER_TAKE_MAX = 20
TAKES_MAX = 60  # a writer lives for up to so many acknowledged batches
DELIVER_EVERY = 7  # batches, so that cursors, the ledger and deletions are cut off as well
CHECKPOINT_PAGES = 40  # instead of 1000: several checkpoints in every life


def use_normal() -> None:
    """What `PRAGMA synchronous = NORMAL` would do to the promise."""
    configure = store_module._configure

    def weakened(db: sqlite3.Connection) -> None:
        configure(db)
        db.execute("PRAGMA synchronous = NORMAL")

    store_module._configure = weakened


def write_until_killed(folder: Path, shadow: Path, say: int, rng: Random, sick: int) -> None:
    """The writer: never returns."""
    begin(folder, shadow)
    desk = open_desk(folder)
    next_seq = _next_seq(desk)
    now_ms = failures = 0
    while True:
        now_ms += 10
        count = rng.randint(1, ROWS_PER_TAKE_MAX)
        batch = [message(*map(reading, range(next_seq, next_seq + count)))]
        if sick:
            fail(rng.randint(1, 2 * sick), errno.EIO)
        failures += _insist(desk, lambda: desk.take_in(batch, now_ms, T0_MS))  # noqa: B023  # called at once
        next_seq += count
        os.write(say, f"{next_seq} {failures}\n".encode())
        if rng.randrange(DELIVER_EVERY) == 0:
            failures += _insist(desk, lambda: _deliver(desk, now_ms))  # noqa: B023


def _deliver(desk: Desk, now_ms: int) -> None:
    batch = desk.next_batch(now_ms)
    if isinstance(batch, Batch):
        desk.settle(batch, Accepted(), now_ms, T0_MS)
    desk.tidy(now_ms * 1000)


def _insist(desk: Desk, work: Callable[[], object]) -> int:
    """Do it, as often as it takes; how often it failed."""
    failures = 0
    while True:
        try:
            work()
        except StoreError:
            failures += 1
            with suppress(StoreError):
                desk.reopen()
        else:
            return failures


def _next_seq(desk: Desk) -> int:
    return desk.ledger.acknowledged_through(1, 1) + 1 if desk.store.device_count else 0


def one_life(folder: Path, shadow: Path, rng: Random, sick: int) -> tuple[int, int]:
    """How many readings had been acknowledged when the power went, and how often the disk had failed."""
    heard, say = os.pipe()
    writer = os.fork()
    if writer == 0:
        try:
            write_until_killed(folder, shadow, say, Random(rng.random()), sick)
        finally:
            traceback.print_exc()  # it has failed: nothing else ends it
            os._exit(1)
    os.close(say)
    with os.fdopen(heard, "rb") as lines:
        takes = rng.randint(1, TAKES_MAX)
        acknowledged = failures = 0
        for number, line in enumerate(lines, start=1):
            acknowledged, failures = map(int, line.split())
            if number == takes:
                os.kill(writer, signal.SIGKILL)
    _, status = os.waitpid(writer, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "the writer failed: see its traceback"
    return acknowledged, failures


def run(cycles: int, seed: int, *, torn: bool, sick: int = 0) -> dict[str, int]:
    """See the top."""
    rng = Random(seed)
    found = {"acknowledged": 0, "failures": 0, "lost": 0, "unbalanced": 0, "unreadable": 0}
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / "0"
        folder.mkdir()
        held = 0
        for cycle in range(1, cycles + 1):
            shadow, after = Path(top) / f"shadow-{cycle}", Path(top) / str(cycle)
            shadow.mkdir()
            after.mkdir()
            acknowledged, failures = one_life(folder, shadow, rng, sick)
            found["failures"] += failures
            recover(folder, shadow, after, rng if torn else None)
            found["acknowledged"] += max(0, acknowledged - held)
            try:
                desk = open_desk(after)
            except StoreError:
                found["unreadable"] += 1
                found["lost"] += acknowledged
                break
            held = _next_seq(desk)
            found["lost"] += max(0, acknowledged - held)
            found["unbalanced"] += not desk.ledger.balance(DESTINATION).balances
            desk.close()
            folder = after
    return found


if __name__ == "__main__":
    store_module.WAL_AUTOCHECKPOINT_PAGES = CHECKPOINT_PAGES
    if sys.argv[1] == "NORMAL":
        use_normal()
    _, _, wanted_cycles, wanted_seed, leftover, *rest = sys.argv
    found = run(int(wanted_cycles), int(wanted_seed), torn=leftover == "torn", sick=int(rest[0]) if rest else 0)
    print(json.dumps(found))  # noqa: T201
