"""How many bytes a second the fault proxy carries, beside a bare asyncio copy between two sockets of the same run.

    python -m bench.proxy [--megabytes 200] [--json]

One connection, one direction, a client that sends as fast as it can and a server that throws away what comes; all three
in one process and on one event loop, as in a test. The proxy is measured without a recording, under a recording that
leaves the link healthy, and with a latency toxic, which is what makes it hold bytes.
"""

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from edge.outages.events import End, Link, LinkKind, Status, Transition
from edge.outages.recording import Recording, make_header
from tidegate.outage.address import Address
from tidegate.outage.proxy import FaultProxy
from tidegate.outage.toxics import Latency, Stream, Toxic

MEGABYTE = 1_000_000
CHUNK_BYTES = 64 * 1024
DAY_US = 86_400_000_000
HEALTHY = Recording(make_header([Link("uplink", LinkKind.UPLINK)]), (Transition(0, "uplink", Status.UP), End(DAY_US)))


@asynccontextmanager
async def sink() -> AsyncIterator[tuple[int, Callable[[], Awaitable[int]]]]:
    """A server that counts one connection's bytes: its port, and how many they were once they have all come."""
    counted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        total = 0
        while data := await reader.read(CHUNK_BYTES):
            total += len(data)
        counted.set_result(total)
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], lambda: counted


@asynccontextmanager
async def bare_copy(upstream: int) -> AsyncIterator[int]:
    """What any relay must do at least: read, write, drain."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, onward = await asyncio.open_connection("127.0.0.1", upstream)
        while data := await reader.read(CHUNK_BYTES):
            onward.write(data)
            await onward.drain()
        onward.close()
        writer.close()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def through_proxy(upstream: int, recording: Recording | None, toxic: Toxic | None) -> AsyncIterator[int]:
    """The fault proxy in between."""
    async with FaultProxy(Address("127.0.0.1", 0), Address("127.0.0.1", upstream), recording) as proxy:
        if toxic is not None:
            proxy.add_toxic(toxic)
        yield proxy.address.port


async def pushed(port: int, megabytes: int) -> None:
    """Send so much to a port."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    chunk = bytes(CHUNK_BYTES)
    for _ in range(megabytes * MEGABYTE // CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()


async def measure(kind: str, megabytes: int) -> float:
    """Megabytes a second of one way between client and server."""
    latency = Toxic("latency_upstream", Latency(1), Stream.UPSTREAM)
    async with sink() as (upstream, counted):
        between: dict[str, Callable[[], AbstractAsyncContextManager[int]]] = {
            "bare copy": lambda: bare_copy(upstream),
            "proxy": lambda: through_proxy(upstream, None, None),
            "proxy, recording": lambda: through_proxy(upstream, HEALTHY, None),
            "proxy, latency 1 ms": lambda: through_proxy(upstream, None, latency),
        }
        async with between[kind]() as port:
            began_s = time.perf_counter()
            await pushed(port, megabytes)
            total = await counted()
            return total / MEGABYTE / (time.perf_counter() - began_s)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    kinds = ("bare copy", "proxy", "proxy, recording", "proxy, latency 1 ms")
    rates = {kind: asyncio.run(measure(kind, asked.megabytes)) for kind in kinds}
    if asked.json:
        print(json.dumps(rates, indent=2))
        return
    for kind, rate in rates.items():
        print(f"{kind:20} {rate:8.1f} MB/s {rate / rates['bare copy']:6.2f} of the bare copy")


if __name__ == "__main__":
    main()
