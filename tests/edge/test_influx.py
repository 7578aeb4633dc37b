"""The decision table's left side: what an answer means, and that no server can hold or flood the gateway."""

import asyncio
import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.bounded_http import ANSWER_BYTES_MAX
from edge.config import InfluxSettings
from edge.forward.outcome import Accepted, Failed, Outcome, Paused, Refused, Throttled, TooLarge
from edge.influx import MESSAGE_CHARS_MAX, InfluxSender, outcome_of, retry_after_ms
from sensors.clock import SystemClock

NOW_MS = 1_700_000_000_000  # Tue, 14 Nov 2023 22:13:20 GMT
ERROR = '{"code":"invalid","message":"unable to parse"}'
LINES = b"reading,device=d temperature_Cel=1.5 1\n"


@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        (204, {"date": "now"}, Accepted()),
        (204, {}, Failed("protocol", "the answer 204 is cut off before its first header")),
        (400, {}, Refused(400, "unable to parse")),
        (422, {}, Refused(422, "unable to parse")),
        (413, {}, TooLarge("unable to parse")),
        (401, {}, Paused(401, "unable to parse")),
        (403, {}, Paused(403, "unable to parse")),
        (404, {}, Paused(404, "unable to parse")),
        (429, {"retry-after": "7"}, Throttled(7000, "429: unable to parse")),
        (429, {}, Throttled(None, "429: unable to parse")),
        (503, {"retry-after": "Tue, 14 Nov 2023 22:13:30 GMT"}, Throttled(10_000, "503: unable to parse", 503)),
        (503, {}, Failed("http 503", "503: unable to parse", 503)),
        (500, {}, Failed("http 500", "500: unable to parse", 500)),
    ],
)
def test_the_decision_table(status: int, headers: dict[str, str], outcome: Outcome) -> None:
    assert outcome_of(status, headers, ERROR, NOW_MS) == outcome


@pytest.mark.parametrize("status", [100, 200, 201, 202, 206, 301, 302, 307, 418])
def test_anything_else_is_not_influxdb(status: int) -> None:
    outcome = outcome_of(status, {}, "<html>Welcome to the hotel</html>", NOW_MS)
    assert isinstance(outcome, Failed)
    assert outcome.cause == "protocol"
    assert "Welcome to the hotel" in outcome.message


@pytest.mark.parametrize(
    ("value", "after_ms"),
    [("0", 0), ("-5", 0), ("120", 120_000), ("soon", None), ("", None), ("Tue, 14 Nov 2023 22:13:10 GMT", 0)],
)
def test_retry_after_is_read_in_both_forms(value: str, after_ms: int | None) -> None:
    assert retry_after_ms(value, NOW_MS) == after_ms


def test_a_long_message_is_cut_to_one_line() -> None:
    outcome = outcome_of(400, {}, "line\n" * 10_000, NOW_MS)
    assert isinstance(outcome, Refused)
    assert len(outcome.message) == MESSAGE_CHARS_MAX
    assert "\n" not in outcome.message


Serve = Callable[[socket.socket, bytes], None]


@contextmanager
def server(serve: Serve) -> Iterator[tuple[int, list[bytes]]]:
    """A server of one connection at a time: (port, the requests as they came)."""
    requests: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def read_request(connection: socket.socket) -> bytes:
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65536) or b"\r\n\r\n"
        head, _, body = request.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    requests.append(read_request(connection))
                    serve(connection, requests[-1])
                except OSError:
                    continue

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()[1], requests
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status} Answer", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def send(port: int, *, times: int = 1, **settings: object) -> list[Outcome]:
    async def run() -> list[Outcome]:
        configured = InfluxSettings.model_validate({"url": f"http://127.0.0.1:{port}", "token": "s3cret", **settings})
        sender = InfluxSender(configured, SystemClock())
        try:
            return [await sender.send(LINES) for _ in range(times)]
        finally:
            sender.close()

    return asyncio.run(run())


def test_lines_arrive_gzipped_with_token_and_precision() -> None:
    with server(lambda connection, _: connection.sendall(answer(204))) as (port, requests):
        assert send(port, org="acme", bucket="site 1") == [Accepted()]
    head, _, body = requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/v2/write?org=acme&bucket=site+1&precision=ns HTTP/1.1")
    assert b"\r\nAuthorization: Token s3cret" in head
    assert b"\r\nContent-Encoding: gzip" in head
    assert gzip.decompress(body) == LINES


def test_the_same_lines_are_the_same_bytes_on_the_wire() -> None:
    with server(lambda connection, _: connection.sendall(answer(503))) as (port, requests):
        send(port, times=2)
    assert requests[0].partition(b"\r\n\r\n")[2] == requests[1].partition(b"\r\n\r\n")[2]


def test_without_gzip_the_lines_are_plain() -> None:
    with server(lambda connection, _: connection.sendall(answer(204))) as (port, requests):
        send(port, gzip=False)
    assert requests[0].endswith(b"\r\n\r\n" + LINES)


def test_a_redirect_is_never_followed_with_the_token() -> None:
    with server(lambda connection, _: connection.sendall(answer(204))) as (elsewhere, stolen):
        location = f"Location: http://127.0.0.1:{elsewhere}/api/v2/write"
        with server(lambda connection, _: connection.sendall(answer(307, b"", location))) as (port, _):
            (outcome,) = send(port)
    assert isinstance(outcome, Failed)
    assert stolen == []


def test_a_huge_error_body_is_read_only_to_its_limit() -> None:
    sent = 0

    def flood(connection: socket.socket, _request: bytes) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 500 Answer\r\nContent-Length: 200000000\r\n\r\n")
        for _megabyte in range(200):
            connection.sendall(bytes(1_000_000))
            sent += 1_000_000

    with server(flood) as (port, _):
        (outcome,) = send(port)
    assert isinstance(outcome, Failed)
    assert outcome.status == 500
    assert sent < 200_000_000 - ANSWER_BYTES_MAX, "the connection was closed early"


def test_a_gzip_bomb_is_not_inflated() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with server(lambda connection, _: connection.sendall(answer(400, bomb, "Content-Encoding: gzip"))) as (port, _):
        (outcome,) = send(port)
    assert isinstance(outcome, Refused)


def test_a_server_that_trickles_its_answer_costs_one_time_out() -> None:
    gone = threading.Event()

    def trickle(connection: socket.socket, _: bytes) -> None:
        connection.settimeout(5)
        for byte in answer(204, b"x" * 10_000):
            connection.sendall(bytes([byte]))
            if gone.wait(0.05):
                return

    with server(trickle) as (port, _):
        (outcome,) = send(port, connect_timeout_s=0.2, read_timeout_s=0.3)
        gone.set()
    assert isinstance(outcome, Failed)
    assert outcome.cause == "timeout"


@pytest.mark.parametrize(
    ("serve", "cause"),
    [
        (lambda connection, _: None, "reset"),
        (lambda connection, _: connection.sendall(b"HTTP/1.1 204"), "reset"),
        (lambda connection, _: connection.sendall(b"\x00\x01garbage\r\n\r\n"), "reset"),
    ],
)
def test_a_server_that_breaks_off_is_an_unknown_fate(serve: Serve, cause: str) -> None:
    with server(serve) as (port, _):
        (outcome,) = send(port)
    assert isinstance(outcome, Failed)
    assert outcome.cause in {cause, "protocol"}


def test_nobody_there_is_refused_and_no_such_host_is_dns() -> None:
    refused, unknown = send(1), send(1, url="http://nowhere.invalid:8086")
    assert isinstance(refused[0], Failed)
    assert refused[0].cause == "refused"
    assert isinstance(unknown[0], Failed)
    assert unknown[0].cause == "dns"


def test_a_rotated_token_file_is_read_again_after_a_401(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("old\n")

    def serve(connection: socket.socket, request: bytes) -> None:
        token_file.write_text("new\n")
        connection.sendall(answer(204 if b"Token new" in request else 401))

    with server(serve) as (port, _):
        outcomes = send(port, times=2, token=None, token_file=str(token_file))
    assert isinstance(outcomes[0], Paused)
    assert outcomes[1] == Accepted()
