"""The dashboard's routes: what the pages show under `/api/v1`, the live stream, and `/metrics`. GET and HEAD only."""

from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from edge.api_description import problems
from edge.dashboard.chart_routes import KEY_MAX, Key, known, make_chart_router
from edge.dashboard.documents import DeviceDetail, DevicePage, DeviceRow, History, Now, StoreDetail
from edge.dashboard.entries import Query as Wish
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

    @router.get("/api/v1/now", tags=["Overview"])
    async def now() -> Now:
        """The status, and in one sentence whether it is working."""
        return await dashboard.now()

    @router.get("/api/v1/history", tags=["Overview"])
    async def history() -> History:
        """The last fifteen minutes, a sample a second."""
        return dashboard.history()

    @router.get("/api/v1/devices", response_model=DevicePage, tags=["Devices"])
    async def devices(
        fields: Annotated[Fields, Depends(Wanted(DeviceRow))],
        q: Annotated[str, Query(max_length=TEXT_MAX, description="only with this text in name or site")] = "",
        site: Annotated[str | None, Query(max_length=TEXT_MAX, description="only of this one")] = None,
        sort: Annotated[Sort, Query(description="by what; with `-` before it, highest first")] = "device",
        offset: Annotated[int, Query(ge=0, le=OFFSET_MAX, description="so many are left out at the beginning")] = 0,
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="so many at most")] = 100,
    ) -> DevicePage | Response:
        """Devices whose name or site holds `q`, sorted (`-` before: highest first), some at a time."""
        query = Wish(q, site, sort.removeprefix("-"), sort.startswith("-"), offset, limit)
        return selected(await dashboard.devices(query), "items", fields)

    @router.get("/api/v1/devices/{key}", tags=["Devices"], responses=problems(404))
    async def device(key: Key) -> DeviceDetail:
        """One device: its latest values, recent readings, and the ledger of its newest boots."""
        return known(await dashboard.device(key), key)

    @router.get("/api/v1/store", tags=["Store"])
    async def store() -> StoreDetail:
        """The store, its consumers and the ledger's totals."""
        return await dashboard.store()

    exposition = {"description": "The answer.", "content": {CONTENT_TYPE: {"schema": {"type": "string"}}}}

    @router.get("/metrics", response_class=Response, tags=["Overview"], responses={HTTPStatus.OK.value: exposition})
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(metrics_text(await dashboard.status(), dashboard.streams), media_type=CONTENT_TYPE)

    router.include_router(make_chart_router(dashboard.charts))
    _add_live(router, dashboard)
    return router


def _add_live(router: APIRouter, dashboard: Dashboard) -> None:
    def slot() -> Iterator[None]:
        with dashboard.stream_slot():
            yield

    @router.get(LIVE_PATH, response_class=EventSourceResponse, dependencies=[Depends(slot)], tags=["Overview"])
    async def live(
        devices: Annotated[bool, Query(description="also `devices`: rows that changed")] = False,
        device: Annotated[
            int | None, Query(ge=1, le=KEY_MAX, description="also `device` and `commands`: what is new of this one")
        ] = None,
        last_event_id: Annotated[str | None, Header(description="the last event that was seen: what followed")] = None,
    ) -> AsyncIterator[ServerSentEvent]:
        """What happens, as server-sent events.

        `status` comes once a second, as GET /api/v1/now has it, or `trouble` while the store does not answer.
        """
        async for event in dashboard.live(devices, device, last_event_id):
            yield event
