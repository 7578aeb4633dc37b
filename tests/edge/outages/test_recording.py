"""The recording format: exact round trip, errors that name line and field, the published schema."""

import gzip
import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings

from edge.outages.events import (
    AnyEvent,
    Cause,
    Close,
    End,
    Ending,
    Gap,
    Link,
    LinkKind,
    Sample,
    Status,
    Transition,
    UnknownWrite,
)
from edge.outages.packing import packed
from edge.outages.recording import (
    LINE_BYTES_MAX,
    Recording,
    RecordingEncoder,
    decode_recording,
    encode_recording,
    make_header,
    read_recording,
    write_recording,
)
from edge.outages.rules import RecordingError, RecordingVersionError
from tidegate.testing.strategies import recordings

SCHEMA = json.loads(Path("docs/outage-recording.schema.json").read_text())
HEADER = '{"format":"tidegate-outage","version":1,"links":[{"name":"uplink","kind":"uplink"}]}'
UP = '{"event":"transition","at_us":0,"link":"uplink","status":"up"}'
END = '{"event":"end","at_us":9000000}'


def decode(*lines: str) -> Recording:
    return decode_recording([line.encode() + b"\n" for line in lines])


@pytest.mark.no_cover
@given(recordings())
def test_a_recording_comes_back_equal_and_its_text_byte_for_byte(recording: Recording) -> None:
    text = list(encode_recording(recording))
    again = decode_recording(text)
    assert again == recording
    assert list(encode_recording(again)) == text


@pytest.mark.no_cover
@settings(max_examples=50)
@given(recordings())
def test_every_line_the_writer_makes_fits_the_published_schema(recording: Recording) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for line in encode_recording(recording):
        validator.validate(json.loads(line))


@given(recordings())
def test_a_live_writer_writes_the_same_lines(recording: Recording) -> None:
    encoder = RecordingEncoder(recording.header)
    lines = [encoder.header_line(), *(encoder.encode(event) for event in recording.events)]
    encoder.finish()
    assert lines == list(encode_recording(recording))


BAD_LINES = [
    ('{"event":"transition","at_us":5,"link":"uplink","status":"down"}', "cause", "dns, refused"),
    ('{"event":"transition","at_us":5,"link":"uplink","status":"up","cause":"dns"}', "cause", "no cause"),
    ('{"event":"transition","at_us":5,"link":"uplink","status":"down","cause":"http"}', "http_status", "HTTP status"),
    (
        '{"event":"transition","at_us":5,"link":"uplink","status":"away"}',
        "status",
        "one of up, degraded, down, found 'away'",
    ),
    ('{"event":"transition","at_us":5,"status":"up"}', "link", "present"),
    ('{"event":"transition","at_us":5,"link":"10.0.0.1","status":"up"}', "link", "matching regex"),
    ('{"event":"close","at_us":5,"link":"uplink","how":"bye"}', "how", "one of fin, rst, stall, found 'bye'"),
    ('{"event":"sample","at_us":5,"link":"uplink"}', "", ""),
    ('{"event":"sample","at_us":5,"link":"uplink","loss_ppm":1000001}', "loss_ppm", "1000000"),
    ('{"event":"sample","at_us":5.5,"link":"uplink","rtt_us":1}', "at_us", "int"),
    ('{"event":"sample","at_us":-5,"link":"uplink","rtt_us":1}', "at_us", ">= 0"),
    ('{"event":"gap","at_us":5}', "since_us", "present"),
    ('{"event":"end","at_us":5,"note":"x"}', "note", "a field of this event"),
    (
        '{"event":"party","at_us":5}',
        "event",
        "one of transition, close, unknown_write, gap, sample, series, end, found",
    ),
    ("nonsense", "line", "JSON"),
]


@pytest.mark.parametrize(("line", "field", "expected"), BAD_LINES)
def test_a_bad_line_is_refused_by_reader_and_schema_and_named(line: str, field: str, expected: str) -> None:
    with pytest.raises(RecordingError) as caught:
        decode(HEADER, UP, line, END)
    assert caught.value.line == 3
    assert field in caught.value.field
    assert expected in caught.value.expected
    if line != "nonsense":
        assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(json.loads(line))


ORDER_ERRORS = [
    ('{"event":"close","at_us":4,"link":"uplink","how":"rst"}', "at_us"),
    ('{"event":"close","at_us":6,"link":"wifi","how":"rst"}', "link"),
    ('{"event":"gap","at_us":6,"since_us":4}', "since_us"),
    ('{"event":"unknown_write","at_us":6,"link":"uplink","sent_us":7}', "sent_us"),
    ('{"event":"transition","at_us":6,"link":"uplink","status":"up","began_us":7}', "began_us"),
    ('{"event":"transition","at_us":6,"link":"uplink","status":"up","began_us":2}', "began_us"),
    ('{"event":"transition","at_us":6,"link":"uplink","status":"up","began_us":4,"began_min_us":5}', "began_min_us"),
    ('{"event":"transition","at_us":6,"link":"uplink","status":"up","began_us":4,"began_max_us":3}', "began_max_us"),
    ('{"event":"transition","at_us":6,"link":"uplink","status":"up","began_us":4,"began_max_us":7}', "began_max_us"),
]


@pytest.mark.parametrize(("line", "field"), ORDER_ERRORS)
def test_a_line_that_contradicts_the_lines_before_it_is_refused(line: str, field: str) -> None:
    down = '{"event":"transition","at_us":5,"link":"uplink","status":"down","cause":"reset","began_us":3}'
    with pytest.raises(RecordingError) as caught:
        decode(HEADER, down, line, END)
    assert (caught.value.line, caught.value.field) == (3, field)


def test_nothing_is_known_of_the_time_within_a_gap() -> None:
    gap = '{"event":"gap","at_us":50,"since_us":10}'
    reaches_back = '{"event":"transition","at_us":60,"link":"uplink","status":"up","began_us":20}'
    with pytest.raises(RecordingError, match="began_us"):
        decode(HEADER, UP, gap, reaches_back, END)
    long_series = (
        '{"event":"series","at_us":60,"link":"uplink","quantity":"capacity_bytes_per_s","step_us":20,"values":[1]}'
    )
    with pytest.raises(RecordingError, match="step_us"):
        decode(HEADER, UP, gap, long_series, END)


def test_a_file_without_its_end_was_cut_off() -> None:
    with pytest.raises(RecordingError, match="line 3: event: expected an end event"):
        decode(HEADER, UP)
    with pytest.raises(RecordingError, match="line 4: event: expected nothing after the end event"):
        decode(HEADER, UP, END, END)


def test_a_newer_version_says_so() -> None:
    with pytest.raises(RecordingVersionError, match="this file says 2"):
        decode(HEADER.replace('"version":1', '"version":2'), END)


@pytest.mark.parametrize("first", ["", "{}", '{"format":"pcap"}', "\x00\x01"])
def test_another_kind_of_file_is_refused_at_its_first_line(first: str) -> None:
    with pytest.raises(RecordingError, match="line 1: format"):
        decode(first)


@pytest.mark.parametrize(
    "text",
    [
        "to 10.1.2.3",
        "fe80::1:2",
        "2001:db8:0:1:1:1:1:1",
        "00:1b:44:11:3a:b7",
        "me@example.org",
        "user:pw@host",
        "token=x",
    ],
)
def test_an_address_or_a_secret_is_kept_out_of_the_header(text: str) -> None:
    with pytest.raises(RecordingError, match=r"source: expected no addresses or secrets"):
        Recording(make_header([Link("uplink", LinkKind.UPLINK)], source=text), (End(1),))


@pytest.mark.parametrize(
    ("name", "fits"), [("uplink/lab", True), ("uplink/", False), ("a/b/c", False), ("/lab", False)]
)
def test_a_link_to_a_further_destination_has_its_name_behind_a_stroke(name: str, *, fits: bool) -> None:
    header = HEADER.replace('"name":"uplink"', f'"name":"{name}"')
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(json.loads(header)) is fits
    if fits:
        assert decode(header, END).link_names == (name,)
    else:
        with pytest.raises(RecordingError, match="name"):
            decode(header, END)


def test_two_links_of_one_name_are_refused() -> None:
    header = make_header([Link("uplink", LinkKind.UPLINK), Link("uplink", LinkKind.DEVICE)])
    with pytest.raises(RecordingError, match="links"):
        Recording(header, (End(1),))


def test_a_recording_built_from_wrong_values_is_refused_like_a_file() -> None:
    header = make_header([Link("uplink", LinkKind.UPLINK)])
    with pytest.raises(RecordingError, match="line 2: at_us"):
        Recording(header, (Sample(-1, "uplink", rtt_us=5), End(1)))
    with pytest.raises(RecordingError, match="sample"):
        Recording(header, (Sample(1, "uplink"), End(1)))


def test_fin_rst_stall_an_unknown_write_and_a_gap_are_five_different_things() -> None:
    header = make_header([Link("uplink", LinkKind.UPLINK)])
    closes: list[AnyEvent] = [Close(1, "uplink", how) for how in Ending]
    events = (*closes, UnknownWrite(2, "uplink", 1, 700), Gap(9, 3), End(9))
    assert len(set(encode_recording(Recording(header, events)))) == 7


@pytest.mark.parametrize("name", ["a.outage.jsonl", "a.outage.jsonl.gz", "a.outage.jsonl.zst"])
def test_files_come_back_equal_and_equal_recordings_give_equal_files(tmp_path: Path, name: str) -> None:
    header = make_header([Link("uplink", LinkKind.UPLINK)], title="a day")
    recording = Recording(header, (Transition(5, "uplink", Status.DOWN, Cause.HTTP, 503, 3, 2, 4), End(10)))
    write_recording(tmp_path / name, recording)
    first = (tmp_path / name).read_bytes()
    write_recording(tmp_path / name, recording)
    assert (tmp_path / name).read_bytes() == first
    if name.endswith(".gz"):
        no_time = bytes(4)  # the MTIME field of RFC 1952, section 2.3
        assert first[4:8] == no_time
    assert read_recording(tmp_path / name) == recording


def test_a_broken_gzip_file_and_an_endless_line_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "a.outage.jsonl.gz"
    broken.write_bytes(b"not gzip")
    with pytest.raises(RecordingError, match="file: expected a whole gzip file"):
        read_recording(broken)
    broken.write_bytes(gzip.compress(HEADER.encode() + b"\n" + UP.encode())[:-9])
    with pytest.raises(RecordingError, match="file: expected a whole gzip file"):
        read_recording(broken)
    broken = tmp_path / "a.outage.jsonl.zst"
    broken.write_bytes(b"not zstd")
    with pytest.raises(RecordingError, match="file: expected a whole Zstandard file"):
        read_recording(broken)
    broken.write_bytes(packed(HEADER.encode() + b"\n" + UP.encode(), broken.name)[:-9])
    with pytest.raises(RecordingError, match="file: expected a whole Zstandard file"):
        read_recording(broken)
    endless = tmp_path / "b.outage.jsonl"
    endless.write_bytes(HEADER.encode() + b"\n" + b"x" * (LINE_BYTES_MAX + 5))
    with pytest.raises(RecordingError, match="line 2: line: expected at most"):
        read_recording(endless)
