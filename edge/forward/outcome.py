"""A destination's answer to one batch, as data: the decision table's left side.

Accepted     every point is in: the cursor moves
Refused      the destination read the batch and will not have it (400, 422): bisect to the point that it is
TooLarge     halve the batch and remember the size (413)
Paused       credentials or bucket (401, 403, 404): keep everything, raise an alert, probe now and then
Throttled    wait as long as it says (429, or 503 with Retry-After)
Failed       unknown: it may or may not have been stored (5xx, reset, time-out, not InfluxDB): the same bytes again
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """All points of the batch are stored."""


@dataclass(frozen=True, slots=True)
class Refused:
    """At least one point of the batch can never be stored; `status` is HTTP's, `message` the server's words."""

    status: int
    message: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The body is over the destination's limit."""

    message: str


@dataclass(frozen=True, slots=True)
class Paused:
    """The destination will take nothing until somebody mends the credentials or the bucket."""

    status: int
    message: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """The destination asks for a pause of `after_ms`, or does not say how long (None); by status 429 or 503."""

    after_ms: int | None
    message: str
    status: int = 429


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer that can be relied on. `cause` is a word of the recording format: dns, refused, timeout, reset, ...

    `status` is the HTTP status where there was one.
    """

    cause: str
    message: str
    status: int | None = None


Outcome = Accepted | Refused | TooLarge | Paused | Throttled | Failed
