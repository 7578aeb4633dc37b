"""The HTTP server's own limits: nobody holds a connection without asking something, and a flood keeps nobody out."""

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi import FastAPI

from edge.access.settings import BadCertificate, ServerTls
from edge.http_server import Server

PATIENCE_S = 0.2
MUCH_LATER_S = 10.0
REQUEST = b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"


def _app() -> FastAPI:
    app = FastAPI()

    @app.get("/x")
    async def x() -> dict[str, str]:
        return {}

    @app.get("/slow")
    async def slow() -> dict[str, str]:
        await asyncio.sleep(3 * PATIENCE_S)
        return {}

    return app


@asynccontextmanager
async def _serving(
    context: ssl.SSLContext | None = None, *, request_s: float = PATIENCE_S, waiting_max: int = 8
) -> AsyncIterator[int]:
    server = Server(_app(), context, request_s=request_s, waiting_max=waiting_max)
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await serving
        listening.close()


def _run(use: Callable[[int], Awaitable[None]], **settings: object) -> None:
    async def go() -> None:
        async with asyncio.timeout(MUCH_LATER_S), _serving(**settings) as port:  # type: ignore[arg-type]
            await use(port)

    asyncio.run(go())


async def _open(port: int, context: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, ssl=context)


async def _is_answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes = REQUEST) -> bool:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    return head.startswith(b"HTTP/1.1 200")


async def _ends(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        while await reader.read(1000):
            pass


@pytest.mark.parametrize("begin", [b"", b"GET", b"GET /x HTTP/1.1\r\nHost: localhost\r\nX: y", b"\r\n"])
def test_half_a_request_is_reaped_however_it_drips(begin: bytes) -> None:
    async def use(port: int) -> None:
        reader, writer = await _open(port)
        writer.write(begin)
        ended = asyncio.create_task(_ends(reader))
        while not ended.done():
            with suppress(ConnectionError):
                writer.write(b"a" if begin.startswith(b"GET") else b"")
                await writer.drain()
            await asyncio.wait({ended}, timeout=PATIENCE_S / 10)
        writer.close()

    _run(use)


def test_half_a_second_request_is_reaped_too() -> None:
    async def use(port: int) -> None:
        reader, writer = await _open(port)
        assert await _is_answered(reader, writer)
        ended = asyncio.create_task(_ends(reader))
        while not ended.done():
            with suppress(ConnectionError):
                writer.write(b"G")
                await writer.drain()
            await asyncio.wait({ended}, timeout=PATIENCE_S / 10)
        writer.close()

    _run(use)


def test_requests_one_after_the_other_are_all_answered() -> None:
    async def use(port: int) -> None:
        reader, writer = await _open(port)
        until = asyncio.get_running_loop().time() + 2 * PATIENCE_S
        while asyncio.get_running_loop().time() < until:
            assert await _is_answered(reader, writer)
        writer.close()

    _run(use)


def test_a_whole_request_may_take_its_time() -> None:
    async def use(port: int) -> None:
        reader, writer = await _open(port)
        assert await _is_answered(reader, writer, REQUEST.replace(b"/x", b"/slow"))
        writer.close()

    _run(use)


def test_a_flood_of_half_requests_keeps_nobody_out() -> None:
    async def use(port: int) -> None:
        halves = []
        for _ in range(200):
            half = await _open(port)
            half[1].write(b"GET /x HTTP/1.1\r\n")
            halves.append(half)
        halves.append(await _open(port))
        assert await _is_answered(*halves[-1])
        await _ends(halves[0][0])
        for _, writer in halves:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    _run(use, request_s=60.0)


def test_a_handshake_that_does_not_come_is_reaped(tmp_path: Path) -> None:
    tls = certificate(tmp_path)

    async def use(port: int) -> None:
        reader, writer = await _open(port)
        await _ends(reader)
        writer.close()

    _run(use, context=tls.context())


def test_tls_is_served_and_nothing_older_than_1_2(tmp_path: Path) -> None:
    tls = certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=tls.cert_file)

    async def use(port: int) -> None:
        reader, writer = await _open(port, trusting)
        assert await _is_answered(reader, writer)
        writer.close()

    context = tls.context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    _run(use, context=context, request_s=5.0)


def test_a_certificate_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    tls = certificate(tmp_path)
    tls.key_file.write_text("no key")
    with pytest.raises(BadCertificate, match=r"key\.pem"):
        tls.context()
    with pytest.raises(BadCertificate, match="No such file"):
        ServerTls(cert_file=tmp_path / "absent", key_file=tls.key_file).context()


def certificate(folder: Path, days: int = 90) -> ServerTls:
    """A certificate of its own for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    private = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, private, serialization.NoEncryption()))
    return ServerTls(cert_file=folder / "cert.pem", key_file=folder / "key.pem")
