"""The stage itself: order, chance and the log's hash."""

import pytest

from tidegate.replay.world import EVENTS_AT_ONE_INSTANT_MAX, World, WorldStuck


def test_events_happen_by_time_and_then_in_the_order_of_their_making() -> None:
    world, seen = World(1), list[str]()
    world.at(20, lambda: seen.append("c"))
    world.at(10, lambda: seen.append("a"))
    world.at(10, lambda: seen.append("b"))
    world.run_until(20)
    assert seen == ["a", "b", "c"]
    assert world.now_us == 20


def test_what_lies_behind_the_end_waits() -> None:
    world, seen = World(1), list[int]()
    world.at(11, lambda: seen.append(world.now_us))
    world.run_until(10)
    assert seen == []
    world.run_until(11)
    assert seen == [11]


def test_a_cancelled_event_does_not_happen() -> None:
    world, seen = World(1), list[str]()
    timer = world.after(5, lambda: seen.append("never"))
    timer.cancel()
    world.run_until(10)
    assert seen == []


def test_an_event_in_the_past_happens_now() -> None:
    world, seen = World(1), list[int]()
    world.run_until(100)
    world.at(5, lambda: seen.append(world.now_us))
    world.run_until(100)
    assert seen == [100]


def test_the_hash_is_that_of_every_line_and_its_time() -> None:
    def lived(*lines: tuple[int, str]) -> str:
        world = World(1)
        for at_us, line in lines:
            world.run_until(at_us)
            world.note(line)
        return world.hash

    assert lived((1, "a"), (2, "b")) == lived((1, "a"), (2, "b"))
    assert len({lived((1, "a")), lived((2, "a")), lived((1, "b")), lived((1, "a"), (1, "a")), lived()}) == 5


def test_a_stream_of_chance_depends_on_its_names_and_the_seed_alone() -> None:
    first = World(7).rng("device", "1").random()
    busy = World(7)
    busy.rng("something", "else").random()
    assert busy.rng("device", "1").random() == first
    assert World(8).rng("device", "1").random() != first
    assert World(7).rng("device1").random() != first


def test_a_world_that_stands_still_says_so() -> None:
    world = World(1)

    def again() -> None:
        world.note("again")
        world.after(0, again)

    world.after(3, again)
    with pytest.raises(WorldStuck, match=f"more than {EVENTS_AT_ONE_INSTANT_MAX} events at 3 us"):
        world.run_until(10)
