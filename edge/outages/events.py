"""The words of an outage recording: the header and the events, as frozen structs that map one to one to JSON lines.

Promises: every time is an integer of microseconds on one monotonic clock that starts at 0 with the recording; every
quantity is an integer with its unit last in its name; nothing here can hold an address or a credential except the free
text of the header, which `edge.outages.rules` checks. `at_us` always says when the recorder *knew*; when something
*began* stands in fields of its own, because detection lags. The format is specified in docs/outages.md.
"""

from enum import StrEnum
from typing import Annotated

import msgspec

FORMAT_NAME = "tidegate-outage"
FORMAT_VERSION = 1
INTEGER_MAX = 2**53 - 1
"""Largest integer that every JSON reader keeps exactly (RFC 8259, section 6); as microseconds it is 285 years."""
PPM = 1_000_000
"""Loss is in parts per million, so that it stays an integer."""
LINKS_MAX = 64
"""A gateway has one uplink and a handful of device links; 64 is room for a radio per channel."""
SERIES_VALUES_MAX = 3600
"""One hour at 1 Hz on one line of about 25 kB, well below the longest line a reader takes."""

Microseconds = Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)]
Quantity = Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)]
LossPpm = Annotated[int, msgspec.Meta(ge=0, le=PPM)]
LinkName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}(/[a-z][a-z0-9_-]{0,31})?$")]
HttpStatus = Annotated[int, msgspec.Meta(ge=100, le=599)]
FreeText = Annotated[str, msgspec.Meta(max_length=500)]


class Status(StrEnum):
    """What a link is good for. Not knowing is no status: it is a `gap`, or `None` in a timeline."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


class Cause(StrEnum):
    """How a link failed, as its user saw it."""

    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    TIMEOUT = "timeout"
    RESET = "reset"
    HTTP = "http"
    SLOW = "slow"


class Ending(StrEnum):
    """How one connection ended: an orderly close, a reset, or silence without any end (a half-open connection)."""

    FIN = "fin"
    RST = "rst"
    STALL = "stall"


class LinkKind(StrEnum):
    """Which way a link points: gateway to cloud, or device to gateway."""

    UPLINK = "uplink"
    DEVICE = "device"


class Quantities(StrEnum):
    """The measured quantities a `series` may carry; the same names are fields of a `sample`."""

    LATENCY = "latency_us"
    RTT = "rtt_us"
    THROUGHPUT = "throughput_bytes_per_s"
    CAPACITY = "capacity_bytes_per_s"
    LOSS = "loss_ppm"


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One link of a recording; the name says which events are its own."""

    name: LinkName
    kind: LinkKind


class Anchor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The one tie to the wall clock: at `monotonic_us` of the recording it was `unix_us` (UTC)."""

    monotonic_us: Microseconds
    unix_us: Microseconds


class Header(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="format", tag=FORMAT_NAME
):
    """The first line. No anchor means that nobody knows when this happened (an old trace, a generated recording)."""

    version: int
    links: tuple[Link, ...]
    anchor: Anchor | None = None
    title: FreeText = ""
    source: FreeText = ""
    licence: FreeText = ""


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="event"):
    """What every event has: when the recorder knew of it."""

    at_us: Microseconds


class Transition(Event, frozen=True, tag="transition"):
    """A link changed its status. Seen at `at_us`; began at `began_us`, for certain within its two bounds.

    Omitted, `began_us` is `at_us` and each bound is `began_us`: then the change was seen as it happened.
    """

    link: LinkName
    status: Status
    cause: Cause | None = None
    http_status: HttpStatus | None = None
    began_us: Microseconds | None = None
    began_min_us: Microseconds | None = None
    began_max_us: Microseconds | None = None

    @property
    def began(self) -> int:
        """Best estimate of when the change began, in microseconds."""
        return self.at_us if self.began_us is None else self.began_us

    @property
    def began_bounds_us(self) -> tuple[int, int]:
        """Earliest and latest instant at which the change can have begun."""
        earliest = self.began if self.began_min_us is None else self.began_min_us
        return earliest, self.began if self.began_max_us is None else self.began_max_us


class Close(Event, frozen=True, tag="close"):
    """A connection on this link ended, or fell silent for good, while the link itself kept its status."""

    link: LinkName
    how: Ending


class UnknownWrite(Event, frozen=True, tag="unknown_write"):
    """A write was sent at `sent_us` and given up at `at_us` without an answer: it may or may not have arrived."""

    link: LinkName
    sent_us: Microseconds
    sent_bytes: Quantity = 0


class Gap(Event, frozen=True, tag="gap"):
    """The recorder was off from `since_us` to `at_us`: nothing is known of any link, which is not the same as down."""

    since_us: Microseconds


Measured = Quantity | msgspec.UnsetType | None
"""A measured value; null says that the value is no longer known; a missing field says nothing."""


class Sample(Event, frozen=True, tag="sample"):
    """Values that hold from `at_us` until the next value of the same quantity."""

    link: LinkName
    latency_us: Measured = msgspec.UNSET
    rtt_us: Measured = msgspec.UNSET
    throughput_bytes_per_s: Measured = msgspec.UNSET
    capacity_bytes_per_s: Measured = msgspec.UNSET
    loss_ppm: LossPpm | msgspec.UnsetType | None = msgspec.UNSET

    def values(self) -> dict[str, int | None]:
        """The quantities this sample speaks of, by field name."""
        every = {name.value: getattr(self, name.value) for name in Quantities}
        return {name: value for name, value in every.items() if value is not msgspec.UNSET}


class Series(Event, frozen=True, tag="series"):
    """Values of one quantity at equal steps; value i covers step i of the span that ends at `at_us`."""

    link: LinkName
    quantity: Quantities
    step_us: Annotated[int, msgspec.Meta(ge=1, le=INTEGER_MAX)]
    values: Annotated[tuple[Quantity, ...], msgspec.Meta(min_length=1, max_length=SERIES_VALUES_MAX)]

    @property
    def start_us(self) -> int:
        """Start of the first step."""
        return self.at_us - self.step_us * len(self.values)


class End(Event, frozen=True, tag="end"):
    """The last line: the recording ends here. A file without it was cut off."""


AnyEvent = Transition | Close | UnknownWrite | Gap | Sample | Series | End
LinkEvent = Transition | Close | UnknownWrite | Sample | Series
