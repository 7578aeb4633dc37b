"""Sends batches to InfluxDB's v2 write API through influxdb-client, and tells what the answer means.

Promises: `send` returns an `Outcome` and raises nothing that a network or a server can cause; nothing is retried, kept
or dropped here (influxdb-client's background batching would do all three); it returns within the connect and total
time-outs. The token is read anew for every connection, so that a rotation needs no restart.
"""

import asyncio
import email.utils
import functools
import gzip
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import urllib3

from edge.bounded_http import BoundedPoolManager
from edge.causes import DNS, PROTOCOL, REFUSED, TIMEOUT, TLS, UNREACHABLE, cause_of
from edge.destination_config import InfluxTarget
from edge.exchange import Exchange
from edge.forward.outcome import Accepted, Failed, Outcome, Paused, Refused, Throttled, TooLarge
from edge.lean_imports import bare
from edge.outages.events import Ending
from sensors.clock import Clock

with bare("influxdb_client", "influxdb_client.client"):
    from influxdb_client._sync.rest import RESTClientObject
    from influxdb_client.configuration import Configuration
    from influxdb_client.rest import ApiException
    from influxdb_client.version import VERSION

MESSAGE_CHARS_MAX = 500  # of a server's words, as kept and shown
GZIP_LEVEL = 1  # line protocol shrinks to a sixth at level 1; level 9 gains a tenth more at five times the CPU
MS_PER_S = 1000
USER_AGENT = f"influxdb-client-python/{VERSION}"


class InfluxSender:
    """One destination's connection. One `send` at a time."""

    def __init__(self, settings: InfluxTarget, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="influx")
        self._client: Any = None
        self._pool: BoundedPoolManager | None = None
        self._whose: dict[str, str] = {}
        self.exchange = Exchange()
        """What the last `send` or `ping` was like on the wire."""

    async def send(self, body: bytes) -> Outcome:
        """Write line protocol; what came of it."""
        return await self._within(self._settings.read_timeout_s, functools.partial(self._send, body))

    async def ping(self) -> Outcome:
        """Ask for `/ping`, without a token and without a body: whether the far side answers at all."""
        return await self._within(self._settings.connect_timeout_s, self._ping)

    async def _within(self, read_timeout_s: float, request: Callable[[], Outcome]) -> Outcome:
        total_s = self._settings.connect_timeout_s + 2 * read_timeout_s
        sending = asyncio.get_running_loop().run_in_executor(self._worker, request)
        try:
            async with asyncio.timeout(total_s):
                return await asyncio.shield(sending)
        except TimeoutError:
            if self._pool is not None:
                self._pool.abort()
            await sending
            self.exchange = self.exchange.stalled()
            return Failed(TIMEOUT, f"no whole answer within {total_s:g} s")

    def close(self) -> None:
        """End what is under way and close."""
        if self._pool is not None:
            self._pool.abort()
        self._worker.shutdown(wait=True)
        self._disconnect()

    async def aclose(self) -> None:
        """`close`, without holding up the event loop."""
        await asyncio.to_thread(self.close)

    def _ping(self) -> Outcome:
        self.exchange = Exchange()
        timeout = urllib3.Timeout(self._settings.connect_timeout_s, self._settings.connect_timeout_s)
        try:
            answer = self._connected()[1].request(
                "GET", f"{self._settings.url.rstrip('/')}/ping", headers={}, timeout=timeout
            )
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            self.exchange = _exchange_of(error, 0)
            self._disconnect()
            return Failed(_cause(error), _one_line(str(error)))
        return outcome_of_ping(answer.status)

    def _send(self, body: bytes) -> Outcome:
        self.exchange = Exchange()
        try:
            status, headers, text = self._post(body)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            self.exchange = _exchange_of(error, self.exchange.sent_bytes)
            self._disconnect()
            return Failed(_cause(error), _one_line(str(error)))
        except ApiException as error:  # TLS trouble, which influxdb-client turns into status 0
            self._disconnect()
            return Failed(TLS if error.status == 0 else PROTOCOL, _one_line(str(error.reason)))
        if status in {401, 403, 404}:
            self._disconnect()  # so that the next try reads the token file again
        return outcome_of(status, headers, text, self._clock.wall_ms())

    def _post(self, body: bytes) -> tuple[int, dict[str, str], str]:
        settings, (client, pool) = self._settings, self._connected()
        headers = {"Content-Type": "text/plain; charset=utf-8", "Accept": "application/json", **self._whose}
        if settings.gzip:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, GZIP_LEVEL, mtime=0)
        self.exchange = Exchange(len(body))
        timeouts_ms = (settings.connect_timeout_s * MS_PER_S, settings.read_timeout_s * MS_PER_S)
        try:
            answer = client.request(
                "POST",
                f"{settings.url.rstrip('/')}/api/v2/write",
                query_params=[("org", settings.org), ("bucket", settings.bucket), ("precision", "ns")],
                headers=headers,
                body=body,
                _preload_content=False,
                _request_timeout=timeouts_ms,
            )
        except ApiException as error:
            if not error.status:
                raise
            return int(error.status), _lower(error.headers), _text(error.body)
        self.exchange = Exchange(len(body), *pool.segments())
        return int(answer.status), _lower(answer.headers), _text(answer.data)

    def _connected(self) -> tuple[Any, BoundedPoolManager]:
        if self._pool is None:
            settings = self._settings
            token = settings.read_token()
            self._whose = {"User-Agent": USER_AGENT} | ({"Authorization": f"Token {token}"} if token else {})
            self._pool = (
                BoundedPoolManager(ca_certs=str(settings.ca_file)) if settings.ca_file else BoundedPoolManager()
            )
            self._client = _client(self._pool)
        return self._client, self._pool

    def _disconnect(self) -> None:
        if self._pool is not None:
            self._pool.clear()
            self._client = self._pool = None


def _client(pool: BoundedPoolManager) -> Any:
    """influxdb-client's own, which is half typed, over our connections."""
    rest_client: Any = RESTClientObject
    configuration: Any = Configuration
    client = rest_client(configuration())
    client.pool_manager = pool
    return client


def outcome_of(status: int, headers: dict[str, str], body: str, now_ms: int) -> Outcome:
    """The decision table: what an HTTP answer of the write API means. Header names are in lower case."""
    if status == 204:
        return Accepted() if headers else Failed(PROTOCOL, "the answer 204 is cut off before its first header")
    message = server_message(body)
    if status in {400, 422}:
        return Refused(status, message)
    if status == 413:
        return TooLarge(message)
    if status in {401, 403, 404}:
        return Paused(status, message)
    after_ms = retry_after_ms(headers.get("retry-after"), now_ms)
    if status == 429 or (status == 503 and after_ms is not None):
        return Throttled(after_ms, f"{status}: {message}", status)
    if status >= 500:
        return Failed(f"http {status}", f"{status}: {message}", status)
    return Failed(PROTOCOL, f"status {status} is not an answer of InfluxDB's write API: {message}", status)


def outcome_of_ping(status: int) -> Outcome:
    """What an answer to `/ping` means: 204 from an InfluxDB, 4xx from a server without that path; both are there.

    Anything else is a server in trouble (5xx), or somebody in between (a captive portal).
    """
    if status == 204 or 400 <= status < 500:
        return Accepted()
    return Failed(f"http {status}", f"status {status} in answer to /ping", status)


def retry_after_ms(value: str | None, now_ms: int) -> int | None:
    """A Retry-After header (seconds, or a date: RFC 9110, section 10.2.3) in milliseconds from now, at least 0."""
    if value is None:
        return None
    try:
        return max(0, int(value) * MS_PER_S)
    except ValueError:
        pass
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0, int(at.timestamp() * MS_PER_S) - now_ms)


def server_message(body: str) -> str:
    """InfluxDB's own words out of its JSON error, or the start of whatever it was, on one line."""
    try:
        document = json.loads(body)
    except ValueError:
        return _one_line(body)
    if isinstance(document, dict):
        return _one_line(str(document.get("message") or document.get("error") or body))
    return _one_line(body)


def _text(body: bytes | None) -> str:
    return (body or b"").decode("utf-8", "replace")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:MESSAGE_CHARS_MAX]


def _lower(headers: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in (headers or {}).items()}


def _exchange_of(error: BaseException, sent_bytes: int) -> Exchange:
    """The exchange that ended with this error. Whatever fails before the connection stands has sent nothing."""
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return Exchange(sent_bytes, ended=Ending.STALL, is_unknown=sent_bytes > 0)
    if isinstance(error, urllib3.exceptions.ProtocolError):
        inner = error.args[1] if len(error.args) > 1 else None
        reset = isinstance(inner, ConnectionError) and inner.errno is not None  # a plain close has no errno
        return Exchange(sent_bytes, ended=Ending.RST if reset else Ending.FIN, is_unknown=sent_bytes > 0)
    return Exchange()


def _cause(error: BaseException) -> str:
    """The word for what urllib3 raises."""
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return DNS
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        inner = error.__cause__
        word = cause_of(inner) if inner is not None else REFUSED
        return word if word in {REFUSED, UNREACHABLE} else REFUSED
    if isinstance(error, (urllib3.exceptions.TimeoutError, TimeoutError)):
        return TIMEOUT
    if isinstance(error, urllib3.exceptions.SSLError):
        return TLS
    if isinstance(error, urllib3.exceptions.ProtocolError) and len(error.args) > 1:
        return cause_of(error.args[1])
    if isinstance(error, OSError):
        return cause_of(error)
    return PROTOCOL
