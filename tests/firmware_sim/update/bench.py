"""A flash whose power can go at any operation, and images to put into it."""

from collections.abc import Set as AbstractSet

from firmware_sim.update.slots import BootRecord
from sensors.firmware import Manifest, describe_image, public_key_of, sign

KEY = bytes(range(32))
PUBLIC_KEY = public_key_of(KEY)
TYPE = "node"


def image_of(version: str, size: int = 1000, marker: bytes = b"") -> tuple[Manifest, bytes]:
    """An image and its signed manifest."""
    image = (f"image {version} ".encode() + marker).ljust(size, b"\xa5")
    return sign(describe_image(image, version, (TYPE,), 100), KEY), image


class PowerLoss(Exception):
    """The power went."""


class FragileFlash:
    """Slots in memory. `fails_in` operations from now the power goes: in the middle of that operation."""

    def __init__(self) -> None:
        self.slots: list[dict[int, bytes]] = [{}, {}]
        self.boot_record: BootRecord | None = None
        self.fails_in: int | None = None
        self.operations = 0

    def record(self) -> BootRecord | None:
        return self.boot_record

    def put_record(self, record: BootRecord) -> None:
        if not self._fails():
            self.boot_record = record
            return
        raise PowerLoss

    def erase(self, slot: int) -> None:
        if self._fails():
            for number in list(self.slots[slot])[::2]:
                del self.slots[slot][number]
            raise PowerLoss
        self.slots[slot].clear()

    def write(self, slot: int, number: int, data: bytes) -> None:
        if self._fails():
            raise PowerLoss
        self.slots[slot][number] = data

    def numbers(self, slot: int) -> AbstractSet[int]:
        return self.slots[slot].keys()

    def image(self, slot: int, chunks: int) -> bytes:
        held = self.slots[slot]
        return b"".join(held[number] for number in range(chunks) if number in held)

    def _fails(self) -> bool:
        self.operations += 1
        if self.fails_in is None:
            return False
        self.fails_in -= 1
        if self.fails_in >= 0:
            return False
        self.fails_in = None
        return True
