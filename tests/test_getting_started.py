"""docs/getting-started.md, done as it says: its exports and its commands give four valid configurations that fit."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
EXPORTS: Final = dict(
    pair.split("=", 1) for line in re.findall(r"^\$ export (.+)$", PAGE, re.MULTILINE) for pair in line.split()
)
COMMANDS: Final = {
    command.split()[0]: command.split()
    for command in re.findall(r"^\$ \./scripts/tidegate (.+ run .+)$", PAGE, re.MULTILINE)
}


def _effective(part: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tidegate", *COMMANDS[part], "--check-config"],
        cwd=ROOT,
        env=os.environ | EXPORTS,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def test_the_page_starts_all_four_parts() -> None:
    assert sorted(COMMANDS) == ["broker", "cloud", "edge", "sensors"]


@pytest.mark.parametrize("part", ["edge", "sensors"])
def test_both_find_the_broker_and_are_let_in(part: str) -> None:
    broker, client = _effective("broker"), _effective(part)["mqtt"]
    assert (client["host"], client["port"]) == (broker["host"], broker["port"])
    assert client["username"] == broker["username"]
    assert EXPORTS[f"TIDEGATE_{part.upper()}__MQTT__PASSWORD"] == EXPORTS["TIDEGATE_BROKER__PASSWORD"]
    assert client["protocol"] == "3.1.1"


def test_the_gateway_finds_the_cloud_and_is_let_in() -> None:
    cloud, influx = _effective("cloud"), _effective("edge")["influx"]
    assert influx["url"] == f"http://{cloud['host']}:{cloud['port']}"
    assert (influx["org"], influx["bucket"]) == (cloud["org"], cloud["buckets"][0]["name"])
    assert EXPORTS["TIDEGATE_EDGE__INFLUX__TOKEN"] == EXPORTS["TIDEGATE_CLOUD__TOKEN"]
