"""Files of line protocol: what `append` returned from is on the disk, whole, whatever was killed or full."""

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.line_files import TAIL_BYTES, FileRules, LineFiles
from tests.edge.kit import T0_MS

DAY_MS = 86_400_000


def rules(folder: Path, **changes: int | bool) -> FileRules:
    asked: dict[str, int | bool] = {"rotate_bytes": 10_000_000, "rotate_ms": DAY_MS, "keep_files": 100} | changes
    return FileRules(folder, **asked)  # type: ignore[arg-type]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[LineFiles]:
    opened = LineFiles(rules(tmp_path))
    yield opened
    opened.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def content(folder: Path) -> bytes:
    found = b""
    for name in names(folder):
        raw = (folder / name).read_bytes()
        found += gzip.decompress(raw) if name.endswith(".gz") else raw
    return found


def test_lines_are_appended_and_go_on_after_a_restart(tmp_path: Path, files: LineFiles) -> None:
    files.append(b"a 1\nb 2\n", T0_MS)
    files.append(b"c 3\n", T0_MS)
    files.close()
    files.append(b"d 4\n", T0_MS + 1000)
    assert names(tmp_path) == ["readings-000001-20231114T221320Z.lp"]
    assert content(tmp_path) == b"a 1\nb 2\nc 3\nd 4\n"


@pytest.mark.parametrize("torn", [b"c 3", b"c 3\nd", b"\0" * 5000, b"c 3\n\0\0\0\nd 4\n", b"x" * (2 * TAIL_BYTES + 7)])
def test_a_torn_tail_is_cut_off_when_the_file_is_opened(tmp_path: Path, files: LineFiles, torn: bytes) -> None:
    files.append(b"a 1\nb 2\n", T0_MS)
    files.close()
    path = tmp_path / names(tmp_path)[0]
    with path.open("ab") as stream:
        stream.write(torn)
    files.append(b"e 5\n", T0_MS)
    whole = torn.partition(b"\0")[0]
    kept = whole[: whole.rfind(b"\n") + 1]
    assert content(tmp_path) == b"a 1\nb 2\n" + kept + b"e 5\n"


@given(torn=st.binary(max_size=40), tail=st.sampled_from([1, 2, 7, 4096]))
@settings(max_examples=60, deadline=None)
def test_whatever_the_tail_is_only_whole_lines_stay(torn: bytes, tail: int) -> None:
    import tempfile

    import edge.line_files as module

    before, module.TAIL_BYTES = module.TAIL_BYTES, tail
    try:
        with tempfile.TemporaryDirectory() as folder:
            files = LineFiles(rules(Path(folder)))
            files.append(b"a 1\n", T0_MS)
            files.close()
            path = Path(folder) / names(Path(folder))[0]
            path.write_bytes(b"a 1\n" + torn)
            files.append(b"b 2\n", T0_MS)
            files.close()
            whole = (b"a 1\n" + torn).partition(b"\0")[0]
            assert path.read_bytes() == whole[: whole.rfind(b"\n") + 1] + b"b 2\n"
    finally:
        module.TAIL_BYTES = before


def test_a_file_is_closed_at_its_size_and_the_oldest_go(tmp_path: Path) -> None:
    files = LineFiles(rules(tmp_path, rotate_bytes=10, keep_files=3))
    for number in range(6):
        files.append(b"line %d\n" % number, T0_MS + 1000 * number)
    files.close()
    assert [name.split("-")[1] for name in names(tmp_path)] == ["000004", "000005", "000006"]
    assert content(tmp_path) == b"line 3\nline 4\nline 5\n"


def test_a_file_is_closed_at_its_age_also_over_a_restart(tmp_path: Path) -> None:
    files = LineFiles(rules(tmp_path))
    files.append(b"a 1\n", T0_MS)
    files.append(b"b 2\n", T0_MS + DAY_MS - 1)
    files.close()
    files.append(b"c 3\n", T0_MS + DAY_MS)
    files.close()
    assert len(names(tmp_path)) == 2
    assert (tmp_path / names(tmp_path)[1]).read_bytes() == b"c 3\n"


def test_closed_files_are_compressed_and_one_that_was_interrupted_is_done_again(tmp_path: Path) -> None:
    files = LineFiles(rules(tmp_path, rotate_bytes=10, compress=True))
    files.append(b"line 0\n", T0_MS)
    files.append(b"line 1\n", T0_MS)
    files.close()
    first, second = names(tmp_path)
    assert first.endswith(".lp.gz")
    (tmp_path / first).unlink()
    (tmp_path / first.removesuffix(".gz")).write_bytes(b"line 0\n")
    (tmp_path / f"{first.removesuffix('.gz')}.tmp").write_bytes(b"half")
    files.append(b"a\n", T0_MS)
    files.close()
    assert names(tmp_path) == [first, second]
    assert content(tmp_path) == b"line 0\nline 1\na\n"


def test_a_second_process_is_refused(tmp_path: Path, files: LineFiles) -> None:
    files.append(b"a 1\n", T0_MS)
    with pytest.raises(BlockingIOError):
        LineFiles(rules(tmp_path)).append(b"b 2\n", T0_MS)


def test_what_could_not_be_synced_is_taken_out_again(
    tmp_path: Path, files: LineFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.append(b"a 1\n", T0_MS)
    real, failing = os.fsync, [True]

    def fsync(file: int) -> None:
        if failing[0]:
            raise OSError(28, "No space left on device")
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space"):
        files.append(b"b 2\nc 3\n", T0_MS)
    assert content(tmp_path) == b"a 1\n"
    failing[0] = False
    files.append(b"b 2\n", T0_MS)
    assert content(tmp_path) == b"a 1\nb 2\n"


WRITER = """
import sys
from pathlib import Path
from edge.line_files import FileRules, LineFiles
files = LineFiles(FileRules(Path(sys.argv[1]), 20_000, 10**9, 1000, True))
number = int(sys.argv[2])
while True:
    files.append(b"".join(b"line,n=%d v=%di\\n" % (number, part) for part in range(50)), 1_700_000_000_000)
    print(number, flush=True)
    number += 1
"""


@pytest.mark.no_cover
def test_a_writer_killed_at_any_moment_leaves_whole_lines_and_everything_it_had_said(tmp_path: Path) -> None:
    said = -1
    for kill_after in (1, 7, 30, 2, 19):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(said + 1)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        for _ in range(kill_after):
            said = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().splitlines()
        said = int(rest[-1]) if rest and rest[-1].isdigit() else said
        writer.stdout.close()
        writer.wait()
    files = LineFiles(rules(tmp_path, compress=True))
    files.append(b"the end\n", T0_MS)
    files.close()
    lines = content(tmp_path).splitlines()
    expected = {b"line,n=%d v=%di" % (number, part) for number in range(said + 1) for part in range(50)}
    assert expected <= set(lines)
    assert all(line == b"the end" or (line.startswith(b"line,n=") and line.endswith(b"i")) for line in lines)
