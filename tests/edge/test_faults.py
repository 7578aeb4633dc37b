"""Faults of the matrix (docs/faults.md) at the gateway's core: kills between two steps, floods, and faults on top of
faults. Each is named after its number there."""

import asyncio
import ssl
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from edge.budget import StoreLimits
from edge.config import InfluxSettings
from edge.desk import DESTINATION, Desk
from edge.forward.forwarder import Batch
from edge.forward.outcome import Accepted, Failed, Outcome
from edge.influx import InfluxSender
from edge.ingest import Message
from edge.store import StoreFull
from sensors.clock import SystemClock
from sensors.messages import decode_ack
from sensors.senml import encode
from sensors.topics import Kind, build_topic
from tests.edge.kit import SITE, T0_MS, message, open_desk, reading
from tests.edge.mapping.kit import THERMOMETER, rules
from tests.edge.test_http_server import certificate

FLOOD = 10_000
MINUTE_MS = 60_000
WEEK_MS = 7 * 24 * 60 * MINUTE_MS
WEEK_STEPS = 84
DEVICES = [f"d{number}" for number in range(5)]


def tidy(desk: Desk, now_ms: int = 0) -> None:
    while desk.tidy(now_ms):
        pass


def die(desk: Desk, folder: Path) -> Desk:
    """As `kill -9`: nothing of the memory is written; and the next life."""
    desk.store._db.close()
    desk.store._lock.release()
    return open_desk(folder)


def test_f3_a_kill_between_puback_and_device_ack_is_answered_when_the_device_sends_again(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    sent = message(*map(reading, range(5)))
    desk.take_in([sent], 0, T0_MS)  # the PUBACK went, the ack did not
    desk = die(desk, tmp_path)
    ingested, downlinks = desk.take_in([sent], 0, T0_MS)
    assert (ingested.stored, ingested.duplicates) == (0, 5)
    assert decode_ack(downlinks[0].payload).acks == ((1, 4),)
    assert desk.ledger.balance(DESTINATION).received == 5
    desk.close()


def test_f4_a_kill_between_the_answer_and_the_deletion_deletes_later_and_sends_nothing_twice(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    desk.take_in([message(*map(reading, range(5)))], 0, T0_MS)
    plan = desk.next_batch(0)
    assert isinstance(plan, Batch)
    desk.settle(plan, Accepted(), 0, T0_MS)
    desk.take_in([message(reading(5))], 0, T0_MS)
    desk.prove_writable()  # a commit of other than readings: it holds what was accepted
    desk = die(desk, tmp_path)
    last = desk.next_batch(0)
    assert isinstance(last, Batch)
    assert [entry.reading.seq for entry in last.entries] == [5]
    assert desk.ledger.balance(DESTINATION).delivered == 5
    desk.settle(last, Accepted(), 0, T0_MS)
    tidy(desk)
    tidy(desk, 10_000)
    assert desk.store.run("SELECT count(*) FROM readings") == [(0,)]
    desk.close()


def test_f4_a_kill_before_the_answer_was_noted_sends_the_same_bytes_again(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    desk.take_in([message(*map(reading, range(5)))], 0, T0_MS)
    first = desk.next_batch(0)
    desk = die(desk, tmp_path)
    again = desk.next_batch(0)
    assert isinstance(first, Batch)
    assert isinstance(again, Batch)
    assert again.body == first.body
    desk.close()


def test_f25_a_name_that_cannot_be_resolved_leaks_no_thread() -> None:
    settings = InfluxSettings(url="http://no-such-host.invalid:1", token=SecretStr("x"), connect_timeout_s=2)

    async def run() -> set[int]:
        sender, counts = InfluxSender(settings, SystemClock()), set()
        try:
            for _ in range(20):
                outcome = await sender.send(b"m x=1 1\n")
                assert isinstance(outcome, Failed)
                assert outcome.cause == "dns"
                counts.add(threading.active_count())
        finally:
            sender.close()
        return counts

    assert len(asyncio.run(run())) == 1


def test_f26_a_cloud_that_is_away_for_a_week_gets_everything_in_order(tmp_path: Path) -> None:
    desk, now_ms, tries = open_desk(tmp_path, batch_rows=500), 0, 0
    for seq in range(WEEK_STEPS):
        now_ms += WEEK_MS // WEEK_STEPS
        desk.take_in([message(reading(seq, device=name)) for name in DEVICES], now_ms, T0_MS + now_ms)
        plan = desk.next_batch(now_ms)
        if isinstance(plan, Batch):
            desk.settle(plan, Failed("refused", "nobody is there"), now_ms, T0_MS + now_ms)
            tries += 1
        tidy(desk, now_ms)
    assert tries > WEEK_STEPS // 2, "it never gave up"
    assert desk.ledger.balance(DESTINATION).held == WEEK_STEPS * len(DEVICES)
    now_ms += MINUTE_MS  # the longest wait between two tries
    seen: dict[str, list[int]] = {name: [] for name in DEVICES}
    while isinstance(plan := desk.next_batch(now_ms), Batch):
        for line in plan.body.decode().splitlines():
            seen[line.partition("device=")[2].partition(",")[0]].append(
                int(line.partition("seq=")[2].partition("i")[0])
            )
        desk.settle(plan, Accepted(), now_ms, T0_MS + now_ms)
        now_ms += MINUTE_MS
    assert seen == {name: list(range(WEEK_STEPS)) for name in DEVICES}
    desk.close()


@pytest.mark.parametrize("wrong", ["unknown authority", "expired", "another name"])
def test_f32_a_cloud_whose_certificate_is_wrong_hears_neither_token_nor_reading(tmp_path: Path, wrong: str) -> None:
    shown = certificate(tmp_path, days=-1 if wrong == "expired" else 90)
    trusted = shown.cert_file
    if wrong == "unknown authority":
        (other := tmp_path / "other").mkdir()
        trusted = certificate(other).cert_file
    host = "localhost" if wrong == "another name" else "127.0.0.1"
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        writer.close()

    async def run() -> Outcome:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shown.cert_file, shown.key_file)
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        url = f"https://{host}:{server.sockets[0].getsockname()[1]}"
        sender = InfluxSender(InfluxSettings(url=url, token=SecretStr("x"), ca_file=trusted), SystemClock())
        async with server:
            try:
                return await sender.send(b"m x=1 1\n")
            finally:
                await sender.aclose()

    outcome = asyncio.run(run())
    assert isinstance(outcome, Failed), outcome
    assert outcome.cause == "tls", outcome
    assert heard == []


def test_f39_a_boot_that_is_used_again_is_known_by_its_seqs_and_a_gap_is_reported(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    desk.take_in([message(reading(0), reading(2), reading(1), reading(2))], 0, T0_MS)
    ingested, _ = desk.take_in([message(reading(1, value=99.0), reading(5))], 1, T0_MS)
    assert (ingested.stored, ingested.duplicates) == (1, 1)
    assert desk.ledger.missing(1, 1) == [(3, 4)]
    assert desk.store.run("SELECT seq FROM readings ORDER BY seq") == [(0,), (1,), (2,), (5,)]
    desk.close()


def test_f40_a_flood_of_retained_messages_is_not_fresh_data(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, mapping=rules(THERMOMETER))
    flood = [Message(f"plant/hall/t{number}/temp", b"21.5", retained=True) for number in range(FLOOD)]
    native = Message(build_topic(SITE, "d1", Kind.READING), encode([reading(0)], sent_at_ms=T0_MS), retained=True)
    desk.take_in([*flood, native, native], 0, T0_MS)
    assert desk.ledger.totals["retained"] == FLOOD
    assert desk.store.head == 1, "a native reading is known by its identity, however often it is told"
    assert desk.store.device_count == 1
    desk.close()


def test_f40_a_storm_of_last_wills_stores_nothing(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    will = b'{"online":false}'
    desk.take_in([Message(build_topic(SITE, f"d{number}", Kind.STATE), will) for number in range(1000)], 0, T0_MS)
    assert (desk.store.head, desk.store.device_count, desk.quarantine.count()) == (0, 0, 0)
    desk.close()


def test_f43_a_full_store_that_is_killed_again_and_again_keeps_all_and_drains(tmp_path: Path) -> None:
    limits = StoreLimits(800_000, 0)
    desk, took = open_desk(tmp_path, budget=limits), 0
    while True:
        try:
            desk.take_in([message(*map(reading, range(took, took + 200)))], 0, T0_MS)
        except StoreFull:
            break
        took += 200
    for life in range(4):
        desk.store._db.close()
        desk.store._lock.release()
        desk = open_desk(tmp_path, budget=limits)
        with pytest.raises(StoreFull):
            desk.take_in([message(reading(took))], life, T0_MS)
        assert desk.ledger.balance(DESTINATION).received == took
    now_ms = 0
    while isinstance(plan := desk.next_batch(now_ms), Batch):
        desk.settle(plan, Accepted(), now_ms, T0_MS)
        tidy(desk, now_ms)
        now_ms += 10_000
    balance = desk.ledger.balance(DESTINATION)
    assert (balance.delivered, balance.held, balance.balances) == (took, 0, True)
    desk.take_in([message(reading(took))], now_ms, T0_MS)
    desk.close()
