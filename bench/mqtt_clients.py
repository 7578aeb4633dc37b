"""Which MQTT client can carry ingest: CPU for each QoS 1 message, and what a `kill -9` loses.

    python -m bench.mqtt_clients [--messages 50000] [--json]

Cost: a process subscribes and acknowledges every message at once; its CPU time is divided by the messages, and given
as a ratio to the first client. Loss: a process keeps each message durably (a line in a file) 2 ms after it came, is
killed in the middle and started again with the same session; what the broker holds as delivered and the file does not
is lost. See docs/decisions/0001-mqtt-client.md.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.config import MqttSettings
from edge.message import Message
from edge.mqtt import MqttConnection, connect
from tidegate.bench.load import SITE, publish, readings
from tidegate.bench.mosquitto import mosquitto

FILTER = f"tidegate/v1/{SITE}/+/reading"
CLIENTS = ("tidegate", "paho manual_ack", "paho", "aiomqtt")
LOSS_MESSAGES = 500
LOSS_KILL_AT = 100
STORE_S = 0.002
EXPIRY_S = 3600
QUIET_S = 2.0  # after the last message, nothing more comes

Keep = Callable[[bytes], None]


def session() -> Properties:
    """CONNECT properties that keep the session."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = EXPIRY_S
    properties.ReceiveMaximum = 4096
    return properties


async def run_tidegate(port: int, keep: Keep, expected: int) -> None:
    """The gateway's own client: PUBACK after `keep`."""
    seen, done = 0, asyncio.Event()

    def deliver(connection: MqttConnection, messages: list[Message]) -> None:
        nonlocal seen
        for message in messages:
            keep(message.payload)
            connection.acknowledge([message.packet_id or 0])
        seen += len(messages)
        if seen >= expected:
            done.set()

    settings = MqttSettings(port=port, client_id="bench", session_expiry_s=EXPIRY_S)
    connection = await connect(settings, [FILTER], deliver)  # type: ignore[arg-type]  # a list is what comes
    print("ready", flush=True)
    await done.wait()
    await connection.close()


def run_paho(port: int, keep: Keep, expected: int, *, manual: bool) -> None:
    """paho-mqtt in its own loop; `manual`: PUBACK after `keep`, else when the callback returns."""
    seen = 0
    client = paho.Client(CallbackAPIVersion.VERSION2, "bench", protocol=paho.MQTTv5, manual_ack=manual)

    def on_message(client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        nonlocal seen
        keep(bytes(message.payload))
        if manual:
            client.ack(message.mid, message.qos)
        seen += 1
        if seen >= expected:
            client.disconnect()

    def on_subscribe(*_: object) -> None:
        print("ready", flush=True)

    client.on_message = on_message
    client.on_subscribe = on_subscribe
    client.connect("127.0.0.1", port, clean_start=False, properties=session())
    client.subscribe(FILTER, 1)
    client.loop_forever()


async def run_aiomqtt(port: int, keep: Keep, expected: int) -> None:
    """aiomqtt as released: it acknowledges when the message is in its memory queue."""
    seen = 0
    async with aiomqtt.Client(
        "127.0.0.1",
        port,
        identifier="bench",
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=False,
        properties=session(),
    ) as client:
        await client.subscribe(FILTER, 1)
        print("ready", flush=True)
        async for message in client.messages:
            keep(bytes(message.payload))
            await asyncio.sleep(0)
            seen += 1
            if seen >= expected:
                return


def worker(client: str, port: int, expected: int, kept: Path | None) -> None:
    """The measured process: prints its CPU seconds at the end."""
    file = kept.open("ab", buffering=0) if kept else None

    def keep(payload: bytes) -> None:
        if file is not None:
            time.sleep(STORE_S)  # what a disk takes
            file.write(payload + b"\n")

    started_s = time.process_time()
    if client == "tidegate":
        asyncio.run(run_tidegate(port, keep, expected))
    elif client == "aiomqtt":
        asyncio.run(run_aiomqtt(port, keep, expected))
    else:
        run_paho(port, keep, expected, manual=client.endswith("manual_ack"))
    print(time.process_time() - started_s, flush=True)


def start(client: str, port: int, expected: int, kept: Path | None = None) -> subprocess.Popen[str]:
    """Start a worker and wait until it is subscribed."""
    command = [
        sys.executable,
        "-m",
        "bench.mqtt_clients",
        "--worker",
        client,
        str(port),
        str(expected),
        str(kept or ""),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def cost_us(client: str, messages: int) -> float:
    """Microseconds of CPU for each message."""
    with mosquitto() as port:
        process = start(client, port, messages)
        subprocess.run([sys.executable, "-m", "tidegate.bench.load", "127.0.0.1", str(port), str(messages)], check=True)
        output, _ = process.communicate(timeout=120)
        return float(output) * 1e6 / messages


def lost(client: str) -> int:
    """How many of 500 messages a kill -9 loses."""
    with mosquitto() as port, tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept"
        kept.touch()
        process = start(client, port, sys.maxsize, kept)
        asyncio.run(publish("127.0.0.1", port, readings(LOSS_MESSAGES, 1)))
        while kept.read_bytes().count(b"\n") < LOSS_KILL_AT:
            time.sleep(0.01)
        process.kill()
        process.wait()
        process = start(client, port, sys.maxsize, kept)
        size, quiet_since_s = -1, time.monotonic()
        while time.monotonic() - quiet_since_s < QUIET_S:
            if (now := kept.stat().st_size) != size:
                size, quiet_since_s = now, time.monotonic()
            time.sleep(0.05)
        process.kill()
        process.wait()
        return LOSS_MESSAGES - len(set(kept.read_bytes().splitlines()))


def main() -> None:
    """Measure all and print a table, or JSON."""
    parser = argparse.ArgumentParser(description="MQTT clients for ingest: cost and loss")
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", nargs=4, metavar=("CLIENT", "PORT", "EXPECTED", "KEPT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        client, port, expected, kept = options.worker
        worker(client, int(port), int(expected), Path(kept) if kept else None)
        return
    rows = [{"client": client, "us": cost_us(client, options.messages), "lost": lost(client)} for client in CLIENTS]
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        ratio = float(row["us"]) / float(rows[0]["us"])  # type: ignore[arg-type]
        print(
            f"{row['client']:<18} {row['us']:6.1f} us CPU a message  {ratio:5.2f} x   "
            f"lost {row['lost']} of {LOSS_MESSAGES}"
        )


if __name__ == "__main__":
    main()
