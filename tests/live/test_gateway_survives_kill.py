"""Real processes, real Mosquitto: whoever is killed, frozen or struck dumb, every reading reaches the cloud once.

The devices keep what the gateway's own `ack` has not freed; the proof compares their ground truth with the cloud, value
by value and nanosecond by nanosecond, and the gateway's ledger must say the same.
"""

import json
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.live.house import House, Part, house, needs_broker, own_broker, quiet_port, wait_until
from tests.relay import Relay

pytestmark = [pytest.mark.live, needs_broker]
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as built:
        yield built


def wait_for_received(lab: House, count: int) -> None:
    wait_until(lambda: lab.status().ledger.received >= count, f"{count} readings in the gateway")


def test_a_gateway_killed_in_the_middle_loses_nothing_and_sends_nothing_twice(lab: House) -> None:
    lab.start()
    for round_ in range(2):
        wait_for_received(lab, 100 * (round_ + 1))
        lab.gateway.kill()
        lab.gateway.start()
    wait_for_received(lab, 300)
    proof = lab.prove()
    assert proof.holds, proof
    assert proof.sent >= 300


@own_broker
def test_a_broker_killed_and_without_its_sessions_costs_nothing(lab: House) -> None:
    lab.start()
    wait_for_received(lab, 100)
    lab.broker.kill()
    lab.broker.forget()
    measured = len(lab.truth())
    wait_until(lambda: len(lab.truth()) > measured + 50, "the devices measure on")
    lab.broker.start()
    wait_for_received(lab, measured + 100)
    assert lab.status().sessions_lost == 2, "the first connection, and the one after the broker forgot"
    proof = lab.prove()
    assert proof.holds, proof


def test_a_cloud_killed_in_the_middle_gets_everything_once(lab: House) -> None:
    lab.start()
    wait_until(lambda: lab.status().ledger.delivered > 50, "the first readings are in the cloud")
    lab.cloud.kill()
    wait_until(lambda: lab.status().uplink.state == "down", "the gateway notices")
    wait_until(lambda: lab.status().forward.backlog > 100, "readings wait")
    lab.cloud.start()
    wait_until(lambda: lab.status().uplink.state == "up", "the gateway notices")
    proof = lab.prove()
    assert proof.holds, proof


class AnswersLost(Relay):
    """Delivers requests whole and, while `losing`, resets instead of answering (F28)."""

    losing = True
    lost = 0

    def answered(self, client: socket.socket, answer: bytes) -> bool:
        if not self.losing:
            return super().answered(client, answer)
        self.lost += 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        return False


def test_answers_of_the_cloud_that_are_lost_leave_one_point_each(tmp_path: Path) -> None:
    cloud_port = quiet_port()
    relay = AnswersLost(cloud_port)
    edge = {"influx": {"url": f"http://127.0.0.1:{relay.port}"}}
    with closing(relay), house(tmp_path, cloud_port=cloud_port, edge=edge) as lab:
        lab.start()
        wait_until(lambda: relay.lost >= 3, "the gateway sends the same again and again")
        held = len(lab.points())
        assert held > 0
        assert lab.status().ledger.delivered == 0, "the cloud has points that nobody knows of"
        lab.gateway.kill()  # and the next one must send again what it cannot know to be there
        lab.gateway.start()
        relay.losing = False
        proof = lab.prove()
        assert proof.holds, proof
        assert proof.sent > held


def test_a_second_gateway_on_one_store_ends_with_3_and_one_line(lab: House) -> None:
    lab.gateway.start()
    second = Part("edge", {**lab.edge_config, "api": {"port": quiet_port()}}, lab.folder / "second")
    second.launch()
    assert second.join() == 3
    assert len(second.stray) == 1, second.stray
    assert "in use by another gateway" in second.stray[0]
    assert second.log == []
    assert lab.status().store.healthy


@own_broker
def test_a_gateway_frozen_until_the_broker_gives_it_up_catches_up(tmp_path: Path) -> None:
    with house(tmp_path, edge={"mqtt": {"keepalive_s": 5}}) as lab:
        lab.start()
        wait_for_received(lab, 50)
        lab.gateway.send(signal.SIGSTOP)
        wait_until(
            lambda: f"{lab.topic_root}-gateway has exceeded timeout" in lab.broker.log.read_text(), "the broker notices"
        )
        lab.gateway.send(signal.SIGCONT)
        wait_for_received(lab, len(lab.truth()))
        recorded = json.loads(lab.get_gateway("api/v1/outages"))
        assert (recorded["outages"], len(recorded["gaps"])) == ([], 1), (
            "nobody saw what the links did, and they were well"
        )
        proof = lab.prove()
        assert proof.holds, proof


@own_broker
def test_a_frozen_broker_is_noticed_and_costs_nothing(tmp_path: Path) -> None:
    with house(tmp_path, edge={"mqtt": {"keepalive_s": 5, "connect_timeout_s": 1}}) as lab:
        lab.start()
        wait_for_received(lab, 50)
        lab.broker.freeze()
        wait_until(lambda: lab.status().devices_link.state == "down", "the gateway notices")
        assert lab.status().devices_link.cause == "timeout"
        lab.broker.thaw()
        proof = lab.prove()
        assert proof.holds, proof


def test_sigterm_ends_it_with_0_whatever_hangs_on_its_http_port(lab: House) -> None:
    lab.gateway.counts_lines = True
    lab.start()
    wait_for_received(lab, 20)
    talkers = [socket.create_connection(("127.0.0.1", lab.api_port)) for _ in range(3)]
    talkers[0].sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert talkers[0].recv(15) == b"HTTP/1.1 200 OK"
    talkers[1].sendall(b"GET /livez HTTP/1.1\r\nHost:")
    assert lab.gateway.stop() == 0
    assert lab.gateway.stray == []
    assert not [record for record in lab.gateway.log if record["level"] == "error"]
    for talker in talkers:
        talker.close()


@pytest.mark.parametrize("dumb", ["broker", "cloud"])
def test_sigterm_ends_it_with_0_while_a_server_takes_connections_and_says_nothing(tmp_path: Path, dumb: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        broker = {"mqtt": {"port": port, "connect_timeout_s": 2}}  # which "ready" waits for
        edge = broker if dumb == "broker" else {"influx": {"url": f"http://127.0.0.1:{port}"}}
        with house(tmp_path, edge=edge) as lab:
            lab.gateway.counts_lines = True
            lab.gateway.start()
            if dumb == "cloud":
                lab.fleet.start()
            connection, _ = listener.accept()
            assert connection.recv(1) != b""
            assert lab.gateway.stop() == 0
            assert lab.gateway.stray == []
            connection.close()
