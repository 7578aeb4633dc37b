"""How the answers of `tidegate edge ...` look to a person: rich tables. Whatever a device sent is shown escaped."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from edge.causes import told
from edge.mapping.explain import Explanation
from tidegate.console import make_table

PREVIEW_CHARS = 60
RANGES_SHOWN = 8  # of one cell
LEVELS = ("", ", backfill waits", ", raw readings wait", ", alerts only")
NOT_SENT = ("quarantined", "thinned", "expired", "suppressed")
TIMES = ("at_ms", "started_ms", "since_ms")  # ends of the names of times
Document = dict[str, Any]
Printer = Callable[[Console, Document], None]
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
        tried = make_table("rule", "topic", "takes it", title="Rules in order", title_justify="left")
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
        console.print("no readings: the state or an alert of a device")
        return
    table = make_table("boot", "seq", "time (UTC)", "time from", "value", "", "unit")
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


def status_table(told: Document) -> Table:
    """How things stand, as one table of two columns; what a part does not say is left out."""
    table = make_table("", "", show_header=False, title="Gateway" if told["running"] else "Gateway (stopped)")
    for name, value in _flat(told):
        shown = when(value) if isinstance(value, int) and name.endswith(TIMES) else value
        table.add_row(name, plain("-" if shown is None else shown))
    return table


def status_view(told: Document) -> Group:
    """How things stand: the gateway, and its destinations."""
    return Group(status_table(told), destinations_table(told), forecast_table(told))


def print_status(console: Console, told: Document) -> None:
    """How things stand."""
    console.print(status_view(told))


def destinations_table(told: Document) -> Table:
    """One line a destination."""
    table = make_table(*("destination", "", "received", "delivered", "held", "other", "per second", "catch up"))
    for each in told["destinations"]:
        other = ", ".join(f"{kind} {each[kind]}" for kind in NOT_SENT if each[kind])
        catch_up = "-" if each["catch_up_s"] is None else span(each["catch_up_s"])
        counts = (str(each[name]) for name in ("received", "delivered", "held"))
        table.add_row(each["name"], plain(_state(each)), *counts, other, f"{each['drained_per_s']:g}", catch_up)
    if removed := [each["name"] for each in told["destinations"] if not each["configured"]]:
        table.caption = f"not configured, held until it is back or forgotten: {', '.join(removed)}"
    return table


def forecast_table(told: Document) -> Table:
    """What will come of it at the rates of now, one line a destination."""
    full_in_s = told["store"]["full_in_s"]
    full = "it does not fill up" if full_in_s is None else f"the store is full in {span(full_in_s)}"
    columns = ("destination", "catch up", "bytes for it", "cost", "this month", "of", "cost", "month's end", "cost")
    table = make_table(*columns, title=f"At the rates of now: {full}", title_justify="left")
    for each in told["destinations"]:
        fore = each["forecast"]
        if fore is None:
            continue
        catch_up = "-" if fore["catch_up_s"] is None else span(fore["catch_up_s"])
        month = size(fore["month_bytes"]) + LEVELS[fore["level"]] + ("" if fore["is_open"] else ", link closed")
        cells = [catch_up, size(fore["catch_up_bytes"]), _money(fore, "catch_up_cost"), month]
        cells += [size(fore["month_bytes_max"]), _money(fore, "month_cost"), size(fore["month_end_bytes"])]
        table.add_row(each["name"], *cells, _money(fore, "month_end_cost"))
    return table


def size(count: int | None) -> str:
    """An amount of bytes for people, in powers of 1000, as mobile operators reckon."""
    if count is None:
        return "-"
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.3g} {unit}" if amount < 1000 else f"{amount:.0f} {unit}"


def _money(fore: Document, name: str) -> str:
    return "-" if fore[name] is None else f"{fore[name]:.2f} {fore['currency']}"


def print_destinations(console: Console, told: Document) -> None:
    """One line a destination."""
    console.print(destinations_table(told))


def print_forgotten(console: Console, told: Document) -> None:
    """What was let go of."""
    console.print(plain(f"forgotten: {told['forgotten']}; readings that it still had coming: {told['released']}"))


def span(seconds: float) -> str:
    """A span of time for people: its two largest units."""
    left, parts = round(seconds), []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def _state(each: Document) -> str:
    if not each["configured"]:
        return "removed"
    if each["paused"]:
        return "paused"
    link = each["link"]
    if link is None:
        return "-"
    return str(link["state"]) if link["cause"] is None else f"{link['state']} ({told(link['cause'])})"


def print_ledger(console: Console, told: Document) -> None:
    """The accounts, the sums, and the answer."""
    table = make_table("device", "boot", "received", "missing", "lost", "not in the cloud")
    for each in told["accounts"]:
        lost = "; ".join(f"{reason}: {_ranges(seqs)}" for reason, seqs in each["lost"].items())
        where = "; ".join(
            f"{destination} {place}: {_ranges(seqs)}"
            for destination, places in each["open"].items()
            for place, seqs in places.items()
        )
        name = plain(f"{each['site']}/{each['device']}")
        boot = "gateway's" if each["foreign"] else str(each["boot"])
        table.add_row(name, boot, _ranges(each["received"]), _ranges(each["missing"]), plain(lost), plain(where))
    console.print(table)
    if told["truncated"]:
        console.print("more accounts than are shown: ask with --site, --device or --open")
    for destination, sums in told["balances"].items():
        console.print(
            plain(
                f"{destination}: received {sums['received']} = delivered {sums['delivered']} + held {sums['held']}"
                f" + quarantined {sums['quarantined']}"
                + "".join(f" + {kind} {sums[kind]}" for kind in NOT_SENT[1:] if sums[kind])
            )
        )
        answer = "yes" if told["complete"][destination] else "no"
        console.print(plain(f"everything that was ever acknowledged is in {destination}: {answer}"))


def print_quarantine(console: Console, told: Document) -> None:
    """One line an item, with the beginning of its payload."""
    table = make_table("id", "came (UTC)", "from", "topic", "bytes", "reason", "payload")
    for item in told["items"]:
        begin = item["payload_text"] if item["payload_text"] is not None else f"base64 {item['payload_base64']}"
        table.add_row(
            str(item["id"]),
            when(item["at_ms"]),
            plain(item["source"]),
            plain(item["topic"]),
            str(item["payload_bytes"]),
            plain(item["reason"]),
            plain(begin[:PREVIEW_CHARS]),
        )
    console.print(table)
    console.print(f"in quarantine: {told['count']}")


def print_item(console: Console, item: Document) -> None:
    """Everything about one item."""
    for key in ("id", "source", "topic", "reason", "payload_bytes"):
        console.print(Text(f"{key}: ") + plain(item[key]))
    console.print(f"came: {when(item['at_ms'])} UTC")
    text = item["payload_text"]
    console.print(Text("payload: ") + plain(text if text is not None else f"base64 {item['payload_base64']}"))


def print_retried(console: Console, told: Document) -> None:
    """One line a retry."""
    table = make_table("id", "outcome", "stored", "duplicates", "why")
    for each in told["results"]:
        counts = str(each["stored"]), str(each["duplicates"])
        table.add_row(str(each["id"]), each["outcome"], *counts, plain(each["why"] or ""))
    console.print(table)


def _flat(document: Document, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            yield f"{prefix}{key}", value


def _ranges(seqs: Document) -> str:
    shown = [f"{first}-{last}" if last > first else str(first) for first, last in seqs["ranges"][:RANGES_SHOWN]]
    more = "" if len(seqs["ranges"]) <= RANGES_SHOWN else ", ..."
    return f"{', '.join(shown)}{more} ({seqs['count']})" if seqs["count"] else "-"
