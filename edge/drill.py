"""Drills: outages that an operator causes, to see what this gateway does in one. Which fault, on which link, how long.

The faults are Toxiproxy's, by its names where it has one:

    down         connections are refused
    timeout      nothing gets through, and nothing comes back
    latency      everything gets through, but late
    reset_peer   what is sent arrives, and the connection breaks before the answer: nobody here knows
    http_error   the far side answers 503

Promises: a drill needs maintenance mode, or a configuration that allows drills always; it ends by itself after
`SECONDS_MAX` at the latest, by monotonic time, with maintenance mode, and with a restart; one runs at a time.
Values only: the shells ask `fault_on`, and misbehave.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from edge.maintenance import Maintenance
from edge.outages.observations import DEVICES, UPLINK

SECONDS_MIN = 1
SECONDS_MAX = 900  # a quarter of an hour: long enough to see every alert, short enough to be forgotten about
LATENCY_MS = 4000  # three answers in a row over three seconds make a link `degraded`
LATENCY_MS_MIN, LATENCY_MS_MAX = 10, 30_000  # at the most what a destination's answer is waited for by default


class Fault(StrEnum):
    """How a link fails: see the module."""

    DOWN = "down"
    TIMEOUT = "timeout"
    LATENCY = "latency"
    RESET_PEER = "reset_peer"
    HTTP_ERROR = "http_error"


class Refusal(StrEnum):
    """Why a drill was not begun."""

    NOT_ALLOWED = "a drill needs maintenance mode, or a configuration with drill.always"
    RUNNING = "a drill is running: stop it first"


class DrillRefused(Exception):
    """A drill cannot begin now; `why` says who must do what. Who must act: the operator."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why.value)
        self.why = why


@dataclass(frozen=True, slots=True)
class Order:
    """What is to fail, and for how long. `destination`: only this one, of the uplink; None: each of them.

    Raises `ValueError` for what cannot be.
    """

    fault: Fault
    seconds: int
    link: str = UPLINK.name
    destination: str | None = None
    latency_ms: int = LATENCY_MS

    def __post_init__(self) -> None:
        if not SECONDS_MIN <= self.seconds <= SECONDS_MAX:
            raise ValueError(f"seconds: expected {SECONDS_MIN} to {SECONDS_MAX}, found {self.seconds}")
        if not LATENCY_MS_MIN <= self.latency_ms <= LATENCY_MS_MAX:
            raise ValueError(f"latency_ms: expected {LATENCY_MS_MIN} to {LATENCY_MS_MAX}, found {self.latency_ms}")
        if self.link not in (UPLINK.name, DEVICES.name):
            raise ValueError(f"link: expected {UPLINK.name} or {DEVICES.name}, found {self.link}")
        if self.link == DEVICES.name and (self.fault is not Fault.DOWN or self.destination is not None):
            raise ValueError(f"fault: expected {Fault.DOWN} and no destination for the link {DEVICES.name}")


class Drill(NamedTuple):
    """A drill that runs or ran: who began it, and from when to when, in milliseconds since 1970.

    `held_before`: readings that waited for the first destination when it began.
    """

    order: Order
    by: str
    since_ms: int
    until_ms: int
    held_before: int


class Drills:
    """None runs, until somebody begins one. For one thread."""

    def __init__(self, maintenance: Maintenance, *, always: bool = False) -> None:
        """`always`: also without maintenance mode."""
        self._maintenance = maintenance
        self._always = always
        self._running: Drill | None = None
        self._ends_ms = 0
        self.last: Drill | None = None
        """The one that ended last, with the time at which it really did."""

    def allowed(self, now_ms: int) -> bool:
        """Whether one may begin. `now_ms` is monotonic here and below."""
        return self._always or self._maintenance.active(now_ms) is not None

    def begin(self, order: Order, by: str, now_ms: int, wall_ms: int, held: int) -> Drill:
        """Begin one. Raises `DrillRefused`."""
        if not self.allowed(now_ms):
            raise DrillRefused(Refusal.NOT_ALLOWED)
        if self.running(now_ms, wall_ms) is not None:
            raise DrillRefused(Refusal.RUNNING)
        self._ends_ms = now_ms + order.seconds * 1000
        self._running = Drill(order, by, wall_ms, wall_ms + order.seconds * 1000, held)
        return self._running

    def end(self, wall_ms: int) -> None:
        """End it before its time, if one runs."""
        if self._running is not None:
            self.last = self._running._replace(until_ms=wall_ms)
            self._running = None

    def running(self, now_ms: int, wall_ms: int) -> Drill | None:
        """The one that runs now."""
        if self._running is not None and (now_ms >= self._ends_ms or not self.allowed(now_ms)):
            over_ms = max(0, now_ms - self._ends_ms)
            self.end(wall_ms - over_ms)
        return self._running

    def left_ms(self, now_ms: int) -> int:
        """How long the one that runs has still to go."""
        return max(0, self._ends_ms - now_ms) if self._running is not None else 0

    def on_destination(self, name: str, now_ms: int, wall_ms: int) -> Order | None:
        """What makes this destination fail now."""
        drill = self.running(now_ms, wall_ms)
        if drill is None or drill.order.link != UPLINK.name or drill.order.destination not in (None, name):
            return None
        return drill.order

    def on_devices(self, now_ms: int, wall_ms: int) -> bool:
        """Whether the link to the broker is to fail now."""
        drill = self.running(now_ms, wall_ms)
        return drill is not None and drill.order.link == DEVICES.name
