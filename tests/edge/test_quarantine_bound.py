"""Garbage from outside cannot fill the store: its oldest goes, counted; what the cloud refused stays."""

from pathlib import Path

import pytest

from edge import quarantine_bound
from edge.config import EdgeConfig
from edge.desk import DESTINATION, Desk
from edge.desk_rules import desk_rules
from edge.forward.forwarder import Batch
from edge.forward.outcome import Refused
from edge.ingest import Message
from edge.quarantine_bound import EVICTED, ROW_BYTES, QuarantineLimits
from tests.edge.kit import T0_MS, message, open_desk, reading


def garbage(desk: Desk, first: int, count: int, size_bytes: int = 100) -> None:
    messages = [
        Message("nobody/knows", str(number).encode().ljust(size_bytes)) for number in range(first, first + count)
    ]
    desk.take_in(messages, 0, T0_MS)


def tidy(desk: Desk) -> None:
    while desk.tidy(0):
        pass


def kept(desk: Desk) -> list[bytes]:
    return [item.payload.strip() for item in desk.quarantine.items()]


def open_small(folder: Path, *, rows_max: int = 10, bytes_max: int = 1_000_000) -> Desk:
    return open_desk(folder, quarantine=QuarantineLimits(bytes_max, rows_max))


def test_the_oldest_garbage_goes_first_and_is_counted(tmp_path: Path) -> None:
    desk = open_small(tmp_path)
    garbage(desk, 0, 25)
    tidy(desk)
    assert kept(desk) == [str(number).encode() for number in range(15, 25)]
    assert desk.ledger.totals[EVICTED] == 15
    desk.store.close()  # a crash
    desk = open_small(tmp_path)
    assert (desk.ledger.totals[EVICTED], desk.ledger.totals["undecodable"]) == (15, 25)
    desk.close()


def test_bytes_bound_it_too(tmp_path: Path) -> None:
    desk = open_small(tmp_path, bytes_max=10_000, rows_max=1000)
    garbage(desk, 0, 9, size_bytes=2000)
    tidy(desk)
    assert kept(desk) == [b"5", b"6", b"7", b"8"]
    assert sum(item.payload_bytes + ROW_BYTES for item in desk.quarantine.items()) <= 10_000
    desk.close()


def test_a_reading_that_the_cloud_refused_is_never_evicted(tmp_path: Path) -> None:
    desk = open_small(tmp_path)
    desk.take_in([message(reading(0))], 0, T0_MS)
    plan = desk.next_batch(0)
    assert isinstance(plan, Batch)
    desk.settle(plan, Refused(400, "no"), 0, T0_MS)
    garbage(desk, 0, 30)
    tidy(desk)
    sources = [item.source for item in desk.quarantine.items()]
    assert sources.count(DESTINATION) == 1
    assert sources.count("ingest") == 10
    assert desk.ledger.balance(DESTINATION).quarantined == 1
    assert desk.ledger.balance(DESTINATION).balances
    desk.close()


def test_a_flood_goes_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine_bound, "EVICT_ROWS", 4)
    desk = open_small(tmp_path)
    garbage(desk, 0, 25)
    assert desk.tidy(0)
    assert desk.quarantine.count() == 21
    tidy(desk)
    assert desk.quarantine.count() == 10
    desk.close()


def test_without_news_nothing_is_summed_up(tmp_path: Path) -> None:
    desk = open_small(tmp_path)
    garbage(desk, 0, 3)
    tidy(desk)
    asked: list[str] = []
    desk.store._db.set_trace_callback(asked.append)
    desk.tidy(0)
    assert not [sql for sql in asked if "sum(" in sql]
    desk.close()


def test_the_configured_limits_reach_the_desk() -> None:
    config = EdgeConfig.model_validate({"store": {"quarantine_rows_max": 7, "quarantine_bytes_max": 1_000_000}})
    assert desk_rules(config).quarantine == QuarantineLimits(1_000_000, 7)
