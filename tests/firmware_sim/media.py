"""The two media behind one small interface, so that one suite of tests runs on both."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firmware_sim.flash import FileMedium, MemoryMedium
from firmware_sim.outbox import Flash, FullPolicy, Outbox

BIG = 1 << 20
DEVICE = "d"


class Bench:
    """A flash that can be pulled out, damaged and put back."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._memory = MemoryMedium()
        self._file: FileMedium | None = None

    def open(self) -> Flash:
        """Power on: whatever was not committed before is gone."""
        self.close()
        if self._path is None:
            return Flash(self._memory)
        self._file = FileMedium(self._path)
        return Flash(self._file)

    def outbox(
        self, *, bytes_max: int = BIG, policy: FullPolicy = FullPolicy.DROP_OLDEST, first_boot: int = 1
    ) -> tuple[Flash, Outbox]:
        """Power on, and the one device's part."""
        flash = self.open()
        return flash, flash.outbox(DEVICE, bytes_max=bytes_max, policy=policy, first_boot=first_boot)

    @property
    def data(self) -> bytes:
        """What is on the medium."""
        return self._memory.read() if self._path is None else self._path.read_bytes()

    def damage(self, data: bytes) -> None:
        """Put other bytes there while it is off."""
        self.close()
        if self._path is None:
            self._memory.data[:] = data
        else:
            self._path.write_bytes(data)

    def close(self) -> None:
        """Power off."""
        if self._file is not None:
            self._file.close()
            self._file = None


@contextmanager
def bench(path: Path | None) -> Iterator[Bench]:
    """A bench that leaves no file open."""
    made = Bench(path)
    try:
        yield made
    finally:
        made.close()
