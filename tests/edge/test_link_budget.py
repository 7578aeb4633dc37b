"""The link's budget: bytes a second, bytes a month whatever the clock does, and when the link is open."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.desk import Desk
from edge.forward.destination import Choices
from edge.forward.forwarder import Batch, Wait
from edge.forward.lanes import LaneName, LaneRules
from edge.forward.outcome import Accepted, Failed
from edge.link_budget import LinkBudget
from edge.link_rules import STEADY_MS, Bucket, Level, LinkRules, MonthClock, month_bounds_ms, month_of
from edge.retry import Backoff
from edge.store import Store, StoreFailed
from edge.store.notices import Notices
from edge.windows import WindowRules
from tests.edge.kit import T0_MS, message, open_desk, reading

DAY_MS, MINUTE_MS = 86_400_000, 60_000
NOV = month_of(T0_MS, 1)


@pytest.mark.no_cover
@given(
    rate=st.integers(100, 10_000),
    steps=st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 50_000)), min_size=1, max_size=60),
)
def test_no_more_than_the_rate_and_one_batch_is_sent_over_any_span(rate: int, steps: list[tuple[int, int]]) -> None:
    bucket, now_ms, sent = Bucket(rate), 0, 0
    largest = max(size for _, size in steps)
    for pause_ms, size in steps:
        now_ms += pause_ms
        wait_ms = bucket.wait_ms(now_ms)
        now_ms += wait_ms
        assert bucket.wait_ms(now_ms) <= 1, "who waits as long as told may send"
        now_ms += 1
        assert bucket.wait_ms(now_ms) == 0
        bucket.take(size)
        sent += size
        assert sent <= rate * now_ms / 1000 + rate + largest + 1


def test_a_batch_is_no_more_than_about_a_second_of_the_line() -> None:
    bucket = Bucket(1000)
    assert bucket.rows_max(20.0) == 50
    assert bucket.rows_max(5000.0) == 1
    assert Bucket(None).rows_max(20.0) is None


@given(wall_ms=st.integers(0, 4_000_000_000_000), first_day=st.integers(1, 28))
def test_months_follow_each_other_without_a_gap(wall_ms: int, first_day: int) -> None:
    month = month_of(wall_ms, first_day)
    begin_ms, end_ms = month_bounds_ms(month, first_day)
    assert begin_ms <= wall_ms < end_ms
    assert month_bounds_ms(month + 1, first_day)[0] == end_ms
    assert 28 * DAY_MS <= end_ms - begin_ms <= 31 * DAY_MS


def test_a_month_begins_when_the_clock_runs_into_it() -> None:
    clock = MonthClock(1)
    _, end_ms = month_bounds_ms(NOV, 1)
    assert clock.look(0, end_ms - 1000) == NOV
    assert clock.look(2000, end_ms + 1000) == NOV + 1


def test_a_clock_that_is_wrong_for_minutes_begins_no_month() -> None:
    clock = MonthClock(1)
    clock.look(0, T0_MS)
    for minute in range(30):
        assert clock.look(minute * MINUTE_MS, T0_MS + 400 * DAY_MS + minute * MINUTE_MS) == NOV
    assert clock.look(31 * MINUTE_MS, T0_MS + 31 * MINUTE_MS) == NOV
    later_ms = 32 * MINUTE_MS
    clock.look(later_ms, T0_MS + 40 * DAY_MS)
    assert clock.look(later_ms + STEADY_MS, T0_MS + 40 * DAY_MS + STEADY_MS) == NOV + 1, "it stands by it"


def test_a_start_in_another_month_waits_until_the_clock_is_steady() -> None:
    clock = MonthClock(1, NOV)
    assert clock.look(0, T0_MS + 40 * DAY_MS) == NOV
    assert clock.look(STEADY_MS, T0_MS + 40 * DAY_MS + STEADY_MS) == NOV + 1


def budget(store: Store, rules: LinkRules) -> LinkBudget:
    return LinkBudget(store, "influx", rules, "reading_link,destination=influx,gateway=g")


@given(steps=st.lists(st.tuples(st.integers(1, 3 * 3_600_000), st.sampled_from([0, 0, 0, 40, -40, 400, -400, -1]),
                                st.integers(0, 100_000), st.booleans()), max_size=25))  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_every_byte_is_counted_in_one_month_whatever_the_clock_does(steps: list[tuple[int, int, int, bool]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "s.sqlite") as store:
        link, now_ms, off_ms, spent = budget(store, LinkRules()), 0, T0_MS, 0
        for pause_ms, step_days, size, crash in steps:
            now_ms += pause_ms
            off_ms = T0_MS if step_days == -1 else max(DAY_MS, off_ms + step_days * DAY_MS)
            if link.look(now_ms, now_ms + off_ms):
                link.turn(now_ms + off_ms)
            link.spend(size, 1)
            spent += size + 1000 if size else 0
            with store.transaction():
                link.write()
            link.written()
            if crash:
                link = budget(store, LinkRules())
            assert store.run("SELECT coalesce(sum(bytes), 0) FROM link_months") == [(spent,)]


def test_a_clock_that_went_to_another_month_and_back_leaves_all_bytes_in_the_right_one(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        link = budget(store, LinkRules())

        def spend(now_ms: int, wall_ms: int) -> None:
            if link.look(now_ms, wall_ms):
                link.turn(wall_ms)
            link.spend(9_000, 1)

        spend(0, T0_MS)
        spend(1, T0_MS + 400 * DAY_MS)
        spend(1 + STEADY_MS, T0_MS + 400 * DAY_MS + STEADY_MS)
        assert link.state().month_bytes == 10_000, "the wrong month's own"
        spend(2 + STEADY_MS, T0_MS + STEADY_MS)
        spend(3 + 2 * STEADY_MS, T0_MS + 2 * STEADY_MS)
        assert link.state().month_bytes == 50_000


def test_a_failed_turn_forgets_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        link = budget(store, LinkRules())
        link.spend(9_000, 1)
        assert link.look(0, T0_MS)
        store._db.execute("CREATE TEMP TRIGGER no BEFORE INSERT ON link_months BEGIN SELECT RAISE(ABORT, 'no'); END")
        with pytest.raises(StoreFailed):
            link.turn(T0_MS)
        store._db.execute("DROP TRIGGER no")
        assert link.look(0, T0_MS)
        link.turn(T0_MS)
        assert link.state().month_bytes == 10_000
        assert store.run("SELECT bytes FROM link_months") == [(10_000,)]


LANES = LaneRules(backfill=True)


def limited(data_dir: Path, **rules: int) -> Desk:
    choices = Choices(link=LinkRules(**rules))  # type: ignore[arg-type]
    return open_desk(data_dir, choices=choices, batch_rows=10, lanes=LANES, windows=WindowRules((10,), 0, 60_000))


def tidy(desk: Desk, now_ms: int = 0, wall_ms: int = T0_MS) -> None:
    while desk.tidy(now_ms, wall_ms):
        pass


def alert(desk: Desk) -> None:
    with desk.store.transaction():
        Notices(desk.store).append("alert,rule=hot v=1i 1")


def lanes_served(desk: Desk, now_ms: int, count: int = 100) -> list[str]:
    """The lanes that send now, one after the other."""
    found = []
    for _ in range(count):
        plan = desk.next_batch(now_ms)
        if isinstance(plan, Wait):
            break
        found.append(plan.lane)
        desk.settle(plan, Accepted(), now_ms, T0_MS)
    return found


def fill(desk: Desk) -> None:
    desk.take_in([message(*(reading(seq) for seq in range(100)))], 0, T0_MS)
    tidy(desk, 0, T0_MS + DAY_MS)
    tidy(desk, 1, T0_MS)
    alert(desk)


@pytest.mark.parametrize(
    ("used_percent", "level", "lanes"),
    [
        (0, Level.FREE, {"notices", "rollups", "live", "backfill"}),
        (81, Level.NO_BACKFILL, {"notices", "rollups", "live"}),
        (91, Level.NO_RAW, {"notices", "rollups"}),
        (100, Level.ALERTS_ONLY, {"notices"}),
    ],
)
def test_what_is_least_urgent_yields_first_and_alerts_never(
    tmp_path: Path, used_percent: int, level: Level, lanes: set[str]
) -> None:
    desk = limited(tmp_path, month_bytes_max=10_000_000)
    fill(desk)
    link = desk.destinations.first.link
    link.spend(used_percent * 100_000 - 1000, 1)
    assert link.level is level
    served = {lane.partition("/")[0] for lane in lanes_served(desk, 10_000)}
    assert served == lanes
    desk.close()


def test_each_level_is_told_once_and_again_in_the_next_month(tmp_path: Path) -> None:
    desk = limited(tmp_path, month_bytes_max=100_000)
    _, end_ms = month_bounds_ms(NOV, 1)

    def told() -> list[str]:
        lines = [line.decode() for (line,) in desk.store.run("SELECT line FROM notices ORDER BY id")]
        return [line.split(" ")[1].split(",")[0] for line in lines]

    for now_ms, size in ((0, 1000), (1000, 90_000), (2000, 100), (3000, 20_000), (4000, 10)):
        tidy(desk, now_ms, end_ms - 10_000 + now_ms)
        desk.destinations.first.link.spend(size, 1)
    tidy(desk, 5000, end_ms - 5_000)
    assert told() == ["level=2i", "level=3i"]
    desk.close()
    desk = limited(tmp_path, month_bytes_max=100_000)
    tidy(desk, 0, end_ms - 4_000)
    assert told() == ["level=2i", "level=3i"]
    assert desk.destinations.first.link.state().level is Level.ALERTS_ONLY, "a restart resets nothing"
    tidy(desk, 8_000, end_ms + 4_000)
    assert desk.destinations.first.link.state().level is Level.FREE
    desk.close()


def test_a_send_that_failed_costs_too(tmp_path: Path) -> None:
    desk = limited(tmp_path)
    desk.take_in([message(reading(0))], 0, T0_MS)
    tidy(desk)
    plan = desk.next_batch(0)
    assert isinstance(plan, Batch)
    desk.answered("influx", plan, Failed("reset", "gone"), 0, T0_MS, 500)
    assert desk.destinations.first.link.state().month_bytes == 1500
    desk.close()
    desk = limited(tmp_path)
    assert desk.destinations.first.link.state().month_bytes == 1500
    desk.close()


def test_a_scheduled_link_is_closed_between_and_an_alert_opens_it_at_once(tmp_path: Path) -> None:
    desk = limited(tmp_path, open_every_ms=60 * MINUTE_MS, open_for_ms=5 * MINUTE_MS)
    desk.take_in([message(*(reading(seq) for seq in range(100)))], 0, T0_MS)
    assert lanes_served(desk, 0, 2) == ["notices", "live"]
    for now_ms in (5 * MINUTE_MS, 59 * MINUTE_MS):
        assert desk.next_batch(now_ms) == Wait(None)
    with desk.store.transaction():
        Notices(desk.store).append("reading_late,destination=influx,gateway=g readings=3i 1")
    assert desk.next_batch(59 * MINUTE_MS) == Wait(None), "news of the gateway's own can wait"
    alert(desk)
    assert lanes_served(desk, 59 * MINUTE_MS) == ["notices"]
    assert desk.next_batch(59 * MINUTE_MS) == Wait(None)
    assert "backfill" in lanes_served(desk, 60 * MINUTE_MS)
    desk.close()


def test_the_bandwidth_holds_over_all_lanes(tmp_path: Path) -> None:
    desk = limited(tmp_path, bytes_per_s_max=5_000)
    fill(desk)
    now_ms, sent = 0, 0
    while (plan := desk.next_batch(now_ms)) != Wait(None):
        if isinstance(plan, Wait):
            now_ms += plan.for_ms or 0
            continue
        desk.settle(plan, Accepted(), now_ms, T0_MS)
        sent += len(plan.body) + 1000
    assert desk.ledger.balance("influx").held == 0
    assert sent / (now_ms / 1000) <= 5_000 * 1.5
    desk.close()


def test_200_gateways_that_lost_the_same_cloud_return_spread_over_the_whole_pause_f38() -> None:
    returns = []
    for gateway in range(200):
        backoff = Backoff(Random(gateway), cap_ms=60_000)
        at_ms = 0
        while at_ms < 600_000:  # the cloud is away for ten minutes
            at_ms += backoff.fail()
        returns.append(at_ms - 600_000)
    per_second = [sum(1000 * second <= each < 1000 * second + 1000 for each in returns) for second in range(60)]
    assert max(per_second) <= 20, "a tenth of them in one second at most"
    assert sum(each > 15_000 for each in returns) > 50


def test_lanes_are_named_as_the_levels_say() -> None:
    assert LinkRules().lanes(Level.NO_RAW) == {LaneName.NOTICES, LaneName.ROLLUPS}
