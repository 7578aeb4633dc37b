"""Sparkplug payloads: protobuf's own bytes, round trips, types, and anything else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.mapping.sparkplug_payload import METRICS_MAX, DataType, Metric, Payload, decode, encode, typed
from sensors.senml import PayloadError

whole = st.integers(0, 2**63 - 1)
metrics = st.builds(
    Metric,
    st.none() | st.text(max_size=10),
    st.none() | whole,
    st.none() | whole,
    st.none() | st.integers(0, 40),
    st.booleans(),
    st.none() | whole | st.booleans() | st.text(max_size=10) | st.floats(allow_nan=False),
)
payloads = st.builds(
    Payload, st.none() | whole, st.none() | st.integers(0, 255), st.lists(metrics, max_size=5).map(tuple)
)


@settings(deadline=None)
@given(payloads)
def test_what_is_written_comes_back(payload: Payload) -> None:
    assert decode(encode(payload)) == payload


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_payload_or_an_error(raw: bytes) -> None:
    try:
        decode(raw)
    except PayloadError as error:
        assert "Sparkplug" in str(error)  # noqa: PT017


@pytest.mark.no_cover
@settings(deadline=None)
@given(payloads, st.data())
def test_a_payload_that_is_cut_off_is_never_read_beyond_its_end(payload: Payload, data: st.DataObject) -> None:
    raw = encode(payload)
    try:
        decode(raw[: data.draw(st.integers(0, len(raw)))])
    except PayloadError:
        return


def test_the_bytes_of_the_protobuf_encoding_are_read() -> None:
    """Written down from sparkplug_b.proto: timestamp 150, seq 1, and a metric of each kind of content."""
    metrics_raw = [
        b"\x0a\x01a\x10\x05\x20\x03\x50\x96\x01",  # name "a", alias 5, Int32, int_value 150
        b"\x0a\x01b\x20\x09\x65\x00\x00\xc0\x3f",  # name "b", Float, float_value 1.5
        b"\x0a\x01c\x20\x0b\x70\x01",  # name "c", Boolean, boolean_value true
        b"\x10\x05\x38\x01",  # alias 5, is_null
        b"\x0a\x01d\x4a\x02\x0a\x00\x7a\x02hi",  # name "d", properties (skipped), string_value "hi"
    ]
    raw = b"\x08\x96\x01" + b"".join(b"\x12" + bytes([len(each)]) + each for each in metrics_raw) + b"\x18\x01"
    assert decode(raw) == Payload(
        150,
        1,
        (
            Metric("a", 5, datatype=3, content=150),
            Metric("b", datatype=9, content=1.5),
            Metric("c", datatype=11, content=True),
            Metric(alias=5, is_null=True),
            Metric("d", content="hi"),
        ),
    )


@pytest.mark.parametrize(
    ("content", "datatype", "value"),
    [
        (0xFFFFFFFF, DataType.INT32, -1),
        (0xFFFFFFFF, DataType.INT8, -1),
        (0xFF, DataType.INT8, -1),
        (0x7F, DataType.INT8, 127),
        (2**64 - 2, DataType.INT64, -2),
        (0xFFFFFFFF, DataType.UINT32, 2**32 - 1),
        (2**64 - 1, DataType.UINT64, 2**64 - 1),
        (1.5, DataType.FLOAT, 1.5),
        (5, DataType.DATE_TIME, 5),
        (True, DataType.BOOLEAN, True),
        ("x", DataType.TEXT, "x"),
        (5, None, 5),
        ("x", DataType.INT32, None),
        (1.5, DataType.INT32, None),
        (5, DataType.BOOLEAN, None),
        (5, DataType.STRING, None),
        (True, DataType.DOUBLE, None),
        (5, 16, None),
    ],
)
def test_content_is_read_as_its_type_says(content: float | bool | str, datatype: int | None, value: object) -> None:
    found = typed(content, datatype)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"\x08", "within a number"),
        (b"\x08" + b"\xff" * 11, "ten bytes"),
        (b"\x12\x05a", "behind the payload"),
        (b"\x0b", "wire type 3"),
        (b"\x12\x03\x0a\x01\xff", "UTF-8"),
        (b"\x12\x00" * (METRICS_MAX + 1), "more than"),
    ],
)
def test_what_is_broken_is_named(raw: bytes, why: str) -> None:
    with pytest.raises(PayloadError, match=why):
        decode(raw)
