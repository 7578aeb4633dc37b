"""The ground truth survives kills, and takes each reading once."""

from pathlib import Path

import msgspec
import pytest

from firmware_sim.truth import TruthFile, TruthFileError, TruthLine
from sensors.reading import Reading, Value


def reading(seq: int, boot: int = 1, device: str = "d") -> Reading:
    return Reading(device, boot, seq, 1000 + seq, (Value("t", 1.5, "Cel"),))


def lines(path: Path) -> list[TruthLine]:
    return [msgspec.json.decode(line, type=TruthLine) for line in path.read_bytes().splitlines()]


def test_a_line_says_what_was_measured_by_whom_and_when(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "truth.ndjson"
    truth = TruthFile(path)
    truth.observe(reading(0), 1012)
    truth.close()
    assert lines(path) == [TruthLine("d", 1, 0, 1000, synced=True, values=(Value("t", 1.5, "Cel"),), at_ms=1012)]
    assert path.read_bytes().startswith(
        b'{"device":"d","boot":1,"seq":0,"taken_at_ms":1000,"synced":true,"values":[["t",'
    )


def test_a_torn_last_line_is_cut_off_and_what_the_flash_holds_is_completed_once(tmp_path: Path) -> None:
    path = tmp_path / "truth.ndjson"
    truth = TruthFile(path)
    for seq in range(3):
        truth.observe(reading(seq), 0)
    truth.close()
    path.write_bytes(path.read_bytes()[:-10])
    truth = TruthFile(path)
    truth.complete([reading(0), reading(1), reading(2), reading(0, device="e")])
    truth.observe(reading(0, boot=2), 0)
    truth.close()
    assert [(line.device, line.boot, line.seq) for line in lines(path)] == [
        ("d", 1, 0),
        ("d", 1, 1),
        ("d", 1, 2),
        ("e", 1, 0),
        ("d", 2, 0),
    ]


def test_another_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary\nhalf a li")
    with pytest.raises(TruthFileError, match=r"notes\.txt, line 1: expected a reading of an earlier run"):
        TruthFile(path)
    assert path.read_text() == "dear diary\nhalf a li"


def test_without_a_path_nothing_is_kept(tmp_path: Path) -> None:
    truth = TruthFile(None)
    truth.observe(reading(0), 0)
    truth.complete([reading(1)])
    truth.close()
    assert list(tmp_path.iterdir()) == []
