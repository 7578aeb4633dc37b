"""The store's budgets: bytes, free space and age, and what gives way at them, all of it in the ledger."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from edge.alerts.alerts import AlertRules
from edge.budget import ADMIT_SHARE, Budget, OnFull, StoreLimits
from edge.config import EdgeConfig
from edge.desk import DESTINATION, Desk
from edge.forward.forwarder import Batch, Wait
from edge.forward.outcome import Accepted, Failed, Outcome, Refused
from edge.store import Store, StoreFull
from edge.store.store import KEPT_PAGES
from edge.windows import WindowRules
from tests.edge.alerts.kit import WARM, rule
from tests.edge.kit import T0_MS, message, open_desk, reading

CAP_BYTES = 800_000
PACK = 200
WINDOWS = WindowRules((60,), 0, 60_000)


def open_small(
    data_dir: Path, on_full: OnFull = OnFull.BLOCK, *, age_ms_max: int | None = None, cap_bytes: int = CAP_BYTES
) -> Desk:
    return open_desk(data_dir, windows=WINDOWS, budget=StoreLimits(cap_bytes, 0, age_ms_max, on_full))


def tidy(desk: Desk, now_ms: int = 0, wall_ms: int | None = None) -> None:
    while desk.tidy(now_ms, wall_ms):
        pass


def take(desk: Desk, first: int, count: int = PACK, now_ms: int = 0, wall_ms: int = T0_MS) -> None:
    desk.take_in([message(*(reading(seq) for seq in range(first, first + count)))], now_ms, wall_ms)


def fill(desk: Desk) -> int:
    """Take in until the store is full, without tidying; how many readings it took."""
    for first in range(0, 100_000, PACK):
        try:
            take(desk, first)
        except StoreFull:
            return first
    raise AssertionError("it never was full")


def drain(desk: Desk, outcome: Outcome) -> int:
    sent, now_ms = 0, 0
    while True:
        now_ms += 100_000
        plan = desk.next_batch(now_ms)
        if not isinstance(plan, Batch):
            return sent
        desk.settle(plan, outcome, now_ms, T0_MS)
        sent += len(plan.entries)
        tidy(desk, now_ms)


def entry(desk: Desk, name: str) -> list[tuple[int, int]]:
    return [one for _, _, account in desk.ledger.accounts() for one in account.entries.get(name, ())]


@pytest.mark.no_cover
def test_a_full_store_stops_intake_before_sqlite_is_full_and_drains_by_itself(tmp_path: Path) -> None:
    desk = open_small(tmp_path)
    took = fill(desk)
    room = desk.budget.room()
    assert room.reason == "size"
    assert room.limit * ADMIT_SHARE <= room.used < room.limit
    assert desk.store.size_bytes() < 3 * CAP_BYTES
    tidy(desk)
    assert drain(desk, Accepted()) == took
    take(desk, took)
    balance = desk.ledger.balance(DESTINATION)
    assert balance.balances
    assert (balance.received, balance.delivered, balance.expired) == (took + PACK, took, 0)
    desk.close()


@pytest.mark.no_cover
@pytest.mark.parametrize(("policy", "name"), [(OnFull.DROP_OLDEST, "expired/size"), (OnFull.THIN_OLDEST, "thinned")])
def test_a_policy_drops_the_oldest_readings_and_the_ledger_has_each_of_them(
    tmp_path: Path, policy: OnFull, name: str
) -> None:
    desk = open_small(tmp_path, policy)
    count = 30_000
    for first in range(0, count, PACK):
        take(desk, first)
        tidy(desk)
        assert desk.ledger.balance(DESTINATION).balances
    desk.store.close()  # a crash
    desk = open_small(tmp_path, policy)
    (dropped,) = entry(desk, name)
    assert dropped[0] == 0
    assert 1000 < dropped[1] < count - 1000
    assert desk.store.run("SELECT min(seq), count(*) FROM readings") == [(dropped[1] + 1, count - 1 - dropped[1])]
    balance = desk.ledger.balance(DESTINATION)
    assert (balance.thinned, balance.expired)[policy is OnFull.DROP_OLDEST] == dropped[1] + 1
    assert balance.balances
    desk.close()


def test_rollups_of_readings_that_were_thinned_are_sent_all_the_same(tmp_path: Path) -> None:
    desk = open_small(tmp_path)
    take(desk, 0, 60)
    tidy(desk)
    assert desk.budget.drop("thinned")
    tidy(desk, 100_000, T0_MS + 10_000_000)
    assert desk.store.run("SELECT count(*) FROM readings") == [(0,)]
    plan = desk.next_batch(100_000)
    assert isinstance(plan, Batch)
    assert plan.others
    assert desk.ledger.balance(DESTINATION).thinned == 60
    desk.close()


@pytest.mark.no_cover
def test_an_alert_outlives_the_readings_that_give_way_and_goes_first(tmp_path: Path) -> None:
    limits = StoreLimits(CAP_BYTES, 0, None, OnFull.DROP_OLDEST)
    desk = open_desk(tmp_path, windows=WINDOWS, budget=limits, alerts=AlertRules((rule(**WARM),)))
    first = 0
    while not entry(desk, "expired/size"):
        take(desk, first)  # their values rise: the first of them raise the alert
        first += PACK
        desk.alerts._looked_ms = None  # it looks every so often; here, no time goes by
        tidy(desk)
    assert entry(desk, "expired/size")[0] >= (0, PACK), "what raised it is gone"
    plan = desk.next_batch(0)
    assert isinstance(plan, Batch)
    assert plan.body.startswith(b"alert,")
    desk.close()


def test_a_reading_that_is_in_no_window_yet_is_not_dropped(tmp_path: Path) -> None:
    desk = open_small(tmp_path)
    take(desk, 0)
    assert not desk.budget.drop("thinned")
    assert desk.ledger.balance(DESTINATION).held == PACK
    desk.close()


def test_at_the_floor_of_the_volume_the_file_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = open_small(tmp_path, cap_bytes=2**30)
    take(desk, 0)
    monkeypatch.setattr(Store, "volume_free_bytes", lambda self: 0)
    with pytest.raises(StoreFull, match="free_bytes_min"):
        take(desk, PACK)
    assert desk.ledger.balance(DESTINATION).received == PACK
    monkeypatch.undo()
    take(desk, PACK)
    desk.close()


@pytest.mark.no_cover
def test_what_goes_for_want_of_space_on_the_volume_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = open_small(tmp_path, OnFull.DROP_OLDEST, cap_bytes=2**30)
    for first in range(0, 5000, PACK):
        take(desk, first)
    tidy(desk)
    monkeypatch.setattr(Store, "volume_free_bytes", lambda self: 0)
    tidy(desk)
    assert entry(desk, "expired/space")
    take(desk, 5000)
    assert desk.ledger.balance(DESTINATION).balances
    desk.close()


def test_age_runs_on_the_monotonic_clock_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    hour_ms, year_ms = 3_600_000, 365 * 86_400_000
    desk = open_small(tmp_path, age_ms_max=hour_ms)
    take(desk, 0)
    for wall_ms in (T0_MS, T0_MS + year_ms, T0_MS - year_ms):
        tidy(desk, hour_ms // 2, wall_ms)
    take(desk, PACK, wall_ms=T0_MS + year_ms)
    tidy(desk, hour_ms // 2 + hour_ms // 10, T0_MS + year_ms)
    assert desk.ledger.balance(DESTINATION).expired == 0
    desk.close()
    desk = open_small(tmp_path, age_ms_max=hour_ms)
    tidy(desk, 5, T0_MS)
    assert desk.ledger.balance(DESTINATION).expired == 0
    tidy(desk, 5 + hour_ms - hour_ms // 20, T0_MS)
    balance = desk.ledger.balance(DESTINATION)
    assert balance.balances
    assert (balance.expired, balance.held) == (PACK, PACK)
    assert entry(desk, "expired/age") == [(0, PACK - 1)]
    assert desk.store.run("SELECT count(*) FROM age_marks") < [(100,)]
    desk.close()


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [(Accepted(), (0, 1, 0)), (Refused(400, "bad"), (1, 0, 0)), (Failed("reset", "gone"), (1, 0, 0))],
)
def test_what_is_dropped_while_it_is_on_its_way_counts_once_and_as_delivered_if_it_was(
    tmp_path: Path, outcome: Outcome, counts: tuple[int, int, int]
) -> None:
    desk = open_small(tmp_path)
    take(desk, 0, 1)
    tidy(desk)
    plan = desk.next_batch(0)
    assert isinstance(plan, Batch)
    assert desk.budget.drop("expired/size")
    desk.settle(plan, outcome, 0, T0_MS)
    balance = desk.ledger.balance(DESTINATION)
    assert balance.balances
    assert (balance.expired, balance.delivered, balance.quarantined) == counts
    desk.store.close()
    again = open_small(tmp_path)
    balance = again.ledger.balance(DESTINATION)
    assert balance.balances
    assert (balance.expired, balance.delivered, balance.quarantined) == counts
    assert isinstance(again.next_batch(1_000_000), Wait)
    again.store.close()


def test_a_batch_kept_for_a_retry_whose_rows_were_dropped_is_not_sent_again(tmp_path: Path) -> None:
    desk = open_small(tmp_path)
    take(desk, 0, 4)
    tidy(desk)
    plan = desk.next_batch(0)
    assert isinstance(plan, Batch)
    desk.settle(plan, Failed("reset", "gone"), 0, T0_MS)
    assert desk.budget.drop("expired/size", 2)
    again = desk.next_batch(1_000_000)
    assert isinstance(again, Batch)
    assert [row.id for row in again.rows] == [3, 4]
    desk.settle(again, Accepted(), 1_000_000, T0_MS)
    balance = desk.ledger.balance(DESTINATION)
    assert (balance.expired, balance.delivered, balance.held) == (2, 2, 0)
    desk.close()


def test_a_damaged_row_among_the_oldest_goes_to_quarantine(tmp_path: Path) -> None:
    desk = open_small(tmp_path)
    take(desk, 0, 3)
    tidy(desk)
    with desk.store.transaction():
        desk.store.change("UPDATE readings SET taken_at_ms = 1 WHERE id = ?", (2,))
    desk.store.reopen()  # what was committed just now is not read again
    while desk.budget.drop("expired/size"):
        pass
    balance = desk.ledger.balance(DESTINATION)
    assert balance.balances
    assert (balance.expired, balance.quarantined, balance.held) == (2, 1, 0)
    desk.close()


def test_thinning_without_windows_is_refused_at_the_start() -> None:
    with pytest.raises(ValidationError, match="thin-oldest"):
        EdgeConfig.model_validate({"store": {"on_full": "thin-oldest"}, "windows": {"sizes_s": []}})


def test_the_configured_limits_reach_the_store(tmp_path: Path) -> None:
    limits = EdgeConfig.model_validate({"store": {"disk_bytes_max": 2**25, "age_s_max": 60}}).store.limits()
    assert limits == StoreLimits(2**25, StoreLimits().free_bytes_min, 60_000, OnFull.BLOCK)
    desk = open_desk(tmp_path, budget=limits)
    assert desk.store.pages_max == desk.store.run("PRAGMA max_page_count")[0][0] == (2**25 - 2**23) // 4096
    assert isinstance(desk.budget, Budget)
    desk.reopen()
    assert desk.store.run("PRAGMA max_page_count")[0][0] == (2**25 - 2**23) // 4096
    desk.close()


def test_the_file_shrinks_after_a_drain(tmp_path: Path) -> None:
    desk = open_small(tmp_path, cap_bytes=2**30)
    for first in range(0, 30_000, 1000):
        take(desk, first, 1000)
    tidy(desk)
    before = desk.store.pages().total
    assert drain(desk, Accepted()) == 30_000
    tidy(desk, 10**9)
    after = desk.store.pages()
    assert after.total < before
    assert after.free <= KEPT_PAGES
    desk.close()
