"""The ledger told to the cloud: every account that changed, once a period, also after a crash."""

from pathlib import Path

import pytest

from cloud.lineprotocol import parse_lines
from edge import ledger_lines
from edge.desk import LEDGER_EVERY_MS, Desk
from edge.forward.forwarder import Batch
from edge.forward.outcome import Accepted
from edge.store.rows import CLOCK_SET_MS
from tests.edge.kit import T0_MS, message, open_desk, reading

EVERY_MS = 60_000


def take(desk: Desk, *seqs: int, device: str = "d1", boot: int = 1) -> None:
    desk.take_in([message(*(reading(seq, device=device, boot=boot) for seq in seqs))], 0, T0_MS)


def tidy(desk: Desk, now_ms: int, wall_ms: int = T0_MS) -> None:
    while desk.tidy(now_ms, wall_ms):
        pass


def sent(desk: Desk, now_ms: int) -> list[str]:
    """What goes to the cloud, without the readings."""
    lines: list[str] = []
    while isinstance(plan := desk.next_batch(now_ms), Batch):
        lines += [line for line in plan.body.decode().splitlines() if not line.startswith("reading,")]
        desk.settle(plan, Accepted(), now_ms, T0_MS)
    return lines


def test_an_account_is_one_line_that_says_what_became_of_its_readings(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, ledger_every_ms=EVERY_MS)
    take(desk, 0, 1, 2, 5, 9)
    sent(desk, 0)
    take(desk, 10)
    tidy(desk, 0)
    (line,) = sent(desk, 0)
    assert line == (
        "reading_ledger,boot=1,destination=influx,device=d1,gateway=tidegate-gateway,site=office"
        " received=6i,delivered=5i,held=1i,missing=5i,lost=0i,expired=0i,thinned=0i,quarantined=0i,suppressed=0i,"
        f'highest=10i,contiguous=2i,missing_seqs="3-4 6-8" {T0_MS * 1_000_000}'
    )
    desk.close()


def test_what_does_not_change_is_not_told_again_and_what_does_once_a_period(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, ledger_every_ms=EVERY_MS)
    take(desk, 0)
    tidy(desk, 0)
    assert len(sent(desk, 0)) == 1
    tidy(desk, EVERY_MS)
    assert len(sent(desk, EVERY_MS)) == 1, "it was delivered meanwhile"
    tidy(desk, 2 * EVERY_MS)
    assert sent(desk, 2 * EVERY_MS) == []
    for seq in range(1, 4):
        take(desk, seq)
        tidy(desk, 2 * EVERY_MS + seq * LEDGER_EVERY_MS)
    sent(desk, 2 * EVERY_MS)
    tidy(desk, 3 * EVERY_MS)
    assert ["received=4i,delivered=4i" in line for line in sent(desk, 3 * EVERY_MS)] == [True]
    desk.close()


def test_what_is_owed_is_told_after_a_crash(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, ledger_every_ms=EVERY_MS)
    take(desk, 0)
    desk._write_ledger()
    desk.store.close()
    desk = open_desk(tmp_path, ledger_every_ms=EVERY_MS)
    tidy(desk, 0)
    assert len(sent(desk, 0)) == 1
    desk.close()


def test_a_period_has_so_many_lines_and_who_waited_longest_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_lines, "LINES_MAX", 3)
    monkeypatch.setattr(ledger_lines, "TIDY_LINES", 2)
    desk = open_desk(tmp_path, ledger_every_ms=EVERY_MS)
    for number in range(5):
        take(desk, 0, device=f"d{number}")
    told = []
    for period in range(3):
        tidy(desk, period * EVERY_MS)
        told += [line.partition(",device=")[2][:2] for line in sent(desk, period * EVERY_MS)]
        take(desk, period + 1, device="d0")
    assert told[:5] == ["d0", "d1", "d2", "d3", "d4"]
    desk.close()


def test_the_cloud_takes_the_lines(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, ledger_every_ms=EVERY_MS)
    desk.take_in([message(reading(0, device="a b,c=d"))], 0, T0_MS)
    tidy(desk, 0)
    parsed = parse_lines("\n".join(sent(desk, 0)).encode(), precision="ns", now_ns=0)
    assert (len(parsed.points), parsed.errors) == (1, [])
    desk.close()


def test_nothing_is_told_by_a_clock_that_is_not_set_or_if_nobody_wants_it(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, ledger_every_ms=EVERY_MS)
    take(desk, 0)
    tidy(desk, 0, CLOCK_SET_MS - 1)
    assert sent(desk, 0) == []
    desk.close()
    desk = open_desk(tmp_path)
    tidy(desk, 0)
    assert sent(desk, 0) == []
    desk.close()
