"""The demo's questions to the running parts, over HTTP on the loopback interface."""

import asyncio
import http.client
import json
import urllib.request
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.parse import urlencode

from edge.status import GatewayStatus
from tidegate.demo.site import BUCKET, LOOPBACK, Site

TIMEOUT_S = 5.0
MEASUREMENT = "reading"
NS_PER_MS = 1_000_000
Unanswered = (URLError, OSError, http.client.HTTPException, ValueError)
"""What a part that is being killed may answer with."""


class Counted(NamedTuple):
    """How many points there are, how often one of them was overwritten with something else, and how many came behind a
    newer one of their series.
    """

    points: int
    changed: int
    behind: int


class Client:
    """Asks gateway and cloud."""

    def __init__(self, site: Site) -> None:
        self._gateway = f"http://{LOOPBACK}:{site.ports.api}"
        self._cloud = f"http://{LOOPBACK}:{site.ports.cloud}"
        self._token = site.token

    async def gateway(self) -> GatewayStatus | None:
        """How the gateway stands; None while it does not answer."""
        body = await self._get(f"{self._gateway}/api/v1/status")
        return GatewayStatus.model_validate_json(body) if body is not None else None

    async def answers(self, part: str) -> bool:
        """Whether `edge` or `cloud` is ready."""
        url = f"{self._gateway}/readyz" if part == "edge" else f"{self._cloud}/health"
        return await self._get(url) is not None

    async def cloud_stats(self) -> dict[str, Any]:
        """The cloud's counters: see `GET /api/v1/stats`; empty while it does not answer."""
        body = await self._get(f"{self._cloud}/api/v1/stats")
        return dict(json.loads(body)) if body is not None else {}

    async def newest_in_cloud_ms(self) -> int | None:
        """The time of the newest reading in the cloud, or None."""
        body = await self._get(self._query("last", limit=1000))
        points = json.loads(body)["points"] if body is not None else []
        return max((int(point["time_ns"]) // NS_PER_MS for point in points), default=None)

    async def changed_in_cloud(self) -> int:
        """How many readings were ever overwritten with something else: promise 2 says none. (A rollup may be.)"""
        body = await self._get(self._query("series", limit=1000))
        return sum(int(series["changed"]) for series in json.loads(body)["series"]) if body is not None else -1

    async def counted(self, measurements: Iterable[str]) -> Counted:
        """The points of these measurements. Raises one of `Unanswered`."""
        found = Counted(0, 0, 0)
        for measurement in measurements:
            after: dict[str, object] = {}
            while True:
                body = await asyncio.to_thread(
                    self._read, self._query("series", limit=1000, **after, measurement=measurement)
                )
                page = json.loads(body)
                more = [Counted(*(int(series[name]) for name in Counted._fields)) for series in page["series"]]
                found = Counted(*map(sum, zip(found, *more, strict=True)))
                if page["next"] is None:
                    break
                after = {"after": page["next"]}
        return found

    def points(self) -> Iterator[dict[str, Any]]:
        """Every point in the cloud. Raises one of `Unanswered`."""
        with self._open(self._query("export")) as answer:
            for line in answer:
                yield json.loads(line)

    def _query(self, what: str, **more: object) -> str:
        return f"{self._cloud}/api/v1/{what}?" + urlencode({"bucket": BUCKET, "measurement": MEASUREMENT, **more})

    async def _get(self, url: str) -> bytes | None:
        try:
            return await asyncio.to_thread(self._read, url)
        except Unanswered:
            return None

    def _read(self, url: str) -> bytes:
        with self._open(url) as answer:
            return bytes(answer.read())

    def _open(self, url: str) -> Any:
        # The token is the cloud's: the gateway, whose status anybody here may see, refuses one that it does not know.
        headers = {"Authorization": f"Token {self._token}"} if url.startswith(self._cloud) else {}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310
        return urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310  # loopback only
