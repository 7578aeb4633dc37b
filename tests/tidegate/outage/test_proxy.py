"""The fault proxy over real loopback sockets: what a client meets, and that nothing is left behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from edge.outages.events import Cause, Close, End, Ending, Link, LinkKind, Status, Transition, UnknownWrite
from edge.outages.recording import Recording, make_header
from tidegate.outage.address import Address, AddressError, parse_address
from tidegate.outage.behaviour import LinkDriver
from tidegate.outage.proxy import FaultProxy, PortInUseError, UnknownToxicError
from tidegate.outage.proxy_api import ApiServer, make_app
from tidegate.outage.toxics import Stream

HERE = Address("127.0.0.1", 0)


class Server:
    """Echoes what it gets, and remembers it."""

    def __init__(self) -> None:
        self.received = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                self.received += data
                writer.write(data)
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def proxied(recording: Recording | None = None, speed: float = 1.0) -> AsyncIterator[tuple[FaultProxy, Server]]:
    echo = Server()
    server = await asyncio.start_server(echo.serve, HERE.host, 0)
    upstream = Address(HERE.host, server.sockets[0].getsockname()[1])
    async with FaultProxy(HERE, upstream, recording, speed=speed) as proxy:
        yield proxy, echo
    server.close()


class Client:
    """A connection through the proxy; every wait has an end."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy

    async def __aenter__(self) -> "Client":
        self._reader, self._writer = await asyncio.open_connection(HERE.host, self._proxy.port)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def ask(self, data: bytes) -> bytes:
        self._writer.write(data)
        return await self.answer(len(data))

    async def answer(self, size: int) -> bytes:
        async with asyncio.timeout(10):
            try:
                return await self._reader.readexactly(size)
            except asyncio.IncompleteReadError as end:
                return end.partial

    async def is_silent(self) -> bool:
        try:
            async with asyncio.timeout(0.05):
                await self._reader.read(1)
        except TimeoutError:
            return True
        return False

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def end(self) -> None:
        self._writer.write_eof()


def play(scene: Callable[[FaultProxy, Server], Awaitable[None]], recording: Recording | None = None) -> None:
    async def run() -> None:
        async with proxied(recording) as (proxy, server):
            await scene(proxy, server)

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (sockets and the proxy's clock have no event to wait for)
            await asyncio.sleep(0)


def test_bytes_pass_both_ways_and_are_counted() -> None:
    async def scene(proxy: FaultProxy, server: Server) -> None:
        block = bytes(range(256)) * 4096
        async with Client(proxy) as client:
            assert await client.ask(block) == block
            client.end()
            assert await client.answer(1) == b""
        assert server.received == block
        await until(lambda: proxy.status()["connections_open"] == 0)
        assert proxy.counters.bytes_moved == {Stream.UPSTREAM: len(block), Stream.DOWNSTREAM: len(block)}
        assert proxy.counters.connections == 1

    play(scene)


def test_a_refusing_link_resets_old_connections_and_listens_to_no_new_ones_until_restored() -> None:
    async def scene(proxy: FaultProxy, _server: Server) -> None:
        async with Client(proxy) as client:
            assert await client.ask(b"hello") == b"hello"
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                await client.ask(b"again")
        assert proxy.counters.resets == 1
        port = proxy.port
        for _ in range(3):
            proxy.cut()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(HERE.host, port)
            proxy.restore()
            async with Client(proxy) as client:
                assert await client.ask(b"back") == b"back"
        assert proxy.port == port

    play(scene)


def test_a_silent_link_stalls_old_and_new_connections_and_both_go_on_afterwards() -> None:
    async def scene(proxy: FaultProxy, server: Server) -> None:
        async with Client(proxy) as old:
            assert await old.ask(b"one") == b"one"
            proxy.cut(Cause.TIMEOUT)
            async with Client(proxy) as new:
                old.send(b"two")
                new.send(b"new")
                assert await old.is_silent()
                assert await new.is_silent()
                assert server.received == b"one"
                proxy.restore()
                assert await old.answer(3) == b"two"
                assert await new.answer(3) == b"new"

    play(scene)


@pytest.mark.parametrize("cause", [Cause.DNS, Cause.UNREACHABLE])
def test_a_link_without_name_or_route_refuses(cause: Cause) -> None:
    async def scene(proxy: FaultProxy, _server: Server) -> None:
        proxy.cut(cause)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HERE.host, proxy.port)

    play(scene)


def test_each_other_cause_meets_a_new_connection_in_its_own_way() -> None:
    async def scene(proxy: FaultProxy, server: Server) -> None:
        proxy.cut(Cause.TLS)
        async with Client(proxy) as client:
            assert await client.ask(b"\x16\x03") == b""
        proxy.cut(Cause.HTTP, 429)
        async with Client(proxy) as client:
            client.send(b"POST / HTTP/1.1\r\n\r\n")
            assert (await client.answer(1000)).startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        proxy.cut(Cause.RESET)
        with pytest.raises(ConnectionResetError):
            async with Client(proxy) as client:
                await client.ask(b"x")
        assert server.received == b""
        assert proxy.counters.turned_away == 3

    play(scene)


def test_a_lost_answer_reached_the_server_but_not_the_client() -> None:
    async def scene(proxy: FaultProxy, server: Server) -> None:
        proxy.add_toxic({"type": "lose_answers"})
        async with Client(proxy) as client:
            with pytest.raises(ConnectionResetError):
                await client.ask(b"commit")
        assert server.received == b"commit"
        assert proxy.counters.answers_lost == 1
        proxy.remove_toxic("lose_answers_downstream")
        async with Client(proxy) as client:
            assert await client.ask(b"commit") == b"commit"

    play(scene)


def test_a_toxic_added_to_an_open_connection_takes_effect_and_can_be_removed() -> None:
    async def scene(proxy: FaultProxy, _server: Server) -> None:
        async with Client(proxy) as client:
            assert await client.ask(b"one") == b"one"
            proxy.add_toxic({"type": "latency", "name": "late", "attributes": {"latency": 3_600_000}})
            client.send(b"two")
            assert await client.is_silent()
        proxy.remove_toxic("late")
        with pytest.raises(UnknownToxicError, match="late"):
            proxy.remove_toxic("late")
        async with Client(proxy) as client:
            assert await client.ask(b"three") == b"three"

    play(scene)


def test_limit_data_closes_in_an_orderly_way_after_its_bytes() -> None:
    async def scene(proxy: FaultProxy, _server: Server) -> None:
        proxy.add_toxic({"type": "limit_data", "attributes": {"bytes": 3}})
        async with Client(proxy) as client:
            assert await client.ask(b"abcdef") == b"abc"

    play(scene)


def test_a_sender_is_held_back_when_the_link_stalls() -> None:
    async def scene(proxy: FaultProxy, _server: Server) -> None:
        async with Client(proxy) as client:
            assert await client.ask(b"x") == b"x"
            proxy.cut(Cause.TIMEOUT)
            client.send(bytes(64 * 1024 * 1024))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client._writer.drain()
            (connection,) = proxy._connections
            held = sum(len(chunk) for pump in connection.pumps for chunk in pump._chunks)
            client._writer.transport.abort()
        assert 1024 * 1024 <= held < 2 * 1024 * 1024

    play(scene)


def test_a_server_that_is_not_there_resets_the_client_and_is_counted() -> None:
    async def run() -> None:
        async with FaultProxy(HERE, Address(HERE.host, 1)) as proxy:
            with pytest.raises(ConnectionResetError):
                async with Client(proxy) as client:
                    await client.ask(b"x")
            assert proxy.counters.upstream_errors == 1

    asyncio.run(run())


def recorded(*events: Transition | Close | UnknownWrite, end_us: int = 3_600_000_000) -> Recording:
    return Recording(make_header([Link("uplink", LinkKind.UPLINK)]), (*events, End(end_us)))


def test_the_link_follows_its_recording_and_is_healthy_after_it() -> None:
    refused = Transition(0, "uplink", Status.DOWN, Cause.REFUSED)

    async def scene(proxy: FaultProxy, _server: Server) -> None:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HERE.host, proxy.port)
        await until(lambda: proxy.status()["recording"]["status"] is None)
        await until(lambda: proxy.status()["admission"] == "accept")
        async with Client(proxy) as client:
            assert await client.ask(b"hello") == b"hello"

    play(scene, recorded(refused, end_us=400_000))


def test_a_recorded_fin_closes_open_connections_and_leaves_new_ones_alone() -> None:
    async def scene(proxy: FaultProxy, _server: Server) -> None:
        async with Client(proxy) as client:
            assert await client.ask(b"one") == b"one"
            assert await client.answer(1) == b""
        async with Client(proxy) as client:
            assert await client.ask(b"new") == b"new"

    play(scene, recorded(Close(400_000, "uplink", Ending.FIN)))


def test_a_recorded_stall_silences_open_connections_for_good_and_leaves_new_ones_alone() -> None:
    async def scene(proxy: FaultProxy, server: Server) -> None:
        async with Client(proxy) as client:
            assert await client.ask(b"one") == b"one"
            (connection,) = proxy._connections
            await until(lambda: all(pump.pipe.frozen for pump in connection.pumps))
            client.send(b"two")
            assert await client.is_silent()
            async with Client(proxy) as other:
                assert await other.ask(b"new") == b"new"
            assert server.received == b"onenew"

    play(scene, recorded(Close(400_000, "uplink", Ending.STALL)))


def test_a_recorded_unknown_write_takes_the_answer_of_one_request() -> None:
    async def scene(proxy: FaultProxy, server: Server) -> None:
        async with Client(proxy) as client:
            with pytest.raises(ConnectionResetError):
                await client.ask(b"first")
        await until(lambda: proxy.status()["connections_open"] == 0)
        async with Client(proxy) as client:
            assert await client.ask(b"again") == b"again"
        assert server.received == b"firstagain"
        assert proxy.counters.answers_lost == 1

    play(scene, recorded(UnknownWrite(3_000_000_000, "uplink", 0)))


def test_a_recording_can_begin_when_the_proxy_runs_already() -> None:
    async def scene(proxy: FaultProxy, _server: Server) -> None:
        assert proxy.status()["recording"] is None
        for _ in range(2):
            proxy.follow(LinkDriver(recorded(Transition(0, "uplink", Status.DOWN, Cause.REFUSED))))
            assert proxy.status()["recording"]["at_us"] < 1_000_000
            assert proxy.behaviour.admission.value == "refuse"

    play(scene)


def test_a_cut_by_hand_outranks_the_recording() -> None:
    async def scene(proxy: FaultProxy, _server: Server) -> None:
        proxy.cut(Cause.RESET)
        await until(lambda: proxy.status()["recording"]["at_us"] > 30_000)
        assert proxy.status()["admission"] == "reset"
        proxy.restore()
        assert proxy.status()["admission"] == "accept"

    play(scene, recorded(Transition(20_000, "uplink", Status.UP)))


def test_a_port_in_use_is_named() -> None:
    async def scene(proxy: FaultProxy, _server: Server) -> None:
        async with Client(proxy):
            with pytest.raises(PortInUseError, match=f"127.0.0.1:{proxy.port} is not: EADDRINUSE"):
                await FaultProxy(proxy.address, HERE).start()
            with pytest.raises(PortInUseError, match=str(proxy.port)):
                await ApiServer({}, proxy.address).start()

    play(scene)


def test_stopping_ends_every_connection_and_frees_the_port() -> None:
    async def run() -> None:
        async with proxied() as (proxy, _server), Client(proxy) as client:
            assert await client.ask(b"hello") == b"hello"
            await proxy.stop()
            with pytest.raises(ConnectionResetError):
                await client.ask(b"again")
            async with FaultProxy(proxy.address, HERE) as second:
                assert second.port == proxy.port

    asyncio.run(run())


def test_the_control_api_speaks_toxiproxys_language() -> None:
    async def scene(proxy: FaultProxy, _server: Server) -> None:
        transport = httpx.ASGITransport(app=make_app({"uplink": proxy}))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as api:
            assert (await api.get("/proxies")).json()["uplink"]["enabled"] is True
            toxic = {"type": "latency", "attributes": {"latency": 5}}
            added = await api.post("/proxies/uplink/toxics", json=toxic)
            assert (added.status_code, added.json()["name"]) == (200, "latency_downstream")
            assert (await api.post("/proxies/uplink/toxics", json=toxic)).status_code == 409
            assert (await api.get("/proxies/uplink")).json()["toxics"] == [added.json()]
            assert (await api.get("/proxies/uplink/toxics")).json() == [added.json()]
            assert (await api.get("/proxies/uplink/toxics/latency_downstream")).json() == added.json()
            name = "/proxies/uplink/toxics/latency_downstream"
            for method, jitter in (("POST", 5), ("PATCH", 6)):
                changed = await api.request(method, name, json={"attributes": {"jitter": jitter}, "toxicity": 0.5})
                assert changed.json() == (await api.get(name)).json()
                assert changed.json()["attributes"] == added.json()["attributes"] | {"jitter": jitter}
                assert changed.json()["toxicity"] == 0.5
            assert (await api.delete("/proxies/uplink/toxics/latency_downstream")).status_code == 204
            assert proxy.toxics == ()
            off = await api.post("/proxies/uplink", json={"enabled": False, "cause": "timeout"})
            assert (off.json()["enabled"], proxy.behaviour.shape.stalled) == (False, True)
            assert (await api.get("/status")).json()["proxies"][0]["stalled"] is True
            assert (await api.post("/reset")).status_code == 204
            assert proxy.status()["enabled"] is True

    play(scene)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "sentence"),
    [
        ("GET", "/proxies/lora", b"", 404, "proxy: expected one of uplink"),
        ("DELETE", "/proxies/uplink/toxics/nix", b"", 404, "found 'nix'"),
        ("POST", "/proxies/uplink/toxics", b"{", 400, "body: expected JSON"),
        ("POST", "/proxies/uplink/toxics", b'{"type":"lag"}', 400, "type: expected one of latency"),
        ("POST", "/proxies/uplink", b'{"enabled":false,"cause":"http"}', 400, "http_status"),
        ("POST", "/proxies/uplink", b'{"enabled":"maybe"}', 400, "enabled: expected `bool`, got `str`"),
        ("POST", "/proxies/uplink", b'{"enabled":false,"cause":"rain"}', 400, "cause: expected one of dns, refused"),
        ("POST", "/proxies/uplink", b'{"enable":true}', 400, "enable: expected one of enabled, cause, http_status"),
        ("GET", "/nowhere", b"", 404, "Not Found"),
        ("PUT", "/reset", b"", 405, "Method Not Allowed"),
        ("POST", "/proxies/uplink/toxics", b'{"type":"latency"}', 400, "latency: expected it to be there"),
        (
            *("POST", "/proxies/uplink/toxics", b'{"type":"latency","attributes":{"latncy":1}}', 400),
            "latncy: expected one of latency, jitter",
        ),
        ("POST", "/proxies/uplink/toxics/nix", b"{}", 404, "found 'nix'"),
        ("POST", "/proxies/uplink/toxics", b" " * 70_000, 413, "at most"),
    ],
)
def test_the_control_api_says_what_was_wrong(method: str, path: str, body: bytes, status: int, sentence: str) -> None:
    async def scene(proxy: FaultProxy, _server: Server) -> None:
        transport = httpx.ASGITransport(app=make_app({"uplink": proxy}))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as api:
            answer = await api.request(method, path, content=body)
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert sentence in answer.json()["error"]

    play(scene)


def test_the_control_api_is_served_on_a_port_of_its_own() -> None:
    async def scene(proxy: FaultProxy, _server: Server) -> None:
        server = ApiServer({"uplink": proxy}, HERE)
        await server.start()
        try:
            async with httpx.AsyncClient(base_url=f"http://{server.address}", trust_env=False) as api:
                assert (await api.get("/status")).json()["proxies"][0]["name"] == "uplink"
        finally:
            await server.stop()

    play(scene)


@pytest.mark.parametrize("text", ["8087", "127.0.0.1:8087", "[::1]:8087", "example:0"])
def test_addresses_are_read_as_people_write_them(text: str) -> None:
    assert str(parse_address(text)).endswith(text)


@pytest.mark.parametrize("text", ["", "host", "host:", ":80", "::1:80", "h:70000", "h:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError, match="--to: expected PORT"):
        parse_address(text, "--to")


def test_a_server_that_is_gone_when_the_client_half_closes_ends_that_connection_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unhandled: list[object] = []

    def gone(_: asyncio.StreamWriter) -> None:
        raise OSError(107, "Transport endpoint is not connected")

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        async with proxied() as (proxy, _):
            reader, writer = await asyncio.open_connection(HERE.host, proxy.port)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer_half_close = writer.transport.write_eof
            monkeypatch.setattr(asyncio.StreamWriter, "write_eof", gone)
            writer_half_close()
            with suppress(OSError):
                assert await reader.read() == b""
            writer.close()
            async with Client(proxy) as client:
                assert await client.ask(b"others go on") == b"others go on"

    asyncio.run(scenario())
    assert unhandled == []
