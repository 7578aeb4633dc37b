"""Asks a cloud which readings it holds: our embedded one by its own API, InfluxDB 1, 2 or 3 by InfluxQL over `/query`.

InfluxDB 2 answers InfluxQL for a bucket that is mapped to a database of the same name. Only the fields `boot` and `seq`
are read, a device at a time, in chunks, so that memory does not depend on how much there is.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import urllib3

from edge.config import InfluxSettings
from edge.intervals import Intervals
from tidegate.errors import FrontDoorError

TIMEOUT_S = 60.0  # a million points of one device take InfluxDB some seconds
CHUNK_ROWS = 10_000
LINE_BYTES_MAX = 8 * 1024**2  # of one chunk: sixteen times what it takes
_OURS = "tidegate"


class CloudError(FrontDoorError):
    """The cloud cannot be asked; in its words."""


class CloudSeqs(Protocol):
    """Who knows which readings are in the cloud."""

    def of_device(self, site: str, device: str) -> Mapping[int, Intervals]:
        """The seqs of each boot. Raises `CloudError`."""


def cloud_seqs(settings: InfluxSettings) -> CloudSeqs:
    """The way to ask the cloud of a configuration. Raises `CloudError`."""
    options: dict[str, Any] = {} if settings.ca_file is None else {"ca_certs": str(settings.ca_file)}
    timeout = urllib3.Timeout(connect=settings.connect_timeout_s, read=TIMEOUT_S)
    asker = _Asker(settings, urllib3.PoolManager(retries=False, timeout=timeout, maxsize=1, **options))
    with asker.get("/ping", ()) as answer:
        is_ours = answer.headers.get("X-Influxdb-Build", "") == _OURS
    return _Embedded(asker) if is_ours else _InfluxQl(asker)


class _Asker:
    def __init__(self, settings: InfluxSettings, pool: urllib3.PoolManager) -> None:
        self.settings = settings
        self._pool = pool

    def get(self, path: str, query: Sequence[tuple[str, str]]) -> urllib3.BaseHTTPResponse:
        """An answer that is good, its body unread. Raises `CloudError`."""
        url = f"{self.settings.url.rstrip('/')}{path}"
        try:
            headers = {"Authorization": f"Token {self.settings.read_token()}"}
            answer = self._pool.request(
                "GET", url, fields=query, headers=headers, redirect=False, preload_content=False
            )
        except OSError as error:
            raise CloudError(f"the token cannot be read: {error}") from None
        except urllib3.exceptions.HTTPError as error:
            raise CloudError(f"{self.settings.url} cannot be asked: {error}") from None
        if answer.status >= 300:
            said = answer.read(500).decode("utf-8", "replace")
            answer.close()
            raise CloudError(f"{url} answers {answer.status}: {' '.join(said.split())}")
        return answer

    def lines(self, path: str, query: Sequence[tuple[str, str]]) -> Iterator[Any]:
        """The JSON of each line of an answer. Raises `CloudError`."""
        with self.get(path, query) as answer:
            rest = b""
            try:
                for chunk in answer.stream(65_536):
                    *whole, rest = (rest + chunk).split(b"\n")
                    yield from map(json.loads, filter(None, whole))
                    if len(rest) > LINE_BYTES_MAX:
                        raise CloudError(f"{self.settings.url} answers with endless lines")
                if rest:
                    yield json.loads(rest)
            except urllib3.exceptions.HTTPError as error:
                raise CloudError(f"{self.settings.url} breaks off: {error}") from None
            except ValueError:
                raise CloudError(f"{self.settings.url}{path} answers with something else than JSON") from None


class _Embedded:
    def __init__(self, asker: _Asker) -> None:
        self._asker = asker

    def of_device(self, site: str, device: str) -> Mapping[int, Intervals]:
        settings = self._asker.settings
        query = [("bucket", settings.bucket), ("measurement", settings.measurement)]
        query += [("tag", f"device={device}"), ("tag", f"site={site}")]  # one series: one page is all of it
        found: dict[int, Intervals] = {}
        for page in self._asker.lines("/api/v1/seqs", query):
            for each in page["seqs"]:
                found.setdefault(each["boot"], Intervals()).update(Intervals(map(tuple, each["seqs"])))
        return found


class _InfluxQl:
    def __init__(self, asker: _Asker) -> None:
        self._asker = asker

    def of_device(self, site: str, device: str) -> Mapping[int, Intervals]:
        settings = self._asker.settings
        asked = (
            f'SELECT "boot", "seq" FROM {_quoted(settings.measurement, chr(34))}'  # noqa: S608  # quoted
            f' WHERE "device" = {_quoted(device, chr(39))} AND "site" = {_quoted(site, chr(39))}'
        )
        query = [("db", settings.bucket), ("q", asked), ("epoch", "ns")]
        query += [("chunked", "true"), ("chunk_size", str(CHUNK_ROWS))]
        found: dict[int, Intervals] = {}
        for document in self._asker.lines("/query", query):
            for result in document.get("results", ()):
                if "error" in result:
                    raise CloudError(f"{settings.url}: {result['error']}")
                for series in result.get("series", ()):
                    for _, boot, seq in series["values"]:
                        if isinstance(boot, int) and isinstance(seq, int):
                            found.setdefault(boot, Intervals()).add(seq)
        return found


def _quoted(text: str, quote: str) -> str:
    """A name or a text as InfluxQL wants it."""
    escaped = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    return f"{quote}{escaped}{quote}"
