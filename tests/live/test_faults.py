"""Faults of the matrix (docs/faults.md) that need real processes: whoever takes its place, hangs, starves or crowds in.

Each ends with the proof: every reading that was measured is in the cloud once.
"""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from tests.crash.kill_loop import BROKER
from tests.crash.load import Load
from tests.live.house import House, house, needs_broker, own_broker, wait_until

pytestmark = [pytest.mark.live, needs_broker]
HUNGRY = 3  # processes that compute, on the two cores of CI
CROWD = 1000
FLOOD, FLOOD_BYTES = 300, 200_000  # QoS 0: neither broker nor gateway may refuse one
FLOOD_MEMORY_MB = 40  # of 60 that come; 20 are seen


def wait_for_received(lab: House, count: int) -> None:
    wait_until(lambda: lab.status().ledger.received >= count, f"{count} readings in the gateway")


@contextmanager
def impostor(lab: House) -> Iterator[Client]:
    """A client with the gateway's own name; it comes once, and does not come again."""
    connected = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, f"{lab.topic_root}-gateway", protocol=MQTTv5)
    client.on_connect = lambda *_: connected.set()
    client.on_disconnect = lambda *_: threading.Thread(target=client.loop_stop, daemon=True).start()
    client.connect(lab.broker.host, lab.broker.port, clean_start=False)
    client.loop_start()
    try:
        assert connected.wait(10)
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


@own_broker
def test_f21_a_client_that_takes_the_gateways_name_starts_no_fight_and_costs_nothing(tmp_path: Path) -> None:
    with house(tmp_path) as lab:
        lab.start()
        wait_for_received(lab, 50)
        with impostor(lab):
            lab.gateway.wait_for("broker lost")
            wait_until(lambda: lab.status().devices_link.state == "up", "it is back, after a pause")
        lost = [record for record in lab.gateway.log if record["event"] == "broker lost"]
        assert len(lost) < 5, "no fight about the name"
        proof = lab.prove()
        assert proof.holds, proof


def test_f22_a_cloud_that_takes_the_connection_and_falls_silent_is_noticed_by_the_time_out(tmp_path: Path) -> None:
    with house(tmp_path, edge={"influx": {"read_timeout_s": 1}}) as lab:
        lab.start()
        wait_until(lambda: lab.status().ledger.delivered > 20, "it works")
        lab.cloud.send(signal.SIGSTOP)  # its kernel goes on taking connections and bytes
        wait_until(lambda: lab.status().uplink.state == "down", "the gateway notices", timeout_s=10)
        assert lab.status().uplink.cause == "timeout"
        assert lab.status().store.healthy
        lab.cloud.send(signal.SIGCONT)
        proof = lab.prove()
        assert proof.holds, proof


def test_f35_a_gateway_short_of_file_descriptors_keeps_its_promises(tmp_path: Path) -> None:
    with house(tmp_path) as lab, ExitStack() as crowd:
        lab.gateway.wrapper = ["prlimit", "--nofile=64"]
        lab.start()
        wait_for_received(lab, 20)
        for _ in range(80):
            crowd.enter_context(socket.create_connection(("127.0.0.1", lab.api_port), timeout=5))
        measured = len(lab.truth())
        wait_until(lambda: len(lab.truth()) > measured + 50, "devices measure on")
        crowd.close()
        wait_for_received(lab, measured + 50)
        assert lab.gateway.is_alive
        proof = lab.prove()
        assert proof.holds, proof


def test_f36_a_gateway_that_gets_little_processor_time_acknowledges_late_and_loses_nothing(tmp_path: Path) -> None:
    with house(tmp_path, edge={"mqtt": {"keepalive_s": 5}}) as lab, ExitStack() as others:
        lab.gateway.wrapper = ["nice", "-n", "19"]
        lab.start()
        for _ in range(HUNGRY):
            hungry = others.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            others.callback(hungry.kill)
        measured = len(lab.truth())
        wait_until(lambda: len(lab.truth()) > measured + 300, "some keepalives' worth of readings")
        others.close()
        assert not [record for record in lab.gateway.log if record["event"] == "broker lost"]
        proof = lab.prove()
        assert proof.holds, proof


def most_memory_mb(lab: House) -> float:
    line = next(each for each in Path(f"/proc/{lab.gateway.pid}/status").read_text().splitlines() if "VmHWM" in each)
    return int(line.split()[1]) / 1024


@own_broker
def test_a_flood_that_no_receive_maximum_bounds_takes_no_memory_and_holds_up_nobody(tmp_path: Path) -> None:
    with house(tmp_path) as lab:
        lab.cloud.start()
        lab.gateway.start()
        lab.gateway.wait_for("broker connected")
        before_mb = most_memory_mb(lab)
        flooder = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        flooder.connect(lab.broker.host, lab.broker.port)
        topic = f"{lab.topic_root}/lab/flood/reading"
        sent = [flooder.publish(topic, bytes(FLOOD_BYTES), qos=0) for _ in range(FLOOD)]
        flooder.loop_start()
        sent[-1].wait_for_publish(30)
        flooder.disconnect()
        flooder.loop_stop()
        lab.fleet.start()
        wait_for_received(lab, 20)
        assert lab.status().ledger.undecodable > FLOOD / 10, "it did come"
        assert most_memory_mb(lab) - before_mb < FLOOD_MEMORY_MB


@own_broker
def test_f37_a_thousand_devices_that_come_back_at_once_are_all_heard_and_answered(tmp_path: Path) -> None:
    with house(tmp_path, broker_extra=BROKER) as lab:
        lab.cloud.start()
        lab.gateway.start()
        lab.gateway.wait_for("broker connected")
        lab.gateway.kill()  # its session stays, and fills up
        load = Load(lab.broker.port, lab.topic_root, Random(37), devices=CROWD)
        load.publish_all()
        lab.gateway.start()
        assert load.wait_for_acked(len(load.sent), 20), "every device hears its ack"
        load.leave()
        wait_until(lambda: lab.status().ledger.delivered == len(load.sent), "the cloud has all")
        proof = lab.prove_against(load.truth())
        assert proof.holds, proof
