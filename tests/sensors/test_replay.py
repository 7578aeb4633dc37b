"""Replay of recorded data: real files, resampling, looping, and errors that name the line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.replay import (
    BadFieldError,
    Interpolation,
    MissingColumnError,
    Recording,
    RecordingError,
    Replay,
    TimeFormat,
    UnsortedTimeError,
    read_recording,
)
from sensors.signals import SignalError

OFFICE = Path(__file__).parent / "data" / "office_room_2015_excerpt.csv"
RAMP = Recording((1_000, 2_000, 4_000), (10.0, 20.0, 40.0))


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "data.csv"
    path.write_bytes(text.encode())
    return path


def test_a_real_file_with_an_unnamed_quoted_first_column_is_read() -> None:
    co2 = read_recording(OFFICE, "CO2", time_column="date")
    assert len(co2.values) == 120
    assert co2.values[:2] == (749.2, 760.4)
    assert co2.times_ms[0] == 1_422_886_740_000  # 2015-02-02T14:19:00Z
    assert co2.times_ms[1] - co2.times_ms[0] == 59_000
    assert co2.typical_step_ms == 60_000
    temperature = read_recording(OFFICE, "Temperature", time_column="date", utc_offset_s=3_600)
    assert temperature.values[0] == 23.7
    assert temperature.times_ms[0] == co2.times_ms[0] - 3_600_000


@pytest.mark.parametrize(
    "text",
    [
        '"","t","v"\n"1","1970-01-01T00:00:01Z",1\n"2","1970-01-01T01:00:02+01:00",2\n',
        "\ufefft,v\r\n1970-01-01 00:00:01,1\r\n\r\n1970-01-01 00:00:02,2\r\n",
        '"v","t"\n"a",1,"1970-01-01 00:00:01"\n"b",2,"1970-01-01 00:00:02"\n',
    ],
    ids=["empty first name", "byte order mark, blank line", "row names as R writes them"],
)
def test_the_usual_ways_to_write_a_table_are_read(tmp_path: Path, text: str) -> None:
    assert read_recording(write(tmp_path, text), "v", time_column="t") == Recording((1_000, 2_000), (1.0, 2.0))


def test_times_may_be_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, "t,v\n1.5,1\n2.25,2\n")
    assert read_recording(path, "v", time_column="t", time_format=TimeFormat.SECONDS).times_ms == (1_500, 2_250)
    path = write(tmp_path, "t,v\n15,1\n22,2\n")
    assert read_recording(path, "v", time_column="t", time_format=TimeFormat.MILLISECONDS).times_ms == (15, 22)


def test_a_missing_column_names_those_that_there_are() -> None:
    with pytest.raises(MissingColumnError, match=r"excerpt\.csv:1: expected a column 'co2', found .*'CO2'"):
        read_recording(OFFICE, "co2", time_column="date")
    with pytest.raises(MissingColumnError, match="'when'"):
        read_recording(OFFICE, "CO2", time_column="when")


@pytest.mark.parametrize("bad", ["n/a", "", "nan", "inf", "1e999"])
def test_a_bad_number_is_named_with_its_line(tmp_path: Path, bad: str) -> None:
    path = write(tmp_path, f"t,v\n1,1\n2,2\n3,{bad}\n4,4\n")
    with pytest.raises(BadFieldError, match=r"data\.csv:4: expected a finite number in column 'v'") as caught:
        read_recording(path, "v", time_column="t", time_format=TimeFormat.SECONDS)
    assert (caught.value.line, caught.value.found) == (4, bad)


@pytest.mark.parametrize(("time_format", "bad"), [(TimeFormat.ISO, "yesterday"), (TimeFormat.SECONDS, "2015-02-02")])
def test_a_bad_time_is_named_with_its_line(tmp_path: Path, time_format: TimeFormat, bad: str) -> None:
    with pytest.raises(BadFieldError, match=r":2: expected a time in column 't'"):
        read_recording(write(tmp_path, f"t,v\n{bad},1\n"), "v", time_column="t", time_format=time_format)


@pytest.mark.parametrize("later", ["2", "1.5"])
def test_a_row_that_is_not_later_is_named_with_its_line(tmp_path: Path, later: str) -> None:
    path = write(tmp_path, f"t,v\n1,1\n2,2\n{later},3\n")
    with pytest.raises(UnsortedTimeError, match=":4: expected a later time"):
        read_recording(path, "v", time_column="t", time_format=TimeFormat.SECONDS)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("t,v\n", 1),
        ("t,v\n1,1\n", 2),
        ("t,v\n1,1\n2,2,2\n", 3),
        ("t,v\n1,1,1,1\n", 2),
        ('t,v\n1,1\n2,"2\n', 3),
    ],
    ids=["empty", "names only", "one row", "a longer row", "rows too long", "an open quote"],
)
def test_what_is_not_a_table_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(RecordingError) as caught:
        read_recording(write(tmp_path, text), "v", time_column="t", time_format=TimeFormat.SECONDS)
    assert caught.value.line == line


def test_a_file_that_is_absent_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="absent"):
        read_recording(tmp_path / "absent.csv", "v", time_column="t")
    path = tmp_path / "data.csv"
    path.write_bytes(b"t,v\n\xff\xfe,1\n")
    with pytest.raises(RecordingError, match="UTF-8"):
        read_recording(path, "v", time_column="t")


def test_between_rows_it_is_straight_or_the_previous_row() -> None:
    straight = Replay(RAMP, start_ms=0)
    held = Replay(RAMP, start_ms=0, interpolation=Interpolation.PREVIOUS)
    assert [straight.value(at_ms) for at_ms in (0, 500, 1_000, 2_000, 3_000)] == [10, 15, 20, 30, 40]
    assert [held.value(at_ms) for at_ms in (0, 500, 1_000, 2_000, 3_000)] == [10, 10, 20, 20, 40]


def test_a_loop_goes_from_the_last_row_to_the_first_in_one_typical_step() -> None:
    assert RAMP.typical_step_ms == 2_000
    replay = Replay(RAMP, start_ms=0)
    assert [replay.value(at_ms) for at_ms in (3_000, 4_000, 5_000, 5_500)] == [40, 25, 10, 15]
    assert Replay(RAMP, start_ms=0, interpolation=Interpolation.PREVIOUS).value(4_900) == 40


def test_without_a_loop_the_ends_are_held() -> None:
    replay = Replay(RAMP, start_ms=0, loop=False)
    assert [replay.value(at_ms) for at_ms in (-10_000, 0, 3_000, 10_000)] == [10, 10, 40, 40]


def test_offset_and_time_scale_place_the_start() -> None:
    assert Replay(RAMP, start_ms=100, offset_ms=500).value(100) == 15
    assert Replay(RAMP, start_ms=100, time_scale=2.0).value(350) == 15
    assert Replay(RAMP, start_ms=100, offset_ms=5_500).value(100) == 15


@given(st.integers(-(10**13), 10**13), st.integers(-(10**6), 10**6), st.floats(0.01, 100))
def test_a_loop_never_leaves_the_recorded_values(at_ms: int, offset_ms: int, time_scale: float) -> None:
    assert 10 <= Replay(RAMP, 0, offset_ms=offset_ms, time_scale=time_scale).value(at_ms) <= 40


@given(st.integers(0, 10**6), st.integers(1, 50))
def test_each_round_is_the_same(at_ms: int, rounds: int) -> None:
    replay = Replay(RAMP, start_ms=0)
    assert replay.value(at_ms) == replay.value(at_ms + rounds * 5_000)


def test_a_real_recording_replayed_passes_through_its_rows() -> None:
    co2 = read_recording(OFFICE, "CO2", time_column="date")
    replay = Replay(co2, start_ms=0)
    assert tuple(replay.value(at_ms - co2.times_ms[0]) for at_ms in co2.times_ms) == co2.values


def test_senseless_recordings_and_scales_are_refused() -> None:
    with pytest.raises(SignalError, match="ascending"):
        Recording((1, 1), (0.0, 0.0))
    with pytest.raises(SignalError, match="at least two"):
        Recording((1,), (0.0,))
    with pytest.raises(SignalError, match="as many values"):
        Recording((1, 2), (0.0,))
    with pytest.raises(SignalError, match="time_scale"):
        Replay(RAMP, 0, time_scale=0.0)
