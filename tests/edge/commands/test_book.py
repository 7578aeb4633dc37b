"""Commands at the gateway: they wait, are sent at contacts, are answered once, expire by age, and survive a kill."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.commands import book as book_module
from edge.commands.book import ATTEMPTS_MAX, HISTORY_PER_DEVICE, OPEN_PER_DEVICE_MAX, CommandRecord, TooManyCommands
from edge.commands.states import OPEN_STATES, TRANSITIONS, CommandEvent, CommandState, IllegalCommandStep, next_state
from edge.desk import Desk
from edge.feedback import Downlink
from edge.ingest import Message
from sensors.commands import ArgumentError, Command, CommandAck, Result, decode_command, encode_command_ack
from sensors.messages import State, encode
from sensors.topics import Kind, build_topic
from tests.edge.kit import SITE, T0_MS, message, open_desk, reading

HOUR_MS = 3_600_000


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path)
    yield opened
    opened.store.close()


def issue(desk: Desk, now_ms: int = 0, *, device: str = "d1", ttl_s: int = 3600, name: str = "reboot") -> CommandRecord:
    return desk.downlinks.commands.issue(SITE, device, name, {}, ttl_s, now_ms, T0_MS)


def contact(desk: Desk, now_ms: int, seq: int, *, device: str = "d1") -> list[Command]:
    """The device sends a reading; the commands that it gets."""
    return commands_in(desk.take_in([message(reading(seq, device=device))], now_ms, T0_MS + now_ms)[1])


def commands_in(downlinks: Sequence[Downlink]) -> list[Command]:
    return [decode_command(each.payload) for each in downlinks if each.topic.endswith("/cmd")]


def answer(
    desk: Desk, record: CommandRecord, result: Result, now_ms: int, *, device: str = "d1", detail: str = ""
) -> list[Command]:
    topic = build_topic(SITE, device, Kind.CMD_ACK)
    payload = encode_command_ack(CommandAck(record.id, result, detail))
    return commands_in(desk.take_in([Message(topic, payload)], now_ms, T0_MS + now_ms)[1])


def state(desk: Desk, record: CommandRecord) -> CommandState:
    found = desk.downlinks.commands.get(record.site, record.device, record.id)
    assert found is not None
    return found.state


def test_a_command_waits_for_the_contact_is_sent_then_and_acknowledged(desk: Desk) -> None:
    record = issue(desk)
    assert state(desk, record) is CommandState.WAITING
    assert contact(desk, 1000, 0, device="other") == []
    (sent,) = contact(desk, 60_000, 0)
    assert (sent.id, sent.name, sent.ttl_s, sent.issued_at_ms) == (record.id, "reboot", 3540, T0_MS)
    assert state(desk, record) is CommandState.SENT
    answer(desk, record, "ok", 61_000)
    assert state(desk, record) is CommandState.ACKNOWLEDGED
    assert contact(desk, HOUR_MS // 2, 1) == []


def test_the_broker_may_forget_a_command_when_it_has_expired(desk: Desk) -> None:
    issue(desk, ttl_s=120)
    _, downlinks = desk.take_in([message(reading(0))], 20_000, T0_MS)
    assert [each.expiry_s for each in downlinks if each.topic.endswith("/cmd")] == [100]


@pytest.mark.parametrize(("result", "becomes"), [("refused", "refused"), ("failed", "failed"), ("expired", "expired")])
def test_what_the_device_says_becomes_the_state_with_its_words(desk: Desk, result: Result, becomes: str) -> None:
    record = issue(desk)
    contact(desk, 1000, 0)
    answer(desk, record, result, 2000, detail="why")
    found = desk.downlinks.commands.get(SITE, "d1", record.id)
    assert found is not None
    assert (found.state, found.detail, found.done_at_ms) == (becomes, "why", T0_MS + 2000)


def test_commands_go_one_after_the_other_and_an_answer_fetches_the_next(desk: Desk) -> None:
    first, second = issue(desk), issue(desk)
    assert [each.id for each in contact(desk, 1000, 0)] == [first.id]
    assert contact(desk, 2000, 1) == [], "the first is on its way"
    assert [each.id for each in answer(desk, first, "ok", 3000)] == [second.id]


def test_an_unanswered_command_is_sent_again_ever_more_rarely_and_given_up(desk: Desk) -> None:
    record, after = issue(desk, ttl_s=7 * 86_400), issue(desk)
    sent = [(now_s, each.id) for now_s in range(0, 2000, 5) for each in contact(desk, now_s * 1000, now_s)]
    assert [each for _, each in sent] == [record.id] * ATTEMPTS_MAX + [after.id] * (len(sent) - ATTEMPTS_MAX)
    sent_s = [now_s for now_s, _ in sent[: ATTEMPTS_MAX + 1]]
    pauses_s = [later - earlier for earlier, later in pairwise(sent_s)]
    assert pauses_s == [10, 20, 40, 80, 160, 320, 600, 600]
    assert state(desk, record) is CommandState.FAILED
    assert state(desk, after) is CommandState.SENT


def test_the_devices_word_counts_more_than_the_gateways_guess(desk: Desk) -> None:
    record = issue(desk)
    contact(desk, 1000, 0)
    desk.downlinks.commands.cancel(SITE, "d1", record.id, T0_MS)
    assert state(desk, record) is CommandState.CANCELLED
    answer(desk, record, "ok", 2000)
    assert state(desk, record) is CommandState.ACKNOWLEDGED


def test_a_cancelled_command_is_not_sent(desk: Desk) -> None:
    record = issue(desk)
    cancelled = desk.downlinks.commands.cancel(SITE, "d1", record.id, T0_MS)
    assert cancelled is not None
    assert cancelled.state is CommandState.CANCELLED
    assert contact(desk, 1000, 0) == []
    assert desk.downlinks.commands.cancel(SITE, "d1", "9-nothing", T0_MS) is None


def test_a_command_expires_by_its_age_and_is_not_sent_after(desk: Desk) -> None:
    record = issue(desk, ttl_s=60)
    desk.tidy(59_000, T0_MS)
    assert state(desk, record) is CommandState.WAITING
    desk.tidy(60_000, T0_MS - 365 * 24 * HOUR_MS)
    assert state(desk, record) is CommandState.EXPIRED
    assert contact(desk, 61_000, 0) == []


def test_a_step_of_the_wall_clock_expires_nothing_and_neither_does_a_restart(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    record = issue(desk, 5_000, ttl_s=60)
    desk.tidy(35_000, T0_MS)
    desk.store.close()
    desk = open_desk(tmp_path)  # another boot of the machine: monotonic time starts anywhere, the wall clock jumped
    desk.tidy(0, T0_MS + 10**11)
    assert state(desk, record) is CommandState.WAITING
    desk.tidy(29_000, T0_MS)
    assert state(desk, record) is CommandState.WAITING
    desk.tidy(30_000, T0_MS)
    assert state(desk, record) is CommandState.EXPIRED, "30 s before the restart, and 30 s after"
    desk.store.close()


def test_a_kill_between_send_and_answer_forgets_neither_the_command_nor_its_attempts(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    record = issue(desk)
    contact(desk, 1000, 0)
    desk.store.close()  # as a kill does: nothing more is written
    desk = open_desk(tmp_path)
    found = desk.downlinks.commands.get(SITE, "d1", record.id)
    assert found is not None
    assert (found.state, found.attempts) == (CommandState.SENT, 1)
    assert contact(desk, 500, 1) == [], "its answer may still come"
    assert [each.id for each in contact(desk, 10_500, 2)] == [record.id]
    desk.store.close()


def test_a_last_will_and_a_retained_state_are_no_contact_and_a_live_state_is(desk: Desk) -> None:
    issue(desk)
    topic = build_topic(SITE, "d1", Kind.STATE)
    old, gone, live = (encode(State(online=online, boot=boot)) for online, boot in ((True, 1), (False, 1), (True, 2)))
    assert commands_in(desk.take_in([Message(topic, old, retained=True)], 1000, T0_MS)[1]) == []
    assert commands_in(desk.take_in([Message(topic, gone)], 1000, T0_MS)[1]) == []
    assert len(commands_in(desk.take_in([Message(topic, live)], 1000, T0_MS)[1])) == 1


def test_an_answer_of_another_device_or_to_an_unknown_command_changes_nothing_and_is_counted(desk: Desk) -> None:
    record = issue(desk)
    contact(desk, 1000, 0)
    answer(desk, record, "ok", 2000, device="d2")
    assert state(desk, record) is CommandState.SENT
    answer(desk, record._replace(id="77-00000000"), "ok", 2000)
    assert desk.downlinks.strangers == 2
    assert desk.quarantine.count() == 0


def test_an_answer_that_is_none_goes_to_quarantine(desk: Desk) -> None:
    desk.take_in([Message(build_topic(SITE, "d1", Kind.CMD_ACK), b'{"id":"1","result":"perhaps"}')], 0, T0_MS)
    assert desk.quarantine.count() == 1


def test_queues_and_history_are_bounded(desk: Desk) -> None:
    for _ in range(OPEN_PER_DEVICE_MAX):
        issue(desk)
    with pytest.raises(TooManyCommands, match="commands wait for office/d1"):
        issue(desk)
    for at in range(HISTORY_PER_DEVICE + 5):
        record = issue(desk, device="d2")
        desk.downlinks.commands.cancel(SITE, "d2", record.id, T0_MS + at)
    assert len(desk.downlinks.commands.of_device(SITE, "d2", 1000)) <= HISTORY_PER_DEVICE + 1


def test_all_devices_together_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "OPEN_MAX", 2)
    issue(desk)
    issue(desk, device="d2")
    with pytest.raises(TooManyCommands, match="2 commands wait"):
        issue(desk, device="d3")


def test_what_no_device_would_do_is_refused_before_it_waits(desk: Desk) -> None:
    with pytest.raises(ArgumentError, match="unknown"):
        issue(desk, name="dance")
    with pytest.raises(ArgumentError, match="ttl_s is 0"):
        issue(desk, ttl_s=0)


def test_ids_of_a_new_store_are_not_those_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    desk = open_desk(tmp_path / "a")
    first, second = issue(desk), issue(desk)
    desk.store.close()
    assert first.id.partition("-")[2] != second.id.partition("-")[2]


@given(state=st.sampled_from(CommandState), event=st.sampled_from(CommandEvent))
def test_a_step_is_in_the_table_or_an_error(state: CommandState, event: CommandEvent) -> None:
    if event not in TRANSITIONS[state]:
        with pytest.raises(IllegalCommandStep, match=f"command in state {state}: got {event}"):
            next_state(state, event)
    elif state not in OPEN_STATES:
        assert next_state(state, event) not in OPEN_STATES, "what is over is never sent again"
