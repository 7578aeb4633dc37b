"""Start-up and memory do not depend on the backlog (promise 4): counted in SQLite's own steps, not in seconds.

The figures at ten million readings are measured by `python -m bench.backlog`, see docs/performance.md.
"""

import sqlite3
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from edge import ledger as ledger_module
from edge.desk import REMEMBER_ROWS, Desk
from edge.store import check
from edge.windows import WindowRules
from tests.edge.kit import T0_MS, message, open_desk, reading

SMALL, LARGE = 2 * REMEMBER_ROWS, 8 * REMEMBER_ROWS
PACK = 1000
WINDOWS = WindowRules(sizes_s=(10, 60))


def fill(folder: Path, count: int) -> None:
    """A store that holds so many readings, their windows and their rollups, with the uplink down."""
    folder.mkdir()
    desk = open_desk(folder, windows=WINDOWS)
    for first in range(0, count, PACK):
        now_ms = 1000 * (first + PACK)
        desk.take_in([message(*(reading(seq) for seq in range(first, first + PACK)))], now_ms, T0_MS + now_ms)
        while desk.tidy(now_ms, T0_MS + now_ms):
            pass
    assert desk.store.run("SELECT count(*) FROM rollups")[0][0] > count // 20
    desk.close()


def opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Desk, int]:
    """The desk on that store, and how many hundred steps SQLite's machine took to open it and tell how it stands."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    class Counted(sqlite3.Connection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.set_progress_handler(step, 100)

    real = sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *args, **kwargs: real(*args, factory=Counted, **kwargs))
        patch.setattr(check, "CHECK_BYTES_MAX", 0)  # a small file is checked page by page: not what is counted here
        desk = open_desk(folder, windows=WINDOWS)
    desk.standing(0, T0_MS)
    return desk, steps


def test_a_start_reads_no_more_of_a_long_backlog_than_of_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[int, int]] = []
    for count in (SMALL, LARGE):
        fill(tmp_path / str(count), count)
        tracemalloc.start()
        try:
            desk, steps = opened(tmp_path / str(count), monkeypatch)
            taken.append((steps, tracemalloc.get_traced_memory()[1]))
        finally:
            tracemalloc.stop()
        assert desk.ledger.totals["received"] == count
        desk.store.close()
    (small_steps, small_bytes), (large_steps, large_bytes) = taken
    assert small_steps > 0
    assert large_steps < 1.2 * small_steps
    assert large_bytes < 1.2 * small_bytes


def test_the_ledger_keeps_the_accounts_that_change_and_reads_the_others_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "ACCOUNTS_MAX", 3)
    desk = open_desk(tmp_path)
    boots = range(1, 10)
    for now_ms, boot in enumerate(boots):
        desk.take_in([message(reading(0, boot=boot), reading(2, boot=boot))], now_ms, T0_MS)
        desk.take_in([message(reading(0, boot=1))], now_ms, T0_MS)  # a duplicate of an account that is let go
        desk.tidy(30_000 * now_ms)  # as often as a small ledger is written
        assert len(desk.ledger._accounts) <= 3 + 1
    assert [boot for _, boot, _ in desk.ledger.accounts()] == list(boots)
    assert [boot for boot, _ in desk.ledger.accounts_of(1)] == list(boots)
    assert len(desk.ledger._accounts) <= 3 + 1
    assert all(desk.ledger.missing(1, boot) == [(1, 1)] for boot in boots)
    assert desk.ledger.totals["received"] == 2 * len(boots)
    desk.take_in([message(reading(1, boot=4))], 0, T0_MS)
    assert desk.ledger.acknowledged_through(1, 4) == 2
    assert desk.ledger.balance("influx").balances
    desk.close()
