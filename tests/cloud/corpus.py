"""Line protocol cases, as data: what InfluxDB answers, recorded once and asked again by test_influxdb_agrees.py.

A case is a body and the errors InfluxDB's parser gives for it (none: accepted). STRICTER names what InfluxDB 1.6 takes
and we refuse; UNSIGNED what only InfluxDB 2 takes (1.6 has no `u`).
"""

from typing import NamedTuple


class Case(NamedTuple):
    """One body and the parser's errors for it."""

    body: str
    errors: tuple[str, ...] = ()


def refused(line: str, reason: str) -> Case:
    return Case(line, (f"unable to parse '{line}': {reason}",))


def _conflict(given: str, known: str, dropped: int) -> str:
    fault = f'input field "x" on measurement "m" is type {given}, already exists as type {known}'
    return f"partial write: field type conflict: {fault} dropped={dropped}"


ACCEPTED = (
    Case("m x=1 1"),
    Case("m x=1"),
    Case("m,a=b x=1i 1"),
    Case("m,b=2,a=1 x=1 1"),
    Case('m,a=b x=1i,y=2.5,z=t,s="hello" 12'),
    Case("m x=1,x=2 5"),
    Case("m x=1,5x=2"),
    Case("m   x=1   5  "),
    Case("  m x=1 5"),
    Case("\tm x=1 5"),
    Case("m \tx=1 5"),
    Case("m\tn x=1 5"),
    Case("# a comment\nm x=1 1\n\n   \n#m y=2\nm x=2 2\n"),
    Case("m x=1 -5"),
    Case("m x=1 0"),
    Case("m x=1 -9223372036854775806"),
    Case("m x=1 9223372036854775806"),
    Case("m x=1."),
    Case("m x=.5"),
    Case("m x=-.5"),
    Case("m x=1e3"),
    Case("m x=1E+3"),
    Case("m x=-1.5e-3"),
    Case("m x=1e-400"),
    Case("m x=007i"),
    Case("m x=9223372036854775807i"),
    Case("m x=-9223372036854775808i"),
    Case("m a=t,b=T,c=true,d=True,e=TRUE,f=f,g=F,h=false,i=False,j=FALSE"),
    Case('m x=""'),
    Case('m x="a b,c=d"'),
    Case('m x="two\nlines" 3\nm x="three" 4'),
    Case(r'm x="a \"quoted\" word"'),
    Case(r'm x="back\\slash" 7'),
    Case(r'm x="c:\temp"'),
    Case(r"m\ n,a\ b=c\ d e\ f=1"),
    Case(r"m\,n,a\,b=c\,d e\,f=1"),
    Case(r"m,a\=b=c\=d e\=f=1"),
    Case("m=n x=1"),
    Case(r"m\n,a=c\d x=1"),
    Case("m,a==b x=1"),
    Case('m,a="b" x=1'),
    Case('m"x y=1'),
    Case('m,ä=ö ü=1,s="日本"'),
    Case('# a comment with an odd quote: it"s\nm x=1'),
)

REFUSED = (
    refused("m", "missing fields"),
    refused(",a=b x=1", "missing measurement"),
    refused("m,a=b", "missing fields"),
    refused("m, x=1", "missing tag key"),
    refused("m,=b x=1", "missing tag key"),
    refused("m,,a=b x=1", "missing tag key"),
    refused("m,a x=1", "missing tag value"),
    refused("m,a,b=c x=1", "missing tag value"),
    refused("m,a= x=1", "missing tag value"),
    refused("m,a=,b=c x=1", "missing tag value"),
    refused("m,a=b=c x=1", "invalid tag format"),
    refused("m,a=b,a=c x=1", "duplicate tags"),
    refused("m,b=1,a=2,b=3 x=1", "duplicate tags"),
    refused("m x", "invalid field format"),
    refused("m ", "invalid field format"),
    refused("m =1", "missing field key"),
    refused("m x=1,=2", "missing field key"),
    refused("m x=", "missing field value"),
    refused("m x=,y=1", "missing field value"),
    refused("m x= 5", "missing field value"),
    refused("m x=1,", "invalid field format"),
    refused("m x=1,y", "invalid field format"),
    refused("m x=1,,y=1", "invalid field format"),
    refused('m x="a', "unbalanced quotes"),
    refused('m x="a\\"', "unbalanced quotes"),
    refused("m x='a'", "invalid boolean"),
    refused("m x=hello", "invalid boolean"),
    refused("m x=tRUE", "invalid boolean"),
    refused("m x=truee", "invalid boolean"),
    refused("m x=i", "invalid boolean"),
    refused("m x=+1", "invalid boolean"),
    refused("m x=inf", "invalid boolean"),
    refused("m x=NaN", "invalid number"),
    refused("m x=nan", "invalid number"),
    refused("m x=-", "invalid number"),
    refused("m x=-i", "invalid number"),
    refused("m x=.", "invalid number"),
    refused("m x=-inf", "invalid number"),
    refused("m x=1.1.1", "invalid number"),
    refused("m x=1i2", "invalid number"),
    refused("m x=1.5i", "invalid number"),
    refused("m x=1e3i", "invalid number"),
    refused("m x=1ii", "invalid number"),
    refused("m x=--1", "invalid number"),
    refused("m x=1-2", "invalid number"),
    refused("m x=1_000", "invalid number"),
    refused("m x=0x1f", "invalid number"),
    refused("m x=1e", "invalid float"),
    refused("m x=1e+", "invalid float"),
    refused("m x=1e5e5", "invalid float"),
    refused("m x=1e400", "invalid float"),
    refused("m x=" + "9" * 310, "invalid float"),
    refused(
        "m x=9223372036854775808i",
        "unable to parse integer 9223372036854775808: strconv.ParseInt: parsing"
        ' "9223372036854775808": value out of range',
    ),
    refused("m x=-1u", "invalid number"),
    refused("m x=1u2", "invalid number"),
    refused("m x=1 a", "bad timestamp"),
    refused("m x=1 1.5", "bad timestamp"),
    refused("m x=1 1e9", "bad timestamp"),
    refused("m x=1 +5", "bad timestamp"),
    refused("m x=1 5i", "bad timestamp"),
    refused("m x=1i 1\r", "bad timestamp"),
    refused("m x=1 ١٢", "bad timestamp"),
    refused("m x=1 -", 'strconv.ParseInt: parsing "-": invalid syntax'),
    refused("m x=1 5 6", "point is invalid"),
    refused("m x=1 2020-01-01", "bad timestamp"),
    refused("m x=1 9223372036854775807", "time outside range -9223372036854775806 - 9223372036854775806"),
    refused("m x=1 -9223372036854775808", "time outside range -9223372036854775806 - 9223372036854775806"),
    refused("m x=1 9223372036854775808", 'strconv.ParseInt: parsing "9223372036854775808": value out of range'),
    refused('{"json": 1}', "invalid field format"),
    refused("m," + "a" * 65535 + "=b x=1", "max key length exceeded: 65539 > 65535"),
    refused("m " + "x" * 65535 + "=1", "max key length exceeded: 65540 > 65535"),
    Case(
        "m x=bad 1\nm x=1 2\nm y= 3",
        ("unable to parse 'm x=bad 1': invalid boolean", "unable to parse 'm y= 3': missing field value"),
    ),
)

UNSIGNED = (Case("m x=0u 1"), Case("m x=18446744073709551615u 1"))

# InfluxDB 1.6 takes these; what it then stores is not what was meant, so we refuse them.
STRICTER = (
    refused('m x="a"b 1', "invalid field format"),
    refused('m x="a""b" 1', "invalid field format"),
    refused("m \t=1", "missing field key"),
)

# Bodies written one after the other, and what the last one is answered (None: 204). All on a fresh database.
PARTIAL = (
    (
        ("m x=1i 1", "m x=1.5 2"),
        _conflict("float", "integer", 1),
    ),
    (
        ("m x=1 1", 'm x="a" 2\nm x=t 3\nm x=2 4'),
        _conflict("string", "float", 2),
    ),
    (
        ("m,time=1 x=1 1",),
        'partial write: invalid tag key: input tag "time" on measurement "m" is invalid dropped=1',
    ),
    (
        ("m time=1 1",),
        'partial write: invalid field name: input field "time" on measurement "m" is invalid dropped=1',
    ),
    (("m time=1,x=2 1",), None),
    (("m,a=1,b=2 x=1 1\nm,b=2,a=1 y=2 1\nm,a=1,b=2 x=3 1",), None),
)
