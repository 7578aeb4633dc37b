"""The simulated cloud's points follow the embedded cloud's, which follow InfluxDB's."""

from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.lineprotocol import FieldValue, Point, Series, UInt
from cloud.points import PointStore, encode_tags
from tidegate.replay.points import FRESH_MAX, PACK_POINTS, Held, Met, Points
from tidegate.replay.stage_folder import MEMORY_FOLDER

VALUES: st.SearchStrategy[FieldValue] = st.one_of(
    st.floats(-5, 5), st.integers(-3, 3), st.booleans(), st.sampled_from(["", "x"]), st.just(UInt(4))
)
POINTS = st.builds(
    Point,
    st.builds(Series, st.sampled_from(["m", "n"]), st.sampled_from([(), (("device", "a"),), (("time", "a"),)])),
    st.dictionaries(st.sampled_from(["a", "b", "time"]), VALUES, min_size=1),
    st.integers(0, 3),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(POINTS, max_size=6), max_size=5))
def test_any_writes_give_the_same_reports_and_the_same_points(writes: list[list[Point]]) -> None:
    points = Points(lambda _point, _met: None)
    parent = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None
    with TemporaryDirectory(dir=parent) as folder:
        store = PointStore(Path(folder) / "cloud.sqlite", {"b": None}, points_max=1000, disk_bytes_max=10**8)
        for write in writes:
            assert points.write(write) == store.write("b", write, now_ns=0, body_bytes=0)
        rows = store.connection.execute(
            "SELECT measurement, tags, time_ns, fields FROM point JOIN series ON series_id = id"
        ).fetchall()
        store.close()
    assert points.count == len(rows)
    every = {point.series for write in writes for point in write}
    by_name = {(series.measurement, encode_tags(series.tags)): series for series in every}
    for measurement, tags, time_ns, fields in rows:
        assert points.fields(by_name[measurement, tags], time_ns) == msgspec.json.decode(fields)


def test_the_witness_is_told_what_each_point_met() -> None:
    told: list[Met] = []
    points = Points(lambda _point, met: told.append(met))
    series = Series("m", ())
    points.write([Point(series, {"a": 1.0}, 5), Point(series, {"a": 1.0}, 5), Point(series, {"a": 2.0}, 5)])
    points.write([Point(series, {"a": "conflict"}, 6)])
    assert told == [Met.NOTHING, Met.ITSELF, Met.ANOTHER]


@settings(max_examples=30, deadline=None)
@given(
    st.permutations(range(8)),
    st.lists(st.tuples(st.integers(0, 3 * FRESH_MAX), st.binary(max_size=3).map(bytes.hex)), max_size=40),
)
def test_points_that_were_packed_are_what_was_written_last(order: list[int], later: list[tuple[int, str]]) -> None:
    held, expected = Held(), dict[int, bytes]()
    written = [(8 * at + step, f"{at} {step}") for step in order for at in range(PACK_POINTS)]
    for time_ns, text in written + later:
        held.put(time_ns, text.encode())
        expected[time_ns] = text.encode()
    assert len(held) == len(expected)
    assert {time_ns: held[time_ns] for time_ns in held} == expected
    assert [held.get(time_ns) for time_ns, _ in later] == [expected[time_ns] for time_ns, _ in later]
    assert held.get(-1) is None
    assert len(held._fresh) < FRESH_MAX
