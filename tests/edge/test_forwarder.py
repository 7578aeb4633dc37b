"""The forwarder against a scripted cloud: the decision table, bisection, back-off, and the cursor's promise."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge.desk import DESTINATION, LEDGER_LATEST_MS, STORE_FILE, Desk
from edge.forward.destination import DestinationRules
from edge.forward.forwarder import (
    BREAKER_FAILURES,
    PROBE_PAUSED_MS,
    PROBE_ROWS,
    ROWS_LATE_MAX,
    THROTTLE_MAX_MS,
    THROTTLE_MIN_MS,
    Batch,
    Breaker,
    Wait,
)
from edge.forward.outcome import Accepted, Failed, Outcome, Paused, Refused, Throttled, TooLarge
from edge.message import Message
from edge.status import destination_status, forward_status
from edge.store import StoreFailed
from tests.edge.kit import T0_MS, message, open_desk, reading

Answer = Callable[[list[int]], Outcome]
HOUR_MS = 3_600_000


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path)
    yield opened
    opened.store.close()


def fill(desk: Desk, count: int, first: int = 0) -> None:
    desk.take_in([message(*(reading(seq) for seq in range(first + at, min(first + at + 500, first + count))))
                  for at in range(0, count, 500)], 0, T0_MS)  # fmt: skip


def seqs(batch: Batch) -> list[int]:
    return [entry.reading.seq for entry in batch.entries]


def cursor(desk: Desk) -> int:
    return desk.ledger.passed(DESTINATION)


def drain(desk: Desk, answer: Answer, *, tries: int = 500) -> tuple[list[list[int]], int]:
    """Send until nothing is left (or `tries` requests): (what each request held, virtual time it took)."""
    requests: list[list[int]] = []
    now_ms = 0
    while len(requests) < tries:
        plan = desk.next_batch(now_ms)
        if isinstance(plan, Wait):
            if plan.for_ms is None:
                break
            now_ms += plan.for_ms
            continue
        requests.append(seqs(plan))
        desk.settle(plan, answer(seqs(plan)), now_ms, T0_MS)
        assert desk.ledger.balance(DESTINATION).balances
    return requests, now_ms


def refuse(*poison: int, status: int = 400) -> Answer:
    return lambda sent: Refused(status, "unable to parse") if set(poison) & set(sent) else Accepted()


def quarantined(desk: Desk) -> list[tuple[str, str]]:
    return desk.store._execute("SELECT source, reason FROM quarantine ORDER BY id")


def test_only_acceptance_moves_the_cursor(desk: Desk) -> None:
    fill(desk, 10)
    plan = desk.next_batch(0)
    assert isinstance(plan, Batch)
    assert cursor(desk) == 0
    desk.settle(plan, Failed("reset", "gone"), 0, T0_MS)
    assert cursor(desk) == 0
    requests, _ = drain(desk, refuse())
    assert cursor(desk) == 10
    assert requests == [list(range(10))]


def test_an_unknown_fate_is_answered_with_the_same_bytes(desk: Desk) -> None:
    fill(desk, 3)
    first = desk.next_batch(0)
    assert isinstance(first, Batch)
    desk.settle(first, Failed("timeout", "silence"), 0, T0_MS)
    fill(desk, 3, first=3)
    again = desk.next_batch(HOUR_MS)
    assert isinstance(again, Batch)
    assert again.body == first.body


def test_a_batch_is_the_same_lines_after_a_restart(desk: Desk, tmp_path: Path) -> None:
    fill(desk, 50)
    before = desk.next_batch(0)
    desk.store.close()
    reopened = open_desk(tmp_path, batch_rows=20)
    after = reopened.next_batch(0)
    reopened.store.close()
    assert isinstance(before, Batch)
    assert isinstance(after, Batch)
    assert before.body.startswith(after.body)


@pytest.mark.no_cover
@pytest.mark.parametrize("status", [400, 422])
def test_one_poison_point_of_5000_ends_alone_in_quarantine_within_26_requests(tmp_path: Path, status: int) -> None:
    with_big_batches = open_desk(tmp_path, batch_rows=5000)
    fill(with_big_batches, 5000)
    requests, _ = drain(with_big_batches, refuse(3333, status=status))
    balance = with_big_batches.ledger.balance(DESTINATION)
    assert (balance.delivered, balance.quarantined, balance.held) == (4999, 1, 0)
    assert len(requests) <= 26
    assert quarantined(with_big_batches) == [(DESTINATION, f"{status}: unable to parse")]
    with_big_batches.store.close()


@pytest.mark.no_cover
@pytest.mark.parametrize("poison", [(0,), (99,), (0, 99), (49, 50), tuple(range(0, 100, 7)), tuple(range(100))])
def test_every_poison_point_and_nothing_else_is_quarantined(desk: Desk, poison: tuple[int, ...]) -> None:
    fill(desk, 100)
    drain(desk, refuse(*poison))
    balance = desk.ledger.balance(DESTINATION)
    assert (balance.delivered, balance.quarantined, balance.held) == (100 - len(poison), len(poison), 0)
    account = next(desk.ledger.accounts())[2]
    assert [seq for first, last in account.entry("quarantined") for seq in range(first, last + 1)] == list(poison)


def test_a_body_that_is_too_large_is_halved_and_the_size_remembered(desk: Desk) -> None:
    fill(desk, 100)
    requests, _ = drain(desk, lambda sent: TooLarge("too large") if len(sent) > 30 else Accepted())
    assert [len(sent) for sent in requests] == [100, 50, 25, 25, 25, 25]


def test_a_single_point_that_is_too_large_is_quarantined(desk: Desk) -> None:
    fill(desk, 4)
    drain(desk, lambda sent: TooLarge("too large") if 2 in sent else Accepted())
    assert desk.ledger.balance(DESTINATION).delivered == 3
    assert quarantined(desk) == [(DESTINATION, "413: too large")]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_bad_credentials_pause_keep_everything_and_resume_by_themselves(desk: Desk, status: int) -> None:
    fill(desk, 10)
    answers: list[Outcome] = [Paused(status, "unauthorized")] * 3
    requests, now_ms = drain(desk, lambda _: answers.pop() if answers else Accepted())
    assert requests == [list(range(10))] * 4
    assert now_ms == 3 * PROBE_PAUSED_MS
    assert desk.ledger.balance(DESTINATION).delivered == 10
    assert not desk.forwarder.state().paused


@pytest.mark.parametrize(
    ("after_ms", "at_least_ms", "at_most_ms"),
    [
        (0, THROTTLE_MIN_MS, 2 * THROTTLE_MIN_MS),
        (7000, 7000, 7000 + THROTTLE_MIN_MS),
        (86_400_000, THROTTLE_MAX_MS, THROTTLE_MAX_MS + THROTTLE_MIN_MS),
        (None, THROTTLE_MIN_MS, THROTTLE_MIN_MS),
    ],
)
def test_a_throttle_is_honoured_within_reason(
    desk: Desk, after_ms: int | None, at_least_ms: int, at_most_ms: int
) -> None:
    fill(desk, 1)
    plan = desk.next_batch(0)
    assert isinstance(plan, Batch)
    desk.settle(plan, Throttled(after_ms, "slow down"), 0, T0_MS)
    wait = desk.next_batch(0)
    assert isinstance(wait, Wait)
    assert wait.for_ms is not None
    assert at_least_ms <= wait.for_ms <= at_most_ms


def test_the_breaker_opens_probes_small_and_closes(desk: Desk) -> None:
    fill(desk, 400)
    assert desk.forwarder.state().breaker is Breaker.CLOSED
    now_ms = 0
    for _ in range(BREAKER_FAILURES):
        plan = desk.next_batch(now_ms)
        assert isinstance(plan, Batch)
        desk.settle(plan, Failed("refused", "no"), now_ms, T0_MS)
        now_ms += HOUR_MS
    assert desk.forwarder.state().breaker is Breaker.OPEN
    plan = desk.next_batch(now_ms)
    assert isinstance(plan, Batch)
    assert len(plan.entries) <= PROBE_ROWS
    assert desk.forwarder.state().breaker is Breaker.HALF_OPEN
    desk.settle(plan, Accepted(), now_ms, T0_MS)
    assert desk.forwarder.state().breaker is Breaker.CLOSED
    assert desk.forwarder.state().last_error is None


def test_waits_grow_but_never_past_a_minute(desk: Desk) -> None:
    fill(desk, 1)
    now_ms = 0
    for _ in range(60):
        plan = desk.next_batch(now_ms)
        assert isinstance(plan, Batch)
        desk.settle(plan, Failed("http 503", "busy", 503), now_ms, T0_MS)
        wait = desk.next_batch(now_ms)
        if isinstance(wait, Batch):  # full jitter may say 0
            desk.forwarder._again = wait
            continue
        assert wait.for_ms is not None
        assert wait.for_ms <= 60_000
        now_ms += wait.for_ms


def test_a_point_that_is_answered_by_500_goes_to_quarantine_once_its_neighbour_is_accepted(desk: Desk) -> None:
    fill(desk, 100)
    drain(desk, lambda sent: Failed("http 500", "500: panic", 500) if 40 in sent else Accepted())
    balance = desk.ledger.balance(DESTINATION)
    assert (balance.delivered, balance.quarantined, balance.held) == (99, 1, 0)


def test_a_server_that_answers_500_to_everything_loses_nothing(desk: Desk) -> None:
    fill(desk, 100)
    drain(desk, lambda _: Failed("http 500", "500: down", 500), tries=300)
    balance = desk.ledger.balance(DESTINATION)
    assert (balance.delivered, balance.quarantined, balance.held) == (0, 0, 100)
    drain(desk, refuse())
    assert desk.ledger.balance(DESTINATION).delivered == 100


def test_a_settle_that_fails_sends_the_batch_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ROWS_LATE_MAX + 1
    desk = open_desk(tmp_path, batch_rows=rows)
    fill(desk, rows)
    plan = sent(desk)

    def fail(*_: object) -> None:
        raise StoreFailed("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "put_ranges", fail)
        with pytest.raises(StoreFailed):
            desk.settle(plan, Accepted(), 0, T0_MS)
    again = sent(desk)
    assert again.body == plan.body
    desk.settle(again, Accepted(), 0, T0_MS)
    assert desk.ledger.balance(DESTINATION).delivered == rows
    assert desk.ledger.balance(DESTINATION).balances
    desk.close()


def sent(desk: Desk, destination: str = DESTINATION) -> Batch:
    plan = desk.plan(destination, 0)
    assert isinstance(plan, Batch)
    return plan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a gateway, with room beside it for its next lives."""
    made = tmp_path / "a"
    made.mkdir()
    return made


def killed(folder: Path, **how: Any) -> Desk:
    """The next life of a gateway that is killed now: it has the files as they are."""
    left = folder.with_name(f"{folder.name}-{len(list(folder.parent.iterdir()))}")
    shutil.copytree(folder, left)
    return open_desk(left, **how)


def test_a_trickle_is_written_with_the_next_commit_of_other_than_readings_and_a_kill_before_it_sends_it_again(
    folder: Path,
) -> None:
    desk = open_desk(folder)
    fill(desk, 5)
    plan = sent(desk)
    desk.settle(plan, Accepted(), 0, T0_MS)
    assert desk.ledger.balance(DESTINATION).delivered == 5
    assert desk.next_batch(0) == Wait(None)
    with closing(killed(folder)) as early:
        assert sent(early).body == plan.body, "the same lines: they overwrite themselves"
        assert early.ledger.balance(DESTINATION).balances
    fill(desk, 1, first=5)
    with closing(killed(folder)) as early:
        assert seqs(sent(early)) == [0, 1, 2, 3, 4, 5]
    with desk.ledger.transaction():
        pass
    with closing(killed(folder)) as late:
        assert seqs(sent(late)) == [5]
        assert late.ledger.balance(DESTINATION).delivered == 5
    desk.close()


def test_a_ledger_that_is_written_with_readings_covers_no_more_than_what_is_written_as_accepted(folder: Path) -> None:
    desk = open_desk(folder)
    fill(desk, 5)
    desk.settle(sent(desk), Accepted(), 0, T0_MS)
    desk.ledger.count("restamped")
    desk.take_in([Message("tidegate/v1/site/d1/alert", b"no alert")], 0, T0_MS)
    with closing(killed(folder)) as after:
        assert after.next_batch(0) == Wait(None)
        assert after.ledger.balance(DESTINATION).balances
    desk.close()


def test_a_trickle_is_written_when_nothing_else_comes(folder: Path) -> None:
    desk = open_desk(folder)
    fill(desk, 5)
    desk.settle(sent(desk), Accepted(), 0, T0_MS)
    while desk.tidy(LEDGER_LATEST_MS, T0_MS):
        pass
    with closing(killed(folder)) as after:
        assert after.next_batch(0) == Wait(None)
    desk.close()


def test_what_was_accepted_stays_so_when_the_commit_that_was_to_write_it_fails(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(desk, 5)
    desk.settle(sent(desk), Accepted(), 0, T0_MS)

    def fail(*_: object) -> None:
        raise StoreFailed("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "append", fail)
        with pytest.raises(StoreFailed):
            fill(desk, 1, first=5)
    assert desk.next_batch(0) == Wait(None)
    assert desk.ledger.balance(DESTINATION).delivered == 5
    assert desk.ledger.balance(DESTINATION).balances
    fill(desk, 1, first=5)
    with desk.ledger.transaction():
        pass
    desk.store.reopen()
    desk.ledger.forget_uncommitted()
    assert seqs(sent(desk)) == [5]


@pytest.mark.parametrize(
    ("rows", "overwrites"), [(ROWS_LATE_MAX + 1, True), (1, False)], ids=["many rows", "a repeat would be seen"]
)
def test_what_is_dear_to_send_again_is_written_at_once(folder: Path, rows: int, overwrites: bool) -> None:
    more = [DestinationRules("archive", batch_rows=rows, overwrites=overwrites)]
    desk = open_desk(folder, more=more)
    fill(desk, rows)
    desk.answered("archive", sent(desk, "archive"), Accepted(), 0, T0_MS)
    with closing(killed(folder, more=more)) as after:
        assert after.plan("archive", 0) == Wait(None)
    desk.close()


def test_a_damaged_row_goes_to_quarantine_and_the_rest_is_delivered(desk: Desk, tmp_path: Path) -> None:
    fill(desk, 10)
    desk.store._execute("UPDATE readings SET taken_at_ms = taken_at_ms + 1 WHERE seq = 4")
    desk.store.reopen()  # what was committed just now is not read again
    requests, _ = drain(desk, refuse())
    assert [seq for sent in requests for seq in sent] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    balance = desk.ledger.balance(DESTINATION)
    assert (balance.delivered, balance.quarantined, balance.held) == (9, 1, 0)
    assert "checksum" in quarantined(desk)[0][1]
    assert (tmp_path / STORE_FILE).exists()


def test_when_caught_up_it_lets_readings_gather(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, flush_every_ms=1000)
    fill(desk, 1)
    plan = desk.next_batch(0)
    assert isinstance(plan, Batch)
    desk.settle(plan, Accepted(), 0, T0_MS)
    fill(desk, 1, first=1)
    assert desk.next_batch(0) == Wait(1000)
    assert isinstance(desk.next_batch(1000), Batch)
    desk.store.close()


def test_what_was_not_accepted_and_not_understood_is_counted_over_the_last_minute(desk: Desk) -> None:
    fill(desk, 20)
    desk.take_in([message(reading(20)), Message("tidegate/v1/x/y/reading", b"nonsense")], 0, T0_MS)
    drain(desk, lambda _: Failed("timeout", "no answer"), tries=3)
    soon = desk.standing(1000, T0_MS)
    assert (soon.failed_last_minute, soon.undecodable_last_minute) == (3, 1)
    later = desk.standing(300_000, T0_MS)
    assert (later.failed_last_minute, later.undecodable_last_minute) == (0, 0)


def test_requests_are_counted_and_those_that_were_not_accepted(desk: Desk) -> None:
    fill(desk, 20)
    drain(desk, lambda _: Throttled(5_000, "later"), tries=2)
    drain(desk, lambda _: Accepted(), tries=1)
    status = destination_status(desk.standing(1000, T0_MS), {})[0]
    assert (status.requests, status.requests_failed) == (3, 2)
    told = forward_status(desk.standing(1000, T0_MS))
    assert (told.requests, told.requests_failed) == (3, 2)
