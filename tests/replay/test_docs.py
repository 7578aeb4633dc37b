"""The example of docs/replay.md runs and prints what the page says; the page names every field and every fault."""

import contextlib
import io
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from tidegate.replay import faults
from tidegate.replay.run import Verdict
from tidegate.replay.site import BrokerSettings, FleetSettings, ReplaySettings, SiteConfig

PAGE = (Path(__file__).parents[2] / "docs" / "replay.md").read_text(encoding="utf-8")


@pytest.mark.no_cover
def test_the_example_prints_what_the_page_says() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (said,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "docs/replay.md", "exec"), {})
    assert printed.getvalue() == said


def test_the_page_names_every_field_of_a_verdict() -> None:
    plain = {"seed", "gateway_lives", "faults_met", "faults_unmet", "events", "simulated_ms"}
    assert {field.name for field in fields(Verdict)} - plain <= set(re.findall(r"`([a-z_]+)`", PAGE))


def test_the_page_names_every_key_of_a_site() -> None:
    for model in (FleetSettings, BrokerSettings, ReplaySettings):
        assert {*model.model_fields} <= set(re.findall(r"`([a-z_]+)`", PAGE))


def test_the_site_on_the_page_is_one() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    site = SiteConfig.model_validate(tomllib.loads(text))
    assert site.fleet.devices == 40
    assert len(site.faults) == 1


def test_the_page_names_every_fault() -> None:
    for name in (
        "GatewayCrash",
        "StoreCrash",
        "DiskFull",
        "BrokerRestart",
        "DeviceReset",
        "DevicePowerCut",
        "ClockStep",
    ):
        assert hasattr(faults, name)
        assert f"`{name}(" in PAGE
