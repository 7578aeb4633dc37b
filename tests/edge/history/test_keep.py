"""The history's file: rollups stay, bounded by age and bytes, and a broken file harms nobody."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.history.keep import HISTORY_FILE, WINDOWS_KEPT, History, kept_of, sizes_kept
from edge.history.read import read_battery, read_windows
from edge.stats import Stats, Summary
from edge.store.windows import Window, WindowKey
from edge.windows import WindowRules
from tests.edge.kit import T0_MS, message, open_desk, reading

MINUTE_MS = 60_000
MIB = 1024**2


def _window(
    key: int, start_ms: int, *numbers: float, size_s: int = 60, late_ms: int = 0, name: str = "t"
) -> tuple[WindowKey, Window]:
    stats = Stats.of(name, "Cel", numbers, numbers[-1], (start_ms, 1, 1))
    touched_ms = start_ms + 1000 * size_s + late_ms
    return WindowKey(key, size_s, start_ms), Window(
        {("t", "Cel", False): stats}, dirty=False, touched_ms=touched_ms, next_ms=0
    )


@pytest.fixture
def start_ms() -> int:
    return T0_MS - T0_MS % (900 * 1000)


def test_a_window_is_read_as_it_was_kept_and_a_correction_replaces_it(tmp_path: Path, start_ms: int) -> None:
    history = History(tmp_path / HISTORY_FILE, MIB, (60,))
    history.note([_window(1, start_ms, 1.0, 5.0), _window(2, start_ms, 9.0)])
    history.note([_window(1, start_ms, 1.0, 2.0, 6.0, late_ms=600_000)])
    (point,) = read_windows(history.path, 1, 60, "t", None, start_ms, start_ms + MINUTE_MS)
    assert point == (start_ms, 3, 1.0, 6.0, 3.0, True)
    assert read_windows(history.path, 1, 60, "t", "V", start_ms, start_ms + MINUTE_MS) == []
    assert read_windows(history.path, 3, 60, "t", None, start_ms, start_ms + MINUTE_MS) == []
    history.close()


def test_a_span_begins_with_its_first_whole_window_and_ends_before_its_end(tmp_path: Path, start_ms: int) -> None:
    history = History(tmp_path / HISTORY_FILE, MIB, (60,))
    history.note([_window(1, start_ms + at * MINUTE_MS, float(at)) for at in range(5)])
    found = read_windows(history.path, 1, 60, "t", None, start_ms + 1, start_ms + 4 * MINUTE_MS)
    assert [point.mean for point in found] == [1.0, 2.0, 3.0]
    history.close()


def test_what_is_older_than_the_windows_kept_goes(tmp_path: Path, start_ms: int) -> None:
    history = History(tmp_path / HISTORY_FILE, 64 * MIB, (60,))
    history.note([_window(1, start_ms, 1.0)])
    late_ms = start_ms + (WINDOWS_KEPT + 1) * MINUTE_MS
    history.note([_window(1, late_ms, 2.0)])
    history.note([_window(1, late_ms + MINUTE_MS, 2.0)])
    assert read_windows(history.path, 1, 60, "t", None, start_ms, start_ms + MINUTE_MS) == []
    assert len(read_windows(history.path, 1, 60, "t", None, start_ms, late_ms + MINUTE_MS)) == 1
    history.close()


def test_a_clock_that_jumps_ahead_deletes_nothing(tmp_path: Path, start_ms: int) -> None:
    history = History(tmp_path / HISTORY_FILE, MIB, (60,))
    history.note([_window(1, start_ms, 1.0)])
    history.note([_window(1, start_ms + MINUTE_MS, 2.0, late_ms=10**12)])
    assert len(read_windows(history.path, 1, 60, "t", None, start_ms, start_ms + 2 * MINUTE_MS)) == 2
    history.close()


def test_a_full_file_gives_up_the_oldest_and_stays_within_its_bytes(tmp_path: Path, start_ms: int) -> None:
    bytes_max = 400_000
    history = History(tmp_path / HISTORY_FILE, bytes_max, (60, 900))
    for at in range(60):
        history.note([_window(key, start_ms + at * MINUTE_MS, 1.0, 2.0) for key in range(1, 401)])
    newest = start_ms + 59 * MINUTE_MS
    assert read_windows(history.path, 1, 60, "t", None, start_ms, start_ms + MINUTE_MS) == []
    assert read_windows(history.path, 1, 60, "t", None, newest, newest + MINUTE_MS)
    history.close()
    assert history.path.stat().st_size < 2 * bytes_max


@pytest.mark.parametrize("harm", [lambda path: path.write_bytes(b"no database" * 1000), lambda path: path.mkdir()])
def test_a_file_that_cannot_be_used_is_no_error(tmp_path: Path, start_ms: int, harm: Callable[[Path], object]) -> None:
    path = tmp_path / HISTORY_FILE
    harm(path)
    history = History(path, MIB, (60,))
    history.note([_window(1, start_ms, 1.0)])
    assert history.trouble
    assert read_windows(path, 1, 60, "t", None, start_ms, start_ms + MINUTE_MS) == []
    history.note([_window(1, start_ms, 1.0)])
    if path.is_file():
        assert history.trouble is None
        assert len(read_windows(path, 1, 60, "t", None, start_ms, start_ms + MINUTE_MS)) == 1
    history.close()


def test_texts_and_sums_beyond_a_double_are_not_kept() -> None:
    assert kept_of(Summary("t", None, 2, "on")) is None
    assert kept_of(Summary("t", None, 2, 1e308, 1e308, 1e308, None)) is None
    assert kept_of(Summary("t" * 99, "V", 2, 1.0, 0.0, 2.0, 2.0)) == ("t" * 64, "V", 2, 0.0, 2.0, 1.0)


@pytest.mark.parametrize(("sizes", "kept"), [((10, 60, 900), (60, 900)), ((10, 30), (30,)), ((), ())])
def test_small_windows_are_not_kept_but_one_size_is(sizes: tuple[int, ...], kept: tuple[int, ...]) -> None:
    assert sizes_kept(sizes) == kept


def test_a_battery_is_kept_once_a_slot_in_volts_and_percent(tmp_path: Path, start_ms: int) -> None:
    history = History(tmp_path / HISTORY_FILE, MIB, (60, 900))
    quarter_ms = 900_000
    for at in range(40):
        history.note([_window(1, start_ms + at * quarter_ms, 90.0 - at, size_s=900, name="battery_level")])
    samples = read_battery(history.path, 1, start_ms + 41 * quarter_ms)
    assert len(samples) in (3, 4)
    assert samples[-1].percent == 51.0
    assert samples[-1].volts is None
    history.close()


def test_rollups_stay_when_delivered_rows_are_deleted(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, windows=WindowRules((60,), 0, 0), history_bytes_max=MIB)
    desk.take_in([message(*(reading(seq) for seq in range(120)))], 0, T0_MS)
    while desk.tidy(0, T0_MS + 200_000):
        pass
    path = desk.history.path
    found = read_windows(path, 1, 60, "temperature", None, T0_MS - MINUTE_MS, T0_MS + 200_000)
    assert sum(point.samples for point in found) == 120
    assert (found[0].low, found[-1].high) == (0.0, 119.0)
    desk.close()


def test_without_bytes_there_is_no_file(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, windows=WindowRules((60,), 0, 0))
    desk.take_in([message(reading(0))], 0, T0_MS)
    while desk.tidy(0, T0_MS + 200_000):
        pass
    desk.close()
    assert not (tmp_path / HISTORY_FILE).exists()
