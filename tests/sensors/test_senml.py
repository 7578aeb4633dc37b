"""The native payload: what is encoded comes back, and whatever else comes gives readings or one clear error."""

import math
from contextlib import suppress

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.reading import BOOT_MAX, SEQ_MAX, Reading, Value, column
from sensors.senml import (
    READINGS_MAX,
    RELATIVE_BELOW_S,
    TAKEN_AT_MS_MAX,
    VALUES_MAX,
    Encoding,
    PayloadError,
    decode,
    encode,
)

NOW_MS = 1_700_000_000_000

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9\-:./_]{0,20}", fullmatch=True)
contents = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text(st.characters(codec="utf-8"), max_size=20)
)
one_reading_values = st.lists(
    st.builds(Value, names, contents, st.sampled_from([None, "Cel", "%RH", "m/s2"])),
    min_size=1,
    max_size=5,
    unique_by=column,
).map(tuple)
synced_readings = st.builds(
    Reading,
    st.just("d1"),
    st.integers(0, BOOT_MAX),
    st.integers(0, SEQ_MAX),
    st.integers(RELATIVE_BELOW_S * 1000, TAKEN_AT_MS_MAX),
    one_reading_values,
)
unsynced_readings = st.builds(
    Reading,
    st.just("d1"),
    st.integers(0, BOOT_MAX),
    st.integers(0, SEQ_MAX),
    st.integers(NOW_MS - 10**10, NOW_MS),
    one_reading_values,
    st.just(False),  # noqa: FBT003
)


@given(st.lists(st.one_of(synced_readings, unsynced_readings), min_size=1, max_size=6), st.sampled_from(Encoding))
def test_what_is_encoded_decodes_to_the_same_readings(readings: list[Reading], encoding: Encoding) -> None:
    payload = encode(readings, sent_at_ms=NOW_MS, encoding=encoding)
    assert decode(payload, device="d1", received_at_ms=NOW_MS) == readings


@given(st.binary(max_size=60))
def test_any_bytes_give_readings_or_a_payload_error(payload: bytes) -> None:
    with suppress(PayloadError):
        decode(payload, device="d1", received_at_ms=NOW_MS)


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers(-(2**70), 2**70)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*range(-6, 9), "boot", "seq", "n", "v", "x_"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(json_like, max_size=3))
def test_any_cbor_gives_readings_or_a_payload_error(pack: list[object]) -> None:
    with suppress(PayloadError):
        decode(cbor2.dumps(pack), device="d1", received_at_ms=NOW_MS)


def test_base_values_resolve_as_rfc_8428_says() -> None:
    """The example of RFC 8428, section 5.1.3, with an identity."""
    payload = (
        b'[{"boot":1,"seq":0,"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,'
        b'"n":"voltage","u":"V","v":120.1},{"n":"current","v":1.2}]'
    )
    (reading,) = decode(payload, device="urn:dev:ow:10e2073a0108006", received_at_ms=NOW_MS)
    assert reading.taken_at_ms == 1_276_020_076_001
    assert reading.values == (Value("voltage", 120.1, "V"), Value("current", 1.2, "A"))
    assert reading.synced


def test_a_time_below_2_to_the_28_is_relative_to_now() -> None:
    (reading,) = decode(b'[{"boot":1,"seq":0,"t":-12.5,"n":"a","v":1}]', device="d", received_at_ms=NOW_MS)
    assert reading.taken_at_ms == NOW_MS - 12_500
    assert not reading.synced


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "empty"),
        (b"[]", "empty"),
        (b"{}", "array"),
        (b'[{"boot":1,"seq":0}]', "exactly one of v, vs, vb"),
        (b'[{"boot":1,"seq":0,"n":"a","v":1,"vb":true}]', "v and vb"),
        (b'[{"boot":1,"seq":0,"v":1}]', "name ''"),
        (b'[{"boot":1,"seq":0,"n":"a b","v":1}]', "name 'a b'"),
        (b'[{"boot":1,"seq":0,"n":"' + b"a" * 65 + b'","v":1}]', "expected 1 to 64"),
        (b'[{"seq":0,"n":"a","v":1}]', "boot is None"),
        (b'[{"boot":1,"n":"a","v":1}]', "seq is missing"),
        (b'[{"boot":-1,"seq":0,"n":"a","v":1}]', "boot is -1"),
        (b'[{"boot":1,"seq":281474976710656,"n":"a","v":1}]', "seq is 281474976710656"),
        (b'[{"boot":1,"seq":0,"n":"a","v":1e999}]', "SenML"),
        (b'[{"boot":1,"seq":0,"n":"a","v":NaN}]', "SenML"),
        (b'[{"boot":1,"seq":0,"n":"a","v":"1"}]', "SenML"),
        (b'[{"boot":1,"seq":0,"bt":1e30,"n":"a","v":1}]', "out of range"),
        (b'[{"boot":1,"seq":0,"n":"a","u":"","v":1}]', "unit"),
        (b'[{"boot":1,"seq":0,"n":"a","vs":"' + b"x" * 1025 + b'"}]', "1024 bytes"),
        (b'[{"boot":1,"seq":0,"n":"a","v":1},{"n":"b","t":-1,"v":1}]', "time differs"),
        (b'[{"boot":1,"seq":0,"n":"a","v":1},{"n":"a","v":2}]', "gives one name twice"),
        (b'[{"boot":1,"seq":0,"n":"a","v":1,"new_":2}]', "must be understood"),
        (b'[{"boot":1,"seq":0,"bver":11,"n":"a","v":1}]', "bver is 11"),
        (cbor2.dumps([{"boot": 1, "seq": 0, 0: "a", 2: math.nan}]), "finite"),
        (cbor2.dumps([{"boot": 1, "seq": 0, 0: "a", 2: math.inf}]), "finite"),
        (cbor2.dumps([{"boot": 1, "seq": 0, 6: math.nan, 0: "a", 2: 1.0}]), "out of range"),
        (cbor2.dumps([1, 2]), "array of maps"),
    ],
)
def test_what_is_wrong_is_named(payload: bytes, words: str) -> None:
    with pytest.raises(PayloadError, match=words.replace("(", r"\(")):
        decode(payload, device="d", received_at_ms=NOW_MS)


def test_a_base_name_of_another_device_is_part_of_the_value_name() -> None:
    """It is not taken for ours, so the two cannot be mixed up."""
    (reading,) = decode(b'[{"boot":1,"seq":0,"bn":"other:","n":"a","v":1}]', device="d", received_at_ms=NOW_MS)
    assert reading.values[0].name == "other:a"


def test_limits_of_values_and_readings_are_kept() -> None:
    many = tuple(Value(f"v{at}", 1.0) for at in range(VALUES_MAX + 1))
    with pytest.raises(PayloadError, match="more than 64 values"):
        decode(encode([Reading("d", 1, 0, NOW_MS, many)], sent_at_ms=0), device="d", received_at_ms=0)
    readings = [Reading("d", 1, seq, NOW_MS, (Value("a", 1.0),)) for seq in range(READINGS_MAX + 1)]
    with pytest.raises(PayloadError, match="1025 readings"):
        decode(encode(readings, sent_at_ms=0), device="d", received_at_ms=0)


def test_two_to_the_63_becomes_the_nearest_number() -> None:
    (reading,) = decode(b'[{"boot":1,"seq":0,"n":"a","v":9223372036854775808}]', device="d", received_at_ms=0)
    assert reading.values == (Value("a", float(2**63)),)
