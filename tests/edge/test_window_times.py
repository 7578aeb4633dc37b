"""What is remembered of windows' times answers as the windows themselves would, and is bounded."""

from hypothesis import given
from hypothesis import strategies as st

from edge.store.window_times import STALE_MAX, WindowTimes

KEYS = [(device, size) for device in (1, 2) for size in (10, 60)]
puts = st.tuples(st.sampled_from(KEYS), st.integers(0, 5), st.booleans())
steps = st.one_of(puts, st.sampled_from(KEYS))


@given(st.dictionaries(st.sampled_from(KEYS), st.tuples(st.integers(0, 5), st.booleans())), st.lists(steps))
def test_after_whatever_was_written_and_deleted_the_times_are_those_of_the_windows(
    windows: dict[tuple[int, int], tuple[int, bool]],
    course: list[tuple[tuple[int, int], int, bool] | tuple[int, int]],
) -> None:
    times = WindowTimes((key, *one) for key, one in windows.items())
    for step in [*course, KEYS[0]]:
        if len(step) == 3:
            times.put(*step)
            windows[step[0]] = step[1:]
        else:
            times.forget(step)
            windows.pop(step, None)
        in_order = sorted((next_ms, key, dirty) for key, (next_ms, dirty) in windows.items())
        for now_ms, limit in ((-1, 9), (2, 9), (5, 2)):
            expected = [(key, dirty) for next_ms, key, dirty in in_order if next_ms <= now_ms][:limit]
            assert times.due(now_ms, limit) == expected
        assert times.next_ms() == (in_order[0][0] if in_order else None)
        assert len(times) == len(windows)
        assert [key in times for key in KEYS] == [key in windows for key in KEYS]
        assert times.latest_ms >= (in_order[-1][0] if in_order else 0)


def test_a_window_that_moves_for_ever_leaves_no_more_behind_than_a_bound() -> None:
    times = WindowTimes([((1, 10), 0, True)])
    for next_ms in range(10 * STALE_MAX):
        times.put((1, 10), next_ms, dirty=True)
        assert len(times._soonest) <= 2 + STALE_MAX
    assert times.due(10 * STALE_MAX, 9) == [((1, 10), True)]
