"""What the cloud turns out not to have is sent again, once, and the ledger balances meanwhile."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.budget import StoreLimits
from edge.desk import DESTINATION, Desk
from edge.forward.forwarder import Batch
from edge.forward.outcome import Accepted, Refused
from edge.resend import Grace, Resent
from tests.edge.kit import SITE, T0_MS, message, open_desk, reading

HOUR_MS = 3_600_000


def drain(desk: Desk, now_ms: int = 0) -> list[str]:
    lines: list[str] = []
    while isinstance(plan := desk.next_batch(now_ms), Batch):
        lines += plan.body.decode().splitlines()
        desk.settle(plan, Accepted(), now_ms, T0_MS)
    return lines


def tidy(desk: Desk, now_ms: int = 0) -> None:
    while desk.tidy(now_ms):
        pass


def in_log(desk: Desk) -> int:
    return int(desk.store.run("SELECT count(*) FROM readings")[0][0])


def open_full(folder: Path, **settings: int) -> Desk:
    desk = open_desk(folder, keep_sent_ms=HOUR_MS, **settings)  # type: ignore[arg-type]  # whole numbers all
    desk.take_in([message(*map(reading, range(10)))], 0, T0_MS)
    return desk


def test_missing_readings_are_sent_again_as_the_same_lines(tmp_path: Path) -> None:
    desk = open_full(tmp_path)
    first = drain(desk)
    tidy(desk)
    assert desk.resend.ask(SITE, "d1", 1, [(2, 3), (7, 7)]) == Resent(again=3, gone=0)
    balance = desk.ledger.balance(DESTINATION)
    assert (balance.delivered, balance.held, balance.balances) == (7, 3, True)
    assert desk.resend.ask(SITE, "d1", 1, [(2, 3)]) == Resent(again=0, gone=0), "they wait already"
    assert drain(desk) == [first[2], first[3], first[7]]
    assert desk.ledger.balance(DESTINATION).delivered == 10
    desk.close()


def test_a_crash_after_asking_forgets_nothing(tmp_path: Path) -> None:
    desk = open_full(tmp_path)
    drain(desk)
    tidy(desk)
    desk.resend.ask(SITE, "d1", 1, [(0, 4)])
    desk.store.close()  # a crash
    desk = open_desk(tmp_path, keep_sent_ms=HOUR_MS)
    balance = desk.ledger.balance(DESTINATION)
    assert (balance.delivered, balance.held, balance.balances) == (5, 5, True)
    assert len(drain(desk)) == 5
    desk.close()


def test_what_is_no_longer_here_is_counted(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)  # sent readings are not kept
    desk.take_in([message(*map(reading, range(4)))], 0, T0_MS)
    drain(desk)
    tidy(desk)
    assert in_log(desk) == 0
    assert desk.resend.ask(SITE, "d1", 1, [(0, 9)]) == Resent(again=0, gone=10)
    assert desk.resend.ask(SITE, "nobody", 1, [(0, 0)]) == Resent(again=0, gone=1)
    desk.close()


def test_a_refused_reading_is_not_sent_again(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, keep_sent_ms=HOUR_MS)
    desk.take_in([message(reading(0))], 0, T0_MS)
    plan = desk.next_batch(0)
    assert isinstance(plan, Batch)
    desk.settle(plan, Refused(400, "no"), 0, T0_MS)
    assert desk.resend.ask(SITE, "d1", 1, [(0, 0)]).again == 0
    assert desk.ledger.balance(DESTINATION).balances
    desk.close()


def test_sent_readings_stay_as_long_as_configured(tmp_path: Path) -> None:
    desk = open_full(tmp_path)
    drain(desk)
    tidy(desk, 0)
    tidy(desk, HOUR_MS - 1)
    assert in_log(desk) == 10
    tidy(desk, HOUR_MS + HOUR_MS // 64)
    assert in_log(desk) == 0
    desk.close()


@pytest.mark.no_cover
def test_sent_readings_give_way_when_the_store_needs_the_room(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, keep_sent_ms=HOUR_MS, budget=StoreLimits(800_000, 0))
    for first in range(0, 12_000, 500):
        desk.take_in([message(*map(reading, range(first, first + 500)))], 0, T0_MS)
        drain(desk)
        tidy(desk, first)
    assert in_log(desk) < 11_000
    desk.close()


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 50), st.booleans()), max_size=60))
def test_grace_never_lets_a_row_go_early_and_never_goes_back(looks: list[tuple[int, int, bool]]) -> None:
    grace, now_ms, through = Grace(10_000), 0, 0
    seen: list[tuple[int, int]] = []
    for step_ms, more, is_pressed in looks:
        now_ms, through = now_ms + step_ms, through + more
        seen.append((now_ms, through))
        allowed = grace.allowed(through, now_ms, is_pressed=is_pressed)
        old_enough = max((position for at_ms, position in seen if now_ms - at_ms >= 10_000), default=0)
        assert allowed == through if is_pressed else allowed <= old_enough
