"""The demo's folder: taken by one, emptied safely, and full of configurations that the parts accept."""

import socket
from pathlib import Path

import pytest

from cloud.config import CloudConfig
from edge.config import EdgeConfig
from firmware_sim.config import FleetConfig
from tidegate.broker import BrokerConfig
from tidegate.config import load
from tidegate.demo.link import outage_recording, speed_for
from tidegate.demo.settings import DemoError, DemoSettings, parse_duration
from tidegate.demo.site import LOOPBACK, prepare


def settings(folder: Path, api_port: int = 0) -> DemoSettings:
    return DemoSettings(folder, for_s=60, api_port=api_port)


@pytest.mark.parametrize(
    ("part", "model"),
    [("broker", BrokerConfig), ("cloud", CloudConfig), ("edge", EdgeConfig), ("sensors", FleetConfig)],
)
def test_each_part_accepts_its_configuration_and_no_secret_is_in_a_file(tmp_path: Path, part: str, model: type) -> None:
    site = prepare(settings(tmp_path / "with a space"))
    site.lock.close()
    load(model, part.upper(), site.config(part), site.environment)
    text = site.config(part).read_text()
    assert not any(secret in text for secret in site.environment.values())


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    site = prepare(settings(tmp_path / "demo"))
    with pytest.raises(DemoError, match="another demo runs") as caught:
        prepare(settings(tmp_path / "demo"))
    assert caught.value.taken
    site.lock.close()


def test_a_new_run_starts_from_an_empty_folder(tmp_path: Path) -> None:
    prepare(settings(tmp_path)).lock.close()
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge" / "gateway.sqlite").write_text("old")
    prepare(settings(tmp_path)).lock.close()
    assert not (tmp_path / "edge").exists()


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DemoError, match="holds other things"):
        prepare(settings(tmp_path))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DemoError, match="cannot write to"):
        prepare(settings(tmp_path / "file" / "demo"))


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DemoError, match=f"cannot listen on {LOOPBACK}:{port}"):
            prepare(settings(tmp_path, api_port=port))
    prepare(settings(tmp_path)).lock.close()


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("5m", 300), ("1h", 3600), ("90", 90)])
def test_durations_are_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5s", "3s", "1.5m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(DemoError, match="expected at least 10s"):
        parse_duration(text)


def test_the_recording_has_its_78_s_outage_and_ends_before_the_run_does() -> None:
    recording = outage_recording()
    (outage,) = [each for each in recording.timeline("uplink").outages() if each.end_us - each.start_us > 10_000_000]
    assert 77_000_000 <= outage.end_us - outage.start_us <= 79_000_000
    assert recording.timeline("uplink").end_us / 1_000_000 / speed_for(60) <= 60
