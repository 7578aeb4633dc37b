"""The ledger as an answer: what is not in the cloud, where it is, and why."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.desk import Desk
from edge.forward.forwarder import Batch
from edge.forward.outcome import Accepted, Outcome, Refused
from edge.ingest import Message
from edge.ledger_report import Seqs
from sensors.messages import LostRange, State, encode
from sensors.topics import Kind, build_topic
from tests.edge.kit import SITE, T0_MS, message, open_desk, reading
from tests.edge.mapping.kit import THERMOMETER, rules


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path, batch_rows=1, mapping=rules(THERMOMETER))
    yield opened
    opened.store.close()


def answer(desk: Desk, outcome: Outcome) -> None:
    batch = desk.next_batch(10**9)
    assert isinstance(batch, Batch)
    desk.settle(batch, outcome, 10**9, T0_MS)


def test_every_seq_that_is_not_in_the_cloud_is_named_with_its_place(desk: Desk) -> None:
    lost = State(online=True, lost=(LostRange(1, 3, 4, "evicted"),))
    desk.take_in([message(*(reading(seq) for seq in (0, 1, 2, 5, 8)))], 0, T0_MS)
    desk.take_in([Message(build_topic(SITE, "d1", Kind.STATE), encode(lost))], 0, T0_MS)
    answer(desk, Accepted())
    answer(desk, Refused(400, "bad"))
    told = desk.ledger_report()
    (account,) = told.accounts
    assert (account.site, account.device, account.boot, account.foreign) == (SITE, "d1", 1, False)
    assert account.received == Seqs(5, ((0, 2), (5, 5), (8, 8)))
    assert account.missing == Seqs(2, ((6, 7),))
    assert account.lost == {"evicted": Seqs(2, ((3, 4),))}
    assert account.delivered == {"influx": Seqs(1, ((0, 0),))}
    assert account.open == {"influx": {"quarantined": Seqs(1, ((1, 1),)), "held": Seqs(3, ((2, 2), (5, 5), (8, 8)))}}
    assert told.complete == {"influx": False}


def test_it_is_complete_once_everything_is_delivered(desk: Desk) -> None:
    assert desk.ledger_report().complete == {"influx": True}
    desk.take_in([message(reading(0)), Message("plant/hall/t1/temp", b"1")], 0, T0_MS)
    answer(desk, Accepted())
    assert desk.ledger_report().complete == {"influx": False}
    (still,) = desk.ledger_report(only_open=True).accounts
    assert (still.device, still.foreign) == ("t1", True)
    answer(desk, Accepted())
    assert desk.ledger_report().complete == {"influx": True}
    assert desk.ledger_report(only_open=True).accounts == ()


def test_accounts_can_be_chosen_by_site_and_device(desk: Desk) -> None:
    desk.take_in([message(reading(0)), message(reading(0), site="barn"), message(reading(0, device="d2"))], 0, T0_MS)
    assert {(each.site, each.device) for each in desk.ledger_report(site=SITE).accounts} == {(SITE, "d1"), (SITE, "d2")}
    assert [each.site for each in desk.ledger_report(device="d1", site="barn").accounts] == ["barn"]


def test_an_answer_is_bounded_and_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.ledger_report.ACCOUNTS_MAX", 2)
    desk.take_in([message(reading(0, device=f"d{at}")) for at in range(3)], 0, T0_MS)
    told = desk.ledger_report()
    assert (len(told.accounts), told.truncated) == (2, True)
    assert not desk.ledger_report(device="d1").truncated


@pytest.mark.no_cover
@settings(deadline=None, max_examples=40)  # each example is a store with its syncs
@given(st.lists(st.integers(0, 12), max_size=12), st.lists(st.booleans(), max_size=12))
def test_received_is_delivered_and_open_seq_by_seq(
    tmp_path_factory: pytest.TempPathFactory, seqs: list[int], accepted: list[bool]
) -> None:
    desk = open_desk(tmp_path_factory.mktemp("ledger"), batch_rows=1)
    if seqs:
        desk.take_in([message(*map(reading, seqs))], 0, T0_MS)
    for yes in accepted[: len(set(seqs))]:
        answer(desk, Accepted() if yes else Refused(400, "bad"))
    for account in desk.ledger_report().accounts:
        places = account.open["influx"].values()
        assert account.received.count == account.delivered["influx"].count + sum(place.count for place in places)
    desk.store.close()
