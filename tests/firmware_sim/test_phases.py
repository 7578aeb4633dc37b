"""The firmware's table of states."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.phases import BESIDE, TRANSITIONS, Event, IllegalStepError, Phase, next_phase

STATES = [phase for phase in Phase if phase not in BESIDE]


def test_every_state_can_be_reached_from_off_and_only_dead_has_no_way_out() -> None:
    reached, frontier = {Phase.OFF}, [Phase.OFF]
    while frontier:
        for follower in TRANSITIONS[frontier.pop()].values():
            if follower not in reached:
                reached.add(follower)
                frontier.append(follower)
    assert reached == set(STATES)
    assert [phase for phase in STATES if not TRANSITIONS[phase]] == [Phase.DEAD]


@pytest.mark.parametrize("phase", [p for p in STATES if p not in {Phase.OFF, Phase.DEAD}])
def test_every_powered_state_can_lose_its_power(phase: Phase) -> None:
    assert next_phase(phase, Event.SAG) is Phase.BROWN_OUT
    assert next_phase(phase, Event.EXHAUSTED) is Phase.DEAD


@given(phase=st.sampled_from(STATES), event=st.sampled_from(Event))
def test_a_step_is_in_the_table_or_an_error_that_says_what_was_expected(phase: Phase, event: Event) -> None:
    if event in TRANSITIONS[phase]:
        assert next_phase(phase, event) is TRANSITIONS[phase][event]
    else:
        with pytest.raises(IllegalStepError, match=f"firmware in state {phase}: got {event}, expected"):
            next_phase(phase, event)
