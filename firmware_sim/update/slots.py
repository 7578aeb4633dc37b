"""The two slots of a device's flash, and the boot record beside them.

A slot holds numbered chunks; a chunk that was not written whole is not there. The boot record is written in one piece:
after a power loss it is the old one or the new one. That is all that the bootloader and the updater rely on.
"""

from collections.abc import Set as AbstractSet
from typing import Protocol

import msgspec

from firmware_sim.update.states import UpdatePhase
from sensors.firmware import Manifest
from sensors.messages import UpdateState

SLOTS = 2


class BootRecord(msgspec.Struct, frozen=True):
    """Which image runs, and which may. `versions`: what each slot holds; empty: nothing that may be started.

    `manifest` is of the image that comes into the other slot; `trials` counts how often that one was started;
    `last` is what is told of the newest update that is over.
    """

    active: int
    versions: tuple[str, str]
    phase: UpdatePhase = UpdatePhase.IDLE
    manifest: Manifest | None = None
    trials: int = 0
    last: UpdateState | None = None

    @property
    def other(self) -> int:
        """The slot that an update goes to."""
        return 1 - self.active


class SlotFlash(Protocol):
    """The flash of one device. Any call may never return: the power went; what it did then is said above."""

    def record(self) -> BootRecord | None:
        """The boot record as last written; None from the factory."""

    def put_record(self, record: BootRecord) -> None:
        """Write the boot record, in one piece."""

    def erase(self, slot: int) -> None:
        """Empty a slot; a power loss may leave some chunks."""

    def write(self, slot: int, number: int, data: bytes) -> None:
        """Write a chunk into a slot."""

    def numbers(self, slot: int) -> AbstractSet[int]:
        """The chunks that a slot holds whole."""

    def image(self, slot: int, chunks: int) -> bytes:
        """The first `chunks` chunks of a slot, one behind the other; what is not there is left out."""
