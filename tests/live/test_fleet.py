"""The fleet against a real Mosquitto: nothing measured is lost, whoever is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from firmware_sim.truth import TruthLine
from sensors.reading import Identity
from tests.live.authority import Authority
from tests.live.fake_gateway import FakeGateway
from tests.live.mosquitto import Mosquitto, free_port, running_mosquitto
from tests.uncounted import uncounted

pytestmark = pytest.mark.live

ARRIVE_S = 25.0
_RUN_FLEET = """
import asyncio, json, signal, sys
from firmware_sim.config import FleetConfig
from firmware_sim.fleet import serve
from sensors.clock import SystemClock

async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    config = FleetConfig.model_validate(json.loads(sys.argv[1]))
    report = await serve(config, SystemClock(), lambda: print("ready", flush=True), stop)
    print(json.dumps({"held": report.held, "sampled": report.total.sampled, "acked": report.total.acked}), flush=True)

asyncio.run(main())
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with running_mosquitto(tmp_path / "mosquitto") as running:
        yield running


class FleetProcess:
    """The fleet as a process of its own, so that it can be killed.

    `counts_lines`: whether coverage is on in it; for one that is killed or refused it would be for nothing.
    """

    def __init__(self, config: dict[str, Any], *, counts_lines: bool = True) -> None:
        root = str(Path(__file__).parents[2])
        environ = {**os.environ, "PYTHONPATH": root} if counts_lines else uncounted(PYTHONPATH=root)
        command = [sys.executable, "-W", "error", "-c", _RUN_FLEET, json.dumps(config)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", self._process.communicate()[1]

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

    def stop(self) -> dict[str, int]:
        self._process.send_signal(signal.SIGTERM)
        out, errors = self._process.communicate(timeout=30)
        assert self._process.returncode == 0, errors
        assert errors == ""
        result: dict[str, int] = json.loads(out)
        return result


def fleet_config(broker: Mosquitto, folder: Path, connections: str, **changes: Any) -> dict[str, Any]:
    sensor = {"part": "SHT31", "quantity": "temperature", "signal": {"kind": "daily", "mean": 21, "amplitude": 3}}
    group = {
        "name": "dev",
        "count": 10,
        "interval_s": 0.1,
        "jitter_s": 0.05,
        "sensors": [sensor],
        "send": {"ack_timeout_s": 1.0},
        **changes.pop("group", {}),
    }
    return {
        "site": "lab",
        "data_dir": str(folder / "flash"),
        "truth_file": str(folder / "truth.ndjson"),
        "drain_s": 300,  # far more than `FleetProcess.stop` waits: what is acknowledged ends it
        "mqtt": {"port": broker.port, "connections": connections, **changes.pop("mqtt", {})},
        "devices": [group],
        **changes,
    }


def truth(folder: Path) -> dict[Identity, TruthLine]:
    lines = (folder / "truth.ndjson").read_bytes().splitlines()
    read = [msgspec.json.decode(line, type=TruthLine) for line in lines]
    found = {Identity(line.device, line.boot, line.seq): line for line in read}
    assert len(found) == len(lines), "the truth names a reading twice"
    return found


def assert_all_arrived(gateway: FakeGateway, folder: Path) -> None:
    measured = truth(folder)
    assert gateway.wait_for(set(measured), ARRIVE_S) == set()
    assert set(gateway.readings) == set(measured), "nothing arrived that was not measured"
    for identity, line in measured.items():
        assert gateway.readings[identity].values == line.values
    assert gateway.lost == set()


def wait_until(what: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not what():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("connections", ["per-device", "shared"])
def test_a_fleet_killed_in_the_middle_and_started_again_loses_nothing(
    broker: Mosquitto, tmp_path: Path, connections: str
) -> None:
    config = fleet_config(broker, tmp_path, connections)
    with FakeGateway(broker.port) as gateway:
        for round_ in range(3):
            fleet = FleetProcess(config, counts_lines=False)
            assert gateway.wait_for_count(200 * (round_ + 1), ARRIVE_S)
            fleet.kill()
        fleet = FleetProcess(config)
        assert gateway.wait_for_count(700, ARRIVE_S)
        report = fleet.stop()
        assert report["held"] == 0
        assert_all_arrived(gateway, tmp_path)
    assert len({identity.boot for identity in gateway.readings}) == 4, "each start is one boot of every device"


@pytest.mark.parametrize("connections", ["per-device", "shared"])
def test_a_broker_that_is_killed_and_forgets_everything_costs_nothing(
    broker: Mosquitto, tmp_path: Path, connections: str
) -> None:
    fleet = FleetProcess(fleet_config(broker, tmp_path, connections))
    with FakeGateway(broker.port, acking=False) as gateway:
        assert gateway.wait_for_count(20, ARRIVE_S)
        broker.kill()
        broker.forget()
        broker.start()
        gateway.acknowledge_everything()
        assert gateway.wait_for_count(300, ARRIVE_S)
        assert fleet.stop()["held"] == 0
        assert_all_arrived(gateway, tmp_path)


def test_without_the_gateways_ack_the_flash_keeps_all_and_a_later_gateway_gets_it(
    broker: Mosquitto, tmp_path: Path
) -> None:
    config = fleet_config(broker, tmp_path, "shared", drain_s=0)
    with FakeGateway(broker.port, acking=False) as deaf:
        fleet = FleetProcess(config)
        assert deaf.wait_for_count(40, ARRIVE_S)
        report = fleet.stop()
        assert report["held"] == report["sampled"] > 0
    with FakeGateway(broker.port) as gateway:
        fleet = FleetProcess({**config, "drain_s": 10})
        fleet.stop()
        assert_all_arrived(gateway, tmp_path)


def test_the_last_will_says_offline_when_the_process_dies_and_a_clean_stop_says_it_itself(
    broker: Mosquitto, tmp_path: Path
) -> None:
    config = fleet_config(broker, tmp_path, "per-device", group={"count": 1})
    with FakeGateway(broker.port) as gateway:
        fleet = FleetProcess(config, counts_lines=False)
        assert gateway.wait_for_count(3, ARRIVE_S)
        assert gateway.states["dev"][-1].online
        fleet.kill()
        assert wait_until(lambda: not gateway.states["dev"][-1].online, 20)
        assert gateway.states["dev"][-1].boot is None, "the will was written before the boot was known"
        fleet = FleetProcess(config)
        assert wait_until(lambda: gateway.states["dev"][-1].online)
        fleet.stop()
        assert wait_until(lambda: not gateway.states["dev"][-1].online)
        assert gateway.states["dev"][-1].boot is not None


def test_mqtt_3_1_1_with_user_and_password_works_and_a_wrong_password_does_not(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "mosquitto", users={"fleet": "secret", "fake": "gateway"}) as broker:
        mqtt = {"protocol": "3.1.1", "username": "fleet", "password": "secret"}
        config = fleet_config(broker, tmp_path, "per-device", mqtt=mqtt, group={"send": {"acknowledge": "broker"}})
        fleet = FleetProcess(config)
        assert wait_until(lambda: len(truth(tmp_path)) > 30)
        assert fleet.stop()["held"] == 0
        wrong = {**config, "mqtt": {**config["mqtt"], "password": "guess"}, "drain_s": 0}
        fleet = FleetProcess(wrong, counts_lines=False)
        assert wait_until(lambda: b"not authorised" in broker.log.read_bytes())
        report = fleet.stop()
        assert report["held"] == report["sampled"]


def test_a_publish_that_nobody_subscribes_to_frees_nothing_even_against_a_plain_broker(
    broker: Mosquitto, tmp_path: Path
) -> None:
    config = fleet_config(broker, tmp_path, "shared", drain_s=0, group={"send": {"acknowledge": "broker"}})
    fleet = FleetProcess(config)
    assert wait_until(lambda: len(truth(tmp_path)) > 30)
    report = fleet.stop()
    assert report["held"] == report["sampled"]


def test_two_fleets_on_one_folder_are_refused(broker: Mosquitto, tmp_path: Path) -> None:
    config = fleet_config(broker, tmp_path, "shared", drain_s=0)
    fleet = FleetProcess(config)
    with pytest.raises(AssertionError, match="another fleet is running on it"):
        FleetProcess(config)
    fleet.stop()


def test_tls_is_spoken_to_a_broker_of_ones_own_authority_and_not_to_a_stranger(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    server = authority.issue("server")
    extra = f"certfile {server[0]}\nkeyfile {server[1]}"
    with running_mosquitto(tmp_path / "mosquitto", extra=extra) as broker:
        mqtt: dict[str, Any] = {"protocol": "3.1.1", "tls": {"ca_file": str(authority.ca_file)}}
        config = fleet_config(broker, tmp_path, "per-device", mqtt=mqtt, group={"send": {"acknowledge": "broker"}})
        fleet = FleetProcess(config)
        assert wait_until(lambda: len(truth(tmp_path)) > 30)
        assert fleet.stop()["held"] == 0
        stranger = {**config, "mqtt": {**config["mqtt"], "tls": {}}, "drain_s": 0}
        fleet = FleetProcess(stranger, counts_lines=False)
        assert wait_until(lambda: b"unknown ca" in broker.log.read_bytes())
        report = fleet.stop()
        assert report["held"] == report["sampled"]


@pytest.mark.parametrize("connections", ["shared", "per-device"])
def test_a_fleet_with_certificate_and_password_over_tls_delivers_everything_and_nothing_without_either(
    tmp_path: Path, connections: str
) -> None:
    authority = Authority(tmp_path / "tls")
    server, client = authority.issue("server"), authority.issue("fleet")
    plain = free_port()  # for the gateway
    extra = (
        f"certfile {server[0]}\nkeyfile {server[1]}\n"
        f"cafile {authority.ca_file}\nrequire_certificate true\nlistener {plain} 127.0.0.1"
    )
    users = {"fleet": "secret", "gateway": "other"}
    with running_mosquitto(tmp_path / "mosquitto", users=users, extra=extra) as broker:
        tls = {"ca_file": str(authority.ca_file)}
        own = {"cert_file": str(client[0]), "key_file": str(client[1])}
        mqtt = {"username": "fleet", "password": "secret", "tls": tls | own}
        config = fleet_config(broker, tmp_path, connections, mqtt=mqtt)
        for refused in ({"password": "guess"}, {"tls": tls}):
            fleet = FleetProcess({**config, "mqtt": {**config["mqtt"], **refused}, "drain_s": 0}, counts_lines=False)
            refusal = b"not authorised" if "password" in refused else b"did not return a certificate"
            assert wait_until(partial(has_logged, broker, refusal))
            report = fleet.stop()
            assert report["held"] >= report["sampled"]
            assert report["acked"] == 0
        with FakeGateway(plain, user=("gateway", "other")) as gateway:
            fleet = FleetProcess(config)
            assert gateway.wait_for_count(30, ARRIVE_S)
            assert fleet.stop()["held"] == 0
            assert_all_arrived(gateway, tmp_path)


def has_logged(broker: Mosquitto, sign: bytes) -> bool:
    return sign in broker.log.read_bytes()
