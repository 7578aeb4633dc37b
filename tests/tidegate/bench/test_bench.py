"""`tidegate bench`: figures of a real gateway at a real broker, or one line that says why not."""

import functools
import json
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from tests.uncounted import uncounted
from tidegate import cli
from tidegate.bench import gateway_process
from tidegate.bench import mosquitto as mosquitto_module
from tidegate.bench.cli import broker_address
from tidegate.bench.measure import BrokerAddress, DrainFigures, IngestFigures
from tidegate.bench.mosquitto import NoBrokerError, mosquitto
from tidegate.errors import ConfigError

DOCS = Path(__file__).parents[3] / "docs"
HAS_MOSQUITTO = shutil.which("mosquitto") or shutil.which(mosquitto_module.SYSTEM_PROGRAM)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://broker.example:1884", BrokerAddress("broker.example", 1884)),
        ("mqtt://10.0.0.7/", BrokerAddress("10.0.0.7", 1883)),
        (None, None),
    ],
)
def test_a_broker_is_named_by_its_address(url: str | None, address: BrokerAddress | None) -> None:
    assert broker_address(url) == address


@pytest.mark.parametrize(
    "url", ["localhost:1883", "mqtts://h", "mqtt://", "mqtt://h:99999", "mqtt://u:p@h", "mqtt://h/x"]
)
def test_an_address_that_is_none_is_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigError, match="--broker: expected mqtt://HOST"):
        broker_address(url)


def test_without_mosquitto_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _program: None)
    with pytest.raises(NoBrokerError, match="install it, or name a broker with --broker"), mosquitto():
        pass


@pytest.mark.parametrize("figures", [IngestFigures, DrainFigures])
def test_every_figure_is_explained(figures: type[IngestFigures | DrainFigures]) -> None:
    page = (DOCS / "performance.md").read_text()
    assert [field.name for field in fields(figures) if f"`{field.name}`" not in page] == []


@pytest.mark.live
@pytest.mark.timeout(120)  # a broker, a gateway and its load start
@pytest.mark.skipif(not HAS_MOSQUITTO, reason="mosquitto is not installed")
@pytest.mark.parametrize(("command", "counted"), [("ingest", "messages"), ("drain", "readings")])
def test_it_measures_a_real_gateway(
    command: str, counted: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The gateway, whose lines its own tests meet, and the cloud, which is killed and its count with it.
    monkeypatch.setattr(gateway_process, "Popen", functools.partial(subprocess.Popen, env=uncounted()))
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", command, "--messages", "1000", "--json"])
    out, err = capsys.readouterr()
    assert ended.value.code == 0, err
    figures = json.loads(out)
    assert figures[counted] == 1000
    assert min(figures["per_s"], figures["per_cpu_s"], figures["memory_mb"], figures["share_of_raw_sqlite"]) > 0
