"""InfluxDB's own parser and engine judge our line protocol: every value and every nanosecond comes back as it was sent.

What is judged is the whole way from a device's payload: only readings that the wire contract lets in are written, by
the real encoder and the real sender.
"""

import asyncio
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.config import InfluxSettings
from edge.forward.lines import LineEncoder, timestamp_ns
from edge.forward.outcome import Accepted, Outcome, Refused
from edge.influx import InfluxSender
from edge.store import LogEntry
from sensors.clock import SystemClock
from sensors.reading import BOOT_MAX, SEQ_MAX, Reading, Value, column
from sensors.senml import (
    NAME_BYTES_MAX,
    TAKEN_AT_MS_MAX,
    TEXT_BYTES_MAX,
    UNIT_BYTES_MAX,
    VALUES_MAX,
    PayloadError,
    decode,
    encode,
)
from sensors.topics import TopicError, check_level
from tests.live.influxdb import Point, Target, is_available, running_influxdb

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not is_available(), reason="influxd is not installed (Debian: apt install influxdb)"),
]

T0_MS = 1_700_000_000_000
HOSTILE_TEXTS = [
    "", '"', "\\", "\\\\", '\\"', "\\n", "a\nb", "\n", "\r\n", "\t", "\0", "a,b=c d", "#", "é", "温度", "🌡", "\u2028",
    "ends in \\",
    ' 1i 1700000000000000000\nx y="', "x" * TEXT_BYTES_MAX, "\\" * TEXT_BYTES_MAX, "\ufeff", "\x7f", "\ufffd",
]  # fmt: skip
HOSTILE_FLOATS = [
    0.0, -0.0, 1e308, -1e308, 1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 0.1, 1 / 3, 1e16, 1e15 + 0.5,
    123456789012345680.0, 1e22, 1e23, 9007199254740993.0, -1e-7, 1e-5, 0.0001,
]  # fmt: skip
HOSTILE_LEVELS = ["a b", "a,b", "a=b", 'a"b', "'", "é温🌡", "a\xa0b", "#1", "-", "x" * 64, "=,", "\u202e", "1i", "{}[]"]
HOSTILE_UNITS = ['"', ",", "=", "%", "#", "'", "%RH", "m2", "!" * UNIT_BYTES_MAX, "a,b=c", "1/min", "^_^"]


@pytest.fixture(scope="module")
def influxdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with running_influxdb(tmp_path_factory.mktemp("influxdb")) as target:
        yield target


def send(target: Target, *bodies: bytes, gzip: bool = True) -> list[Outcome]:
    async def run() -> list[Outcome]:
        sender = InfluxSender(target.settings.model_copy(update={"gzip": gzip}), SystemClock())
        try:
            return [await sender.send(body) for body in bodies]
        finally:
            sender.close()

    return asyncio.run(run())


def through_the_wire(reading: Reading) -> Reading:
    """As the gateway gets it: what the wire contract refuses never becomes a line."""
    (received,) = decode(
        encode([reading], sent_at_ms=reading.taken_at_ms), device=reading.device, received_at_ms=reading.taken_at_ms
    )
    return received


def body_of(readings: list[Reading], measurement: str, site: str = "lab") -> bytes:
    devices = sorted({reading.device for reading in readings})
    encoder = LineEncoder(lambda key: (site, devices[key]), measurement=measurement)
    return encoder.encode(LogEntry(at, devices.index(each.device), 0, each) for at, each in enumerate(readings))


def expected_of(reading: Reading, site: str = "lab") -> Point:
    fields: dict[str, Any] = {column(value): value.value for value in reading.values}
    stamp = timestamp_ns(reading.taken_at_ms, reading.boot, reading.seq)
    return Point({"device": reading.device, "site": site}, stamp, {**fields, "boot": reading.boot, "seq": reading.seq})


def exact(points: list[Point]) -> list[tuple[Any, ...]]:
    """For comparing: floats by their bits' text (-0.0 is not 0.0), whole floats as floats."""

    def cell(value: object) -> object:
        return repr(float(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else value

    return sorted(
        (point.time_ns, sorted(point.tags.items()), sorted((name, cell(value)) for name, value in point.fields.items()))
        for point in points
    )


def assert_comes_back(target: Target, readings: list[Reading], site: str = "lab") -> None:
    measurement = target.new_measurement()
    assert send(target, body_of(readings, measurement, site)) == [Accepted()]
    assert exact(target.points(measurement)) == exact([expected_of(each, site) for each in readings])


def of_values(seq: int, *values: Value, device: str = "d1", boot: int = 1, taken_at_ms: int = T0_MS) -> Reading:
    return through_the_wire(Reading(device, boot, seq, taken_at_ms, values))


def test_hostile_numbers_come_back_to_the_last_bit(influxdb: Target) -> None:
    assert_comes_back(influxdb, [of_values(seq, Value("x", value, "m")) for seq, value in enumerate(HOSTILE_FLOATS)])


def test_hostile_texts_come_back_to_the_last_character(influxdb: Target) -> None:
    assert_comes_back(influxdb, [of_values(seq, Value("x", text)) for seq, text in enumerate(HOSTILE_TEXTS)])


def test_hostile_devices_and_sites_come_back_as_tags(influxdb: Target) -> None:
    for site in HOSTILE_LEVELS:
        readings = [of_values(seq, Value("x", 1.5), device=device) for seq, device in enumerate(HOSTILE_LEVELS)]
        assert_comes_back(influxdb, readings, site)


def test_hostile_units_come_back_in_the_fields_name(influxdb: Target) -> None:
    values = [Value("x", float(at), unit) for at, unit in enumerate(HOSTILE_UNITS)]
    reserved = [Value(name, 7.0) for name in ("boot", "seq", "time")]
    assert_comes_back(influxdb, [of_values(0, *values, *reserved, Value("n" * NAME_BYTES_MAX, value=True))])


def test_the_largest_reading_comes_back_whole(influxdb: Target) -> None:
    values = [Value(f"{at:02d}" + "n" * (NAME_BYTES_MAX - 2), "€" * 341, "u" * UNIT_BYTES_MAX) for at in range(64)]
    assert len(values) == VALUES_MAX
    assert_comes_back(influxdb, [of_values(SEQ_MAX, *values, boot=BOOT_MAX)])


def test_the_first_and_the_last_time_of_the_wire_come_back_to_the_nanosecond(influxdb: Target) -> None:
    times_ms = [2**28 * 1000, T0_MS, T0_MS + 1, TAKEN_AT_MS_MAX - 1, TAKEN_AT_MS_MAX]
    ends = [(0, 0), (1, 999_999 - 131_071), (BOOT_MAX, SEQ_MAX)]
    readings = [
        of_values(seq, Value("x", 1.0), device=f"d{at}", boot=boot, taken_at_ms=taken_at_ms)
        for at, taken_at_ms in enumerate(times_ms)
        for boot, seq in ends
    ]
    assert_comes_back(influxdb, readings)


def test_two_readings_of_one_device_in_one_millisecond_stay_two(influxdb: Target) -> None:
    assert_comes_back(influxdb, [of_values(seq, Value("x", float(seq))) for seq in range(1000)])


def test_a_resend_overwrites_itself_and_gzip_changes_nothing(influxdb: Target) -> None:
    readings = [of_values(seq, Value("x", float(seq), "Cel")) for seq in range(50)]
    measurement = influxdb.new_measurement()
    body = body_of(readings, measurement)
    assert send(influxdb, body, body) == [Accepted(), Accepted()]
    assert send(influxdb, body, gzip=False) == [Accepted()]
    assert exact(influxdb.points(measurement)) == exact([expected_of(each) for each in readings])


@pytest.mark.parametrize(
    "poison",
    ["{m},device=d boot=1i,x=nan 1", "{m},device=d x=1 x", '{m},device=d x="open 1', "{m} 1", "{m},device=d x=1u 1"],
)
def test_a_poison_line_is_refused_with_400_and_the_reason(influxdb: Target, poison: str) -> None:
    good = body_of([of_values(0, Value("x", 1.0))], influxdb.new_measurement())
    (outcome,) = send(influxdb, good + poison.format(m=influxdb.new_measurement()).encode() + b"\n")
    assert isinstance(outcome, Refused)
    assert outcome.status in {400, 422}
    assert outcome.message


def test_a_field_that_changes_its_type_is_refused(influxdb: Target) -> None:
    measurement = influxdb.new_measurement()
    number, text = of_values(0, Value("x", 1.0)), of_values(1, Value("x", "warm"))
    accepted, refused = send(influxdb, body_of([number], measurement), body_of([text], measurement))
    assert accepted == Accepted()
    assert isinstance(refused, Refused)
    assert exact(influxdb.points(measurement)) == exact([expected_of(number)])


@pytest.mark.parametrize("name", ["Plain_{}", "with.dots:{}", "with-dashes-{}"])
def test_every_kind_of_name_that_a_measurement_may_have_comes_back(influxdb: Target, name: str) -> None:
    measurement = InfluxSettings(measurement=name.format(influxdb.new_measurement()[:20])).measurement
    sent = of_values(0, Value("x", 1.0))
    assert send(influxdb, body_of([sent], measurement)) == [Accepted()]
    assert exact(influxdb.points(measurement)) == exact([expected_of(sent)])


@pytest.mark.parametrize("name", ["#comment", "ends\\", "two\nlines"])
def test_a_measurement_that_influxdb_would_drop_or_misread_is_refused_by_the_configuration(name: str) -> None:
    with pytest.raises(ValidationError):
        InfluxSettings(measurement=name)


@pytest.mark.parametrize(
    "pair",
    [
        (Value("a", 1.0, "b_c"), Value("a_b", 2.0, "c")),
        (Value("boot", 1.0), Value("boot_value", 2.0)),
    ],
)
def test_two_values_of_one_reading_never_share_a_field(pair: tuple[Value, Value]) -> None:
    try:
        received = of_values(0, *pair)
    except PayloadError:
        return  # it goes to quarantine: nothing is lost in silence
    assert len({column(value) for value in received.values}) == len(pair)


def _is_level(text: str) -> bool:
    try:
        check_level(text, "level")
    except TopicError:
        return False
    return True


levels = st.one_of(st.sampled_from(HOSTILE_LEVELS), st.text(min_size=1, max_size=16)).filter(_is_level)
names = st.text(st.sampled_from("abcXYZ019-:./_"), max_size=8)
unit_characters = st.characters(codec="ascii", min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="\\")
units = st.one_of(st.none(), st.sampled_from(HOSTILE_UNITS), st.text(unit_characters, min_size=1, max_size=6))
floats = st.one_of(st.sampled_from(HOSTILE_FLOATS), st.floats(allow_nan=False, allow_infinity=False))
texts = st.one_of(st.sampled_from(HOSTILE_TEXTS), st.text(st.characters(codec="utf-8"), max_size=40))
# The first letter tells the type, so that no field changes its type within one measurement.
values = st.one_of(
    st.builds(lambda name, value, unit: Value(f"f{name}", value, unit), names, floats, units),
    st.builds(lambda name, value, unit: Value(f"s{name}", value, unit), names, texts, units),
    st.builds(lambda name, value, unit: Value(f"b{name}", value, unit), names, st.booleans(), units),
)
value_tuples = st.lists(values, min_size=1, max_size=6, unique_by=column).map(tuple)
readings = st.lists(
    st.builds(
        Reading, levels, st.integers(0, BOOT_MAX), st.integers(0, SEQ_MAX), st.integers(2**38, 2**41), value_tuples
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda reading: (reading.device, timestamp_ns(reading.taken_at_ms, reading.boot, reading.seq)),
)


@given(readings, levels)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_the_wire_lets_in_comes_back_as_it_was(influxdb: Target, generated: list[Reading], site: str) -> None:
    assert not any(isinstance(v.value, float) and math.isnan(v.value) for r in generated for v in r.values)
    assert_comes_back(influxdb, [through_the_wire(each) for each in generated], site)
