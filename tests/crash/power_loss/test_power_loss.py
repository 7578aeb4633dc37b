"""A power cut at any instant loses nothing acknowledged; the same test with `synchronous=NORMAL` must lose."""

import pytest

from tests.crash.disk import run_under_shim

CYCLES = "tests.crash.power_loss.cycles"


@pytest.mark.timeout(90)
@pytest.mark.parametrize("leftover", ["dropped", "torn"])
def test_a_power_cut_loses_nothing_acknowledged(leftover: str) -> None:
    found = run_under_shim(CYCLES, "FULL", 12, 1, leftover)
    assert found["acknowledged"] > 100
    assert (found["lost"], found["unbalanced"], found["unreadable"]) == (0, 0, 0), found


def test_the_same_cut_with_synchronous_normal_loses_so_this_test_sees_losses() -> None:
    found = run_under_shim(CYCLES, "NORMAL", 3, 1, "dropped")
    assert found["lost"] > 0, found
