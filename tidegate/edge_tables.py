"""How the answers of `tidegate edge ...` look to a person: rich tables. Whatever a device sent is shown escaped."""

from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.mapping.explain import Explanation

SHOWN_MS_MAX = 253_402_300_799_999  # the year 9999, where calendars end


def plain(text: object) -> Text:
    """Any text without markup, control characters or escape sequences."""
    return Text("".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(text)))


def when(at_ms: int | None) -> str:
    """A time since 1970 for people, in UTC."""
    if at_ms is None:
        return "-"
    if not 0 <= at_ms <= SHOWN_MS_MAX:
        return f"{at_ms} ms"
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")


def print_explanation(console: Console, told: Explanation) -> None:
    """What a message would become, reading by reading, and the rules that were tried."""
    if told.rules:
        tried = Table("rule", "topic", "takes it", title="Rules in order", title_justify="left")
        for look in told.rules:
            verdict = "yes" if look.name == told.taken_by else "would, but comes later" if look.takes else "no"
            tried.add_row(plain(look.name), plain(look.topic), verdict)
        console.print(tried)
    console.print(Text("taken by: ") + plain(told.taken_by or "nobody"))
    if told.device is not None:
        console.print(Text("device: ") + plain(f"{told.site}/{told.device}"))
    if told.problem is not None:
        console.print(Text("goes to quarantine: ") + plain(told.problem))
        return
    if not told.readings:
        console.print("no readings: the state of a device")
        return
    table = Table("boot", "seq", "time (UTC)", "time from", "value", "", "unit")
    for each in told.readings:
        for value in each.values:
            table.add_row(
                "given" if each.boot is None else str(each.boot),
                "next" if each.seq is None else str(each.seq),
                when(each.taken_at_ms),
                each.time_from,
                plain(value.name),
                plain(value.value),
                plain(value.unit or ""),
            )
    console.print(table)
