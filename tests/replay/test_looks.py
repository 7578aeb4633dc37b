"""What is seen of a gateway process between two looks, and what a kill hides."""

from edge.outages.events import Cause, Status
from edge.status import GatewayStatus
from tests.edge.dashboard.kit import status
from tests.edge.kit import T0_MS
from tidegate.outage.phases import Phase
from tidegate.replay.links import Link, scripted
from tidegate.replay.world import US_PER_S
from tidegate.replay_processes.looks import Looks

OUTAGE = [Phase(10 * US_PER_S), Phase(10 * US_PER_S, Status.DOWN, Cause.REFUSED), Phase(10 * US_PER_S)]


def looks() -> Looks:
    """One outage from 10 s to 20 s."""
    return Looks(Link(scripted(OUTAGE, 30 * US_PER_S), healed_at_us=30 * US_PER_S).downs, speed=1.0)


def seen(backlog: int, life: int = 0, requests: int = 0, failed: int = 0) -> GatewayStatus:
    """A status. `life`: which start of the gateway it is of."""
    forward = {"backlog": backlog, "requests": requests, "requests_failed": failed}
    return status(started_ms=T0_MS + life, forward=forward)


def test_what_an_outage_held_is_seen_although_all_was_sent_before_the_next_look() -> None:
    found = looks()
    for at_s, backlog in ((9, 3), (12, 5), (19, 12), (21, 0), (22, 99)):
        found.look(at_s * US_PER_S, seen(backlog))
    (outage,) = found.outages()
    assert outage.held == 12


def test_what_waited_before_an_outage_was_not_held_by_it() -> None:
    found = looks()
    found.look(9 * US_PER_S, seen(7))
    found.look(21 * US_PER_S, seen(0))
    (outage,) = found.outages()
    assert outage.held == 0


def test_requests_are_those_of_all_lives() -> None:
    found = looks()
    for at_s, life, requests, failed in ((1, 0, 4, 1), (2, 0, 6, 2), (4, 1, 1, 0), (5, 1, 3, 1)):
        found.look(at_s * US_PER_S, seen(0, life, requests, failed))
    found.look(6 * US_PER_S, None)
    assert (found.requests, found.requests_failed) == (9, 3)
