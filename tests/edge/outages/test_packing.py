"""Packed files: bounded whatever they hold, and what is said where Zstandard is missing."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from edge.outages import packing, recording
from edge.outages.packing import WINDOW_LOG_MAX, PackingError, packed, unpacked
from edge.outages.recording import read_recording
from edge.outages.rules import RecordingError

HEADER = b'{"format":"tidegate-outage","version":1,"links":[{"name":"uplink","kind":"uplink"}]}\n'
LINE = b'{"event":"close","at_us":0,"link":"uplink","how":"rst"}\n'


@pytest.mark.parametrize("name", ["a.gz", "a.zst", "a"])
def test_no_file_gives_out_more_than_it_may(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(packed(bytes(1001), name))
    with unpacked(path, 1001) as file:
        assert file.read() == bytes(1001)
    with unpacked(path, 1000) as file, pytest.raises(PackingError, match="at most 1000 bytes unpacked"):
        file.read()


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_small_file_that_unpacks_to_a_large_one_is_refused(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = tmp_path / f"bomb.outage.jsonl{ending}"
    bomb.write_bytes(packed(HEADER + LINE * 200_000, bomb.name))
    assert bomb.stat().st_size < 100_000
    monkeypatch.setattr(recording, "FILE_BYTES_MAX", 1_000_000)
    with pytest.raises(RecordingError, match="file: expected at most 1000000 bytes unpacked"):
        read_recording(bomb)
    one_line = tmp_path / f"line.outage.jsonl{ending}"
    one_line.write_bytes(packed(HEADER + bytes(50_000_000), one_line.name))
    with pytest.raises(RecordingError, match="line 2: line: expected at most"):
        read_recording(one_line)


def test_a_frame_that_asks_for_more_memory_than_a_reader_grants_is_refused(tmp_path: Path) -> None:
    zstd = packing._zstd()
    greedy = tmp_path / "greedy.zst"
    options = {zstd.CompressionParameter.window_log: WINDOW_LOG_MAX + 1}
    compressor = zstd.ZstdCompressor(options=options)
    greedy.write_bytes(compressor.compress(bytes(1000)) + compressor.flush())
    with pytest.raises(PackingError, match="whole Zstandard file"), unpacked(greedy, 10_000) as file:
        file.read()


def test_where_zstandard_is_missing_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> ModuleType:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    monkeypatch.setattr(packing, "import_module", missing)
    with pytest.raises(RecordingError, match=r"tidegate\[zstd\]"):
        read_recording(tmp_path / "a.outage.jsonl.zst")
