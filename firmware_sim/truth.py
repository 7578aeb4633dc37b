"""The ground truth: every reading that was measured, one JSON object a line, so that any loss can be shown.

    {"device":"room-1","boot":3,"seq":17,"taken_at_ms":1422886740000,"synced":true,"at_ms":1422886740012,
     "values":[["temperature",23.7,"Cel"]]}

`taken_at_ms` is the device's time (see `sensors.reading.Reading`), `at_ms` true time; it is missing in lines that were
completed from the flash after a crash. `battery` is what was really in the cell (`firmware_sim.supply.BatteryTruth`),
beside what the device reported of it; mains devices and completed lines have none. `faults` are those that were at
work, each as name of the value, label and true value; lines without it have none. A sample in which a fault left no
value at all is a line without boot and seq (`MissedLine`). A torn last line is cut off when the file is opened again.
"""

import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from firmware_sim.board import FaultTruth
from firmware_sim.supply import BatteryTruth, Supply
from sensors.reading import Reading, Value


class TruthFileError(ValueError):
    """The file that `truth_file` names holds something else. Who must act: the operator; nothing was changed in it."""

    def __init__(self, path: Path, line: int, problem: str) -> None:
        super().__init__(f"truth_file {path}, line {line}: expected a reading of an earlier run, found: {problem}")
        self.path, self.line = path, line


class TruthLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line."""

    device: str
    boot: int
    seq: int
    taken_at_ms: int
    synced: bool
    values: tuple[Value, ...]
    at_ms: int | None = None
    battery: BatteryTruth | None = None
    faults: tuple[FaultTruth, ...] = ()


class MissedLine(msgspec.Struct, frozen=True):
    """A sample without a reading: no sensor said anything."""

    device: str
    at_ms: int
    faults: tuple[FaultTruth, ...]


class _Newest(msgspec.Struct):
    """What opening the file again needs of a line."""

    device: str
    boot: int = -1
    seq: int = -1


_encoder = msgspec.json.Encoder()
_newest_decoder = msgspec.json.Decoder(_Newest)


class TruthFile:
    """Appends lines; without a path it takes them and keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        """Open, and read what an earlier run wrote: the newest reading of each device."""
        self._lines: list[bytes] = []
        self._newest: dict[str, tuple[int, int]] = {}
        self._file: io.FileIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                self._read_back(path)
            self._file = path.open("ab", buffering=0)

    def observe(
        self,
        reading: Reading,
        at_ms: int,
        battery: BatteryTruth | None = None,
        faults: tuple[FaultTruth, ...] = (),
    ) -> None:
        """A device measured this, with this in its battery, under these faults; written by the next `flush`."""
        self._add(reading, at_ms, battery, faults)

    def miss(self, device: str, at_ms: int, faults: tuple[FaultTruth, ...]) -> None:
        """A device got nothing out of its sensors."""
        if self._file is not None:
            self._lines.append(_encoder.encode(MissedLine(device, at_ms, faults)) + b"\n")

    def complete(self, held: Iterable[Reading]) -> None:
        """Add those of these readings, in order, that a kill kept out of the file."""
        for reading in held:
            if (reading.boot, reading.seq) > self._newest.get(reading.device, (-1, -1)):
                self._add(reading, None, None, ())
        self._newest.clear()
        self.flush()

    def flush(self) -> None:
        """Hand everything to the operating system: it then outlives this process."""
        lines, self._lines = self._lines, []
        if self._file is not None and lines:
            self._file.write(b"".join(lines))

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        if self._file is not None:
            self._file.close()

    def _add(
        self, reading: Reading, at_ms: int | None, battery: BatteryTruth | None, faults: tuple[FaultTruth, ...]
    ) -> None:
        if self._file is None:
            return
        line = TruthLine(
            reading.device,
            reading.boot,
            reading.seq,
            reading.taken_at_ms,
            reading.synced,
            reading.values,
            at_ms,
            battery,
            faults,
        )
        self._lines.append(_encoder.encode(line) + b"\n")

    def _read_back(self, path: Path) -> None:
        whole_bytes = 0
        with path.open("rb") as lines:
            for at, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    break
                whole_bytes += len(line)
                try:
                    newest = _newest_decoder.decode(line)
                except msgspec.DecodeError as error:
                    raise TruthFileError(path, at, str(error)) from None
                if newest.seq >= 0:
                    self._newest[newest.device] = (newest.boot, newest.seq)
        os.truncate(path, whole_bytes)


class FleetTruth:
    """Writes what a fleet's devices measure into a truth file, with what is really in their batteries."""

    def __init__(self, file: TruthFile) -> None:
        self._file = file
        self._supplies: dict[str, Supply] = {}

    def attach(self, supplies: Mapping[str, Supply]) -> None:
        """Whose batteries: by the device's name. Before the first sample."""
        self._supplies.update(supplies)

    def measured(self, reading: Reading, at_ms: int, faults: tuple[FaultTruth, ...]) -> None:
        """A device measured and stored this."""
        self._file.observe(reading, at_ms, self._supplies[reading.device].true_state(), faults)

    def missed(self, device: str, at_ms: int, faults: tuple[FaultTruth, ...]) -> None:
        """A device got nothing out of its sensors."""
        self._file.miss(device, at_ms, faults)
