"""Topics and control messages: round trips, and refusals that say what was expected."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.messages import (
    RANGES_MAX,
    Ack,
    LostRange,
    MessageError,
    Resend,
    State,
    decode_ack,
    decode_resend,
    decode_state,
    encode,
)
from sensors.reading import BOOT_MAX
from sensors.topics import Kind, TopicError, build_topic, check_root, parse_topic, subscription

levels = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S"], exclude_characters="+#/\\$"), min_size=1, max_size=16
)
numbers = st.integers(0, BOOT_MAX)


@given(levels, levels, st.sampled_from(Kind))
def test_a_topic_that_builds_parses_back(site: str, device: str, kind: Kind) -> None:
    assert parse_topic(build_topic(site, device, kind)) == (site, device, kind)


@given(st.text(max_size=80))
def test_any_text_parses_or_raises_a_topic_error_and_builds_back(text: str) -> None:
    topic = f"tidegate/v1/{text}"
    with suppress(TopicError):
        assert build_topic(*parse_topic(topic)) == topic


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ("other/v1/s/d/reading", "does not start with"),
        ("tidegate/v1/s/reading", "2 levels"),
        ("tidegate/v1/s/d/x/reading", "kind 'x/reading'"),
        ("tidegate/v1/s/d/cmd/ack/x", "5 levels"),
        ("tidegate/v1//d/reading", "site is empty"),
        ("tidegate/v1/s/d#/reading", "holds '#'"),
        ("tidegate/v1/s/+/reading", r"holds '\+'"),
        ("tidegate/v1/s/d\0/reading", "holds"),
        ("tidegate/v1/s/d\u2028/reading", "holds"),
        ("tidegate/v1/s/" + "d" * 65 + "/reading", "longer than 64"),
        ("tidegate/v1/$SYS/d/reading", r"starts with '\$'"),
        ("tidegate/v1/s/d /reading", "space at an end"),
        ("tidegate/v1/s/d/other", "kind 'other'"),
    ],
)
def test_what_is_wrong_with_a_topic_is_named(topic: str, words: str) -> None:
    with pytest.raises(TopicError, match=words):
        parse_topic(topic)


def test_another_root_is_possible_and_is_checked() -> None:
    assert parse_topic("plant/a/s/d/state", root="plant/a") == ("s", "d", Kind.STATE)
    assert subscription(Kind.READING, "plant") == "plant/+/+/reading"
    with pytest.raises(TopicError, match="topic root level"):
        check_root("plant//a")


@given(st.lists(st.tuples(numbers, numbers), max_size=8).map(tuple))
def test_acks_come_back(acks: tuple[tuple[int, int], ...]) -> None:
    assert decode_ack(encode(Ack(acks))) == Ack(acks)


@given(st.lists(st.tuples(numbers, numbers, numbers), max_size=8))
def test_resends_and_losses_come_back(ranges: list[tuple[int, int, int]]) -> None:
    ordered = tuple((boot, min(first, last), max(first, last)) for boot, first, last in ranges)
    assert decode_resend(encode(Resend(ordered))) == Resend(ordered)
    state = State(online=True, boot=1, lost=tuple(LostRange(*each, "evicted") for each in ordered))
    assert decode_state(encode(state)) == state


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"\xff", "state"),
        (b"{}", "online"),
        (b'{"online":true,"lost":[[1,5,4,"evicted"]]}', "first <= last"),
        (b'{"online":true,"lost":[[1,0,1,"because"]]}', "because"),
        (b'{"online":true,"lost":[[-1,0,1,"acked"]]}', "boot -1"),
    ],
)
def test_what_is_wrong_with_a_state_is_named(payload: bytes, words: str) -> None:
    with pytest.raises(MessageError, match=words):
        decode_state(payload)


def test_a_state_with_too_many_ranges_is_refused() -> None:
    lost = tuple(LostRange(1, at * 2, at * 2, "evicted") for at in range(RANGES_MAX + 1))
    with pytest.raises(MessageError, match="65 ranges"):
        decode_state(encode(State(online=True, lost=lost)))


@given(st.binary(max_size=40))
def test_any_bytes_decode_or_raise_a_message_error(payload: bytes) -> None:
    for decoder in (decode_state, decode_ack, decode_resend):
        with suppress(MessageError):
            decoder(payload)
