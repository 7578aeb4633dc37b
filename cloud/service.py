"""What the HTTP routes share: the store behind its one worker thread, the token, the clock and the answer counters."""

import asyncio
import hmac
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from cloud.bodies import inflate
from cloud.config import CloudConfig
from cloud.lineprotocol import parse_lines
from cloud.points import PointStore, WriteReport

Params = ParamSpec("Params")
Result = TypeVar("Result")


class LinesRefusedError(Exception):
    """Some lines are not line protocol; nothing was written. The text names each, as InfluxDB's does."""


class BodyEmptyError(Exception):
    """The body is empty; the text is InfluxDB's."""

    def __init__(self) -> None:
        super().__init__("writing requires points")


@dataclass(slots=True)
class Writes:
    """Write requests since the start: how many were answered, and the bytes of those that were stored, as received.

    `needed_bytes`: of each of them the share of points that were not there before, which is what a link that loses
    nothing would have had to carry.
    """

    requests: int = 0
    accepted_bytes: int = 0
    needed_bytes: int = 0

    def accept(self, report: WriteReport, size_bytes: int) -> None:
        """One was stored."""
        fresh = report.created + report.changed
        self.accepted_bytes += size_bytes
        self.needed_bytes += size_bytes * fresh // max(1, fresh + report.rewritten)


class CloudService:
    """One running cloud. Everything that may block goes through `run`, in the order asked, in one thread."""

    def __init__(self, config: CloudConfig, token: str, clock_ns: Callable[[], int]) -> None:
        """Open the store. `clock_ns` gives nanoseconds since 1970. Raises StoreUnusableError."""
        self.config = config
        self.clock_ns = clock_ns
        self.answers: Counter[int] = Counter()
        self.writes = Writes()
        self._token = token.encode()
        self.store = PointStore(
            config.db_path,
            {bucket.name: bucket.retention_s for bucket in config.buckets},
            points_max=config.max_points,
            disk_bytes_max=config.max_disk_bytes,
        )
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cloud-store")

    def close(self) -> None:
        """Let the running work end, then close the store."""
        self._worker.shutdown(wait=True, cancel_futures=True)
        self.store.close()

    async def run(self, work: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs) -> Result:
        """Run blocking work in the worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, lambda: work(*args, **kwargs))

    def allows(self, authorization: str) -> bool:
        """Tell whether an Authorization header carries the token (schemes Token and Bearer, as InfluxDB 2 takes)."""
        scheme, _, given = authorization.partition(" ")
        return scheme in ("Token", "Bearer") and hmac.compare_digest(given.strip().encode(), self._token)

    def write(self, bucket: str, precision: str, encoding: str, body: bytes) -> WriteReport:
        """Decompress, parse and store one body; blocking.

        Raises BodyTooLargeError, BodyEncodingError, BodyEmptyError, PrecisionError, LinesRefusedError,
        BucketUnknownError and StoreFullError; nothing is written then.
        """
        now_ns = self.clock_ns()
        data = inflate(body, encoding, bytes_max=self.config.max_body_bytes)
        if not data:
            raise BodyEmptyError
        parsed = parse_lines(data, precision=precision, now_ns=now_ns)
        if parsed.errors:
            raise LinesRefusedError("\n".join(parsed.errors))
        return self.store.write(bucket, parsed.points, now_ns=now_ns, body_bytes=len(data))
