"""The parser: InfluxDB's recorded answers, what is read out of a line, and the round trip through another encoder."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloud.lineprotocol import (
    TIME_NS_MAX,
    TIME_NS_MIN,
    FieldValue,
    ParsedLines,
    Point,
    PrecisionError,
    Series,
    UInt,
    parse_lines,
)
from tests.cloud.corpus import ACCEPTED, REFUSED, STRICTER, UNSIGNED, Case

NOW_NS = 1_700_000_000_123_456_789


def parse(body: str | bytes, precision: str = "ns") -> ParsedLines:
    return parse_lines(body if isinstance(body, bytes) else body.encode(), precision=precision, now_ns=NOW_NS)


@pytest.mark.parametrize("case", ACCEPTED + REFUSED + STRICTER + UNSIGNED, ids=lambda case: case.body[:40])
def test_a_line_gets_the_recorded_errors(case: Case) -> None:
    assert tuple(parse(case.body).errors) == case.errors


@pytest.mark.parametrize("case", ACCEPTED + UNSIGNED, ids=lambda case: case.body[:40])
def test_a_line_after_its_own_series_reads_the_same(case: Case) -> None:
    # The second time the series is known, and the short way through the parser is taken where it can be.
    once, twice = parse(case.body).points, parse(case.body + "\n" + case.body).points
    assert twice == once + once
    assert [list(map(type, point.fields.values())) for point in twice] == [
        list(map(type, point.fields.values())) for point in once + once
    ]


@pytest.mark.parametrize("case", REFUSED + STRICTER, ids=lambda case: case.body[:40])
def test_a_bad_line_is_refused_also_after_a_good_line_of_its_series(case: Case) -> None:
    key = case.body.split(" ")[0]
    good = f"{key} good=1 1"
    parsed = parse(f"{good}\n{case.body}")
    assert tuple(parsed.errors)[-len(case.errors) :] == case.errors


def test_every_part_of_a_line_is_read() -> None:
    line = r'air\ quality,room=a\,b,site\=x=\ y t=20.5,n=-3i,u=7u,ok=T,s="say \"hi\" \\ c:\temp" 17'
    assert parse(line, "ms").points == [
        Point(
            Series("air quality", (("room", "a,b"), ("site=x", " y"))),
            {"t": 20.5, "n": -3, "u": UInt(7), "ok": True, "s": r'say "hi" \ c:\temp'},
            17_000_000,
        )
    ]


def test_tags_are_sorted_so_that_their_order_makes_no_second_series() -> None:
    first, second = parse("m,b=2,a=1 x=1 1\nm,a=1,b=2 x=1 1").points
    assert first.series == second.series == Series("m", (("a", "1"), ("b", "2")))


@pytest.mark.parametrize(("precision", "time_ns"), [("ns", 5), ("us", 5_000), ("ms", 5_000_000), ("s", 5_000_000_000)])
def test_a_timestamp_is_in_the_requests_precision(precision: str, time_ns: int) -> None:
    assert [point.time_ns for point in parse("m x=1 5\nm x=1 5", precision).points] == [time_ns, time_ns]


def test_a_line_without_timestamp_gets_now_cut_to_the_precision() -> None:
    assert parse("m x=1", "ms").points[0].time_ns == 1_700_000_000_123_000_000


def test_a_timestamp_that_overflows_in_its_precision_is_refused_on_both_ways() -> None:
    late = TIME_NS_MAX // 1_000_000 + 1
    parsed = parse(f"m x=1 {late}\nm x=1 1\nm x=1 {late}", "ms")
    assert len(parsed.points) == 1
    assert [error.rsplit("': ")[1][:18] for error in parsed.errors] == ["time outside range"] * 2


def test_an_unknown_precision_is_named() -> None:
    with pytest.raises(PrecisionError, match="valid precision units are ns, us, ms, and s"):
        parse("m x=1", "m")


def test_bytes_that_are_not_utf_8_refuse_only_their_own_line() -> None:
    parsed = parse(b'm x=1 1\nm s="\xff" 2\nm x=3 3')
    assert [point.time_ns for point in parsed.points] == [1, 3]
    assert parsed.errors == ["unable to parse 'm s=\"\\xff\" 2': invalid UTF-8"]


def test_very_long_digits_are_an_error_and_not_a_crash() -> None:
    digits = "1" * 5000  # Python itself refuses to read more than 4300
    parsed = parse(f"m x=1 1\nm x={digits}i 1\nm x=1 {digits}\nm x={digits} 1")
    assert len(parsed.points) == 1
    assert len(parsed.errors) == 3


# A name that ends in a backslash, or has one before a delimiter, cannot be written in line protocol.
def _writable(name: str) -> bool:
    return not name.endswith("\\") and not any(pair in name for pair in ("\\,", "\\=", "\\ "))


CHARACTERS = st.characters(codec="utf-8", exclude_characters="\n\x00\t")
NAMES = st.text(CHARACTERS, min_size=1, max_size=8).filter(_writable)
MEASUREMENTS = NAMES.filter(lambda name: name[0] != "#")
STRINGS = st.text(st.characters(codec="utf-8"), max_size=12)
FIELD_VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1).map(UInt),
    st.booleans(),
    STRINGS,
)
POINTS = st.builds(
    Point,
    st.builds(
        Series,
        MEASUREMENTS,
        st.dictionaries(NAMES, NAMES, max_size=3).map(lambda tags: tuple(sorted(tags.items()))),
    ),
    st.dictionaries(NAMES, FIELD_VALUES, min_size=1, max_size=4),
    st.integers(TIME_NS_MIN, TIME_NS_MAX),
)


def _encode_name(text: str, delimiters: str) -> str:
    return "".join("\\" + char if char in delimiters else char for char in text)


def _encode_value(value: FieldValue) -> str:
    match value:
        case bool():
            return str(value)
        case UInt():
            return f"{value}u"
        case int():
            return f"{value}i"
        case float():
            return repr(value)
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _encode(point: Point) -> str:
    tags = "".join(f",{_encode_name(k, ',= ')}={_encode_name(v, ',= ')}" for k, v in point.series.tags)
    fields = ",".join(f"{_encode_name(k, ',= ')}={_encode_value(v)}" for k, v in point.fields.items())
    return f"{_encode_name(point.series.measurement, ', ')}{tags} {fields} {point.time_ns}"


def _exact(point: Point) -> tuple[Series, int, list[tuple[str, type, str]]]:
    return point.series, point.time_ns, [(k, type(v), repr(v)) for k, v in point.fields.items()]


@pytest.mark.no_cover
@given(st.lists(POINTS, max_size=4))
@example([Point(Series("m", ()), {"x": -0.0, "y": math.ulp(0.0), "z": 1.7976931348623157e308}, 0)])
@example([Point(Series("m", ()), {"s": '"\n=,\\'}, 0)])
def test_points_survive_the_way_through_line_protocol(points: list[Point]) -> None:
    body = "\n".join(_encode(point) for point in points + points)
    parsed = parse(body)
    assert parsed.errors == []
    assert list(map(_exact, parsed.points)) == list(map(_exact, points + points))


@given(st.text('ab=,"\\ 1.ie-+tTfn\n#u\t\ud800', max_size=40))
def test_any_text_is_points_or_errors_and_never_a_crash(text: str) -> None:
    parsed = parse(text.encode("utf-8", "replace"))
    assert all(point.fields for point in parsed.points)
    assert all(error.startswith("unable to parse '") for error in parsed.errors)
