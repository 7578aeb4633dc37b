"""The firmware's states as a table: what a device may do next.

    OFF -> BOOT -> CONNECT -> TRANSMIT -> RECEIVE -> SLEEP -> SENSE -> PROCESS -> CONNECT or SLEEP ...
    any powered state -> BROWN_OUT -> BOOT, or -> DEAD, where it stays

A step that the table does not have raises `IllegalStepError`: it is a fault of this program, never of a device.
"""

from collections.abc import Mapping
from enum import StrEnum


class Phase(StrEnum):
    """What the firmware is doing; also the key under which its energy is booked."""

    OFF = "off"
    BOOT = "boot"
    SENSE = "sense"
    PROCESS = "process"
    CONNECT = "connect"
    TRANSMIT = "transmit"
    RECEIVE = "receive"
    DOWNLINK = "downlink"  # booked beside a state: what the gateway sends comes in
    FLASH = "flash-write"  # booked beside a state: a firmware slot is erased or written
    SLEEP = "sleep"
    BROWN_OUT = "brown-out"
    DEAD = "dead"

    __hash__ = str.__hash__  # an enumeration's own hashes in Python, at every step of every device


BESIDE = frozenset({Phase.DOWNLINK, Phase.FLASH})
"""What is booked while the firmware stays in the state that it is in: no states of the table."""

UNPOWERED = frozenset({Phase.OFF, Phase.BROWN_OUT, Phase.DEAD})
RESTING = frozenset({Phase.RECEIVE, Phase.SLEEP})
AT_REST = RESTING | {Phase.OFF, Phase.BROWN_OUT}
"""What lasts until something else begins; the others last as long as their work takes."""


class Event(StrEnum):
    """What moves the firmware on."""

    POWER = "power"  # the supply is there (again)
    STARTED = "started"
    DUE = "due"  # the timer: a sample is due
    MEASURED = "measured"
    CONTACT = "contact"  # there is a reason to use the radio
    REST = "rest"  # nothing to do until the next timer
    LISTEN = "listen"  # the same, with the receiver on
    LINKED = "linked"
    NO_LINK = "no-link"
    SENT = "sent"
    RESET = "reset"  # watchdog, or a command
    SAG = "sag"  # the voltage fell under the brown-out threshold
    EXHAUSTED = "exhausted"

    __hash__ = str.__hash__


class IllegalStepError(RuntimeError):
    """The table has no such step."""

    def __init__(self, phase: Phase, event: Event) -> None:
        expected = ", ".join(TRANSITIONS[phase]) or "nothing"
        super().__init__(f"firmware in state {phase}: got {event}, expected {expected}")
        self.phase, self.event = phase, event


_POWER_LOSS = {Event.SAG: Phase.BROWN_OUT, Event.EXHAUSTED: Phase.DEAD}
_POWERED = {**_POWER_LOSS, Event.RESET: Phase.BOOT}
_AT_REST = {
    **_POWERED,
    Event.DUE: Phase.SENSE,
    Event.CONTACT: Phase.CONNECT,
    Event.REST: Phase.SLEEP,
    Event.LISTEN: Phase.RECEIVE,
}

TRANSITIONS: Mapping[Phase, Mapping[Event, Phase]] = {
    Phase.OFF: {Event.POWER: Phase.BOOT},
    Phase.BOOT: {**_POWER_LOSS, Event.STARTED: Phase.CONNECT},
    Phase.SENSE: {**_POWERED, Event.MEASURED: Phase.PROCESS},
    Phase.PROCESS: {**_POWERED, Event.CONTACT: Phase.CONNECT, Event.REST: Phase.SLEEP, Event.LISTEN: Phase.RECEIVE},
    Phase.CONNECT: {**_POWERED, Event.LINKED: Phase.TRANSMIT, Event.NO_LINK: Phase.SLEEP},
    Phase.TRANSMIT: {**_POWERED, Event.SENT: Phase.RECEIVE},
    Phase.RECEIVE: _AT_REST,
    Phase.SLEEP: _AT_REST,
    Phase.BROWN_OUT: {Event.POWER: Phase.BOOT, **_POWER_LOSS},
    Phase.DEAD: {},
}


def next_phase(phase: Phase, event: Event) -> Phase:
    """The state that follows. Raises `IllegalStepError`."""
    try:
        return TRANSITIONS[phase][event]
    except KeyError:
        raise IllegalStepError(phase, event) from None
