"""Commands and updates over real Mosquitto: a sleeping fleet, a gateway that is killed, an image that is rolled out."""

import base64
import json
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from sensors.messages import State, encode
from tests.firmware_sim.update.bench import PUBLIC_KEY, TYPE, image_of
from tests.live.house import House, house, needs_broker, wait_until

pytestmark = [pytest.mark.live, needs_broker]
TOKEN = "of-this-test"
GROUP = {
    "count": 3,
    "interval_s": 0.5,
    "jitter_s": 0.1,
    "send": {"ack_timeout_s": 1.0, "receive_window_s": 0.3},
    "firmware": {"type": TYPE, "public_key": PUBLIC_KEY},
}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, edge={"api": {"token": TOKEN}}, group=GROUP) as built:
        built.start()
        wait_until(lambda: built.status().devices == 3, "every device was heard")
        yield built


def ask(lab: House, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{lab.api_port}/api/v1{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        told: dict[str, Any] = json.load(answer)
        return told


def send(lab: House, device: str, name: str, **args: Any) -> str:
    path = f"/devices/lab/{device}/commands"
    return f"{path}/{ask(lab, 'POST', path, {'name': name, 'args': args})['id']}"


def boots(lab: House, device: str) -> set[int]:
    return {line.boot for line in lab.truth() if line.device == device}


def test_a_sleeping_device_is_told_at_its_next_contact_and_says_what_it_did(lab: House) -> None:
    unsigned = {"version": "9.0.0", "size": 1, "sha256": "0" * 64, "chunk_bytes": 64, "device_types": [TYPE]}
    first = send(lab, "dev-1", "set-interval", interval_s=0.1)
    refused = send(lab, "dev-2", "start-update", **unsigned, signature="")
    wait_until(lambda: ask(lab, "GET", first)["state"] == "acknowledged", "the device answers")
    wait_until(lambda: ask(lab, "GET", refused)["state"] == "refused", "the device refuses")
    assert "signature" in ask(lab, "GET", refused)["detail"]
    measured = sum(line.device == "dev-1" for line in lab.truth())
    wait_until(lambda: sum(line.device == "dev-1" for line in lab.truth()) > measured + 30, "it measures faster")
    proof = lab.prove()
    assert proof.holds, proof


class Spy:
    """Hears the commands of one device, and can speak for it."""

    def __init__(self, client: mqtt.Client, topic: str) -> None:
        self._client, self._topic = client, topic
        self.heard: list[bytes] = []
        client.on_message = lambda _client, _data, message: self.heard.append(bytes(message.payload))
        client.subscribe(f"{topic}/cmd", 1)

    def publish(self, kind: str, payload: bytes) -> None:
        self._client.publish(f"{self._topic}/{kind}", payload, qos=1).wait_for_publish(10)


@contextmanager
def spy_on(lab: House, device: str) -> Iterator[Spy]:
    where = lab.edge_config["mqtt"]
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect(where.get("host", "127.0.0.1"), where["port"])
    client.loop_start()
    try:
        yield Spy(client, f"{lab.topic_root}/lab/{device}")
    finally:
        client.disconnect()
        client.loop_stop()


def test_a_gateway_killed_between_send_and_answer_has_the_command_done_once(lab: House) -> None:
    with spy_on(lab, "dev-1") as spy:
        wait_until(lambda: len(boots(lab, "dev-1")) == 1, "the device measures")
        lab.fleet.send(signal.SIGSTOP)
        path = send(lab, "dev-1", "reboot")

        def is_sent() -> bool:
            spy.publish("state", encode(State(online=True)))  # a contact, while the device cannot answer
            return bool(ask(lab, "GET", path)["state"] == "sent" and spy.heard)

        wait_until(is_sent, "the command is on its way")
        lab.gateway.kill()
        spy.publish("cmd", spy.heard[0])  # what a second send would be
        lab.gateway.start()
        assert ask(lab, "GET", path)["state"] == "sent"
        lab.fleet.send(signal.SIGCONT)
        wait_until(lambda: ask(lab, "GET", path)["state"] == "acknowledged", "its answer is taken")
        spy.publish("cmd", spy.heard[0])
        wait_until(lambda: len(boots(lab, "dev-1")) == 2, "it measures after its reboot")
        measured = len(lab.truth())
        wait_until(lambda: len(lab.truth()) > measured + 10, "and goes on")
    assert len(boots(lab, "dev-1")) == 2, "three deliveries, one reboot"
    proof = lab.prove()
    assert proof.holds, proof


def test_an_image_reaches_a_sleeping_fleet_and_the_gateway_may_be_killed_meanwhile(lab: House) -> None:
    manifest, image = image_of("1.1.0", 6000)
    body = {"manifest": msgspec.to_builtins(manifest), "image_base64": base64.b64encode(image).decode()}
    ask(lab, "POST", "/firmware", body)
    ask(lab, "POST", "/firmware/1.1.0/rollouts", {"devices": "lab/*"})
    wait_until(lambda: ask(lab, "GET", "/firmware")["rollouts"][0]["tried"] != [], "the first devices are told")
    lab.gateway.kill()
    lab.gateway.start()
    wait_until(lambda: ask(lab, "GET", "/firmware")["running"] == {"1.1.0": 3}, "every device runs it")
    wait_until(lambda: ask(lab, "GET", "/firmware")["rollouts"][0]["state"] == "done", "the rollout is done")
    proof = lab.prove()
    assert proof.holds, proof
