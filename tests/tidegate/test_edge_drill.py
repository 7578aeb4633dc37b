"""`tidegate edge drill` against a gateway that runs."""

from pathlib import Path

import pytest

from tests.tidegate.test_downlink_cli import config, gateway, run, run_json
from tidegate.edge_access import GatewayError

__all__ = ["config", "gateway"]  # fixtures


def test_a_drill_needs_maintenance_mode(config: str, gateway: str) -> None:
    with pytest.raises(GatewayError, match="needs maintenance mode"):
        run("edge", "drill", "start", "down", "--config", gateway)
    assert "one needs maintenance mode" in run("edge", "drill", "status", "--config", gateway)


def test_with_always_it_needs_no_maintenance_mode(config: str, request: pytest.FixtureRequest) -> None:
    path = Path(config)
    path.write_text("drill.always = true\n" + path.read_text())
    running = request.getfixturevalue("gateway")
    assert "one may begin" in run("edge", "drill", "status", "--config", running)
    told = run("edge", "drill", "start", "reset_peer", "--seconds", "30", "--config", running)
    assert told.startswith("running: reset_peer on uplink")
    assert run_json("edge", "drill", "status", "--config", running)["running"]["order"]["fault"] == "reset_peer"
    stopped = run("edge", "drill", "stop", "--config", running)
    assert "last: reset_peer on uplink" in stopped
    assert "no drill runs" in stopped


def test_what_cannot_be_is_refused_before_or_by_the_gateway(config: str, gateway: str) -> None:
    run("edge", "drill", "start", "gremlins", "--config", gateway, code=2)
    run("edge", "drill", "start", "down", "--seconds", "901", "--config", gateway, code=2)
    with pytest.raises(GatewayError, match="destination: expected one of influx"):
        run("edge", "drill", "start", "down", "--destination", "nowhere", "--config", gateway)
