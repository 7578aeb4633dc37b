"""What payloads become: values, times, and errors that say what was found."""

import json
import math

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.mapping.mapper import Mapper
from edge.mapping.payloads import Measured
from sensors.reading import Value
from sensors.senml import PayloadError
from sensors.topics import TopicError
from tests.edge.kit import T0_MS
from tests.edge.mapping.kit import PACK, STATION, THERMOMETER, rules

MAPPER = Mapper(rules(THERMOMETER + STATION + PACK))


def measured(topic: str, payload: object) -> list[Measured]:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return list(MAPPER.map(topic, raw, T0_MS).measured)


def temperature(value: float) -> Value:
    return Value("temperature", value, "Cel")


def test_a_bare_number_is_one_value_at_the_time_of_receipt() -> None:
    mapped = MAPPER.map("plant/hall/t1/temp", b" -21.5e1\n", T0_MS)
    assert (mapped.rule, mapped.site, mapped.device, mapped.timed) == ("thermometer", "hall", "t1", False)
    assert mapped.measured == [Measured(T0_MS, synced=False, values=(temperature(-215.0),))]


@pytest.mark.parametrize(
    "payload", [b"", b"nan", b"inf", b"1e999", b"0x10", b"1_000", b"21,5", b"\xff", b"1" * 65, b"true"]
)
def test_what_is_no_number_is_refused(payload: bytes) -> None:
    with pytest.raises(PayloadError, match="number"):
        measured("plant/hall/t1/temp", payload)


def test_json_values_are_selected_scaled_typed_and_timed() -> None:
    found = measured("weather/w1", {"ts": 1_700_000_000.25, "sensors": [{"temp": "215"}], "is raining": "ON"})
    values = (temperature(16.5), Value("raining", value=True))
    assert found == [Measured(1_700_000_000_250, synced=True, values=values)]


def test_a_value_or_time_that_is_absent_or_null_is_left_out() -> None:
    found = measured("weather/w1", {"ts": None, "sensors": [], "is raining": 0})
    assert found == [Measured(T0_MS, synced=False, values=(Value("raining", value=False),))]


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({"x": 1}, "none of the values is there: looked for \\$.sensors"),
        ({"is raining": "perhaps"}, "\\$\\['is raining'\\] is 'perhaps': expected a boolean for 'raining'"),
        ({"is raining": 2}, "expected a boolean"),
        ({"sensors": [{"temp": True}]}, "expected a number"),
        ({"sensors": [{"temp": {}}]}, "is an object: expected a number"),
        ({"sensors": [{"temp": 10**400}]}, "expected a number"),
        ({"is raining": True, "ts": "noon"}, "time \\$.ts is 'noon': expected a time in s"),
        ({"is raining": True, "ts": 1e300}, "expected a time"),
        (b"{", "not JSON"),
        (b'{"sensors":[{"temp":NaN}]}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":"\xff"}', "not JSON"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_found(payload: object, why: str) -> None:
    with pytest.raises(PayloadError, match=why):
        measured("weather/w1", payload)


@pytest.mark.parametrize(
    ("unit", "written", "taken_at_ms"),
    [
        ("s", 1_700_000_000, T0_MS),
        ("s", "1700000000.5", T0_MS + 500),
        ("ms", 1_700_000_000_123, T0_MS + 123),
        ("us", 1_700_000_000_123_456, T0_MS + 123),
        ("ns", 1_700_000_000_123_456_789, T0_MS + 123),
        ("iso", "2023-11-14T22:13:20Z", T0_MS),
        ("iso", "2023-11-14T23:13:20.5+01:00", T0_MS + 500),
        ("iso", "2023-11-14 22:13:20", T0_MS),
    ],
)
def test_times_are_read_in_their_unit(unit: str, written: object, taken_at_ms: int) -> None:
    mapper = Mapper(rules(STATION.replace('time = "$.ts"', f'time = "$.ts"\ntime_unit = "{unit}"')))
    mapped = mapper.map("weather/w1", json.dumps({"ts": written, "is raining": 1}).encode(), T0_MS)
    assert [each.taken_at_ms for each in mapped.measured] == [taken_at_ms]


def test_senml_without_identity_is_one_reading_for_each_time() -> None:
    pack = [
        {"bn": "urn:dev:ow:10e2073a01080063:", "bt": 1_700_000_000, "n": "temperature", "u": "Cel", "v": 1},
        {"n": "humidity", "u": "%RH", "v": 2},
        {"n": "temperature", "u": "Cel", "v": 3, "t": 60},
    ]
    first = (temperature(1.0), Value("humidity", 2.0, "%RH"))
    expected = [
        Measured(T0_MS, synced=True, values=first),
        Measured(T0_MS + 60_000, synced=True, values=(temperature(3.0),)),
    ]
    assert measured("senml/s1", pack) == expected
    assert measured(
        "senml/s1/more", cbor2.dumps([{-2: "urn:dev:x:", -3: 1_700_000_000, 0: "temperature", 1: "Cel", 2: 3}])
    ) == [Measured(T0_MS, synced=True, values=(temperature(3.0),))]


def test_several_base_names_stay_in_the_names() -> None:
    (found,) = measured("senml/s1", [{"bn": "left:", "n": "t", "v": 1}, {"bn": "right:", "n": "t", "v": 2}])
    assert [value.name for value in found.values] == ["left:t", "right:t"]
    assert not found.synced


@pytest.mark.parametrize(
    "pack", [[], {}, [{"n": "t"}], [{"n": "t", "v": 1}, {"n": "t", "v": 2}], [{"v": 1}], [{"n": "t", "v": 1, "x_": 1}]]
)
def test_a_pack_that_says_nothing_or_too_much_is_refused(pack: object) -> None:
    with pytest.raises(PayloadError):
        measured("senml/s1", pack)


def test_a_topic_without_rule_or_device_is_refused() -> None:
    with pytest.raises(TopicError, match="no mapping rule"):
        MAPPER.map("plant/hall/t1", b"1", T0_MS)
    with pytest.raises(TopicError, match="device is empty"):
        MAPPER.map("plant/hall//temp", b"1", T0_MS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["temp", "x"]), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional={"ts": json_values, "sensors": json_values, "is raining": json_values}))
def test_any_json_becomes_finite_values_or_an_error(document: dict[str, object]) -> None:
    try:
        found = measured("weather/w1", document)
    except PayloadError:
        return
    assert all(
        value.value is True or value.value is False or math.isfinite(float(value.value))
        for each in found
        for value in each.values
    )


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["plant/hall/t1/temp", "weather/w1", "senml/s1"]))
def test_any_bytes_become_readings_or_an_error(payload: bytes, topic: str) -> None:
    try:
        assert measured(topic, payload)
    except PayloadError as error:
        assert str(error)  # noqa: PT017
