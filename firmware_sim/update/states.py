"""The states of an update as a table: what may become of it.

    IDLE -> DOWNLOADING -> STAGED -> TRIAL -> IDLE       confirmed, or rolled back
            DOWNLOADING -> IDLE                          the image is not what the manifest says
                           STAGED -> IDLE                the bootloader finds the same

A step that the table does not have raises `IllegalUpdateStep`: it is a fault of this program, never of a device.
"""

from collections.abc import Mapping
from enum import StrEnum


class UpdatePhase(StrEnum):
    """How far an update is, as the boot record in flash says."""

    IDLE = "idle"
    DOWNLOADING = "downloading"
    STAGED = "staged"  # verified, and to be started at the next boot
    TRIAL = "trial"  # started, and not confirmed yet


class UpdateEvent(StrEnum):
    """What moves an update on."""

    START = "start"  # a manifest that is good
    VERIFIED = "verified"
    BROKEN = "broken"  # digest or signature do not fit
    TRY = "try"  # the bootloader starts the new image
    CONFIRM = "confirm"  # its self-test passed
    ROLL_BACK = "roll-back"


class IllegalUpdateStep(RuntimeError):
    """The table has no such step."""

    def __init__(self, phase: UpdatePhase, event: UpdateEvent) -> None:
        super().__init__(f"update in state {phase}: got {event}, expected {', '.join(TRANSITIONS[phase])}")
        self.phase, self.event = phase, event


TRANSITIONS: Mapping[UpdatePhase, Mapping[UpdateEvent, UpdatePhase]] = {
    UpdatePhase.IDLE: {UpdateEvent.START: UpdatePhase.DOWNLOADING},
    UpdatePhase.DOWNLOADING: {
        UpdateEvent.START: UpdatePhase.DOWNLOADING,
        UpdateEvent.VERIFIED: UpdatePhase.STAGED,
        UpdateEvent.BROKEN: UpdatePhase.IDLE,
    },
    UpdatePhase.STAGED: {UpdateEvent.TRY: UpdatePhase.TRIAL, UpdateEvent.BROKEN: UpdatePhase.IDLE},
    UpdatePhase.TRIAL: {
        UpdateEvent.TRY: UpdatePhase.TRIAL,
        UpdateEvent.CONFIRM: UpdatePhase.IDLE,
        UpdateEvent.ROLL_BACK: UpdatePhase.IDLE,
    },
}


def next_update_phase(phase: UpdatePhase, event: UpdateEvent) -> UpdatePhase:
    """The state that follows. Raises `IllegalUpdateStep`."""
    try:
        return TRANSITIONS[phase][event]
    except KeyError:
        raise IllegalUpdateStep(phase, event) from None
