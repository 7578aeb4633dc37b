"""A short run of the kill loop (tests/crash/kill_loop.py); the long one is run by hand."""

from pathlib import Path

import pytest

from tests.crash.kill_loop import Kind, kill_loop, strace_works
from tests.live.house import own_broker

KILLS = 8

pytestmark = [
    pytest.mark.live,
    own_broker,
]


@pytest.mark.timeout(180)
def test_a_gateway_killed_at_bad_moments_loses_nothing_acknowledged_and_its_ledger_is_exact(tmp_path: Path) -> None:
    result = kill_loop(tmp_path, KILLS, seed=3)
    assert result.kills.total() == KILLS
    assert result.acknowledged > 0
    assert result.holds, result.table()
    if strace_works():
        assert result.kills[Kind.COMMIT_WRITE] > result.missed[Kind.COMMIT_WRITE]
