"""docker-compose.yml and its files, judged without Docker: what it names exists, and no secret is in it.

The live test at the end starts Debian's Mosquitto with the very configuration, access list and password file of the
composition, and lets the three users in.
"""

import contextlib
import importlib.machinery
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import paho.mqtt.client as paho
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion

from tidegate.config import effective, load
from tidegate.parts import PARTS

ROOT: Final = Path(__file__).resolve().parent.parent
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
OURS: Final = {"gateway": "edge", "devices": "sensors"}


def _maker() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("make_secrets", str(ROOT / "deploy" / "make-secrets"))
    spec = importlib.util.spec_from_loader("make_secrets", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A directory with freshly made secrets."""
    done = subprocess.run(
        [sys.executable, ROOT / "deploy" / "make-secrets", tmp_path], capture_output=True, text=True, check=True
    )
    assert "made " in done.stdout
    return tmp_path


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_restarts_and_is_watched(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    check = service["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()
    assert "no-new-privileges:true" in service["security_opt"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"influxdb"}))
def test_every_service_but_influxdb_runs_read_only_without_capabilities(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_nothing_is_open_to_other_machines() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_is_written_in_the_file() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|SECRET", key):
                assert key.endswith("_FILE"), f"{name}: {key} holds a secret"
                assert value.startswith("/run/secrets/"), f"{name}: {key} is no mounted secret"
                assert value.removeprefix("/run/secrets/") in service["secrets"], f"{name}: {value} is not mounted"


def test_every_secret_used_is_declared_made_and_ignored_by_git(made: Path) -> None:
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])
    assert {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()} == {
        path.name for path in made.iterdir()
    }
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_every_volume_and_network_used_is_declared() -> None:
    mounts = [mount.split(":")[0] for service in SERVICES.values() for mount in service["volumes"]]
    assert {mount for mount in mounts if not mount.startswith(".")} == set(COMPOSE["volumes"])
    assert {network for service in SERVICES.values() for network in service["networks"]} == set(COMPOSE["networks"])


def test_every_mounted_or_built_file_exists() -> None:
    mounts = [mount.split(":")[0] for service in SERVICES.values() for mount in service["volumes"]]
    builds = [service["build"]["dockerfile"] for service in SERVICES.values() if "build" in service]
    for name in [mount for mount in mounts if mount.startswith(".")] + builds:
        assert (ROOT / name).is_file(), name


def test_the_devices_cannot_reach_the_cloud_but_through_the_gateway() -> None:
    assert SERVICES["devices"]["networks"] == ["field"]
    assert SERVICES["influxdb"]["networks"] == ["cloud"]
    assert sorted(SERVICES["gateway"]["networks"]) == ["cloud", "field"]


@pytest.mark.parametrize(("service", "part"), OURS.items())
def test_our_commands_are_real_and_their_configuration_is_valid(service: str, part: str, made: Path) -> None:
    command = SERVICES[service]["command"]
    assert command[:3] == [part, "run", "--config"]
    mounted = {mount.split(":")[1]: mount.split(":")[0] for mount in SERVICES[service]["volumes"]}
    environ = {
        key: re.sub(r"^/run/secrets/(.*)$", rf"{made}/\1.txt", value)
        for key, value in SERVICES[service]["environment"].items()
    }
    words = [str(ROOT / mounted[word]) if word in mounted else word for word in command]
    done = subprocess.run(
        [sys.executable, "-m", "tidegate", *words, "--check-config"],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert '"host": "mosquitto"' in done.stdout


def test_the_gateway_and_influxdb_agree() -> None:
    config = tomllib.loads((ROOT / "deploy" / "edge.toml").read_text(encoding="utf-8"))
    environment = SERVICES["influxdb"]["environment"]
    assert config["influx"]["org"] == environment["DOCKER_INFLUXDB_INIT_ORG"]
    assert config["influx"]["bucket"] == environment["DOCKER_INFLUXDB_INIT_BUCKET"]
    assert config["influx"]["url"] == "http://influxdb:8086"


def test_the_image_has_the_version_of_the_project_and_every_room() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    for service in OURS:
        assert SERVICES[service]["image"] == f"tidegate:{project['project']['version']}"
    for room in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert f"COPY {room} {room}\n" in dockerfile
        assert f"!{room}\n" in (ROOT / ".dockerignore").read_text(encoding="utf-8")


def test_every_file_that_the_image_copies_exists_and_is_not_ignored() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)]
    for name in [name for names in copied for name in names]:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored, name


# ---------------------------------------------------------------- secrets


def test_a_second_run_changes_no_secret(made: Path) -> None:
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    done = subprocess.run(
        [sys.executable, ROOT / "deploy" / "make-secrets", made], capture_output=True, text=True, check=True
    )
    assert "everything is there already" in done.stdout
    assert before == {path.name: path.read_bytes() for path in made.iterdir()}


def test_secrets_are_long_different_and_for_the_owner_only(made: Path) -> None:
    secrets = [path.read_text(encoding="utf-8").strip() for path in made.iterdir() if "mosquitto" not in path.name]
    assert len(set(secrets)) == len(secrets) == 5
    assert min(map(len, secrets)) >= 40
    assert made.stat().st_mode & 0o777 == 0o700


def test_the_password_file_holds_no_password(made: Path) -> None:
    hashed = (made / "mosquitto_passwords.txt").read_text(encoding="utf-8")
    for user in _maker().MQTT_USERS:
        assert (made / f"mqtt_{user}_password.txt").read_text(encoding="utf-8").strip() not in hashed


# ---------------------------------------------------------------- examples

_FLEETS: Final = tuple(
    f"fleet-{name}"
    for name in ("office", "cold-chain", "farm", "factory", "parking", "assets", "rooms", "lorawan-year")
)
_SECRETS_FOR_EXAMPLES: Final = {"TIDEGATE_BROKER__PASSWORD": "x", "TIDEGATE_CLOUD__TOKEN": "x"}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("edge", "edge"),
        ("edge-destinations", "edge"),
        ("cloud", "cloud"),
        ("broker", "broker"),
        *((fleet, "sensors") for fleet in _FLEETS),
    ],
)
def test_every_example_is_a_valid_configuration(name: str, part: str) -> None:
    made_part = PARTS[part]()
    config = load(made_part.model, made_part.section, ROOT / "examples" / f"{name}.toml", _SECRETS_FOR_EXAMPLES)
    assert effective(config)


def test_every_example_is_tested() -> None:
    assert {path.name for path in (ROOT / "examples").glob("*.toml")} == {
        "edge.toml",
        "edge-destinations.toml",
        "cloud.toml",
        "broker.toml",
        *(f"{fleet}.toml" for fleet in _FLEETS),
    }


# ---------------------------------------------------------------- the broker's configuration, in a real Mosquitto


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def mosquitto_port(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Debian's Mosquitto with the composition's files; only paths, port and user are this machine's."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.fail("mosquitto is not installed: scripts/test installs it")
    place = tmp_path_factory.mktemp("mosquitto")
    port = _free_port()
    text = (ROOT / "deploy" / "mosquitto.conf").read_text(encoding="utf-8")
    for old, new in {
        "/run/secrets/mosquitto_passwords": str(made / "mosquitto_passwords.txt"),
        "/mosquitto/config/acl": str(ROOT / "deploy" / "mosquitto.acl"),
        "/mosquitto/data/": f"{place}/",
        "listener 1883": f"listener {port} 127.0.0.1",
    }.items():
        assert old in text
        text = text.replace(old, new)
    if os.geteuid() == 0:
        text += "\nuser root\n"
    (place / "mosquitto.conf").write_text(text, encoding="utf-8")
    with subprocess.Popen([program, "-c", place / "mosquitto.conf"]) as process:
        try:
            _wait_for(port, process)
            yield port
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until the port answers; a refusal comes at once, and pytest's time limit bounds the rest."""
    while process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return
    pytest.fail(f"mosquitto ended with {process.returncode}; its words are above")


def _reason(port: int, user: str | None, password: str | None) -> str:
    """How the broker answers a CONNECT of MQTT 5."""
    answers: list[str] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_connect = lambda *arguments: answers.append(str(arguments[3]))
    if user is not None:
        client.username_pw_set(user, password)
    client.connect("127.0.0.1", port)
    while not answers:
        client.loop(0.1)
    client.disconnect()
    return answers[0]


@pytest.mark.live
def test_mosquitto_takes_the_configuration_and_lets_only_the_made_users_in(mosquitto_port: int, made: Path) -> None:
    for user in _maker().MQTT_USERS:
        password = (made / f"mqtt_{user}_password.txt").read_text(encoding="utf-8").strip()
        assert _reason(mosquitto_port, user, password) == "Success"
    assert _reason(mosquitto_port, "gateway", "wrong") == "Not authorized"
    assert _reason(mosquitto_port, None, None) == "Not authorized"
