"""A failing recording becomes a minimal one, which fails in the same way, and a test that says so."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.outages.events import Cause, End, Link, LinkKind, Sample, Status, Transition
from edge.outages.recording import Recording, make_header
from tests.replay.mutants import MovesTheCursorBeforeTheAnswer, planted
from tidegate.replay import SiteConfig, make_scenario
from tidegate.replay.run import run
from tidegate.replay.shrink import NothingToShrink, ddmin, shrink
from tidegate.replay.world import US_PER_S

SITE = SiteConfig.model_validate({"fleet": {"devices": 2, "interval_s": 5}})
LINK = "uplink"


def busy(outages: int) -> Recording:
    """Many outages and samples, of which one outage is enough for a bug."""
    events: list[Transition | Sample] = []
    for number in range(outages):
        at_us = number * 60 * US_PER_S
        events.append(Transition(at_us, LINK, Status.UP))
        events.append(Sample(at_us + US_PER_S, LINK, latency_us=20_000 + number))
        events.append(Transition(at_us + 30 * US_PER_S, LINK, Status.DOWN, Cause.RESET))
    return Recording(make_header([Link(LINK, LinkKind.UPLINK)]), (*events, End(outages * 60 * US_PER_S)))


def loses_readings(recording: Recording) -> bool:
    scenario = make_scenario(recording, SITE)
    return run(scenario, make_desk=planted(MovesTheCursorBeforeTheAnswer), tell=False).missing > 0


@pytest.mark.no_cover
def test_a_recording_of_fifteen_events_becomes_one_of_one() -> None:
    found = shrink(busy(5), loses_readings)
    assert found.is_minimal
    assert loses_readings(found.recording)
    (down, end) = found.recording.events
    assert isinstance(down, Transition)
    assert down.status is Status.DOWN
    assert end.at_us < down.at_us + 40 * US_PER_S


def test_one_that_does_not_fail_is_refused() -> None:
    with pytest.raises(NothingToShrink):
        shrink(busy(1), lambda _recording: False)


def test_at_the_end_of_its_tries_it_has_what_it_found() -> None:
    found = shrink(busy(5), lambda recording: len(recording.events) > 3, tries_max=4)
    assert not found.is_minimal
    assert found.tries == 4
    assert 3 < len(found.recording.events) < 16


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 50), unique=True, min_size=1), st.data())
def test_what_is_left_is_exactly_what_is_needed(items: list[int], data: st.DataObject) -> None:
    needed = set(data.draw(st.lists(st.sampled_from(items), unique=True)))

    def fails(part: Sequence[int]) -> bool:
        return needed <= set(part)

    assert set(ddmin(items, fails)) == needed
