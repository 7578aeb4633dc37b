"""Room for a connection per device: the soft limit is raised, the hard one is said."""

import resource

import pytest

from firmware_sim.build import FleetError
from firmware_sim.open_files import SPARE_FILES, make_room

Limits = dict[str, tuple[int, int]]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Limits:
    """The limits of a system that lets a process have 1,024 files, and 4,096 if it asks."""
    held: Limits = {"now": (1024, 4096)}
    monkeypatch.setattr(resource, "getrlimit", lambda _what: held["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _what, wanted: held.update(now=wanted))
    return held


def test_a_limit_that_is_enough_is_left_alone(limits: Limits) -> None:
    make_room(1024 - SPARE_FILES)
    assert limits["now"] == (1024, 4096)


@pytest.mark.parametrize("hard", [4096, resource.RLIM_INFINITY])
def test_the_soft_limit_is_raised_to_what_is_needed_and_the_hard_one_stays(limits: Limits, hard: int) -> None:
    limits["now"] = (1024, hard)
    make_room(3000)
    assert limits["now"] == (3000 + SPARE_FILES, hard)


def test_more_than_the_hard_limit_is_refused_with_the_key_the_limit_and_the_way_out(limits: Limits) -> None:
    with pytest.raises(FleetError, match=r"^mqtt\.connections: expected at most 3968 devices .*4096 files.*found 5000"):
        make_room(5000)
    assert limits["now"] == (1024, 4096)


def test_no_limit_needs_no_room(limits: Limits) -> None:
    limits["now"] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    make_room(1_000_000)
