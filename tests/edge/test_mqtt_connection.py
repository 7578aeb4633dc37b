"""The gateway's MQTT connection against a scripted broker, in both protocol versions."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import MqttSettings, MqttVersion
from edge.message import Message
from edge.mqtt import ConnectionLost, MqttConnection, connect
from edge.mqtt import connection as module
from edge.mqtt.framing import TOPIC_ROOM_BYTES, Framer, FramingError, parse_publish

VERSIONS = [MqttVersion.V5, MqttVersion.V311]
CONNACK = {MqttVersion.V5: b"\x20\x03\x01\x00\x00", MqttVersion.V311: b"\x20\x02\x01\x00"}
SUBACK = {MqttVersion.V5: b"\x90\x04\xff\xff\x00\x01", MqttVersion.V311: b"\x90\x03\xff\xff\x01"}
BYTES_MAX = 2048

Script = Callable[["Peer"], Awaitable[None]]


def packet(first: int, body: bytes) -> bytes:
    length, digits = len(body), b""
    while True:
        length, digit = divmod(length, 128)
        digits += bytes([digit | (0x80 if length else 0)])
        if not length:
            return bytes([first]) + digits + body


class Peer:
    """The broker's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: MqttVersion) -> None:
        self.reader, self.writer, self.version = reader, writer, version

    async def read_packet(self) -> tuple[int, bytes]:
        first = (await self.reader.readexactly(1))[0]
        length = shift = 0
        while True:
            digit = (await self.reader.readexactly(1))[0]
            length |= (digit & 0x7F) << shift
            shift += 7
            if digit < 0x80:
                return first, await self.reader.readexactly(length)

    async def read_kind(self, kind: int) -> bytes:
        """The next packet of that type; pings are answered on the way."""
        while True:
            first, body = await self.read_packet()
            if first >> 4 == kind:
                return body
            assert first == 0xC0
            self.writer.write(b"\xd0\x00")

    async def establish(self) -> bytes:
        connect_body = await self.read_kind(1)
        self.writer.write(CONNACK[self.version])
        await self.read_kind(8)
        self.writer.write(SUBACK[self.version])
        return connect_body

    def publish(self, topic: bytes, payload: bytes, packet_id: int, *, retain: bool = False) -> None:
        properties = b"\x00" if self.version is MqttVersion.V5 else b""
        body = struct.pack(">H", len(topic)) + topic + struct.pack(">H", packet_id) + properties + payload
        self.writer.write(packet(0x32 | retain, body))


@asynccontextmanager
async def broker(version: MqttVersion, script: Script):  # type: ignore[no-untyped-def]  # an async context manager
    failures: list[BaseException] = []
    scripts: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        scripts.append(asyncio.current_task())  # type: ignore[arg-type]  # there is one here
        try:
            await script(Peer(reader, writer, version))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except AssertionError as error:
            failures.append(error)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield MqttSettings(port=port, protocol=version, keepalive_s=5, message_bytes_max=BYTES_MAX, connect_timeout_s=5)
        await asyncio.gather(*scripts)
    assert not failures, failures


class Taken:
    """What was delivered."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.arrived = asyncio.Event()

    def __call__(self, _connection: MqttConnection, messages: object) -> None:
        self.messages += messages  # type: ignore[arg-type]  # a sequence of Message
        self.arrived.set()

    async def wait(self, count: int) -> None:
        while len(self.messages) < count:
            self.arrived.clear()
            await self.arrived.wait()


def run(version: MqttVersion, script: Script, test: Callable[[MqttSettings], Awaitable[None]]) -> None:
    async def both() -> None:
        async with asyncio.timeout(20), broker(version, script) as settings:
            await test(settings)

    asyncio.run(both())


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_acknowledged_until_it_is_told_to_and_then_in_order(version: MqttVersion) -> None:
    async def script(peer: Peer) -> None:
        await peer.establish()
        for packet_id in (7, 8, 9):
            peer.publish(b"t/%d" % packet_id, b"x", packet_id)
        ids = [struct.unpack(">H", (await peer.read_kind(4))[:2])[0] for _ in range(2)]
        assert ids == [8, 7], "only what was acknowledged, in that order"
        assert (await peer.read_packet())[0] == 0xE0, "the third was never acknowledged"

    async def test(settings: MqttSettings) -> None:
        taken = Taken()
        connection = await connect(settings, ["t/#"], taken)
        await taken.wait(3)
        assert taken.messages == [Message(f"t/{n}", b"x", False, n) for n in (7, 8, 9)]  # noqa: FBT003
        connection.acknowledge([8, 7])
        await connection.close()

    run(version, script, test)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_session_is_kept_and_its_presence_is_known(version: MqttVersion) -> None:
    async def script(peer: Peer) -> None:
        body = await peer.establish()
        clean_start = 0x02
        assert not body[7] & clean_start
        await peer.read_kind(14)

    async def test(settings: MqttSettings) -> None:
        connection = await connect(settings, ["t"], Taken())
        assert connection.session_present
        await connection.close()

    run(version, script, test)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_topic_that_is_not_utf8_comes_as_bytes_and_ends_nothing(version: MqttVersion) -> None:
    async def script(peer: Peer) -> None:
        await peer.establish()
        peer.publish(b"t/\xff\xfe", b"x", 1)
        peer.publish(b"t/ok", b"y", 2)
        await peer.read_kind(14)

    async def test(settings: MqttSettings) -> None:
        taken = Taken()
        connection = await connect(settings, ["t/#"], taken)
        await taken.wait(2)
        assert [message.topic for message in taken.messages] == [b"t/\xff\xfe", "t/ok"]
        await connection.close()

    run(version, script, test)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_huge_message_is_cut_short_in_memory_and_the_next_one_is_whole(version: MqttVersion) -> None:
    async def script(peer: Peer) -> None:
        await peer.establish()
        peer.publish(b"t/huge", b"h" * 3_000_000, 1)
        peer.publish(b"t/next", b"n", 2)
        await peer.read_kind(14)

    async def test(settings: MqttSettings) -> None:
        taken = Taken()
        connection = await connect(settings, ["t/#"], taken)
        await taken.wait(2)
        huge, following = taken.messages
        assert (huge.topic, huge.packet_id) == ("t/huge", 1)
        assert BYTES_MAX < len(huge.payload) <= BYTES_MAX + TOPIC_ROOM_BYTES
        assert following == Message("t/next", b"n", False, 2)  # noqa: FBT003
        await connection.close()

    run(version, script, test)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_retained_message_says_so(version: MqttVersion) -> None:
    async def script(peer: Peer) -> None:
        await peer.establish()
        peer.publish(b"t", b"x", 1, retain=True)
        await peer.read_kind(14)

    async def test(settings: MqttSettings) -> None:
        taken = Taken()
        connection = await connect(settings, ["t"], taken)
        await taken.wait(1)
        assert taken.messages[0].retained
        await connection.close()

    run(version, script, test)


@pytest.mark.parametrize(
    ("version", "answer", "words"),
    [
        (MqttVersion.V5, b"\x20\x03\x00\x86\x00", "bad user name or password"),
        (MqttVersion.V311, b"\x20\x02\x00\x05", "not authorized"),
    ],
)
def test_a_refused_connection_says_why(version: MqttVersion, answer: bytes, words: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_kind(1)
        peer.writer.write(answer)
        await peer.reader.read()

    async def test(settings: MqttSettings) -> None:
        with pytest.raises(ConnectionLost, match=words) as caught:
            await connect(settings, ["t"], Taken())
        assert caught.value.cause == "refused"

    run(version, script, test)


@pytest.mark.parametrize(
    ("version", "answer"), [(MqttVersion.V5, b"\x90\x04\xff\xff\x00\x87"), (MqttVersion.V311, b"\x90\x03\xff\xff\x80")]
)
def test_a_refused_subscription_is_no_connection(version: MqttVersion, answer: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_kind(1)
        peer.writer.write(CONNACK[version])
        await peer.read_kind(8)
        peer.writer.write(answer)
        await peer.reader.read()

    async def test(settings: MqttSettings) -> None:
        with pytest.raises(ConnectionLost, match="refuses the subscription"):
            await connect(settings, ["t"], Taken())

    run(version, script, test)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\xff\xff\xff\xff\x7f", b"\x20\x00"])
def test_what_is_no_broker_is_a_lost_connection(version: MqttVersion, garbage: bytes) -> None:
    async def script(peer: Peer) -> None:
        peer.writer.write(garbage)
        await peer.reader.read()

    async def test(settings: MqttSettings) -> None:
        with pytest.raises(ConnectionLost):
            await connect(settings.model_copy(update={"connect_timeout_s": 0.5}), ["t"], Taken())

    run(version, script, test)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the panic, on its way through C
def test_a_packet_on_which_the_codec_panics_ends_the_connection_and_not_the_process() -> None:
    async def script(peer: Peer) -> None:
        await peer.establish()
        reason = b"\xff\xfe"  # DISCONNECT with a reason string that is not UTF-8
        peer.writer.write(packet(0xE0, b"\x00\x05\x1f" + struct.pack(">H", len(reason)) + reason))
        await peer.reader.read()

    async def test(settings: MqttSettings) -> None:
        connection = await connect(settings, ["t"], Taken())
        assert (await connection.lost()).cause in {"protocol", "closed"}

    run(MqttVersion.V5, script, test)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_broker_that_goes_away_is_noticed(version: MqttVersion) -> None:
    async def script(peer: Peer) -> None:
        await peer.establish()

    async def test(settings: MqttSettings) -> None:
        connection = await connect(settings, ["t"], Taken())
        assert (await connection.lost()).cause == "closed"
        assert not connection.publish("t", b"x")
        connection.acknowledge([1])  # harmless: the message comes again on the next connection

    run(version, script, test)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_frozen_broker_is_noticed_by_its_silence(version: MqttVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PINGS_PER_KEEPALIVE", 50)
    monkeypatch.setattr(module, "SILENCE_KEEPALIVES", 0.1)

    async def script(peer: Peer) -> None:
        await peer.establish()
        await peer.reader.read()  # swallows the pings

    async def test(settings: MqttSettings) -> None:
        connection = await connect(settings, ["t"], Taken())
        assert (await connection.lost()).cause == "timeout"

    run(version, script, test)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_broker_that_answers_pings_and_nothing_that_was_published_is_left(
    version: MqttVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PINGS_PER_KEEPALIVE", 50)
    monkeypatch.setattr(module, "UNANSWERED_KEEPALIVES", 0.1)

    async def script(peer: Peer) -> None:
        await peer.establish()
        for answered in (True, True, False):
            body = await peer.read_kind(3)
            if answered:
                peer.writer.write(b"\x40\x02" + body[3:5])  # behind the topic "a"
        await peer.read_kind(14)  # and answer pings: no DISCONNECT comes

    async def test(settings: MqttSettings) -> None:
        connection = await connect(settings, ["t"], Taken())
        for _ in range(2):
            answered = asyncio.Event()
            assert connection.publish("a", b"1", acknowledged=answered.set)
            await answered.wait()
        assert connection.publish("a", b"2")
        lost = await connection.lost()
        assert (lost.cause, "has not answered what was published" in str(lost)) == ("timeout", True)

    run(version, script, test)


@pytest.mark.parametrize("version", VERSIONS)
def test_downlinks_stop_at_the_in_flight_limit_and_go_on_when_acknowledged(version: MqttVersion) -> None:
    received_max = 2

    async def script(peer: Peer) -> None:
        await peer.read_kind(1)
        connack = b"\x20\x06\x00\x00\x03\x21" + struct.pack(">H", received_max)
        peer.writer.write(connack if version is MqttVersion.V5 else CONNACK[version])
        await peer.read_kind(8)
        peer.writer.write(SUBACK[version])
        body = await peer.read_kind(3)
        assert body[2:3] == b"d"
        peer.writer.write(b"\x40\x02" + body[3:5])
        peer.publish(b"t", b"go on", 1)
        await peer.reader.read()

    async def test(settings: MqttSettings) -> None:
        taken = Taken()
        connection = await connect(settings, ["t"], taken)
        sent = 0
        while connection.publish("d", b"x"):
            sent += 1
        assert sent == (received_max if version is MqttVersion.V5 else 20)
        await taken.wait(1)
        assert connection.publish("d", b"x")
        assert not connection.publish("d", b"x")
        await connection.close()

    run(version, script, test)


def test_nobody_there_is_refused_and_no_such_host_is_dns() -> None:
    async def both() -> None:
        with pytest.raises(ConnectionLost) as caught:
            await connect(MqttSettings(port=1), ["t"], Taken())
        assert caught.value.cause == "refused"
        with pytest.raises(ConnectionLost) as caught:
            await connect(MqttSettings(host="nowhere.invalid"), ["t"], Taken())
        assert caught.value.cause == "dns"

    asyncio.run(both())


messages = st.lists(st.tuples(st.binary(min_size=1, max_size=10), st.binary(max_size=300)), max_size=6)


@given(messages, st.lists(st.integers(1, 400), max_size=12))
def test_packets_are_the_same_however_the_stream_is_cut(parts: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    packets = [
        mqtt5.PublishPacket("t", payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=1, correlation_data=topic).write()
        for topic, payload in parts
    ]
    stream, framer, found = b"".join(packets), Framer(100_000), []
    for cut in [*cuts, len(stream)]:
        found += list(framer.feed(stream[:cut]))
        stream = stream[cut:]
    assert [parse_publish(first, body, has_properties=True).payload for first, body in found] == [p for _, p in parts]


@given(st.binary(max_size=80))
def test_any_bytes_are_packets_or_a_framing_error(data: bytes) -> None:
    framer = Framer(100)
    try:
        for first, body in framer.feed(data):
            parse_publish(first, body, has_properties=True)
    except FramingError:
        return


@pytest.mark.parametrize("version", VERSIONS)
def test_a_paused_connection_reads_nothing_and_its_own_silence_is_not_the_brokers(
    version: MqttVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PINGS_PER_KEEPALIVE", 100)
    monkeypatch.setattr(module, "SILENCE_KEEPALIVES", 0.05)
    paused, pinged = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.establish()
        await paused.wait()
        peer.publish(b"t", b"x", 7)
        for _ in range(10):  # twice as long as a broker may be silent
            await peer.read_kind(12)
        pinged.set()
        await peer.reader.read()

    async def test(settings: MqttSettings) -> None:
        taken = Taken()
        connection = await connect(settings, ["t"], taken)
        connection.pause()
        paused.set()
        await pinged.wait()
        assert taken.messages == []
        connection.resume()
        await taken.wait(1)
        assert (await connection.lost()).cause == "timeout", "read again, it is watched again"

    run(version, script, test)


class SkippingLoop(asyncio.SelectorEventLoop):
    """A loop whose process can seem to have stood still: timers fire late, and nothing was read meanwhile."""

    skipped_s = 0.0

    def time(self) -> float:
        return super().time() + self.skipped_s


def test_f34_a_process_that_stood_still_does_not_take_that_for_the_brokers_silence() -> None:
    skipped = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.establish()
        await peer.read_kind(12)
        await skipped.wait()
        await peer.read_kind(12)
        peer.publish(b"t", b"x", 7)
        await peer.reader.read()

    async def test(settings: MqttSettings, loop: SkippingLoop) -> None:
        taken = Taken()
        connection = await connect(settings, ["t"], taken)
        loop.skipped_s += 3 * settings.keepalive_s
        skipped.set()
        await taken.wait(1)
        assert not connection._lost.done()
        await connection.close()

    async def both() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SkippingLoop)
        async with broker(MqttVersion.V5, script) as settings:
            await test(settings, loop)

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(both())
