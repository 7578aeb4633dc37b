"""The point store: InfluxDB's rules for a write, the counters, the limits, and what survives."""

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.lineprotocol import parse_lines
from cloud.points import (
    EXPIRE_POINTS_MAX,
    BucketUnknownError,
    PointStore,
    StoreFullError,
    StoreUnusableError,
    WriteReport,
)
from cloud.queries import Selection, count_series, read_points
from tests.cloud.corpus import PARTIAL

NOW_NS = 1_000_000 * 10**9
HOUR_S = 3600


def open_store(path: Path, points_max: int = 1000, disk_bytes_max: int = 10**8) -> PointStore:
    return PointStore(
        path, {"a": None, "b": None, "hour": HOUR_S}, points_max=points_max, disk_bytes_max=disk_bytes_max
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PointStore]:
    opened = open_store(tmp_path / "cloud.sqlite")
    yield opened
    opened.close()


def write(store: PointStore, lines: str, bucket: str = "a") -> WriteReport:
    parsed = parse_lines(lines.encode(), precision="ns", now_ns=NOW_NS)
    assert parsed.errors == []
    return store.write(bucket, parsed.points, now_ns=NOW_NS, body_bytes=len(lines))


def held(store: PointStore, bucket: str = "a", measurement: str = "m") -> list[tuple[dict[str, str], int, Any]]:
    rows, following = read_points(store, Selection(bucket, measurement), limit=10_000)
    assert following is None
    return [(row.tags, row.time_ns, msgspec.json.decode(row.fields)) for row in rows]


def test_a_resend_overwrites_itself_and_is_counted_as_rewritten(store: PointStore) -> None:
    lines = "m,d=1 x=1,y=2i 10\nm,d=2 x=1 10"
    assert write(store, lines) == WriteReport(2, 0, 0, 0, "")
    assert write(store, lines) == WriteReport(0, 2, 0, 0, "")
    assert held(store) == [({"d": "1"}, 10, {"x": 1.0, "y": 2}), ({"d": "2"}, 10, {"x": 1.0})]


def test_other_fields_at_the_same_time_are_joined_and_counted_as_changed(store: PointStore) -> None:
    write(store, "m x=1,y=2 10")
    assert write(store, "m y=3,z=4 10") == WriteReport(0, 0, 1, 0, "")
    assert held(store) == [({}, 10, {"x": 1.0, "y": 3.0, "z": 4.0})]


def test_two_lines_of_one_body_at_one_time_count_as_changed(store: PointStore) -> None:
    assert write(store, "m x=1 10\nm x=2 10") == WriteReport(1, 0, 1, 0, "")


def test_a_part_of_the_fields_is_a_change_because_a_resend_must_be_whole(store: PointStore) -> None:
    write(store, "m x=1,y=2 10")
    assert write(store, "m x=1 10").changed == 1
    assert held(store) == [({}, 10, {"x": 1.0, "y": 2.0})]


def test_field_order_and_tag_order_make_no_difference(store: PointStore) -> None:
    write(store, "m,a=1,b=2 x=1,y=2 10")
    assert write(store, "m,b=2,a=1 y=2,x=1 10").rewritten == 1


def test_every_type_comes_back_exactly(store: PointStore) -> None:
    line = f'm f=1e22,g=-0.0,i=-9223372036854775808i,u={2**64 - 1}u,b=t,s="ä\n\\"" 10'
    write(store, line)
    assert write(store, line).rewritten == 1
    ((_, _, fields),) = held(store)
    assert {name: repr(value) for name, value in fields.items()} == {
        "f": "1e+22",
        "g": "-0.0",
        "i": "-9223372036854775808",
        "u": "18446744073709551615",
        "b": "True",
        "s": repr('ä\n"'),
    }


@pytest.mark.parametrize(("bodies", "answer"), PARTIAL)
def test_a_point_is_dropped_with_the_recorded_reason(
    store: PointStore, bodies: tuple[str, ...], answer: str | None
) -> None:
    *before, last = bodies
    for body in before:
        write(store, body)
    report = write(store, last)
    assert (f"partial write: {report.reason} dropped={report.dropped}" if report.dropped else None) == answer


def test_a_dropped_point_leaves_the_good_ones_and_teaches_no_types(store: PointStore) -> None:
    write(store, "m x=1i 1")
    conflict = 'field type conflict: input field "x" on measurement "m" is type float, already exists as type integer'
    assert write(store, "m x=2i 2\nm x=2.5,y=1i 3\nm y=2.5 4") == WriteReport(2, 0, 0, 1, conflict)
    assert [time_ns for _, time_ns, _ in held(store)] == [1, 2, 4]


def test_an_unsigned_value_is_another_type_than_an_integer(store: PointStore) -> None:
    write(store, "m x=1i 1")
    assert "is type unsigned, already exists as type integer" in write(store, "m x=1u 2").reason


def test_types_belong_to_their_measurement_and_bucket(store: PointStore) -> None:
    assert write(store, "m x=1i 1\nn x=1.5 1").dropped == 0
    assert write(store, "m x=1.5 1", "b").dropped == 0


def test_buckets_do_not_mix(store: PointStore) -> None:
    write(store, "m x=1 1", "a")
    write(store, "m x=2 1", "b")
    assert (held(store, "a"), held(store, "b")) == ([({}, 1, {"x": 1.0})], [({}, 1, {"x": 2.0})])
    with pytest.raises(BucketUnknownError, match='bucket "c" not found'):
        write(store, "m x=1 1", "c")


def test_points_beyond_retention_are_dropped_and_the_youngest_allowed_is_kept(store: PointStore) -> None:
    oldest = NOW_NS - HOUR_S * 10**9
    assert write(store, f"m x=1 {oldest}\nm x=1 {oldest - 1}\nm x=1 1", "hour") == WriteReport(
        1, 0, 0, 2, "points beyond retention policy"
    )


def test_expired_points_go_with_their_empty_series_and_only_they(store: PointStore) -> None:
    write(store, f"m,d=old x=1 {NOW_NS}\nm,d=new x=1 {NOW_NS}\nm,d=new x=1 {NOW_NS + 10}", "hour")
    write(store, "m x=1 1", "a")
    later = NOW_NS + HOUR_S * 10**9 + 5
    assert (store.drop_expired(later), store.drop_expired(later)) == (2, 0)
    assert held(store, "hour") == [({"d": "new"}, NOW_NS + 10, {"x": 1.0})]
    stats = store.stats()["hour"]
    assert (stats.points, stats.expired, stats.written) == (1, 2, 3)
    assert len(held(store, "a")) == 1
    assert store.connection.execute("SELECT count(*) FROM series").fetchone() == (2,)


def test_expiry_is_done_in_bounded_bites(store: PointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert EXPIRE_POINTS_MAX == 50_000
    monkeypatch.setattr("cloud.points.EXPIRE_POINTS_MAX", 2)
    write(store, "\n".join(f"m x=1 {NOW_NS + i}" for i in range(5)), "hour")
    later = NOW_NS + HOUR_S * 10**9 + 100
    assert [store.drop_expired(later) for _ in range(4)] == [2, 2, 1, 0]


def test_a_write_beyond_points_max_is_refused_whole_but_a_resend_is_not(tmp_path: Path) -> None:
    store = open_store(tmp_path / "cloud.sqlite", points_max=2)
    write(store, "m x=1 1")
    with pytest.raises(StoreFullError, match="max_points = 2"):
        write(store, "m x=1 2\nm x=1 3")
    assert [time_ns for _, time_ns, _ in held(store)] == [1]
    assert write(store, "m x=1 1\nm x=1 2").created == 1
    assert write(store, "m x=1 1\nm x=1 2").rewritten == 2
    store.close()


def test_a_lowered_limit_still_takes_resends(tmp_path: Path) -> None:
    store = open_store(tmp_path / "cloud.sqlite")
    write(store, "m x=1 1\nm x=1 2")
    store.close()
    lowered = open_store(tmp_path / "cloud.sqlite", points_max=1)
    assert write(lowered, "m x=1 1").rewritten == 1
    with pytest.raises(StoreFullError):
        write(lowered, "m x=1 3")
    lowered.close()


def test_a_full_database_refuses_whole_and_still_serves(tmp_path: Path) -> None:
    store = open_store(tmp_path / "cloud.sqlite", points_max=10**6, disk_bytes_max=200_000)
    write(store, "m x=1 1")
    with pytest.raises(StoreFullError, match="max_disk_bytes"):
        write(store, "\n".join(f'm s="{"a" * 500}" {i}' for i in range(2, 1000)))
    assert len(held(store)) == 1
    assert write(store, "m x=1 1").rewritten == 1
    store.close()


def test_counters_and_points_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "cloud.sqlite"
    first = open_store(path)
    write(first, "m x=1 1")
    write(first, "m x=1 1")
    write(first, "m x=2 1\nm x=t 2")
    before = first.stats()
    first.close()
    second = open_store(path)
    assert second.stats() == before
    counts = before["a"]
    assert (counts.points, counts.written, counts.rewritten, counts.changed, counts.dropped) == (1, 3, 1, 1, 1)
    assert (counts.requests, counts.body_bytes) == (3, 29)
    assert write(second, "m x=t 3").dropped == 1
    second.close()


def test_durability_is_set_and_read_back(store: PointStore) -> None:
    settings = [store.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert settings == ["wal", 2]


def test_a_second_cloud_on_the_same_file_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.points.BUSY_TIMEOUT_S", 0.01)
    first = open_store(tmp_path / "cloud.sqlite")
    with pytest.raises(StoreUnusableError, match="in use by another process"):
        open_store(tmp_path / "cloud.sqlite")
    first.close()


def test_a_file_that_is_no_database_of_ours_is_left_alone(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(StoreUnusableError, match="not usable as a database"):
        open_store(garbage)
    assert garbage.read_bytes().startswith(b"not a database")
    foreign = tmp_path / "foreign"
    other = sqlite3.connect(foreign)
    other.execute("CREATE TABLE mine (x)")
    other.close()
    with pytest.raises(StoreUnusableError, match="schema 0 is not"):
        open_store(foreign)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnusableError, match="cannot be opened"):
        open_store(tmp_path / "file" / "cloud.sqlite")


def test_a_file_of_the_first_schema_is_taken_over_with_its_points(tmp_path: Path) -> None:
    path = tmp_path / "cloud.sqlite"
    store = open_store(path)
    write(store, "m x=1 10")
    store.close()
    old = sqlite3.connect(path)
    old.executescript("ALTER TABLE series DROP COLUMN behind; PRAGMA user_version = 1;")
    old.close()
    for _ in range(2):
        store = open_store(path)
        write(store, "m x=1 5")
        (series,), _ = count_series(store, Selection("a", "m"), limit=10)
        assert (series.points, series.behind) == (2, 1)
        store.close()


WRITES = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.integers(0, 3),
        st.dictionaries(st.sampled_from("xyz"), st.integers(0, 2), min_size=1),
    ),
    max_size=6,
)


@settings(max_examples=40)
@given(st.lists(WRITES, max_size=4))
def test_any_writes_leave_what_a_dictionary_of_dictionaries_says(
    batches: list[list[tuple[str, int, dict[str, int]]]],
) -> None:
    model: dict[tuple[str, int], dict[str, int]] = {}
    written = rewritten = changed = 0
    with tempfile.TemporaryDirectory() as home:
        store = open_store(Path(home) / "cloud.sqlite")
        for batch in batches:
            lines = []
            for device, time_ns, fields in batch:
                lines.append(f"m,d={device} {','.join(f'{k}={v}i' for k, v in fields.items())} {time_ns}")
                known = model.get((device, time_ns))
                written += 1
                rewritten += known == fields
                changed += known is not None and known != fields
                model[device, time_ns] = {**(known or {}), **fields}
            write(store, "\n".join(lines))
        counts = store.stats()["a"]
        assert held(store) == [({"d": device}, time_ns, model[device, time_ns]) for device, time_ns in sorted(model)]
        store.close()
    assert (counts.points, counts.written) == (len(model), written)
    assert (counts.rewritten, counts.changed) == (rewritten, changed)
