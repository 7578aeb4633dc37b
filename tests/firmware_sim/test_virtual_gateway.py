"""The gateway of virtual time: each reading once, gaps asked for, losses passed over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.virtual_gateway import DeviceInbox
from sensors.messages import LostRange, State, decode_ack, decode_resend, encode
from sensors.reading import Reading, Value
from sensors.senml import encode as encode_senml
from sensors.topics import Kind


def pack(*seqs: int, boot: int = 1) -> bytes:
    readings = [Reading("d", boot, seq, 1_700_000_000_000 + seq, (Value("t", 1.0, "Cel"),)) for seq in seqs]
    return encode_senml(readings, sent_at_ms=1_700_000_000_000)


def inbox() -> tuple[DeviceInbox, list[int]]:
    taken: list[int] = []
    return DeviceInbox("d", lambda reading, _at_ms: taken.append(reading.seq)), taken


def test_a_reading_that_comes_twice_is_told_once() -> None:
    made, taken = inbox()
    made.receive(Kind.READING, pack(0, 1), 5)
    made.receive(Kind.READING, pack(1, 2), 6)
    assert taken == [0, 1, 2]
    assert (made.received, made.duplicates) == (3, 1)


def test_a_gap_is_asked_for_and_not_acknowledged() -> None:
    made, _ = inbox()
    made.receive(Kind.READING, pack(0), 5)
    answers = dict(made.receive(Kind.READING, pack(3), 6))
    assert decode_ack(answers[Kind.ACK]).acks == ((1, 0),)
    assert decode_resend(answers[Kind.RESEND]).ranges == ((1, 1, 2),)
    assert dict(made.receive(Kind.READING, pack(1, 2), 7)).keys() == {Kind.ACK}
    assert made.holds(1, 3)
    assert not made.holds(1, 4)
    assert not made.holds(2, 0)


def test_what_the_device_said_is_lost_is_passed_over() -> None:
    made, _ = inbox()
    made.receive(Kind.READING, pack(3), 5)
    state = State(online=True, boot=1, lost=(LostRange(1, 0, 2, "evicted"),))
    ((kind, payload),) = made.receive(Kind.STATE, encode(state), 6)
    assert kind is Kind.ACK
    assert decode_ack(payload).acks == ((1, 3),)


@pytest.mark.no_cover
@given(st.permutations(range(12)))
def test_whatever_the_order_all_is_acknowledged_in_the_end(seqs: list[int]) -> None:
    made, taken = inbox()
    answers: dict[Kind, bytes] = {}
    for seq in seqs:
        answers = dict(made.receive(Kind.READING, pack(seq), seq))
    assert taken == list(seqs)
    assert decode_ack(answers[Kind.ACK]).acks == ((1, 11),)
    assert Kind.RESEND not in answers


def test_where_only_a_broker_is_nothing_is_answered() -> None:
    taken: list[int] = []
    made = DeviceInbox("d", lambda reading, _at_ms: taken.append(reading.seq), answers=False)
    assert made.receive(Kind.READING, pack(0, 2), 5) == []
    assert taken == [0, 2]
