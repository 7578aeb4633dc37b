"""The recorder: columns, gaps as null, and its bound."""

from edge.dashboard.history import SAMPLES_MAX, STEP_MS, Recorder
from tests.edge.dashboard.kit import status
from tests.edge.kit import T0_MS


def test_samples_become_columns() -> None:
    recorder = Recorder()
    assert recorder.history().at_ms == []
    recorder.note(status(forward={"backlog": 7}))
    recorder.note(status(at_ms=T0_MS + STEP_MS, forward={"backlog": 8}))
    history = recorder.history()
    assert (history.at_ms, history.backlog) == ([T0_MS, T0_MS + STEP_MS], [7, 8])


def test_a_look_without_an_answer_is_null() -> None:
    recorder = Recorder()
    recorder.note(status())
    recorder.note_nothing(T0_MS + STEP_MS)
    assert recorder.history().backlog == [0, None]


def test_time_in_which_nobody_looked_is_a_gap() -> None:
    recorder = Recorder()
    recorder.note(status())
    recorder.note(status(at_ms=T0_MS + 60_000))
    assert recorder.history().backlog == [0, None, 0]


def test_a_clock_that_is_set_back_starts_over() -> None:
    recorder = Recorder()
    recorder.note(status())
    recorder.note(status(at_ms=T0_MS - 60_000))
    assert recorder.history().at_ms == [T0_MS - 60_000]


def test_the_history_is_bounded() -> None:
    recorder = Recorder()
    for at in range(SAMPLES_MAX + 10):
        recorder.note(status(at_ms=T0_MS + at * STEP_MS))
    assert recorder.history().at_ms[0] == T0_MS + 10 * STEP_MS
    assert len(recorder.history().at_ms) == SAMPLES_MAX
