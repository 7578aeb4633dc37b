"""Real destinations beside the cloud: a bridge to a second Mosquitto and files, killed and restarted in the middle."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.bridge import BridgeSender
from edge.destination_config import BridgeDestination
from edge.forward.outcome import Accepted, Outcome, Paused
from sensors.reading import Identity
from sensors.senml import decode
from tests.live.house import House, house, needs_broker, own_broker, wait_until
from tests.live.mosquitto import Mosquitto, running_mosquitto

pytestmark = [pytest.mark.live, needs_broker, own_broker]


class Upstream:
    """Who is subscribed upstream: what came, and how often, by identity."""

    def __init__(self, port: int) -> None:
        self.came: Counter[Identity] = Counter()
        self.values: dict[Identity, object] = {}
        self.changed = 0
        self.subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, "reader", protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.reconnect_delay_set(1, 1)
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", port, clean_start=False, properties=session)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe("up/#", qos=1)

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        _, _, device, kind = message.topic.split("/")
        assert kind == "reading"
        for reading in decode(bytes(message.payload), device=device, received_at_ms=0):
            told = (reading.taken_at_ms, reading.values)
            self.changed += self.values.setdefault(reading.identity, told) != told
            self.came[reading.identity] += 1


@contextmanager
def bridged(folder: Path, protocol: str) -> Iterator[tuple[House, Mosquitto, Upstream]]:
    with running_mosquitto(folder / "upstream") as upstream:
        bridge = {
            "name": "upstream", "kind": "mqtt", "protocol": protocol, "port": upstream.port,
            "topic": "up/{site}/{device}/{kind}", "flush_every_ms": 50,
            "retry_cap_s": 1, "read_timeout_s": 2, "send": ["raw"],
        }  # fmt: skip
        archive = {"name": "archive", "kind": "file", "folder": str(folder / "archive"), "rotate_bytes": 20_000,
                   "keep_files": 10_000, "compress": True, "flush_every_ms": 50}  # fmt: skip
        reader = Upstream(upstream.port)
        try:
            assert reader.subscribed.wait(10)
            with house(folder, edge={"destinations": [bridge, archive]}) as lab:
                yield lab, upstream, reader
        finally:
            reader.close()


def destination(lab: House, name: str) -> Any:
    return next(each for each in lab.status().destinations if each.name == name)


def archived(folder: Path) -> Counter[bytes]:
    """The lines of readings in the files, with how often each is there."""
    import gzip

    found: Counter[bytes] = Counter()
    for path in sorted((folder / "archive").iterdir()):
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        assert not raw or raw.endswith(b"\n")
        found.update(line for line in raw.splitlines() if line.startswith(b"reading,"))
    return found


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_bridge_and_files_get_everything_whoever_is_killed(tmp_path: Path, protocol: str) -> None:
    with bridged(tmp_path, protocol) as (lab, upstream, reader):
        lab.start()
        wait_until(lambda: destination(lab, "upstream").delivered > 100, "the bridge works")
        lab.gateway.kill()
        lab.gateway.start()
        wait_until(lambda: destination(lab, "upstream").delivered > 200, "it works again")
        upstream.kill()
        wait_until(lambda: destination(lab, "upstream").link.state == "down", "the gateway notices")
        held = destination(lab, "upstream").held
        delivered = lab.status().ledger.delivered
        wait_until(lambda: lab.status().ledger.delivered > delivered + 100, "the cloud is served all the while")
        wait_until(lambda: destination(lab, "upstream").held > held, "it holds what it cannot send")
        lab.gateway.kill()
        upstream.start()
        lab.gateway.start()
        proof = lab.prove()
        assert proof.holds, proof
        truth = {Identity(line.device, line.boot, line.seq) for line in lab.truth()}
        wait_until(lambda: destination(lab, "upstream").held == 0, "the bridge has caught up")
        wait_until(lambda: destination(lab, "archive").held == 0, "the files have caught up")
        for name in ("upstream", "archive"):
            told = destination(lab, name)
            assert told.balances
            assert (told.delivered, told.quarantined) == (len(truth), 0)
        wait_until(lambda: len(reader.came) >= len(truth), "everything was read upstream")
        assert set(reader.came) == truth
        assert reader.changed == 0, "what comes twice is the same"
        lines = archived(tmp_path)
        assert len(lines) == len(truth)


@pytest.mark.parametrize(("protocol", "outcome"), [("5", Paused), ("3.1.1", Accepted)])
def test_a_broker_that_forbids_the_topic_says_so_in_mqtt_5_alone(
    tmp_path: Path, protocol: str, outcome: type[Outcome]
) -> None:
    """What docs/destinations.md warns of: a PUBACK of 3.1.1 cannot refuse."""
    (tmp_path / "acl").write_text("topic read #\n")
    with running_mosquitto(tmp_path / "upstream", extra=f"acl_file {tmp_path / 'acl'}") as upstream:
        settings = {"name": "up", "kind": "mqtt", "port": upstream.port, "protocol": protocol}
        sender = BridgeSender(BridgeDestination.model_validate(settings))

        async def once() -> Outcome:
            try:
                return await sender.send(b'{"topic":"up/a","payload":"b"}\n')
            finally:
                await sender.aclose()

        assert isinstance(asyncio.run(once()), outcome)


def test_readings_without_subscribers_are_held_if_that_is_wanted(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "upstream") as upstream:
        bridge = {
            "name": "upstream", "kind": "mqtt", "port": upstream.port, "topic": "up/{site}/{device}/{kind}",
            "flush_every_ms": 50, "retry_cap_s": 1, "without_subscribers": "hold",
        }  # fmt: skip
        with house(tmp_path, edge={"destinations": [bridge]}) as lab:
            lab.start()
            wait_until(lambda: destination(lab, "upstream").failures > 1, "nobody reads")
            assert destination(lab, "upstream").delivered == 0
            assert "nobody is subscribed" in destination(lab, "upstream").last_error
            reader = Upstream(upstream.port)
            try:
                assert reader.subscribed.wait(10)
                wait_until(lambda: destination(lab, "upstream").delivered > 0, "somebody reads")
                wait_until(lambda: len(reader.came) > 0, "and gets it")
            finally:
                reader.close()
