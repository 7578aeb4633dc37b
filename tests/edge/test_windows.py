"""Windows: the last rollup of a window equals a recomputation from raw, whatever the order and whatever crashes."""

import math
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import windows as windows_module
from edge.desk import DESTINATION, STORE_FILE, Desk
from edge.intervals import Intervals
from edge.ledger import NOT_ROLLED_UP, covered_ranges
from edge.stats import Stats, Summary
from edge.store import Store, StoreFailed
from edge.store import windows as tables_module
from edge.store.schema import migrations
from edge.store.windows import KEYS_LOOKED_UP, Window, WindowKey, WindowTables
from edge.windows import Aggregator, WindowRules
from sensors.reading import Reading, Value
from tests.edge.kit import T0_MS, message, open_desk, reading

RULES = WindowRules(sizes_s=(10, 60), grace_ms=500, lateness_ms=3_600_000)
GATHERED = 8  # readings that wait for a window at most
YEAR_MS = 365 * 86_400_000
Rolled = dict[tuple[str, int, int], tuple[Summary, ...]]

contents = st.one_of(
    st.floats(-1e9, 1e9), st.sampled_from([0.1, 1e300, -1e300, 1e-300, -0.0]), st.booleans(), st.text(max_size=3)
)
values = st.lists(
    st.builds(Value, st.sampled_from(["t", "h"]), contents, st.sampled_from([None, "Cel"])),
    min_size=1,
    max_size=3,
    unique_by=lambda value: (value.name, value.unit),
).map(tuple)


@st.composite
def arrivals(draw: st.DrawFn) -> list[Reading | str]:
    """Readings of two devices in any order, some twice, with crashes and failures of the store in between."""
    readings: list[Reading | str] = []
    for device in ("a", "b"):
        for seq in range(draw(st.integers(1, 12))):
            taken_at_ms = T0_MS + draw(st.integers(0, 150_000))
            readings.append(Reading(device, draw(st.integers(0, 1)), seq, taken_at_ms, draw(values)))
    readings += draw(st.lists(st.sampled_from(list(readings)), max_size=5))
    steps = draw(st.lists(st.sampled_from(["crash", "fail", "advance"]), max_size=12))
    return list(draw(st.permutations([*readings, *steps])))


def recomputed(readings: Iterable[Reading], sizes_s: Iterable[int]) -> Rolled:
    """The rollups of readings, from their definition."""
    groups: dict[tuple[str, int, int], dict[Any, list[tuple[Any, Any]]]] = {}
    for one in readings:
        for size_s in sizes_s:
            start_ms = one.taken_at_ms // (1000 * size_s) * 1000 * size_s
            series = groups.setdefault((one.device, size_s, start_ms), {})
            for value in one.values:
                is_text = isinstance(value.value, str)
                at = (one.taken_at_ms, one.boot, one.seq)
                content = value.value if is_text else float(value.value)
                series.setdefault((value.name, value.unit or "", is_text), []).append((at, content))
    return {
        key: tuple(_summary(name, unit, is_text, found) for (name, unit, is_text), found in sorted(series.items()))
        for key, series in groups.items()
    }


def _summary(name: str, unit: str, is_text: bool, found: list[tuple[Any, Any]]) -> Summary:
    last = max(found)[1]
    if is_text:
        return Summary(name, unit or None, len(found), last)
    numbers = [number for _, number in found]
    return Summary(name, unit or None, len(found), last, min(numbers), max(numbers), math.fsum(numbers))


def emitted(store: Store, sizes_s: Iterable[int] = RULES.sizes_s) -> Rolled:
    """The last rollup of every window."""
    tables = WindowTables(store)
    found: Rolled = {}
    for size_s in sizes_s:
        page = tables.read(size_s, 1, tables.head(size_s), 10**6)
        assert page.damaged is None
        assert [entry.id for entry in page.entries] == list(range(1, tables.head(size_s) + 1))
        for entry in page.entries:
            found[store.device_name(entry.device_key)[1], size_s, entry.start_ms] = entry.summaries
    return found


def advance(desk: Desk, wall_ms: int) -> None:
    while desk._aggregator.advance(wall_ms):
        pass


def take(desk: Desk, *readings: Reading, wall_ms: int = T0_MS) -> None:
    desk.take_in([message(*readings)], 0, wall_ms)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path, windows=RULES)
    yield opened
    opened.store.close()


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a short run crosses many."""
    monkeypatch.setattr(windows_module, "PAGE_ROWS", 4)
    monkeypatch.setattr(windows_module, "EMIT_WINDOWS", 3)


def fail_once(desk: Desk, at: int, wall_ms: int) -> None:
    """Advance with a store whose write number `at` fails, as a crash at that point would."""
    calls = 0

    def counted(real: Any) -> Any:
        def call(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                raise StoreFailed("disk I/O error")
            return real(*args)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk.store, "run_many", counted(desk.store.run_many))
        patch.setattr(desk.store, "set_cursor", counted(desk.store.set_cursor))
        try:
            desk._aggregator.advance(wall_ms)
        except StoreFailed:
            assert calls == at


@given(arrivals(), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_rollups_equal_a_recomputation_from_raw_for_any_order_duplicates_and_crashes(
    steps: list[Reading | str], fail_at: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        desk = open_desk(Path(directory), windows=RULES)
        wall_ms = T0_MS
        seen: dict[tuple[str, int, int], Reading] = {}
        for step in steps:
            wall_ms += 15_000
            if isinstance(step, Reading):
                take(desk, step, wall_ms=wall_ms)
                seen.setdefault(step.identity, step)
            elif step == "crash":
                desk.store.close()
                desk = open_desk(Path(directory), windows=RULES)
            elif step == "fail":
                fail_once(desk, fail_at, wall_ms)
            else:
                advance(desk, wall_ms)
        advance(desk, wall_ms + 200_000)
        rolled = emitted(desk.store)
        assert desk.ledger.totals[NOT_ROLLED_UP] == 0
        desk.store.close()
    assert rolled == recomputed(seen.values(), RULES.sizes_s)


def test_a_window_is_kept_for_its_last_reading_also_where_a_page_has_that_before_others(tmp_path: Path) -> None:
    """Of a page, the readings of one stretch are taken together: the first stretch may have the newest reading."""
    desk = open_desk(tmp_path, windows=replace(RULES, lateness_ms=100_000))
    take(desk, Reading("a", 1, 0, T0_MS + 2, (Value("t", 0.0, "Cel"),)))
    take(desk, Reading("a", 1, 1, T0_MS + 15_000, (Value("t", 1.0, "Cel"),)))
    take(desk, Reading("a", 1, 2, T0_MS + 376, (Value("t", 2.0, "Cel"),)), wall_ms=T0_MS + 250_000)
    for _ in range(3):
        advance(desk, T0_MS + 250_000)  # emitted, and what nobody has touched for its lateness is forgotten
    take(desk, Reading("a", 1, 3, T0_MS + 8_789, (Value("t", 3.0, "Cel"),)), wall_ms=T0_MS + 251_000)
    advance(desk, T0_MS + 600_000)
    assert desk.ledger.totals[NOT_ROLLED_UP] == 0
    counts = {key[1]: [each[0].count for each in found] for key, found in emissions(desk.store, (60,)).items()}
    assert counts == {60: [3, 4]}
    desk.close()


@st.composite
def courses(draw: st.DrawFn) -> list[tuple[int, Reading | str]]:
    """Readings of two devices, in any order and some twice, and crashes; each so many milliseconds after the last."""
    course: list[Reading | str] = ["crash"] * draw(st.integers(0, 2))
    for device in ("a", "b"):
        for seq in range(draw(st.integers(1, 10))):
            taken_at_ms = T0_MS + draw(st.integers(0, 150_000))
            course.append(Reading(device, 1, seq, taken_at_ms, (Value("t", float(seq), "Cel"),)))
    course += draw(st.lists(st.sampled_from(list(course)), max_size=4))
    waits = st.sampled_from([0, 1, 300, 2_000, 9_000, 31_000, 250_000])
    return [(draw(waits), step) for step in draw(st.permutations(course))]


def emissions(store: Store, sizes_s: Iterable[int]) -> dict[tuple[int, int, int], list[tuple[Summary, ...]]]:
    """Every rollup of every window, corrected ones too, in their order."""
    found: dict[tuple[int, int, int], list[tuple[Summary, ...]]] = {}
    for size_s in sizes_s:
        for one in WindowTables(store).read(size_s, 1, 10**6, 10**6).entries:
            found.setdefault((one.device_key, one.size_s, one.start_ms), []).append(one.summaries)
    return found


@given(courses())
@settings(max_examples=25, deadline=None)
def test_windows_that_are_gathered_emit_the_same_as_prompt_ones(course: list[tuple[int, Reading | str]]) -> None:
    rules = replace(RULES, lateness_ms=100_000)  # so that windows are forgotten, too
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as other,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(windows_module, "PAGE_ROWS", 4 * GATHERED)
        patch.setattr(windows_module, "READ_ROWS", GATHERED)
        # All that is due at once: what is emitted long after its lateness is forgotten with the next look, and where a
        # look is cut short, it is cut in other places for either.
        patch.setattr(windows_module, "EMIT_WINDOWS", 100)
        folders = (Path(one), Path(other))
        prompt, gathering = (open_desk(folder, windows=rules) for folder in folders)
        wall_ms = T0_MS
        for wait_ms, step in [*course, (1_000_000, "look")]:
            wall_ms += wait_ms
            if isinstance(step, Reading):
                take(prompt, step, wall_ms=wall_ms)
                take(gathering, step, wall_ms=wall_ms)
            elif step == "crash":
                prompt.store.close()
                gathering.store.close()
                prompt, gathering = (open_desk(folder, windows=rules) for folder in folders)
            advance(prompt, wall_ms)
            due_ms = gathering._aggregator.due_ms()
            if due_ms is not None and due_ms <= wall_ms:
                advance(gathering, wall_ms)
        told = [
            (emissions(desk.store, rules.sizes_s), desk.ledger.totals[NOT_ROLLED_UP], desk._aggregator.has_open())
            for desk in (prompt, gathering)
        ]
        prompt.store.close()
        gathering.store.close()
    assert told[0] == told[1]


@pytest.mark.no_cover
@settings(deadline=None)
@given(st.lists(st.tuples(contents.filter(lambda one: not isinstance(one, str)), st.integers(0, 5)), min_size=1))
def test_statistics_do_not_depend_on_the_order(found: list[tuple[Any, int]]) -> None:
    def summed(items: list[tuple[int, tuple[Any, int]]]) -> Summary:
        first, *others = [
            Stats.of("t", None, [content], content, (taken_at_ms, 0, number))
            for number, (content, taken_at_ms) in items
        ]
        for other in others:
            first.merge(other)
        return first.summary()

    numbered = list(enumerate(found))
    assert repr(summed(numbered)) == repr(summed(numbered[::-1]))
    assert summed(numbered).total == math.fsum(float(content) for content, _ in found)


def test_a_sum_beyond_a_double_has_no_value_and_hurts_nothing_else() -> None:
    stats = Stats.of("t", None, [1.7e308], 1.7e308, (0, 0, 0))
    for seq in range(1, 4):
        stats.merge(Stats.of("t", None, [1.7e308], 1.7e308, (0, 0, seq)))
    assert (stats.summary().count, stats.summary().total, stats.summary().mean) == (4, None, None)


def test_a_window_is_emitted_once_when_the_devices_clock_has_reached_its_end(desk: Desk) -> None:
    slow_ms = 60_000  # the device's clock is a minute behind
    for seq in range(10):
        take(desk, reading(seq), wall_ms=T0_MS + 1000 * seq + slow_ms)
        advance(desk, T0_MS + 1000 * seq + slow_ms)
    assert emitted(desk.store) == {}
    advance(desk, T0_MS + slow_ms + 10_000 + RULES.grace_ms - 1)
    assert emitted(desk.store) == {}
    advance(desk, T0_MS + slow_ms + 10_000 + RULES.grace_ms)
    assert [key[1:] for key in emitted(desk.store)] == [(10, T0_MS)]
    assert WindowTables(desk.store).head(10) == 1


def test_readings_that_keep_coming_late_do_not_put_a_window_off(desk: Desk) -> None:
    take(desk, reading(0))
    for seq in range(1, 5):
        take(desk, reading(seq), wall_ms=T0_MS + 9_000)
    advance(desk, T0_MS + 10_000 + RULES.grace_ms)
    assert emitted(desk.store)["d1", 10, T0_MS][0].count == 5


def test_a_late_reading_emits_the_corrected_window_again(desk: Desk) -> None:
    take(desk, reading(0), reading(2))
    advance(desk, T0_MS + 100_000)
    take(desk, reading(1), wall_ms=T0_MS + 200_000)
    advance(desk, T0_MS + 300_000)
    assert WindowTables(desk.store).head(10) == 2
    assert emitted(desk.store)["d1", 10, T0_MS] == (Summary("temperature", "Cel", 3, 2.0, 0.0, 2.0, 3.0),)


def test_a_late_reading_is_right_even_when_the_raw_rows_are_gone(desk: Desk) -> None:
    take(desk, reading(0), reading(2))
    advance(desk, T0_MS + 100_000)
    desk.store.delete_through(2, 10)
    take(desk, reading(1), wall_ms=T0_MS + 200_000)
    advance(desk, T0_MS + 300_000)
    assert emitted(desk.store)["d1", 10, T0_MS][0].count == 3


def test_a_reading_of_a_forgotten_window_is_counted_and_leaves_its_rollup_alone(desk: Desk, tmp_path: Path) -> None:
    take(desk, reading(0), reading(2))
    advance(desk, T0_MS + 100_000)
    before = emitted(desk.store)
    later_ms = T0_MS + RULES.lateness_ms + 100_000
    advance(desk, later_ms)
    assert desk.store.run("SELECT count(*) FROM windows") == [(0,)]
    take(desk, reading(1), wall_ms=later_ms)
    advance(desk, later_ms)
    advance(desk, later_ms + YEAR_MS)
    assert emitted(desk.store) == before
    assert desk.ledger.totals[NOT_ROLLED_UP] == len(RULES.sizes_s)
    desk.store.close()
    again = open_desk(tmp_path, windows=RULES)
    assert again.ledger.totals[NOT_ROLLED_UP] == len(RULES.sizes_s)
    again.store.close()


def test_a_window_that_was_never_seen_is_rolled_up_however_late_it_comes(desk: Desk) -> None:
    take(desk, reading(0))
    advance(desk, T0_MS + YEAR_MS)
    ages_ago = Reading("d1", 1, 9, T0_MS - YEAR_MS, (Value("temperature", 1.0, "Cel"),))
    take(desk, ages_ago, wall_ms=T0_MS + YEAR_MS)
    advance(desk, T0_MS + YEAR_MS + 100_000)
    assert len(emitted(desk.store)) == 4


@pytest.mark.parametrize("step_ms", [YEAR_MS, -YEAR_MS])
def test_a_wall_clock_that_jumps_a_year_leaves_no_window_behind(desk: Desk, step_ms: int) -> None:
    take(desk, reading(0))
    advance(desk, T0_MS)
    take(desk, reading(1), wall_ms=T0_MS + step_ms)
    advance(desk, T0_MS + step_ms)
    advance(desk, T0_MS + step_ms + 60_000 + RULES.grace_ms)
    assert emitted(desk.store)["d1", 60, (T0_MS) // 60_000 * 60_000][0].count == 2


def test_a_backlog_is_rolled_up_by_its_own_time_not_by_the_wall_clock(desk: Desk) -> None:
    for seq in range(60):
        take(desk, reading(seq), wall_ms=T0_MS + 1000 * seq)
    advance(desk, T0_MS + YEAR_MS)
    tables = WindowTables(desk.store)
    assert (tables.head(10), tables.head(60)) == (6, 2)


def test_rows_are_kept_until_they_are_in_windows(desk: Desk) -> None:
    take(desk, reading(0))
    desk.store.set_cursor("ledger/received", 1)
    desk.store.put_ranges(covered_ranges(DESTINATION), Intervals([(1, 1)]))
    assert desk.ledger.deletable_through() == 0
    advance(desk, T0_MS)
    assert desk.ledger.deletable_through() == 1


def test_without_sizes_no_row_is_held_back_and_open_windows_are_still_emitted(desk: Desk) -> None:
    take(desk, reading(0))
    advance(desk, T0_MS)
    take(desk, reading(1))
    without = Aggregator(desk.store, desk.ledger, WindowRules(sizes_s=()))
    while without.advance(T0_MS + 100_000):
        pass
    assert desk.store.cursor("windows/log") == 2
    assert emitted(desk.store)["d1", 10, T0_MS][0].count == 1


def test_the_number_of_values_of_a_window_is_bounded_and_the_rest_is_counted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows_module, "SERIES_MAX", 3)
    for seq in range(5):
        take(desk, Reading("d1", 1, seq, T0_MS + seq, (Value(f"v{seq}", 1.0),)))
    advance(desk, T0_MS + 100_000)
    assert len(emitted(desk.store)["d1", 10, T0_MS]) == 3
    assert desk.ledger.totals[NOT_ROLLED_UP] == 2 * len(RULES.sizes_s)


def test_a_device_that_reports_now_and_then_does_not_fill_the_store_with_ranges(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows_module, "FORGOTTEN_RANGES_MAX", 5)
    for seq in range(40):
        at_ms = T0_MS + 120_000 * seq
        take(desk, Reading("d1", 1, seq, at_ms, (Value("v", 1.0),)), wall_ms=at_ms)
    advance(desk, T0_MS + YEAR_MS)
    forgotten = WindowTables(desk.store).forgotten([(1, 10)])[1, 10]
    assert len(forgotten) == 5
    assert all((T0_MS + 120_000 * seq) // 10_000 in forgotten for seq in range(40))


def test_a_damaged_window_is_never_emitted_and_a_damaged_rollup_is_noticed(desk: Desk) -> None:
    take(desk, reading(0))
    advance(desk, T0_MS)
    desk.store._execute("UPDATE windows SET touched_ms = touched_ms + 1 WHERE size_s = 10")
    desk.reopen()
    take(desk, reading(1))
    advance(desk, T0_MS + 100_000)
    assert [key[1] for key in emitted(desk.store)] == [60]
    assert desk.ledger.totals[NOT_ROLLED_UP] == 1
    desk.store._execute("UPDATE rollups SET start_ms = start_ms + 1 WHERE size_s = 60")
    desk.store.tails.clear()  # what is in memory is whole
    assert WindowTables(desk.store).read(60, 1, 1, 10).damaged is not None
    assert WindowTables(desk.store).find([WindowKey(1, 10, T0_MS)]).windows == {}


@pytest.mark.parametrize("count", [1, 3, KEYS_LOOKED_UP, 2 * KEYS_LOOKED_UP + 1])
def test_many_windows_are_found_at_once_and_each_is_its_own(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kept in ("WINDOWS_KEPT", "KEYS_KEPT", "FORGOTTEN_KEPT"):
        monkeypatch.setattr(tables_module, kept, 0)
    keys = [WindowKey(number % 7 + 1, 10, T0_MS + 10_000 * number) for number in range(count)]
    windows = [(key, Window({}, dirty=True, touched_ms=key.start_ms, next_ms=at)) for at, key in enumerate(keys)]
    forgotten = {(number + 1, 10): Intervals([(number, number)]) for number in range(count)}
    with closing(open_desk(tmp_path)) as desk:
        tables = WindowTables(desk.store)
        with desk.store.transaction():
            tables.put(windows)
            tables.put_forgotten(forgotten)
        desk.store._execute("UPDATE windows SET next_ms = next_ms + 1 WHERE start_ms = ?", (keys[-1].start_ms,))
        found = tables.find([WindowKey(1, 10, 0), *keys])
        assert found.windows == dict(windows[:-1])
        assert found.damaged == {keys[-1]}
        assert tables.forgotten([(count + 1, 10), *forgotten]) == {(count + 1, 10): Intervals(), **forgotten}


def test_windows_that_lie_by_device_are_laid_out_by_time_and_go_on(tmp_path: Path) -> None:
    with closing(open_desk(tmp_path, windows=RULES)) as desk:
        take(desk, reading(0))
        take(desk, reading(0, device="d2"))
        desk.tidy(0, T0_MS)
        before = desk.store.run("SELECT * FROM windows ORDER BY device_key, size_s, start_ms")
    with closing(sqlite3.connect(tmp_path / STORE_FILE)) as db:
        sql = db.execute("SELECT sql FROM sqlite_master WHERE name = 'windows'").fetchone()[0]
        db.execute("DROP TABLE windows")
        db.execute(sql.replace("(size_s, start_ms, device_key)", "(device_key, size_s, start_ms)"))
        db.execute("CREATE INDEX windows_next ON windows (next_ms)")
        db.executemany("INSERT INTO windows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", before)
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'm0013_windows_by_time'")
        db.commit()
    with closing(open_desk(tmp_path, windows=RULES)) as desk:
        assert len(before) == 2 * len(RULES.sizes_s)
        assert desk.store.run("SELECT * FROM windows") == sorted(before, key=lambda row: (row[1], row[2], row[0]))
        advance(desk, T0_MS + 100_000)
        assert emitted(desk.store)["d2", 10, T0_MS][0].count == 1


def test_a_store_of_the_first_version_gets_its_windows(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    take(desk, reading(0))
    desk.close()
    with sqlite3.connect(tmp_path / STORE_FILE) as db:
        for table in ("windows", "forgotten_windows", "rollups"):
            db.execute(f"DROP TABLE {table}")
        later = ("m0002_windows_and_rollups", "m0013_windows_by_time")
        db.execute("DELETE FROM _sqlite_migrations WHERE name IN (?, ?)", later)
        db.execute("DELETE FROM cursors WHERE name = 'windows/log'")
    db.close()
    assert migrations is not None
    desk = open_desk(tmp_path, windows=RULES)
    advance(desk, T0_MS + 100_000)
    assert emitted(desk.store)["d1", 10, T0_MS][0].count == 1
    desk.store.close()


def test_a_window_is_what_the_store_holds_after_a_transaction_failed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(desk, reading(0))
    advance(desk, T0_MS)
    take(desk, reading(1))
    with monkeypatch.context() as patch:
        patch.setattr(WindowTables, "append", _fails)
        with pytest.raises(StoreFailed):
            advance(desk, T0_MS + 10**6)
    advance(desk, T0_MS + 10**6)
    assert sum(summary.count for summaries in emitted(desk.store, [60]).values() for summary in summaries[:1]) == 2


def _fails(*_arguments: object) -> None:
    raise StoreFailed("the disk is gone")
