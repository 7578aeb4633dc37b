"""A fleet whose link replays a recording: what the recording did, the devices' messages meet."""

import json
from pathlib import Path

import pytest

from edge.outages.events import Cause, LinkKind, Sample
from edge.outages.recording import write_recording
from tidegate import cli
from tidegate.outage.builder import Provenance, RecordingBuilder

S_US = 1_000_000
FLEET = """
virtual_start = 2026-01-01T00:00:00Z
[[devices]]
name = "d"
interval_s = 60.0
sensors = [{ name = "t", unit = "Cel", signal = { kind = "constant", value = 1.0 } }]
radio = { kind = "wifi", path_loss_db = 60.0, link = { kind = "trace", LINK } }
"""


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Up with 200 ms, then down from the first to the second hour, then up, for four hours."""
    monkeypatch.chdir(tmp_path)
    builder = RecordingBuilder("uplink", LinkKind.UPLINK)
    builder.up(0)
    builder.add(Sample(0, "uplink", latency_us=200_000))
    builder.down(3600 * S_US, Cause.TIMEOUT)
    builder.up(7200 * S_US)
    path = Path("cell.outage.jsonl")
    write_recording(path, builder.build(4 * 3600 * S_US, Provenance()))
    return path


def run(capsys: pytest.CaptureFixture[str], link: str, *words: str) -> tuple[object, str, str]:
    Path("fleet.toml").write_text(FLEET.replace("LINK", link), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        cli.main(["sensors", "run", "fleet.toml", *words])
    out, err = capsys.readouterr()
    return ended.value.code, out, err


@pytest.mark.usefixtures("logging_restored", "recording")
def test_what_was_measured_while_the_recording_was_down_arrives_when_it_is_up_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = run(capsys, 'file = "cell.outage.jsonl"', "--for", "4h", "--out", "r.jsonl")
    assert (code, err) == (0, "")
    lines = [json.loads(line) for line in Path("r.jsonl").read_bytes().splitlines()]
    start_ms = 1_767_225_600_000
    arrived_h = [(line["received_at_ms"] - start_ms) / 3_600_000 for line in lines]
    assert not [hour for hour in arrived_h if 1.01 < hour < 2]
    assert len(lines) >= 238, "nothing was lost"
    assert min(line["received_at_ms"] - line["taken_at_ms"] for line in lines) >= 200


@pytest.mark.usefixtures("logging_restored", "recording")
def test_with_a_loop_the_recording_begins_again(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, 'file = "cell.outage.jsonl", loop_s = 14400', "--for", "8h", "--out", "r.jsonl")
    lines = [json.loads(line) for line in Path("r.jsonl").read_bytes().splitlines()]
    hours = {(line["received_at_ms"] - 1_767_225_600_000) // 3_600_000 for line in lines}
    assert hours - {1, 5} == {0, 2, 3, 4, 6, 7}
    assert sum((line["received_at_ms"] - 1_767_225_600_000) // 3_600_000 in (1, 5) for line in lines) < 4


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ('file = "no.jsonl"', "devices.0.radio.link.file: expected a readable recording, found 'no.jsonl' (No such"),
        ('file = "fleet.toml"', "devices.0.radio.link.file: fleet.toml: "),
        ('file = "cell.outage.jsonl", link = "moon"', "devices.0.radio.link.link: "),
        ('file = "cell.outage.jsonl", loop_s = 60', "devices.0.radio.link.loop_s: expected more than 7200"),
        (
            'file = "cell.outage.jsonl", segments = [{ from_s = 0, state = "up" }]',
            "devices.0.radio.link: expected either",
        ),
        ('link = "uplink"', "devices.0.radio.link: expected either segments or file"),
    ],
)
@pytest.mark.usefixtures("logging_restored", "recording")
def test_a_recording_that_cannot_be_used_is_refused_with_file_and_key(
    link: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, link, "--check-config")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: fleet.toml: {said}")


@pytest.mark.usefixtures("logging_restored", "recording")
def test_the_effective_configuration_names_the_file_and_not_its_segments(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, 'file = "cell.outage.jsonl"', "--check-config")
    link = json.loads(out)["devices"][0]["radio"]["link"]
    assert (code, link["file"], link["segments"]) == (0, "cell.outage.jsonl", [])
