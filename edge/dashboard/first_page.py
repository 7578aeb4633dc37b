"""The first page as it is sent: with the verdict and the key figures in it, so that the first paint already says them.

A phone with a slow processor takes seconds to fetch and run the page's scripts; what stands in the HTML is there
before. The same figures go along as data, from which the scripts take over without asking. Promises: whoever may not
read is sent the bare page; nothing from outside becomes markup; numbers are written as `static/js/format.js` does.
"""

import html
import json

from edge.dashboard.documents import Now
from edge.status import GatewayStatus

PLACE = "<!-- first -->"
LEVELS = {"ok": "All well", "busy": "Working on it", "warn": "Attention", "bad": "Trouble"}
FRESH_MS = 15_000  # as in now.js: what waits less than this is the rhythm of batches
COUNT_LONG_MAX = 10**9
_SPANS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def first_page(template: str, me: str, now: Now | None) -> str:
    """The page. `me`: who asks, as JSON; without `now` it is bare."""
    if now is None:
        return template.replace(PLACE, "")
    data = f'{{"me":{me},"now":{now.model_dump_json()}}}'.replace("<", "\\u003c")  # no text can end the element
    block = f'<script id="first" type="application/json">{data}</script>'
    return template.replace(PLACE, _verdict(now) + _alerts(now.status) + _figures(now.status) + block)


def count(number: int) -> str:
    """As people read it."""
    if number < COUNT_LONG_MAX:
        return f"{number:,}"
    size, letter = (10**12, "T") if number >= 10**12 else (COUNT_LONG_MAX, "B")
    return f"{number / size:.2f}".rstrip("0").rstrip(".") + letter


def rate(per_s: float) -> str:
    """Readings a second."""
    if per_s == 0:
        return "0"
    return f"{per_s:.1f}" if per_s < 10 else count(round(per_s))


def duration(ms: float) -> str:
    """A span of time with its two largest units."""
    seconds = max(0.0, ms) / 1000
    if seconds < 10:
        return f"{seconds:.1f} s"
    at = next(at for at, (_, size) in enumerate(_SPANS) if seconds >= size)
    unit, size = _SPANS[at]
    first = int(seconds // size)
    if first >= 1000:
        return f"{count(first)} {unit}"
    second = int(seconds % size // _SPANS[at + 1][1]) if at + 1 < len(_SPANS) else 0
    return f"{first} {unit} {second} {_SPANS[at + 1][0]}" if second else f"{first} {unit}"


def figures(status: GatewayStatus) -> list[tuple[str, str, str]]:
    """The four of the backlog: label, number, and what it means."""
    forward, full_in_s = status.forward, status.store.full_in_s
    waits, oldest_ms = forward.backlog > 0, forward.oldest_unsent_ms
    is_fresh = waits and status.uplink.state == "up" and (oldest_ms or 0) < FRESH_MS
    fills_up = waits and not is_fresh and full_in_s is not None
    full = f"full in {duration(1000 * (full_in_s or 0))}" if fills_up else "readings wait here"
    if not waits:
        caught_up = ("caught up", "nothing to catch up")
    elif is_fresh:
        caught_up = ("keeping up", "the next batch is on its way")
    elif forward.catch_up_s is None:
        caught_up = ("growing", "the backlog does not shrink")
    else:
        caught_up = (duration(1000 * forward.catch_up_s), "at the rates of now")
    return [
        ("Held back", count(forward.backlog), full if waits else "nothing waits here"),
        (
            "Oldest unsent",
            "none" if oldest_ms is None else duration(oldest_ms),
            "since it was received" if waits else "all is sent",
        ),
        ("Drain rate", rate(forward.drained_per_s), "readings a second"),
        ("Time to catch up", *caught_up),
    ]


def _term(sign: str, name: str, label: str, number: int) -> str:
    """One number of the ledger's equation; `name` is the class that the scripts give it, too."""
    before = f'<span class="operator">{sign}</span>' if sign else ""
    told = f'<span class="number">{count(number)}</span><span class="label">{label}</span>'
    return f'{before}<span class="term {name}">{told}</span>'


def _icon(name: str) -> str:
    return (
        f'<svg viewBox="0 0 24 24" class="icon" aria-hidden="true" focusable="false"><use href="#icon-{name}"/></svg>'
    )


def _verdict(now: Now) -> str:
    told = now.verdict
    return (
        f'<section class="verdict" data-level="{told.level}" aria-label="Is it working"><span class="sign">'
        f'{_icon(told.level)}</span><div><p class="level">{LEVELS[told.level]}</p><h1>{html.escape(told.headline)}</h1>'
        f'<p class="detail">{html.escape(told.detail)}</p></div></section>'
    )


def _alerts(status: GatewayStatus) -> str:
    told = status.alerts
    active = told.critical + told.warning + told.info
    found, empty = f"{count(active)} active, {count(told.unacknowledged)} not acknowledged", "Looking…"
    if not active and not told.unacknowledged:
        found, empty = "", "No alerts: nothing needs you."
    return (
        '<section class="panel alerts" aria-label="Alerts"><div class="panel-head"><h2>Alerts</h2>'
        f'<p class="found">{found}</p></div><p class="empty">{empty}</p></section>'
    )


def _figures(status: GatewayStatus) -> str:
    each = "".join(
        f'<div class="figure"><dt>{label}</dt><dd><span class="number">{number}</span></dd>'
        f'<dd class="note">{html.escape(note)}</dd></div>'
        for label, number, note in figures(status)
    )
    ledger = status.ledger
    terms = (
        ("", "received", "received", ledger.received),
        ("=", "delivered", "delivered", ledger.delivered),
        ("+", "waiting", "held", ledger.held),
        ("+", "quarantined", "in quarantine", ledger.quarantined),
    )
    equation = "".join(_term(*term) for term in terms)
    balance = _icon("ok") + "balances" if ledger.balances else _icon("bad") + "does not balance"
    return (
        '<div class="panel figures"><section aria-label="Backlog"><h2 class="hidden">Backlog</h2>'
        f"<dl>{each}</dl></section>"
        '<section class="ledger" aria-label="Delivery ledger"><div class="ledger-head"><h2>Delivery ledger</h2>'
        f'<p class="balance" data-ok="{json.dumps(ledger.balances)}">{balance}</p></div>'
        f'<p class="equation">{equation}</p></section></div>'
    )
