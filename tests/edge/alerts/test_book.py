"""The book: states, acknowledgement, bounds, what the cloud and MQTT are told, devices' and its own alerts."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge.alerts.alerts import AlertRules, gateway_level
from edge.alerts.book import DEVICE_ALERTS_MAX, TRIM_ROWS, Listed
from edge.alerts.operations import DAY_MS, OperationLimits
from edge.alerts.publisher import AlertPublisher
from edge.desk import STORE_FILE, Desk
from edge.desk_rules import DeskRules
from edge.forward.forwarder import Batch
from edge.forward.outcome import Accepted, Failed, Paused
from edge.ingest import Message
from edge.store import Salvage
from sensors.alerts import DeviceAlert, Severity, encode_alert
from sensors.topics import Kind, build_topic
from tests.edge.alerts.kit import WARM, Told, desk_with, lines, look, rule, take, told, warmth
from tests.edge.dashboard.kit import in_this_thread
from tests.edge.kit import SITE, T0_MS


def say(desk: Desk, alert: str, state: Any, seq: int, *, boot: int = 1, **more: Any) -> int:
    """A device's own alert; how many messages went to quarantine."""
    payload = encode_alert(DeviceAlert(alert, state, boot, seq, **more))
    done, _ = desk.take_in([Message(build_topic(SITE, "d1", Kind.ALERT), payload)], 0, T0_MS + seq)
    return done.undecodable


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    opened = desk_with(tmp_path, rule(**WARM))
    look(opened, 0)
    yield opened
    opened.close()


def test_an_alert_is_one_entry_until_it_has_passed_and_somebody_has_seen_it(desk: Desk) -> None:
    book = desk.alerts.book
    for seq, number in enumerate([11.0, 5.0, 11.0, 5.0]):
        take(desk, warmth(seq, number))
    (row,) = book.alerts(Listed("open"))
    assert (row.alert.count, row.alert.is_active, row.alert.is_open) == (2, False, True)
    book.acknowledge(row.id, "Ada", T0_MS)
    assert book.alerts(Listed("open")) == []
    take(desk, warmth(4, 11.0))
    (second,) = book.alerts(Listed("active"))
    assert second.id > row.id
    book.acknowledge(second.id, "Ada", T0_MS + 1)
    book.acknowledge(second.id, "Eve", T0_MS + 2)
    (known,) = book.alerts(Listed("active"))
    assert (known.alert.acknowledged_by, known.alert.acknowledged_ms) == ("Ada", T0_MS + 1)
    assert book.alerts(Listed("unacknowledged")) == []
    take(desk, warmth(5, 5.0))
    assert book.count(Listed("closed")) == 2
    events = [one.event for one in told(desk)]
    assert events == ["raised", "cleared"] * 2 + ["acknowledged", "raised", "acknowledged", "cleared"]
    assert book.acknowledge(99, "Ada", 0) is None


def test_every_line_is_a_point_of_its_own(desk: Desk) -> None:
    take(desk, *(warmth(seq, number, at_s=0.001 * seq) for seq, number in enumerate([11.0, 5.0] * 20)), at_s=1)
    found = lines(desk)
    assert len(found) == 40
    assert len({line.rsplit(" ", 1)[1] for line in found}) == 40
    assert found[0].startswith(
        'alert,device=d1,gateway=tidegate-gateway,rule=warm,severity=warning,site=office,source=rule event="raised",id='
    )
    assert 'message="temperature is 11 Cel (limit 10)"' in found[0]


def test_alerts_are_served_before_anything_else(desk: Desk) -> None:
    take(desk, warmth(0, 5.0), warmth(1, 11.0))
    batch = desk.next_batch(10**6)
    assert isinstance(batch, Batch)
    assert batch.lane == "notices"
    assert batch.body.startswith(b"alert,")


def test_only_what_is_closed_and_published_is_forgotten(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Random(1), DeskRules(alerts=AlertRules((rule(**WARM),), kept=3)))
    look(desk, 0)
    book = desk.alerts.book
    for seq in range(0, 12, 2):
        take(desk, warmth(seq, 11.0), warmth(seq + 1, 5.0))
        book.acknowledge(book.alerts(Listed("open"))[0].id, "Ada", T0_MS)
    assert book.count(Listed("all")) == 6  # MQTT has heard of none of them
    book.published([(each.device_key, each.changed) for each in book.unpublished()])
    take(desk, warmth(20, 11.0), warmth(0, 11.0, device="d2"), at_s=20)
    assert book.count(Listed("closed")) == max(0, 6 - TRIM_ROWS)
    assert book.count(Listed("active")) == 2
    desk.close()


class FakeBroker:
    """Takes what is published, and acknowledges when it is told to."""

    def __init__(self, *, session_present: bool = True) -> None:
        self.session_present = session_present
        self.messages: list[tuple[str, Any]] = []
        self._waiting: list[Callable[[], None]] = []

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, acknowledged: Callable[[], None] | None = None
    ) -> bool:
        assert retain
        assert acknowledged is not None
        self.messages.append((topic, json.loads(payload)))
        self._waiting.append(acknowledged)
        return True

    def acknowledge(self) -> None:
        """PUBACK everything."""
        while self._waiting:
            self._waiting.pop()()


def test_mqtt_hears_of_every_change_until_the_broker_has_it(desk: Desk) -> None:
    publisher, first = AlertPublisher(desk.alerts.book, in_this_thread), FakeBroker()

    def tick(broker: FakeBroker | None) -> None:
        asyncio.run(publisher.tick(broker))

    take(desk, warmth(0, 11.0))
    tick(None)
    tick(first)
    tick(first)
    assert [topic for topic, _ in first.messages] == ["tidegate/v1/office/d1/alert"]  # once a connection
    document = first.messages[0][1]
    assert (document["source"], document["active_count"]) == ("gateway", 1)
    assert document["active"][0]["rule"] == "warm"
    second = FakeBroker()
    tick(second)
    assert second.messages == first.messages  # it was not acknowledged
    take(desk, warmth(1, 5.0))
    tick(second)
    assert second.messages[1][1]["active"] == []
    assert second.messages[1][1]["cleared"][0]["rule"] == "warm"
    second.acknowledge()
    tick(second)
    third = FakeBroker(session_present=False)
    tick(third)
    assert third.messages == []  # nothing is active, nothing is new
    take(desk, warmth(2, 11.0))
    tick(third)
    third.acknowledge()
    tick(third)
    tick(FakeBroker())
    fourth = FakeBroker(session_present=False)  # a broker that has forgotten
    tick(fourth)
    assert [each["active_count"] for _, each in fourth.messages] == [1]


def test_the_gateway_does_not_take_in_what_it_says_itself(desk: Desk) -> None:
    take(desk, warmth(0, 11.0))
    own = desk.alerts.book.unpublished()[0].message
    before = desk.alerts.book.revision
    done, _ = desk.take_in([Message(own.topic, own.payload, retained=True)], 0, T0_MS)
    assert (done.stored, done.undecodable, desk.alerts.book.revision) == (0, 0, before)


def test_a_device_raises_and_clears_and_repeats_itself_without_effect(desk: Desk) -> None:
    assert say(desk, "door-open", "raised", 0, severity=Severity.CRITICAL, message="door") == 0
    assert say(desk, "door-open", "cleared", 1) == 0
    assert say(desk, "door-open", "raised", 0) == 0  # redelivered
    assert say(desk, "door-open", "cleared", 1) == 0
    assert say(desk, "door-open", "raised", 0, boot=2) == 0
    mine = [one.event for one in told(desk) if one.rule == "door-open"]
    assert mine == ["raised", "cleared", "raised"]
    (row,) = desk.alerts.book.active_of("device")
    assert (row.alert.count, row.alert.source) == (2, "device")


def test_a_device_with_endless_alerts_harms_only_itself(desk: Desk) -> None:
    bad = [say(desk, f"a{seq}", "raised", seq) for seq in range(DEVICE_ALERTS_MAX + 3)]
    assert sum(bad) == 3
    assert desk.alerts.book.count(Listed("active")) == DEVICE_ALERTS_MAX
    assert say(desk, "a0", "cleared", 100) == 0


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"alert":"a","state":"on","boot":1,"seq":0}', b"\xff", b"[1]"])
def test_an_alert_that_is_none_goes_to_quarantine(desk: Desk, payload: bytes) -> None:
    done, _ = desk.take_in([Message(build_topic(SITE, "d1", Kind.ALERT), payload)], 0, T0_MS)
    assert done.undecodable == 1


def test_alerts_survive_a_damaged_store_and_nothing_is_raised_again(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, rule(**WARM))
    take(desk, warmth(0, 11.0))
    revision = desk.alerts.book.revision
    desk.close()
    path = tmp_path / STORE_FILE
    with closing(sqlite3.connect(path)) as db:
        page = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'windows'").fetchone()[0]
        size = db.execute("PRAGMA page_size").fetchone()[0]
    raw = bytearray(path.read_bytes())
    raw[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(raw)
    desk = desk_with(tmp_path, rule(**WARM))
    salvage = desk.take_salvage()
    assert salvage is not None
    assert [row.alert.rule for row in desk.alerts.book.alerts(Listed("all"))] == ["warm"]
    assert desk.alerts.book.revision == revision
    look(desk, 10)
    assert ("raised", "store-salvaged") in own(desk)
    take(desk, warmth(1, 11.0, at_s=20))
    assert [one.event for one in told(desk) if one.rule == "warm"] == ["raised"]
    desk.close()


def test_a_damaged_alert_counts_as_not_there(desk: Desk) -> None:
    take(desk, warmth(0, 11.0))
    with desk.store.transaction():
        desk.store.run("UPDATE alerts SET severity = 2")
    assert desk.alerts.book.alerts(Listed("all")) == []
    take(desk, warmth(1, 5.0), warmth(2, 11.0))
    assert [row.id for row in desk.alerts.book.alerts(Listed("all"))] == [2]


# -- the gateway's own


def own(desk: Desk) -> list[tuple[str, str]]:
    return [(one.event, one.rule) for one in told(desk) if one.device == "tidegate-gateway"]


def try_cloud(desk: Desk, now_ms: int, outcome: Any) -> None:
    batch = desk.next_batch(now_ms)
    assert isinstance(batch, Batch)
    desk.settle(batch, outcome, now_ms, T0_MS + now_ms)


def test_a_cloud_that_refuses_is_an_alert_until_it_accepts(desk: Desk) -> None:
    take(desk, warmth(0, 1.0))
    try_cloud(desk, 1000, Paused(401, "unauthorized"))
    look(desk, 10)
    assert own(desk) == [("raised", "uplink-refuses")]
    try_cloud(desk, 100_000, Accepted())
    look(desk, 110)
    assert own(desk)[-1] == ("cleared", "uplink-refuses")


def test_a_cloud_that_is_away_for_long_is_an_alert(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, operations=OperationLimits(uplink_down_ms=60_000))
    take(desk, warmth(0, 1.0))
    try_cloud(desk, 1000, Failed("timeout", "no answer"))
    look(desk, 10)
    look(desk, 65)
    assert own(desk) == []
    look(desk, 70)
    assert own(desk) == [("raised", "uplink-down")]
    desk.close()
    desk = desk_with(tmp_path, operations=OperationLimits(uplink_down_ms=60_000))  # remembers what is active
    try_cloud(desk, 10**6, Accepted())
    look(desk, 1010)
    assert own(desk)[-1] == ("cleared", "uplink-down")
    desk.close()


def test_a_store_that_refused_and_one_that_was_salvaged_are_told_afterwards(desk: Desk) -> None:
    desk.alerts.operations.refused = "the store is full"
    look(desk, 10)
    look(desk, 20)
    assert own(desk) == [("raised", "store-refuses"), ("cleared", "store-refuses")]
    desk.alerts.operations.salvage = Salvage("malformed", "x.broken-1", 10, 2)
    look(desk, 30)
    look(desk, 40)
    assert own(desk)[2:] == [("raised", "store-salvaged"), ("cleared", "store-salvaged")]
    assert len(desk.alerts.book.alerts(Listed("unacknowledged"))) == 2


def test_a_quarantine_that_grows_is_an_alert(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, operations=OperationLimits(quarantine_per_hour=2))
    look(desk, 0)
    desk.take_in([Message("tidegate/v1/office/d1/reading", b"?")] * 3, 0, T0_MS)
    look(desk, 10)
    assert own(desk) == [("raised", "quarantine-grows")]
    look(desk, 3700)
    assert own(desk)[-1] == ("cleared", "quarantine-grows")
    desk.close()


def test_a_certificate_that_ends_soon_is_an_alert(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    start = datetime.fromtimestamp(T0_MS / 1000, UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(start).not_valid_after(start + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path / "gateway.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    gone = tmp_path / "gone.pem"
    desk = desk_with(tmp_path, operations=OperationLimits(certificate_ms=21 * DAY_MS, certificates=(gone, path)))
    look(desk, 0)
    assert own(desk) == []
    look(desk, 10 * 86_400)
    assert own(desk) == [("raised", "certificate-expires")]
    desk.close()


@pytest.mark.parametrize(("name", "level"), [("gw-1", "gw-1"), ("a/b+c", "a-b-c"), ("#", "-"), ("x" * 99, "x" * 64)])
def test_a_gateways_name_becomes_a_level(name: str, level: str) -> None:
    assert gateway_level(name) == level


def test_a_rule_is_for_the_devices_that_its_globs_take(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, rule(**WARM, device="freezer-*", site="off*"), rule(**(WARM | {"name": "x"}), unit="K"))
    look(desk, 0)
    take(desk, warmth(0, 11.0), warmth(0, 11.0, device="freezer-1"), at_s=0)
    assert told(desk) == [Told("raised", "warm", "freezer-1")]
    desk.close()
