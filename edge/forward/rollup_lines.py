"""Rollups as line protocol: the same emission is the same line, for ever, and a correction overwrites what it corrects.

    reading_60s,device=DEVICE,site=SITE temperature_Cel_count=6i,temperature_Cel_min=...,_max,_mean,_last,_sum TIME

Where `windows.quantiles` asks for them there are fields like `temperature_Cel_p50` and `temperature_Cel_p95`, too.
One point is one window of one device. Its measurement is that of the readings and the window's size (`reading_60s`): a
query that forgets a filter then never adds up windows of two sizes, or windows and readings, and each size can be
given a retention of its own. Its timestamp is the window's start. A text has the fields `_text_count` and `_text_last`
(a field has one type in InfluxDB, and a value may be a number today and a text tomorrow). Fields are in the order of
the value's name and unit.
"""

from collections.abc import Callable, Iterable

from edge.forward.lines import NS_PER_MS, escape_text, field_key, line_head
from edge.stats import Summary
from edge.store.windows import RollupEntry


class RollupEncoder:
    """Encodes rollups. `name_of` gives (site, device) of a device key."""

    def __init__(self, name_of: Callable[[int], tuple[str, str]], *, measurement: str = "reading") -> None:
        self._name_of = name_of
        self._measurement = measurement
        self._heads: dict[tuple[int, int], str] = {}

    def encode(self, entries: Iterable[RollupEntry]) -> bytes:
        """One line a rollup, each ended by a line feed."""
        return "".join([self._line(entry) for entry in entries]).encode()

    def _line(self, entry: RollupEntry) -> str:
        fields = ",".join([_fields(summary) for summary in entry.summaries])
        return f"{self._head(entry)} {fields} {entry.start_ms * NS_PER_MS}\n"

    def _head(self, entry: RollupEntry) -> str:
        key = entry.size_s, entry.device_key
        head = self._heads.get(key)
        if head is None:
            head = line_head(f"{self._measurement}_{entry.size_s}s", *self._name_of(entry.device_key))
            self._heads[key] = head  # as many as devices and sizes
        return head


def quantile_field(share: float) -> str:
    """The end of a quantile's field: 0.5 is `p50`, 0.999 is `p99_9`."""
    return f"p{share * 100:.10g}".replace(".", "_")


def _fields(summary: Summary) -> str:
    name = field_key(summary.name, summary.unit)
    if isinstance(summary.last, str):
        return f'{name}_text_count={summary.count}i,{name}_text_last="{escape_text(summary.last)}"'
    fields = (
        f"{name}_count={summary.count}i,{name}_min={summary.low!r},{name}_max={summary.high!r},"
        f"{name}_last={summary.last!r}"
    )
    for share, number in summary.quantiles:
        fields += f",{name}_{quantile_field(share)}={number!r}"
    if summary.total is None:  # beyond a double: InfluxDB would refuse the whole line
        return fields
    return f"{fields},{name}_mean={summary.mean!r},{name}_sum={summary.total!r}"
