"""The HTTP routes: InfluxDB 2.x's write API, and our own read API under /api/v1.

Promises: /api/v2/write answers with InfluxDB 2.x's statuses and bodies (204, 400, 401, 404, 413, 422); /health and
/ping need no token, everything else does. `/api/v1/export` gives every point of a measurement once, in a stable order.
"""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud import errors
from cloud.bodies import BodyTooLargeError, read_body
from cloud.lineprotocol import PRECISION_NS, TIME_NS_MAX, TIME_NS_MIN, PrecisionError
from cloud.queries import PAGE_LIMIT_MAX, Selection, count_series, read_last, read_points, read_seqs
from cloud.service import CloudService

EXPORT_PAGE_POINTS: Final = 1_000  # small enough that writes get their turn in the worker thread between two pages
PAGE_LIMIT_DEFAULT: Final = 1_000
SEQS_SERIES_MAX: Final = 10  # series of one answer: a million points of one series are read in about a second
_JSON: Final = "application/json; charset=utf-8"


def create_app(service: CloudService) -> FastAPI:
    """Build the application around a running service; the caller closes the service."""
    # No interactive pages: FastAPI's load their scripts from the network.
    app = FastAPI(title="Tidegate embedded cloud", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service
    app.include_router(_open_routes)
    app.include_router(_write_routes)
    app.include_router(_read_routes)
    errors.install(app)
    app.add_middleware(_CountAnswers, service=service)
    return app


class _CountAnswers:
    """Count the answers by status, also those that no route gave."""

    def __init__(self, app: ASGIApp, service: CloudService) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._service.answers[message["status"]] += 1
            await send(message)

        await self._app(scope, receive, counted)


def _service(request: Request) -> CloudService:
    service: CloudService = request.app.state.service
    return service


def _authorized(request: Request) -> CloudService:
    service = _service(request)
    if not service.allows(request.headers.get("authorization", "")):
        raise errors.ApiError(401, "unauthorized access")
    return service


Authorized = Annotated[CloudService, Depends(_authorized)]
_open_routes = APIRouter()
_write_routes = APIRouter()
_read_routes = APIRouter(prefix="/api/v1")


def product_version() -> str:
    """Return what the cloud calls itself: it says that it is not InfluxDB."""
    try:
        return f"tidegate-{version('tidegate')}"
    except PackageNotFoundError:
        return "tidegate-source"


@_open_routes.get("/ping")
@_open_routes.head("/ping")
async def ping() -> Response:
    """Answer that the server is there."""
    return Response(status_code=204, headers={"X-Influxdb-Version": product_version(), "X-Influxdb-Build": "tidegate"})


@_open_routes.get("/health")
async def health(request: Request) -> Response:
    """Answer whether the store can be read."""
    service = _service(request)
    try:
        await service.run(service.store.stats)
        fault = ""
    except sqlite3.Error as error:
        fault = f"the store cannot be read: {error}"
    content: dict[str, object] = {
        "name": "tidegate-cloud",
        "message": fault or "ready for queries and writes",
        "status": "fail" if fault else "pass",
        "checks": [],
        "version": product_version(),
    }
    return Response(msgspec.json.encode(content), 503 if fault else 200, media_type=_JSON)


@_write_routes.post("/api/v2/write")
async def write(
    request: Request, service: Authorized, org: str = "", bucket: str = "", precision: str = "ns"
) -> Response:
    """Take line protocol as InfluxDB 2.x does; the checks stand in its order."""
    service.writes.requests += 1
    if precision not in PRECISION_NS:
        raise PrecisionError(precision)
    if not bucket:
        raise errors.ApiError(404, "bucket not found")
    if not org:
        raise errors.ApiError(400, "Please provide either orgID or org")
    if org != service.config.org:
        raise errors.ApiError(404, f'organization name "{org}" not found')
    service.store.bucket_id(bucket)
    bytes_max = service.config.max_body_bytes
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > bytes_max:
        raise BodyTooLargeError(bytes_max)
    body = await read_body(request.stream(), bytes_max=bytes_max)
    encoding = request.headers.get("content-encoding", "").strip().lower()
    report = await service.run(service.write, bucket, precision, encoding, body)
    if report.dropped:
        message = f"failure writing points to database: partial write: {report.reason} dropped={report.dropped}"
        raise errors.ApiError(422, message)
    head_bytes = sum(len(name) + len(value) for name, value in request.headers.raw)
    service.writes.accept(report, head_bytes + len(body))
    return Response(status_code=204)


def _selection(
    bucket: str,
    measurement: str,
    tag: Annotated[list[str] | None, Query()] = None,
    start: Annotated[int, Query(ge=TIME_NS_MIN, le=TIME_NS_MAX)] = TIME_NS_MIN,
    stop: Annotated[int, Query(ge=TIME_NS_MIN, le=TIME_NS_MAX + 1)] = TIME_NS_MAX + 1,
) -> Selection:
    """Read the parameters that say which points: `tag=name=value` may be repeated, times are ns, stop is exclusive."""
    tags: dict[str, str] = {}
    for text in tag or []:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise errors.ApiError(400, f"tag: {text!r}; expected name=value")
        tags[name] = value
    return Selection(bucket, measurement, tags, start, stop)


Selected = Annotated[Selection, Depends(_selection)]
Limit = Annotated[int, Query(ge=1, le=PAGE_LIMIT_MAX)]


@_read_routes.get("/points")
async def points(
    service: Authorized, selected: Selected, limit: Limit = PAGE_LIMIT_DEFAULT, after: str | None = None
) -> Response:
    """Return one page of points in the range."""
    rows, following = await service.run(read_points, service.store, selected, limit=limit, after=after)
    return _json({"points": rows, "next": following})


@_read_routes.get("/last")
async def last(
    service: Authorized, selected: Selected, limit: Limit = PAGE_LIMIT_DEFAULT, after: str | None = None
) -> Response:
    """Return the latest point of each series."""
    rows, following = await service.run(read_last, service.store, selected, limit=limit, after=after)
    return _json({"points": rows, "next": following})


@_read_routes.get("/series")
async def series(
    service: Authorized, selected: Selected, limit: Limit = PAGE_LIMIT_DEFAULT, after: str | None = None
) -> Response:
    """Return how many points each series has."""
    rows, following = await service.run(count_series, service.store, selected, limit=limit, after=after)
    return _json({"series": rows, "next": following})


@_read_routes.get("/seqs")
async def seqs(
    service: Authorized,
    selected: Selected,
    limit: Annotated[int, Query(ge=1, le=SEQS_SERIES_MAX)] = SEQS_SERIES_MAX,
    after: str | None = None,
) -> Response:
    """Return which readings each series has, by their fields boot and seq."""
    rows, following = await service.run(read_seqs, service.store, selected, limit=limit, after=after)
    return _json({"seqs": rows, "next": following})


@_read_routes.get("/export")
async def export(service: Authorized, selected: Selected) -> Response:
    """Stream every point as one JSON object per line."""
    # The first page is read before the status is sent, so that an unknown bucket is a 404 and not a broken stream.
    first = await service.run(read_points, service.store, selected, limit=EXPORT_PAGE_POINTS)
    encoder = msgspec.json.Encoder()

    async def stream() -> AsyncIterator[bytes]:
        rows, following = first
        yield encoder.encode_lines(rows)
        while following is not None:
            rows, following = await service.run(
                read_points, service.store, selected, limit=EXPORT_PAGE_POINTS, after=following
            )
            yield encoder.encode_lines(rows)

    return StreamingResponse(stream(), media_type="application/x-ndjson")


@_read_routes.get("/stats")
async def stats(service: Authorized) -> Response:
    """Return the counters: points per bucket since the database was made, answers and writes since the start."""
    buckets = await service.run(service.store.stats)
    content = {"buckets": buckets, "answers": service.answers, "writes": asdict(service.writes)}
    return _json(content | {"points_max": service.config.max_points})


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type=_JSON)
