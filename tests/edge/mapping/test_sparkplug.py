"""Sparkplug nodes at ingest: births, aliases, seqs, deaths, and what survives a restart."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.desk import Desk
from edge.feedback import Downlink
from edge.ingest import Message
from edge.mapping.explain import explain
from edge.mapping.rebirths import ASK_EVERY_MS
from edge.mapping.sparkplug import Nodes, parse_topic, rebirth_command, value_name
from edge.mapping.sparkplug_payload import DataType, Metric, Payload, decode, encode
from edge.store import StoreFailed
from sensors.reading import FOREIGN_BOOT
from sensors.senml import VALUES_MAX
from sensors.topics import DEFAULT_ROOT, TopicError
from tests.edge.kit import T0_MS, open_desk
from tests.edge.mapping.kit import rules

RULES = rules('[[mapping]]\nname = "plant"\ntopic = "spBv1.0/#"\npayload = "sparkplug"\n')
REBIRTH = Downlink(*rebirth_command("g", "n", T0_MS))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path, mapping=RULES)
    yield opened
    opened.store.close()


def sent(kind: str, seq: int | None, *metrics: Metric, device: str = "", at_ms: int = T0_MS) -> Message:
    topic = f"spBv1.0/g/{kind}/n" + (f"/{device}" if device else "")
    return Message(topic, encode(Payload(at_ms, seq, metrics)))


def nbirth(bd_seq: int = 0, *, alias: int = 1, at_ms: int = T0_MS) -> Message:
    control = (Metric("bdSeq", content=bd_seq, datatype=DataType.INT64), Metric("Node Control/Rebirth", content=False))
    temperature = Metric("Oven/Temp", alias, datatype=DataType.INT32, content=2**32 - 5)
    return sent("NBIRTH", 0, *control, temperature, at_ms=at_ms)


def data(seq: int, content: int = 7, *, alias: int = 1, at_ms: int = T0_MS + 1000) -> Message:
    return sent("NDATA", seq, Metric(alias=alias, content=content), at_ms=at_ms + seq)


def take(desk: Desk, *messages: Message, now_ms: int = 0) -> list[Downlink]:
    return desk.take_in(messages, now_ms, T0_MS)[1]


def values(desk: Desk) -> list[tuple[str, dict[str, object]]]:
    entries = desk.store.read(0, 100).entries
    return [(entry.reading.device, {value.name: value.value for value in entry.reading.values}) for entry in entries]


def test_a_birth_gives_its_values_and_its_aliases_give_those_of_the_data(desk: Desk) -> None:
    dbirth = sent("DBIRTH", 1, Metric("Speed", 9, datatype=DataType.FLOAT, content=1.5), device="d")
    ddata = sent("DDATA", 2, Metric(alias=9, content=2.5), Metric("Speed2", datatype=12, content="x"), device="d")
    assert take(desk, nbirth(), dbirth, ddata, data(3, 2**32 - 1)) == []
    assert values(desk) == [
        ("n", {"Oven/Temp": -5.0}),
        ("n:d", {"Speed": 1.5}),
        ("n:d", {"Speed": 2.5, "Speed2": "x"}),
        ("n", {"Oven/Temp": -1.0}),
    ]
    entry = desk.store.read(3, 1).entries[0]
    assert (desk.store.device_name(entry.device_key)[0], entry.reading.boot, entry.reading.taken_at_ms) == (
        "g",
        FOREIGN_BOOT,
        T0_MS + 1003,
    )


def test_aliases_and_seq_outlive_a_restart(desk: Desk, tmp_path: Path) -> None:
    take(desk, nbirth(), data(1))
    desk.store.close()
    again = open_desk(tmp_path, mapping=RULES)
    assert take(again, data(2)) == []
    assert take(again, data(4)) == [REBIRTH]
    assert [name for _, found in values(again) for name in found] == ["Oven/Temp"] * 4
    again.store.close()


def test_a_failed_commit_forgets_the_birth_that_it_held(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    take(desk, nbirth())

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "append", fail)
        with pytest.raises(StoreFailed):
            take(desk, nbirth(alias=2, at_ms=T0_MS + 1))
    assert take(desk, data(1, alias=1)) == []
    assert len(values(desk)) == 2


def test_the_seq_runs_round_without_a_gap_and_a_repeat_is_none(desk: Desk) -> None:
    messages = [data(count % 256, at_ms=T0_MS + 300 * count) for count in range(1, 600)]
    assert take(desk, nbirth(), *messages) == []
    assert take(desk, messages[-1]) == []
    assert desk.ledger.totals["duplicates"] == 1


def test_a_gap_asks_for_a_rebirth_now_and_then_and_keeps_the_data(desk: Desk) -> None:
    take(desk, nbirth())
    asked = [take(desk, data(2 * turn), now_ms=turn * 1000) for turn in range(1, 61)]
    assert asked[0] == [REBIRTH]
    assert sum(map(len, asked)) == 60_000 // ASK_EVERY_MS
    assert len(values(desk)) == 61
    wish = decode(REBIRTH.payload)
    assert (REBIRTH.topic, wish.metrics[0].name, wish.metrics[0].content) == (
        "spBv1.0/g/NCMD/n",
        "Node Control/Rebirth",
        True,
    )


def test_data_before_any_birth_asks_for_one_and_is_kept_if_it_names_itself(desk: Desk) -> None:
    named = sent("NDATA", 5, Metric("Level", datatype=DataType.DOUBLE, content=1.5))
    assert take(desk, named) == [REBIRTH]
    assert values(desk) == [("n", {"Level": 1.5})]


def test_an_unknown_alias_waits_in_quarantine_for_the_birth(desk: Desk) -> None:
    assert take(desk, data(5)) == [REBIRTH]
    assert "announced alias 1" in desk.quarantine.items()[0].reason
    take(desk, nbirth(), now_ms=1000)
    assert desk.quarantine.retry([1])[0].stored == 1


def test_a_death_ends_the_aliases_and_one_of_an_earlier_session_does_not(desk: Desk) -> None:
    take(desk, nbirth(bd_seq=4))
    late = sent("NDEATH", None, Metric("bdSeq", content=3))
    assert take(desk, late, data(1)) == []
    death = sent("NDEATH", None, Metric("bdSeq", content=4))
    assert take(desk, death, data(2)) == [REBIRTH]
    assert desk.ledger.totals["undecodable"] == 1


def test_a_birth_replaces_what_was_announced_before(desk: Desk) -> None:
    take(desk, nbirth(alias=1), nbirth(bd_seq=1, alias=2, at_ms=T0_MS + 1))
    take(desk, data(1, alias=1), data(1, alias=2))
    assert (desk.ledger.totals["undecodable"], len(values(desk))) == (1, 3)


def test_what_is_null_or_no_value_is_left_out_and_counted(desk: Desk) -> None:
    metrics = [
        Metric("null", datatype=9, is_null=True, content=1.0),
        Metric("file", datatype=18, content="x"),
        Metric("nan", datatype=10, content=float("nan")),
        Metric("good", datatype=10, content=1.0),
    ]
    take(desk, nbirth(), sent("NDATA", 1, *metrics))
    assert values(desk)[1:] == [("n", {"good": 1.0})]
    assert desk.ledger.totals["unsupported"] == 2


def test_metrics_of_several_times_and_of_great_number_are_several_readings(desk: Desk) -> None:
    many = [Metric(f"m{at}", datatype=10, content=1.0, timestamp_ms=T0_MS) for at in range(VALUES_MAX + 1)]
    other = Metric("m0", datatype=10, content=2.0, timestamp_ms=T0_MS - 1)
    take(desk, nbirth(), sent("NDATA", 1, *many, other))
    assert [len(found) for _, found in values(desk)] == [1, VALUES_MAX, 1, 1]


def test_commands_and_host_states_are_heard_and_not_kept(desk: Desk) -> None:
    take(
        desk, Message("spBv1.0/g/NCMD/n", b"?"), Message("spBv1.0/g/DCMD/n/d", b"?"), Message("spBv1.0/STATE/h", b"{}")
    )
    assert (desk.store.device_count, desk.ledger.totals["undecodable"]) == (0, 0)


@pytest.mark.parametrize(
    "topic",
    [
        "spBv1.0",
        "spBv1.0/g",
        "spBv1.0/g/NDATA",
        "spBv1.0/g/NDATA/n/d",
        "spBv1.0/g/DDATA/n",
        "spBv1.0/g/X/n",
        "spBv1.0/g/NDATA/a:b",
        "spBv1.0//NDATA/n",
    ],
)
def test_a_topic_that_is_none_of_a_node_s_is_refused(topic: str) -> None:
    with pytest.raises(TopicError):
        parse_topic(topic)


def test_a_sparkplug_rule_takes_no_names_and_no_values() -> None:
    rule = '[[mapping]]\nname = "p"\ntopic = "spBv1.0/#"\npayload = "sparkplug"\n'
    for text in (rule.replace("spBv1.0/#", "x/#"), rule + 'site = "s"\n', rule + '[[mapping.value]]\nname = "x"\n'):
        with pytest.raises(ValidationError):
            rules(text)


def test_explain_shows_what_names_itself() -> None:
    birth = nbirth()
    assert isinstance(birth.topic, str)
    told = explain(RULES, DEFAULT_ROOT, birth.topic, birth.payload, T0_MS)
    assert (told.taken_by, told.site, told.device) == ("plant", "g", "n")
    assert [value.name for each in told.readings for value in each.values] == ["Oven/Temp"]
    unknown = data(1)
    assert "announced alias" in (explain(RULES, DEFAULT_ROOT, str(unknown.topic), unknown.payload, T0_MS).problem or "")


def test_names_become_names_of_values() -> None:
    assert value_name("Oven 1/Größe (mm)") == "Oven_1/Gr__e__mm_"
    assert value_name("/x") == "x"


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 255))
def test_a_rebirth_is_asked_for_exactly_when_something_was_lost(arrives: list[bool], start: int) -> None:
    topic, nodes = parse_topic("spBv1.0/g/NDATA/n"), Nodes()
    birth = parse_topic("spBv1.0/g/NBIRTH/n")
    assert topic is not None
    assert birth is not None
    nodes.take(birth, encode(Payload(T0_MS, start)), T0_MS)
    lost = False
    for count, here in enumerate(arrives, start + 1):
        if here:
            assert nodes.take(topic, encode(Payload(T0_MS, count % 256)), T0_MS).rebirth == lost
        lost = not here
