"""The dashboard's routes: what the pages show under `/api/v1`, the live stream, and `/metrics`. GET and HEAD only."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import Field

from edge.dashboard.chart_routes import KEY_MAX, known, make_chart_router
from edge.dashboard.documents import DeviceDetail, DevicePage, DeviceRow, History, Now, StoreDetail
from edge.dashboard.entries import Query
from edge.dashboard.metrics import CONTENT_TYPE, metrics_text
from edge.dashboard.service import Dashboard
from edge.field_selection import Fields, Wanted, selected

LIVE_PATH = "/api/v1/live"
LIMIT_MAX = 250  # rows of one answer
OFFSET_MAX = 1_000_000
TEXT_MAX = 64  # bytes of a site or device name on the wire

Sort = Literal[
    "device", "-device", "site", "-site", "seen", "-seen", "battery", "-battery", "received", "-received",
    "missing", "-missing", "lost", "-lost", "held", "-held",
]  # fmt: skip


def make_router(dashboard: Dashboard) -> APIRouter:
    """Every route, on one dashboard."""
    router = APIRouter()

    @router.get("/api/v1/now")
    async def now() -> Now:
        """The status, and in one sentence whether it is working."""
        return await dashboard.now()

    @router.get("/api/v1/history")
    async def history() -> History:
        """The last fifteen minutes, a sample a second."""
        return dashboard.history()

    @router.get("/api/v1/devices", response_model=DevicePage)
    async def devices(
        fields: Annotated[Fields, Depends(Wanted(DeviceRow))],
        q: Annotated[str, Field(max_length=TEXT_MAX)] = "",
        site: Annotated[str | None, Field(max_length=TEXT_MAX)] = None,
        sort: Sort = "device",
        offset: Annotated[int, Field(ge=0, le=OFFSET_MAX)] = 0,
        limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = 100,
    ) -> DevicePage | Response:
        """Devices whose name or site holds `q`, sorted (`-` before: highest first), some at a time."""
        query = Query(q, site, sort.removeprefix("-"), sort.startswith("-"), offset, limit)
        return selected(await dashboard.devices(query), "items", fields)

    @router.get("/api/v1/devices/{key}")
    async def device(key: Annotated[int, Field(ge=1, le=KEY_MAX)]) -> DeviceDetail:
        """One device: its latest values, recent readings, and the ledger of its newest boots."""
        return known(await dashboard.device(key), key)

    @router.get("/api/v1/store")
    async def store() -> StoreDetail:
        """The store, its consumers and the ledger's totals."""
        return await dashboard.store()

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """For Prometheus: see docs/metrics.md."""
        return Response(metrics_text(await dashboard.status(), dashboard.streams), media_type=CONTENT_TYPE)

    router.include_router(make_chart_router(dashboard.charts))
    _add_live(router, dashboard)
    return router


def _add_live(router: APIRouter, dashboard: Dashboard) -> None:
    def slot() -> Iterator[None]:
        with dashboard.stream_slot():
            yield

    @router.get(LIVE_PATH, response_class=EventSourceResponse, dependencies=[Depends(slot)])
    async def live(
        devices: bool = False,
        device: Annotated[int | None, Field(ge=1, le=KEY_MAX)] = None,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> AsyncIterator[ServerSentEvent]:
        """Server-sent events: `status` once a second; `devices`, rows that changed; `device`, one device's news."""
        async for event in dashboard.live(devices, device, last_event_id):
            yield event
