"""A gateway that starts in 1970 (F33): what it takes in waits for the clock, and is sent with its true times."""

from pathlib import Path

import pytest

from edge import own_clock
from edge.alerts.alerts import AlertRules
from edge.alerts.rules import AlertRule
from edge.desk import DESTINATION, Desk
from edge.desk_rules import NO_WINDOWS
from edge.forward.forwarder import Batch, Wait
from edge.forward.lines import NS_PER_MS
from edge.forward.outcome import Accepted
from edge.ingest import Message
from edge.own_clock import BEFORE_CLOCK
from edge.store.rows import FLAG_BEFORE_CLOCK
from edge.windows import WindowRules
from sensors.reading import Reading, Value
from sensors.topics import Kind, build_topic
from tests.edge.kit import SITE, message, open_desk

BOOT_WALL_MS = 12_000  # 1970-01-01T00:00:12
SET_MS = 1_790_000_000_000  # what NTP says at last
HOUR_MS = 3_600_000


def open_waiting(data_dir: Path, windows: WindowRules = NO_WINDOWS) -> Desk:
    return open_desk(data_dir, windows=windows, wait_for_clock=True)


def synced(seq: int, taken_at_ms: int) -> Message:
    return message(Reading("d1", 1, seq, taken_at_ms, (Value("temperature", float(seq), "Cel"),)))


def aged(seq: int, age_s: int) -> Message:
    """A device without a clock says how old its reading is."""
    pack = f'[{{"boot":1,"seq":{seq},"n":"temperature","u":"Cel","v":{seq},"t":{-age_s}}}]'
    return Message(build_topic(SITE, "d1", Kind.READING), pack.encode())


def tidy(desk: Desk, now_ms: int, wall_ms: int) -> None:
    while desk.tidy(now_ms, wall_ms):
        pass


def stored(desk: Desk) -> list[tuple[int, int, int]]:
    return desk.store.run("SELECT seq, taken_at_ms, received_at_ms FROM readings ORDER BY id")


def sent(desk: Desk, now_ms: int) -> list[str]:
    lines: list[str] = []
    while isinstance(plan := desk.next_batch(now_ms), Batch):
        lines += plan.body.decode().splitlines()
        desk.settle(plan, Accepted(), now_ms, SET_MS)
    return lines


def test_alert_rules_wait_for_the_clock_too_so_that_its_step_is_no_hold_time(tmp_path: Path) -> None:
    warm = AlertRule.model_validate(
        {"name": "warm", "kind": "threshold", "value": "temperature", "above": 0.5, "for_s": 60}
    )
    desk = open_desk(tmp_path, wait_for_clock=True, alerts=AlertRules((warm,)))
    desk.take_in([aged(1, 0)], 1_000, BOOT_WALL_MS)
    tidy(desk, 2_000, BOOT_WALL_MS + 1_000)
    tidy(desk, 9_000, SET_MS)
    desk.take_in([aged(2, 0)], 10_000, SET_MS + 1_000)
    tidy(desk, 11_000, SET_MS + 2_000)
    assert desk.alerts.book.active_of("rule") == [], "nine seconds, not half a century"
    desk.take_in([aged(3, 0)], 61_000, SET_MS + 52_000)
    tidy(desk, 62_000, SET_MS + 53_000)
    (row,) = desk.alerts.book.active_of("rule")
    assert row.alert.since_ms == SET_MS - 8_000
    desk.close()


def test_nothing_is_sent_until_the_clock_is_set_and_then_with_its_true_times(tmp_path: Path) -> None:
    desk = open_waiting(tmp_path)
    desk.take_in([aged(0, 5)], 1_000, BOOT_WALL_MS)
    desk.take_in([aged(1, 0), synced(2, SET_MS + 500)], 3_000, BOOT_WALL_MS + 2_000)
    tidy(desk, 4_000, BOOT_WALL_MS + 3_000)
    assert desk.next_batch(4_000) == Wait(None)
    assert desk.ledger.balance(DESTINATION).held == 3
    tidy(desk, 9_000, SET_MS)  # NTP: at 9,000 of the monotonic clock it is SET_MS
    assert stored(desk) == [
        (0, SET_MS - 8_000 - 5_000, SET_MS - 8_000),
        (1, SET_MS - 6_000, SET_MS - 6_000),
        (2, SET_MS + 500, SET_MS - 6_000),
    ]
    assert desk.store.run("SELECT DISTINCT flags & ? FROM readings", (FLAG_BEFORE_CLOCK,)) == [(FLAG_BEFORE_CLOCK,)]
    notice, *lines = sent(desk, 9_000)
    assert notice == (
        "reading_clock,gateway=tidegate-gateway"
        f" readings=3i,shift_ms={SET_MS - 8_000 - BOOT_WALL_MS}i,until_ms={SET_MS - 6_000}i"
        f" {(SET_MS - 8_000) * NS_PER_MS}"
    )
    assert len(lines) == 3
    assert desk.ledger.totals[BEFORE_CLOCK] == 3
    assert desk.ledger.totals.get("restamped", 0) == 0, "the age that the device stated was kept"
    desk.close()


def test_what_came_before_and_after_is_not_touched(tmp_path: Path) -> None:
    desk = open_waiting(tmp_path)
    desk.take_in([aged(0, 0)], 0, SET_MS)
    desk.take_in([aged(1, 0)], 1_000, BOOT_WALL_MS)  # somebody set it back
    assert len(sent(desk, 1_000)) == 1, "what came before goes on"
    desk.take_in([aged(2, 0)], 5_000, SET_MS + 5_000)
    assert sent(desk, 5_000) == []
    tidy(desk, 5_000, SET_MS + 5_000)
    assert [received for _, _, received in stored(desk)][-2:] == [SET_MS + 1_000, SET_MS + 5_000]
    assert len(sent(desk, 6_000)) == 3  # a notice and two readings
    desk.close()


def test_rollups_are_made_of_corrected_times(tmp_path: Path) -> None:
    desk = open_waiting(tmp_path, windows=WindowRules((60,), 0, HOUR_MS))
    desk.take_in([aged(0, 5)], 1_000, BOOT_WALL_MS)
    tidy(desk, 2_000, BOOT_WALL_MS + HOUR_MS)
    tidy(desk, 9_000, SET_MS)
    tidy(desk, HOUR_MS, SET_MS + HOUR_MS)
    starts = [row[0] for row in desk.store.run("SELECT start_ms FROM rollups")]
    assert starts == [(SET_MS - 13_000) // 60_000 * 60_000]
    desk.close()


def test_readings_of_an_earlier_run_that_never_knew_the_time_are_placed_before_this_one(tmp_path: Path) -> None:
    desk = open_waiting(tmp_path)
    desk.take_in([aged(0, 0)], 1_000, BOOT_WALL_MS)
    desk.take_in([aged(1, 0)], 11_000, BOOT_WALL_MS + 10_000)
    desk.close()
    desk = open_waiting(tmp_path)  # a reboot, in 1970 again
    assert desk.next_batch(0) == Wait(None)
    desk.take_in([aged(2, 0)], 500, BOOT_WALL_MS)
    tidy(desk, 2_500, SET_MS)
    assert [received for _, _, received in stored(desk)] == [SET_MS - 12_000, SET_MS - 2_000, SET_MS - 2_000]
    desk.close()


def test_a_run_that_starts_with_the_time_puts_what_waited_right_before_itself(tmp_path: Path) -> None:
    desk = open_waiting(tmp_path)
    desk.take_in([aged(0, 0)], 1_000, BOOT_WALL_MS)
    desk.close()
    desk = open_waiting(tmp_path)
    desk.take_in([aged(1, 0)], 10, SET_MS)
    tidy(desk, 20, SET_MS + 10)
    assert [received for _, _, received in stored(desk)] == [SET_MS, SET_MS]
    desk.close()


def test_a_kill_between_two_steps_moves_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_clock, "CORRECT_ROWS", 2)
    desk = open_waiting(tmp_path)
    for seq in range(5):
        desk.take_in([aged(seq, 0)], 1_000 * seq, BOOT_WALL_MS + 1_000 * seq)
    assert desk._own_clock.correct(10_000, SET_MS)
    desk.store.close()  # a crash
    desk = open_waiting(tmp_path)
    tidy(desk, 3, SET_MS + 60_000)
    assert [received for _, _, received in stored(desk)] == [SET_MS - 10_000 + 1_000 * seq for seq in range(5)]
    desk.close()


def test_a_reboot_into_1970_in_the_middle_of_a_correction_mixes_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_clock, "CORRECT_ROWS", 2)
    desk = open_waiting(tmp_path)
    for seq in range(5):
        desk.take_in([aged(seq, 0)], 1_000 * seq, BOOT_WALL_MS + 1_000 * seq)
    assert desk._own_clock.correct(10_000, SET_MS)
    desk.store.close()
    desk = open_waiting(tmp_path)
    desk.take_in([aged(5, 0)], 0, BOOT_WALL_MS)
    tidy(desk, 1_000, SET_MS + 60_000)
    true_ms = [SET_MS - 10_000 + 1_000 * seq for seq in range(5)]
    assert [received for _, _, received in stored(desk)] == [*true_ms, SET_MS + 59_000]
    desk.close()


def test_an_impossible_device_time_is_judged_once_the_time_is_known(tmp_path: Path) -> None:
    desk = open_waiting(tmp_path)
    desk.take_in([synced(0, SET_MS + 400 * 24 * HOUR_MS)], 0, BOOT_WALL_MS)
    tidy(desk, 1_000, SET_MS)
    assert stored(desk) == [(0, SET_MS - 1_000, SET_MS - 1_000)]
    desk.close()


def test_a_damaged_row_does_not_stop_the_others(tmp_path: Path) -> None:
    desk = open_waiting(tmp_path)
    desk.take_in([aged(0, 0), aged(1, 0)], 0, BOOT_WALL_MS)
    with desk.store.transaction():
        desk.store.change("UPDATE readings SET crc = crc + 1 WHERE id = ?", (1,))
    tidy(desk, 1_000, SET_MS)
    assert stored(desk)[1] == (1, SET_MS - 1_000, SET_MS - 1_000)
    sent(desk, 2_000)
    assert desk.ledger.balance(DESTINATION).quarantined == 1
    desk.close()


def test_a_site_without_the_time_sends_all_the_same_if_its_operator_says_so(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, wait_for_clock=False)
    desk.take_in([aged(0, 0)], 0, BOOT_WALL_MS)
    assert len(sent(desk, 0)) == 1
    tidy(desk, 1_000, SET_MS)
    assert desk.ledger.totals.get(BEFORE_CLOCK, 0) == 0
    desk.close()


def test_no_device_clock_is_judged_by_one_that_is_not_set(tmp_path: Path) -> None:
    desk = open_waiting(tmp_path)
    desk.take_in([synced(0, SET_MS)], 0, BOOT_WALL_MS)
    assert desk.devices()[0].clock is None
    desk.close()
