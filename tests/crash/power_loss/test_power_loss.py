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


@pytest.mark.timeout(90)
def test_f43_a_power_cut_on_a_disk_whose_operations_fail_loses_nothing_acknowledged() -> None:
    found = run_under_shim(CYCLES, "FULL", 8, 1, "torn", 30)
    assert found["acknowledged"] > 100
    assert found["failures"] > 20
    assert (found["lost"], found["unbalanced"], found["unreadable"]) == (0, 0, 0), found


def test_the_same_cut_with_synchronous_normal_loses_so_this_test_sees_losses() -> None:
    found = run_under_shim(CYCLES, "NORMAL", 3, 1, "dropped")
    assert found["lost"] > 0, found
