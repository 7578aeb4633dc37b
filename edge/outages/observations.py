"""What the recorder is told of a link: one finished attempt, one answer or one ended connection at a time.

Promises: an observation holds times, counts and words of the recording format only; no address, name or text of a
server can get into a recording through it. All times are microseconds on the recorder's own clock.
"""

from dataclasses import dataclass

from edge.causes import DNS, REFUSED, TIMEOUT, TLS, UNREACHABLE
from edge.outages.events import Cause, Ending, Link, LinkKind

UPLINK = Link("uplink", LinkKind.UPLINK)
DEVICES = Link("devices", LinkKind.DEVICE)
LINKS = (UPLINK, DEVICES)
"""The links of every gateway: to its first destination, and to the broker that the devices publish to."""
_CAUSES = {
    DNS: Cause.DNS,
    REFUSED: Cause.REFUSED,
    UNREACHABLE: Cause.UNREACHABLE,
    TLS: Cause.TLS,
    TIMEOUT: Cause.TIMEOUT,
}
_STATUS_MIN, _STATUS_MAX = 100, 599


def uplink_to(destination: str) -> Link:
    """The link to a further destination, by the name that the operator gave it."""
    return Link(f"{UPLINK.name}/{destination}", LinkKind.UPLINK)


def link_named(name: str) -> Link:
    """The link of a gateway that a stored name means."""
    return DEVICES if name == DEVICES.name else Link(name, LinkKind.UPLINK)


@dataclass(frozen=True, slots=True)
class Failure:
    """How a link failed; `http_status` belongs to the cause `http`, and only to that one."""

    cause: Cause
    http_status: int | None = None

    def __post_init__(self) -> None:
        if (self.cause is Cause.HTTP) != (self.http_status is not None):
            raise ValueError(f"http_status: expected one with cause http and only there, found {self.http_status}")


@dataclass(frozen=True, slots=True)
class Observation:
    """One attempt to use a link, from `started_us` to `at_us`, and what came of it; no `failure`: it was answered.

    For a connection that ended, `started_us` is when its far side was last heard. `unknown_write`: what was sent may
    or may not have arrived. `segments` and `resent` are TCP's counts of data segments during the attempt.
    `is_drill`: an operator made it fail.
    """

    link: str
    started_us: int
    at_us: int
    failure: Failure | None = None
    ended: Ending | None = None
    unknown_write: bool = False
    sent_bytes: int = 0
    rtt_us: int | None = None
    segments: int = 0
    resent: int = 0
    is_drill: bool = False


def failure_of(word: str, http_status: int | None = None) -> Failure:
    """The failure behind a word of `edge.causes`.

    An HTTP status says the most. Of what has no word in the format (a connection closed in mid-answer, bytes that are
    no answer) the link's user sees a connection that ends, which is `reset`.
    """
    if http_status is not None and _STATUS_MIN <= http_status <= _STATUS_MAX:
        return Failure(Cause.HTTP, http_status)
    return Failure(_CAUSES.get(word, Cause.RESET))
