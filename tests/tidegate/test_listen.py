"""`tidegate edge listen`: every kind of message reads well, and the bad ones harm nothing."""

import json

import pytest

from sensors.messages import Ack, LostRange, Resend, State, encode
from sensors.reading import Reading, Value
from sensors.senml import encode as encode_readings
from sensors.topics import DEFAULT_ROOT, Kind, build_topic
from tidegate.listen import describe

AT_MS = 1_700_000_000_123


def lines(kind: Kind, payload: bytes) -> list[str]:
    return [each.as_line() for each in describe(build_topic("office", "room-1", kind), payload, DEFAULT_ROOT, AT_MS)]


def test_each_reading_of_a_message_is_a_line_with_its_values_and_units() -> None:
    readings = [
        Reading("room-1", 3, seq, AT_MS, (Value("temperature", 23.5, "Cel"), Value("open", content)))
        for seq, content in ((17, True), (18, True))
    ]
    assert lines(Kind.READING, encode_readings(readings, sent_at_ms=0)) == [
        "22:13:20.123  office/room-1  reading  boot 3 seq 17  temperature 23.5 Cel  open True",
        "22:13:20.123  office/room-1  reading  boot 3 seq 18  temperature 23.5 Cel  open True",
    ]


@pytest.mark.parametrize(
    ("kind", "payload", "text"),
    [
        (Kind.ACK, encode(Ack(((3, 17), (4, 0)))), "boot 3 through seq 17, boot 4 through seq 0"),
        (Kind.RESEND, encode(Resend(((3, 5, 9),))), "boot 3 seqs 5 to 9"),
        (Kind.STATE, encode(State(online=False)), "offline"),
        (
            Kind.STATE,
            encode(State(online=True, boot=3, lost=(LostRange(2, 0, 4, "evicted"),))),
            "online, boot 3, lost boot 2 seqs 0 to 4 (evicted)",
        ),
    ],
)
def test_control_messages_say_what_they_mean(kind: Kind, payload: bytes, text: str) -> None:
    assert lines(kind, payload)[0].endswith(text)


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("tidegate/v1/s/d/reading", b"\x1b[31mred"),
        ("tidegate/v1/s/d/other", b""),
        ("tidegate/v1/\u202eevil/d/reading", b"[]"),
    ],
)
def test_what_is_not_understood_says_why_and_cannot_play_with_the_terminal(topic: str, payload: bytes) -> None:
    (seen,) = describe(topic, payload, DEFAULT_ROOT, AT_MS)
    assert seen.kind == "?"
    assert seen.as_line().isprintable()


def test_a_device_name_cannot_play_with_the_terminal_either() -> None:
    reading = Reading("d", 1, 0, AT_MS, (Value("note", "\u202etxt.exe\x07"),))
    topic = f"tidegate/v1/\u202eevil/d/{Kind.READING}"
    (seen,) = describe(topic, encode_readings([reading], sent_at_ms=0), DEFAULT_ROOT, AT_MS)
    assert seen.as_line().isprintable()


def test_json_is_one_object_a_line() -> None:
    reading = Reading("room-1", 3, 17, AT_MS, (Value("temperature", 23.5, "Cel"),))
    (seen,) = describe(
        build_topic("office", "room-1", Kind.READING), encode_readings([reading], sent_at_ms=0), DEFAULT_ROOT, AT_MS
    )
    document = json.loads(seen.as_json())
    assert document["name"] == "office/room-1"
    assert document["content"]["values"] == [{"name": "temperature", "value": 23.5, "unit": "Cel"}]
    assert "\n" not in seen.as_json()
