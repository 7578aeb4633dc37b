"""`tidegate edge command`, `tidegate edge firmware` and `tidegate firmware` against a gateway that runs."""

import asyncio
import json
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from edge.config import EdgeConfig
from edge.gateway import serve
from sensors.clock import SystemClock
from sensors.firmware import decode_manifest, verify
from tests.edge.kit import SITE, message, open_desk, reading
from tidegate.cli import build_app
from tidegate.config import load
from tidegate.edge_access import GatewayError
from tidegate.errors import ConfigError, TakenError
from tidegate.process import until_stopped

RUNNER = CliRunner()
DEVICE = f"{SITE}/d1"


def run(*words: str, code: int = 0) -> str:
    done = RUNNER.invoke(build_app(list(words)), list(words), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def run_json(*words: str, code: int = 0) -> Any:
    return json.loads(run(*words, "--json", code=code))


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "edge.toml"
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as nowhere:
        port, closed = free.getsockname()[1], nowhere.getsockname()[1]
    path.write_text(
        f"api.port = {port}\napi.token = 'secret'\napi.own_process = false\nmqtt.port = {closed}\n"
        f"influx.url = 'http://127.0.0.1:{closed}'\nstore.data_dir = '{tmp_path / 'data'}'\n"
    )
    return str(path)


@pytest.fixture
def gateway(config: str, tmp_path: Path) -> Iterator[str]:
    """A gateway that has heard one device; its configuration."""
    settings = load(EdgeConfig, "EDGE", Path(config), {})
    settings.store.data_dir.mkdir()
    desk = open_desk(settings.store.data_dir)
    desk.take_in([message(reading(0))], 0, 0)
    desk.close()
    ready, holder = threading.Event(), []

    async def serve_until_stopped() -> None:
        stop = asyncio.Event()
        holder.append((asyncio.get_running_loop(), stop))
        await until_stopped(serve(settings, SystemClock(), ready.set), stop)

    thread = threading.Thread(target=lambda: asyncio.run(serve_until_stopped()))
    with capture_logs():  # else they stand between the answers
        thread.start()
        assert ready.wait(20)
        yield config
        loop, stop = holder[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)


def test_a_command_is_sent_listed_shown_and_cancelled(gateway: str) -> None:
    sent = run_json("edge", "command", "send", DEVICE, "set-interval", "--interval-s", "60", "--config", gateway)
    assert (sent["state"], sent["args"], sent["open"]) == ("waiting", {"interval_s": 60.0}, True)
    text = run("edge", "command", "list", DEVICE, "--config", gateway)
    assert sent["id"] in text
    assert run_json("edge", "command", "show", DEVICE, sent["id"], "--config", gateway)["id"] == sent["id"]
    assert run_json("edge", "command", "cancel", DEVICE, sent["id"], "--config", gateway)["state"] == "cancelled"
    waited = run_json("edge", "command", "send", DEVICE, "reboot", "--wait", "0.1", "--config", gateway, code=1)
    assert waited["state"] == "waiting", "nobody answered"


def test_what_cannot_be_is_refused_with_the_reason(gateway: str) -> None:
    run("edge", "command", "send", DEVICE, "reboot", "--interval-s", "5", "--config", gateway, code=2)
    run("edge", "command", "send", "d1", "reboot", "--config", gateway, code=2)
    with pytest.raises(GatewayError, match="no device office/nobody was ever heard"):
        run("edge", "command", "send", f"{SITE}/nobody", "reboot", "--config", gateway)
    with pytest.raises(GatewayError, match=r"interval_s is 0\.0: expected 0\.01"):
        run("edge", "command", "send", DEVICE, "set-interval", "--interval-s", "0", "--config", gateway)
    with pytest.raises(GatewayError, match="has no command 9-x"):
        run("edge", "command", "show", DEVICE, "9-x", "--config", gateway)


def test_a_gateway_that_does_not_run_is_said_so(config: str) -> None:
    with pytest.raises(GatewayError, match="no gateway answers"):
        run("edge", "command", "list", DEVICE, "--config", config)


def sign(tmp_path: Path, version: str = "1.4.0") -> tuple[Path, str]:
    """An image beside its manifest, and the public key."""
    public_key = run("firmware", "keygen", str(tmp_path / "key")).strip()
    image = tmp_path / "node.bin"
    image.write_bytes(b"code" * 1000)
    key = str(tmp_path / "key")
    run("firmware", "sign", str(image), "--image-version", version, "--device-type", "node", "--key", key)
    return image, public_key


def test_a_signed_image_bears_the_signature_of_the_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    image, public_key = sign(tmp_path)
    manifest = decode_manifest(image.with_name("node.bin.manifest.json").read_bytes())
    assert verify(manifest, public_key)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    with pytest.raises(TakenError, match="never overwritten"):
        run("firmware", "keygen", str(tmp_path / "key"))
    with pytest.raises(ConfigError, match="numbers with dots"):
        run(
            "firmware",
            "sign",
            str(image),
            "--image-version",
            "new",
            "--device-type",
            "n",
            "--key",
            str(tmp_path / "key"),
        )


def test_an_image_is_added_rolled_out_halted_and_removed(gateway: str, tmp_path: Path) -> None:
    image, _ = sign(tmp_path)
    added = run_json("edge", "firmware", "add", str(image), "--config", gateway)
    assert (added["version"], added["size"]) == ("1.4.0", 4000)
    begun = run_json("edge", "firmware", "rollout", "1.4.0", "--devices", "x/*", "--percent", "10", "--config", gateway)
    assert (begun["state"], begun["percent"], begun["tried"]) == ("running", 10, [])
    text = run("edge", "firmware", "list", "--config", gateway)
    assert "1.4.0" in text
    assert "x/*" in text
    run("edge", "firmware", "halt", str(begun["id"]), "--config", gateway)
    assert "removed" in run("edge", "firmware", "remove", "1.4.0", "--config", gateway)
    assert run_json("edge", "firmware", "list", "--config", gateway)["images"] == []
    with pytest.raises(GatewayError, match=r"there is no image 1\.4\.0"):
        run("edge", "firmware", "remove", "1.4.0", "--config", gateway)


def test_an_image_that_was_changed_after_signing_is_not_taken(gateway: str, tmp_path: Path) -> None:
    image, _ = sign(tmp_path)
    image.write_bytes(b"evil" * 1000)
    with pytest.raises(GatewayError, match="not those of the manifest"):
        run("edge", "firmware", "add", str(image), "--config", gateway)


def test_a_change_with_a_wrong_token_is_refused(gateway: str) -> None:
    Path(gateway).write_text(Path(gateway).read_text().replace("'secret'", "'guess'"))
    with pytest.raises(GatewayError, match="token"):
        run("edge", "command", "send", DEVICE, "reboot", "--config", gateway)
