"""No recording holds an address, a name or a secret, whatever the network, the servers and the traces said."""

import asyncio
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import OutageSettings
from edge.desk import STORE_FILE
from edge.exchange import Exchange
from edge.forward.outcome import Accepted, Failed, Outcome, Paused, Refused, Throttled
from edge.link_recorder import LinkRecorder
from edge.mqtt import ConnectionLost
from edge.outage_report import outage_list, recording_bytes
from edge.outages.observations import LINKS
from edge.outages.recording import encode_recording
from edge.outages.rules import private_text
from edge.store.outage_log import read_archive
from sensors.clock import SystemClock
from tests.edge.kit import open_desk
from tidegate.outage.builder import Provenance
from tidegate.outage.importers import IMPORTERS

SECRETS = st.one_of(
    st.ip_addresses().map(str),
    st.from_regex(r"[a-z]{8,12}\.example\.org", fullmatch=True),
    st.from_regex(r"token=[A-Za-z0-9]{20}", fullmatch=True),
    st.from_regex(r"[a-z]{6}:[A-Z]{8}@[a-z]{6}", fullmatch=True),
)
OUTCOMES: tuple[Callable[[str], Outcome], ...] = (
    lambda said: Failed("dns", said),
    lambda said: Failed(said, said),
    lambda said: Failed("protocol", said, 302),
    lambda said: Paused(401, said),
    lambda said: Throttled(None, said),
    lambda said: Refused(400, said),
    lambda _: Accepted(),
)


async def in_this_thread(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return call(*args, **kwargs)


async def recorded(folder: Path, script: list[tuple[int, str]]) -> bytes:
    """All that can be had of what a gateway recorded while servers and broker said these things."""
    desk = open_desk(folder)
    try:
        recorder = LinkRecorder(OutageSettings(), SystemClock(), desk, in_this_thread)
        await recorder.start()
        watch = recorder.watch()
        assert watch is not None
        for kind, said in script:
            now_s = asyncio.get_running_loop().time()
            watch.uplink_tried(now_s, OUTCOMES[kind](said), Exchange(sent_bytes=5, is_unknown=True))
            recorder.broker_lost(now_s, ConnectionLost(said, said))
        await recorder.flush()
    finally:
        desk.close()
    archive = read_archive(folder / STORE_FILE, LINKS)
    return recording_bytes(archive, None) + outage_list(archive, 100).model_dump_json().encode()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(OUTCOMES) - 1), SECRETS), min_size=1, max_size=12))
def test_nothing_that_a_server_says_gets_into_a_recording(script: list[tuple[int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        text = asyncio.run(recorded(Path(folder), script)).decode()
    assert not any(said in text for _, said in script)
    assert all(private_text(line) is None for line in text.splitlines()[:-1])


def ping(secret: str) -> bytes:
    lines = [f"PING {secret} ({secret}) 56(84) bytes of data."]
    lines += [
        f"[{1646635300 + n}.010000] 64 bytes from {secret}: icmp_seq={n} ttl=57 time=1{n}.0 ms" for n in range(1, 4)
    ]
    lines += [f"[1646635306.000000] From {secret} icmp_seq=4 Destination Host Unreachable"]
    return "\n".join(lines).encode()


def wifi(secret: str) -> bytes:
    payloads = [{"seqnum": n, "src_timestamp_ns": str(n * 10**9), "src": secret} for n in range(1, 4)]
    lines = [{"timestamp": n * 10**9, "host": secret, "payload": each} for n, each in enumerate(payloads, 1)]
    return "\n".join(map(json.dumps, lines)).encode()


def lorawan(secret: str) -> bytes:
    lines = [{"_timestamp": n * 1000, "fcnt": n, "deveui": secret, "gateway": {"id": secret}} for n in range(1, 4)]
    return "\n".join(map(json.dumps, lines)).encode()


@pytest.mark.no_cover
@pytest.mark.parametrize(("trace_format", "trace"), [("ping", ping), ("wifi-sequence", wifi), ("lorawan", lorawan)])
@given(secret=SECRETS)
def test_nothing_that_names_anybody_in_a_trace_gets_into_a_recording(
    trace_format: str, trace: Callable[[str], bytes], secret: str
) -> None:
    importer = IMPORTERS[trace_format]
    imported = importer.read(trace(secret), importer.link, Provenance("a trace"))
    assert secret.encode() not in b"".join(encode_recording(imported.recording))
