"""Readings as InfluxDB line protocol: the same reading is the same line, for ever.

    reading,device=DEVICE,site=SITE boot=3i,seq=17i,temperature_Cel=23.7,humidity_%RH=26.2 1422886740123393230

Promise 2 rests here: one reading is one line, so a resend carries the full set of fields; the timestamp is the
reading's own, and its last six digits come from the identity, so that two readings of one device in one millisecond
stay two points. A field is named by value and unit (InfluxDB has no units, and metres must not meet feet in a column).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from edge.store.notices import Notice
from edge.store.rows import LogEntry
from sensors.reading import Value, column

NS_PER_MS = 1_000_000
BOOT_STRIDE = 131_071
"""Spreads boots over the sub-millisecond digits; prime to 10^6, so that boots 0 to 999,999 of one seq all differ."""

_TAG_ESCAPES = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})
_TEXT_ESCAPES = str.maketrans({'"': r"\"", "\\": r"\\"})
FIELD_CACHE_MAX = 10_000  # (name, unit) pairs remembered in escaped form


def timestamp_ns(taken_at_ms: int, boot: int, seq: int) -> int:
    """The point's time: the reading's milliseconds, and its identity in the digits below."""
    return taken_at_ms * NS_PER_MS + (boot * BOOT_STRIDE + seq) % NS_PER_MS


def escape_tag(text: str) -> str:
    """A measurement, tag key, tag value or field key as it stands in a line."""
    return text.translate(_TAG_ESCAPES)


def escape_text(text: str) -> str:
    """A text as it stands between the quotes of a field value."""
    return text.translate(_TEXT_ESCAPES)


@lru_cache(FIELD_CACHE_MAX)
def field_key(name: str, unit: str | None) -> str:
    """The key of a value's field as it stands in a line."""
    return escape_tag(column(Value(name, 0.0, unit)))


def line_head(measurement: str, site: str, device: str) -> str:
    """The series of a device: measurement and tags."""
    return f"{escape_tag(measurement)},device={escape_tag(device)},site={escape_tag(site)}"


@dataclass(frozen=True, slots=True)
class GatewayNames:
    """By what a gateway's own lines can be told from another's: its name, and the measurement that they belong to."""

    gateway: str
    measurement: str


class LineEncoder:
    """Encodes log entries. `name_of` gives (site, device) of a device key."""

    def __init__(self, name_of: Callable[[int], tuple[str, str]], *, measurement: str = "reading") -> None:
        self._name_of = name_of
        self._measurement = measurement
        self._heads: dict[int, str] = {}

    def encode(self, entries: Iterable[LogEntry]) -> bytes:
        """One line an entry, each ended by a line feed."""
        return "".join([self._line(entry) for entry in entries]).encode()

    def _line(self, entry: LogEntry) -> str:
        reading = entry.reading
        boot, seq = reading.boot, reading.seq
        fields = "".join([self._field(value) for value in reading.values])
        stamp = timestamp_ns(reading.taken_at_ms, boot, seq)
        return f"{self._head(entry.device_key)} boot={boot}i,seq={seq}i{fields} {stamp}\n"

    def _head(self, device_key: int) -> str:
        head = self._heads.get(device_key)
        if head is None:
            head = self._heads[device_key] = line_head(self._measurement, *self._name_of(device_key))
        return head

    def _field(self, value: Value) -> str:
        key = field_key(value.name, value.unit)
        content = value.value
        if isinstance(content, float):
            return f",{key}={content!r}"
        if isinstance(content, bool):
            return f",{key}={'true' if content else 'false'}"
        return f',{key}="{escape_text(content)}"'


class NoticeEncoder:
    """Notices are lines already."""

    def encode(self, rows: Iterable[Notice]) -> bytes:
        """One line a notice, each ended by a line feed."""
        return b"".join([row.line + b"\n" for row in rows])
