"""The part of the HTTP API that tells what the links did.

    GET /api/v1/outages?limit=N            the newest outages (100 if not said), the newest first
    GET /api/v1/outages/recording[?days=D] all of it, or the last D days, as a recording (.outage.jsonl); with
                                           format=gz or format=zst packed

Promises: nothing in an answer is an address or a secret; answers are read from the file beside the gateway, so they
never hold up its store; one recording is made at a time.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Query, Response

from edge.api_description import problems
from edge.field_selection import Fields, Wanted, selected
from edge.outage_report import LIST_MAX, OutageDocument, OutageList, outage_list, recording_bytes
from edge.outages.export import NothingRecorded
from edge.outages.observations import LINKS
from edge.outages.packing import PackingError, packed
from edge.store.outage_log import read_archive

LIST_DEFAULT = 100
DAYS_MAX = 3650
MEDIA_TYPES = {"jsonl": "application/x-ndjson", "gz": "application/gzip", "zst": "application/zstd"}
Answer = TypeVar("Answer")


def outage_router(store_path: Path) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/api/v1/outages", tags=["Outages"])
    one_at_a_time = asyncio.Lock()

    @router.get("", response_model=OutageList)
    async def outages(
        fields: Annotated[Fields, Depends(Wanted(OutageDocument))],
        limit: Annotated[int, Query(ge=1, le=LIST_MAX, description="so many at most")] = LIST_DEFAULT,
    ) -> OutageList | Response:
        """The newest outages."""
        found = await _read(lambda: outage_list(read_archive(store_path, LINKS, events=False), limit))
        return selected(found, "outages", fields)

    told = {"description": "The recording (.outage.jsonl).", "content": {each: {} for each in MEDIA_TYPES.values()}}

    @router.get("/recording", response_class=Response, responses={HTTPStatus.OK.value: told, **problems(404, 501)})
    async def recording(
        days: Annotated[float | None, Query(gt=0, le=DAYS_MAX, description="only the last ones")] = None,
        form: Annotated[Literal["jsonl", "gz", "zst"], Query(alias="format", description="packed, or not")] = "jsonl",
    ) -> Response:
        """What the links did, as a recording that can be replayed."""
        async with one_at_a_time:
            body = await _read(lambda: packed(recording_bytes(read_archive(store_path, LINKS), days), f".{form}"))
        return Response(body, media_type=MEDIA_TYPES[form])

    return router


async def _read(read: Callable[[], Answer]) -> Answer:
    try:
        return await asyncio.to_thread(read)
    except PackingError as error:
        raise HTTPException(501, str(error)) from error
    except NothingRecorded as error:
        raise HTTPException(404, str(error)) from error
