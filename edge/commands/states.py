"""The states of a command as a table: what may become of it.

    waiting -> sent -> acknowledged | refused | failed
    waiting, sent -> expired | cancelled
    any state -> acknowledged | refused | failed, when the device says so: its word counts more than our guess

A step that the table does not have raises `IllegalCommandStep`: it is a fault of this program, never of a device.
"""

from collections.abc import Mapping
from enum import StrEnum

from sensors.commands import Result


class CommandState(StrEnum):
    """How far a command is."""

    WAITING = "waiting"  # for the device to be heard
    SENT = "sent"  # and not acknowledged yet
    ACKNOWLEDGED = "acknowledged"  # the device has done it
    REFUSED = "refused"  # the device does not do such a thing
    FAILED = "failed"  # the device tried in vain, or never answered
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class CommandEvent(StrEnum):
    """What moves a command on."""

    SEND = "send"
    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"
    GIVE_UP = "give-up"  # sent as often as it may be, and no answer
    EXPIRE = "expire"
    CANCEL = "cancel"


class IllegalCommandStep(RuntimeError):
    """The table has no such step."""

    def __init__(self, state: CommandState, event: CommandEvent) -> None:
        super().__init__(f"command in state {state}: got {event}, expected {', '.join(TRANSITIONS[state])}")
        self.state, self.event = state, event


_DEVICE_SAYS = {
    CommandEvent.OK: CommandState.ACKNOWLEDGED,
    CommandEvent.REFUSED: CommandState.REFUSED,
    CommandEvent.FAILED: CommandState.FAILED,
}
_OPEN = {
    **_DEVICE_SAYS,
    CommandEvent.SEND: CommandState.SENT,
    CommandEvent.EXPIRE: CommandState.EXPIRED,
    CommandEvent.CANCEL: CommandState.CANCELLED,
}


TRANSITIONS: Mapping[CommandState, Mapping[CommandEvent, CommandState]] = {
    CommandState.WAITING: _OPEN,
    CommandState.SENT: {**_OPEN, CommandEvent.GIVE_UP: CommandState.FAILED},
    CommandState.EXPIRED: {**_DEVICE_SAYS, CommandEvent.EXPIRE: CommandState.EXPIRED},
    CommandState.CANCELLED: {**_DEVICE_SAYS, CommandEvent.EXPIRE: CommandState.CANCELLED},
    CommandState.ACKNOWLEDGED: {**_DEVICE_SAYS, CommandEvent.EXPIRE: CommandState.ACKNOWLEDGED},
    CommandState.REFUSED: {**_DEVICE_SAYS, CommandEvent.EXPIRE: CommandState.REFUSED},
    CommandState.FAILED: {**_DEVICE_SAYS, CommandEvent.EXPIRE: CommandState.FAILED},
}
OPEN_STATES = (CommandState.WAITING, CommandState.SENT)

OF_RESULT: Mapping[Result, CommandEvent] = {
    "ok": CommandEvent.OK,
    "refused": CommandEvent.REFUSED,
    "failed": CommandEvent.FAILED,
    "expired": CommandEvent.EXPIRE,
}


def next_state(state: CommandState, event: CommandEvent) -> CommandState:
    """The state that follows. Raises `IllegalCommandStep`."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalCommandStep(state, event) from None
