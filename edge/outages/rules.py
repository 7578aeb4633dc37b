"""The rules a recording keeps beyond the shape of its lines: order, bounds, known links, no addresses or secrets.

Promises: `RecordingError` names the line, the field and what was expected, whether a file is read or a recording is
built in code; `RuleBook` is fed one event after the other, so a live writer finds a mistake before it is on disk.
"""

import re

from edge.outages.events import (
    FORMAT_VERSION,
    LINKS_MAX,
    PPM,
    AnyEvent,
    Cause,
    End,
    Gap,
    Header,
    LinkEvent,
    Quantities,
    Sample,
    Series,
    Status,
    Transition,
    UnknownWrite,
)

HEADER_LINE = 1
_PRIVATE_TEXT = (
    ("an IPv4 address", re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")),
    (
        "an IPv6 address",
        re.compile(r"(?i)(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{1,4}(?![\w:])|(?<![\w:])[0-9a-f]{1,4}::"),
    ),
    ("a hardware address", re.compile(r"(?i)(?<![\w:-])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![\w:-])")),
    ("a mail address or credentials", re.compile(r"\S+@\S+")),
    ("a secret", re.compile(r"(?i)\b(?:token|password|passwd|secret|api[_-]?key)\s*[=:]")),
)


class RecordingError(ValueError):
    """A recording breaks its format. Carries `line` (1 is the header), `field` and `expected`."""

    def __init__(self, line: int, field: str, expected: str) -> None:
        self.line = line
        self.field = field
        self.expected = expected
        super().__init__(f"line {line}: {field}: expected {expected}")


class RecordingVersionError(RecordingError):
    """The recording was written by a newer version of the format; a newer Tidegate reads it."""

    def __init__(self, version: int) -> None:
        self.version = version
        super().__init__(HEADER_LINE, "version", f"{FORMAT_VERSION} (this file says {version}; use a newer Tidegate)")


class UnknownLinkError(LookupError):
    """The recording has no link of this name. Carries `link` and `known`."""

    def __init__(self, link: str, known: tuple[str, ...]) -> None:
        self.link = link
        self.known = known
        super().__init__(f"link: expected one of {', '.join(known)}, found {link!r}")


def check_header(header: Header) -> None:
    """Raise `RecordingError` unless the header can head a recording."""
    if header.version != FORMAT_VERSION:
        raise RecordingVersionError(header.version)
    if not 1 <= len(header.links) <= LINKS_MAX:
        raise RecordingError(HEADER_LINE, "links", f"1 to {LINKS_MAX} links, found {len(header.links)}")
    names = [link.name for link in header.links]
    if len(set(names)) != len(names):
        raise RecordingError(HEADER_LINE, "links", "names that differ from each other")
    for field in ("title", "source", "licence"):
        private = private_text(getattr(header, field))
        if private is not None:
            raise RecordingError(HEADER_LINE, field, f"no addresses or secrets, found what looks like {private}")


def private_text(text: str) -> str | None:
    """Say what in this text looks like an address or a secret, or None."""
    return next((what for what, pattern in _PRIVATE_TEXT if pattern.search(text)), None)


class RuleBook:
    """Checks events one after the other; raises `RecordingError` with the line each event would stand on."""

    def __init__(self, header: Header) -> None:
        check_header(header)
        self._links = {link.name for link in header.links}
        self._line = HEADER_LINE
        self._at_us = 0
        self._known_from_us = 0
        self._began_us: dict[str, int] = {}
        self.ended = False

    def check(self, event: AnyEvent) -> None:
        """Take the next event, or raise `RecordingError` naming its line and field."""
        self._line += 1
        if self.ended:
            raise self._error("event", "nothing after the end event")
        if event.at_us < self._at_us:
            raise self._error("at_us", f"an integer not below {self._at_us} (the line before), found {event.at_us}")
        if isinstance(event, Gap):
            self._check_gap(event)
        elif isinstance(event, End):
            self.ended = True
        else:
            self._check_link_event(event)
        self._at_us = event.at_us

    def finish(self) -> None:
        """Raise `RecordingError` unless the last event was the end event."""
        if not self.ended:
            self._line += 1
            raise self._error("event", "an end event; the file is cut off")

    def _error(self, field: str, expected: str) -> RecordingError:
        return RecordingError(self._line, field, expected)

    def _check_gap(self, gap: Gap) -> None:
        if not self._at_us <= gap.since_us <= gap.at_us:
            raise self._error("since_us", f"an integer from {self._at_us} (the line before) to at_us {gap.at_us}")
        self._known_from_us = gap.at_us
        self._began_us.clear()

    def _check_link_event(self, event: LinkEvent) -> None:
        if event.link not in self._links:
            raise self._error("link", f"one of {', '.join(sorted(self._links))}, found {event.link}")
        if isinstance(event, Transition):
            self._check_cause(event)
            self._check_bounds(event)
        elif isinstance(event, UnknownWrite) and event.sent_us > event.at_us:
            raise self._error("sent_us", f"an integer not above at_us {event.at_us}, found {event.sent_us}")
        elif isinstance(event, Sample) and not event.values():
            raise self._error("sample", f"at least one of {', '.join(Quantities)}")
        elif isinstance(event, Series):
            self._check_series(event)

    def _check_cause(self, event: Transition) -> None:
        if event.status is Status.UP and event.cause is not None:
            raise self._error("cause", "no cause when the status is up")
        if event.status is not Status.UP and event.cause is None:
            raise self._error("cause", f"one of {', '.join(Cause)} when the status is {event.status}")
        if (event.cause is Cause.HTTP) != (event.http_status is not None):
            raise self._error("http_status", "an HTTP status with cause http, and only there")

    def _check_bounds(self, event: Transition) -> None:
        earliest, latest = event.began_bounds_us
        not_before = max(self._began_us.get(event.link, 0), self._known_from_us)
        if not not_before <= event.began <= event.at_us:
            raise self._error(
                "began_us", f"an integer from {not_before} (this link's last change or gap) to at_us {event.at_us}"
            )
        if earliest > event.began:
            raise self._error("began_min_us", f"an integer not above began_us {event.began}, found {earliest}")
        if not event.began <= latest <= event.at_us:
            raise self._error("began_max_us", f"an integer from began_us {event.began} to at_us {event.at_us}")
        self._began_us[event.link] = event.began

    def _check_series(self, series: Series) -> None:
        if series.start_us < self._known_from_us:
            raise self._error("step_us", f"a span that starts at or after {self._known_from_us}")
        if series.quantity is Quantities.LOSS and max(series.values) > PPM:
            raise self._error("values", f"integers up to {PPM} for loss_ppm")
