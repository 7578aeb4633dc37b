"""What a device remembers beside its readings: its settings, the commands that it has done, and its boot record.

All of it is one record in the flash, written in one piece: after a power loss it is the old one or the new one. A
record that cannot be read is that of a new device.
"""

from collections.abc import Set as AbstractSet

import msgspec

from firmware_sim.outbox import Outbox
from firmware_sim.update.slots import BootRecord
from firmware_sim.update.states import UpdatePhase
from sensors.commands import CommandAck

DONE_MAX = 32  # commands remembered: the gateway has one on its way at a time, and repeats it 8 times


class Settings(msgspec.Struct, frozen=True):
    """The record. `done`: what became of the newest commands, oldest first; `untold`: ids of those not answered yet."""

    interval_ms: int | None = None
    done: tuple[CommandAck, ...] = ()
    untold: tuple[str, ...] = ()
    boot: BootRecord | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Settings)


class SettingsFlash:
    """One device's settings and firmware slots, in its part of the flash: a `firmware_sim.update.slots.SlotFlash`."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.settings = _read(outbox.config)

    def change(self, **changes: object) -> None:
        """Write the settings with these changes."""
        self.settings = msgspec.structs.replace(self.settings, **changes)
        self._outbox.put_config(_encoder.encode(self.settings))

    def remember(self, ack: CommandAck, **changes: object) -> None:
        """Write what became of a command, together with what it changed: both, or neither."""
        done = (*self.settings.done, ack)[-DONE_MAX:]
        ids = {each.id for each in done}
        untold = tuple(each for each in (*self.settings.untold, ack.id) if each in ids)
        self.change(done=done, untold=untold, **changes)

    def recall(self, command_id: str) -> CommandAck | None:
        """What became of a command, if it is remembered."""
        return next((ack for ack in self.settings.done if ack.id == command_id), None)

    # -- the firmware's flash

    def record(self) -> BootRecord | None:
        """The boot record; None from the factory."""
        return self.settings.boot

    def put_record(self, record: BootRecord) -> None:
        """Write the boot record. Of images that need no bootloader any more the simulation keeps no bytes."""
        self.change(boot=record)
        if record.phase is UpdatePhase.IDLE:
            for slot in range(len(record.versions)):
                if self._outbox.slot(slot):
                    self._outbox.erase_slot(slot)

    def erase(self, slot: int) -> None:
        """Empty a slot."""
        self._outbox.erase_slot(slot)

    def write(self, slot: int, number: int, data: bytes) -> None:
        """Write a chunk into a slot."""
        self._outbox.write_chunk(slot, number, data)

    def numbers(self, slot: int) -> AbstractSet[int]:
        """The chunks that a slot holds."""
        return self._outbox.slot(slot).keys()

    def image(self, slot: int, chunks: int) -> bytes:
        """The first chunks of a slot."""
        held = self._outbox.slot(slot)
        return b"".join(held[number] for number in range(chunks) if number in held)


def _read(config: bytes | None) -> Settings:
    if config is None:
        return Settings()
    try:
        return _decoder.decode(config)
    except msgspec.DecodeError:
        return Settings()
