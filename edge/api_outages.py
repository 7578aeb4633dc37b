"""The part of the HTTP API that tells what the links did.

    GET /api/v1/outages?limit=N            the newest outages (100 if not said), the newest first
    GET /api/v1/outages/recording[?days=D] all of it, or the last D days, as a recording (.outage.jsonl)

Promises: nothing in an answer is an address or a secret; answers are read from the file beside the gateway, so they
never hold up its store; one recording is made at a time.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import BaseModel, ConfigDict

from edge.link_recorder import LINKS
from edge.outages.export import Archive, NothingRecorded, to_recording
from edge.outages.recorder import RecordedOutage
from edge.outages.recording import encode_recording
from edge.store import StoreError
from edge.store.outage_log import read_archive

LIST_DEFAULT, LIST_MAX = 100, 20_000
DAYS_MAX = 3650
MEDIA_TYPE = "application/x-ndjson"
_DAY_US = 86_400_000_000
_US_PER_S = 1_000_000
Answer = TypeVar("Answer")


class OutageDocument(BaseModel):
    """One outage. Times are UTC, null where the clock was never set, or for what has not happened yet; spans are
    microseconds. `held_max` is the largest backlog meanwhile in readings, `catch_up_us` how long it took from the end.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    link: str
    cause: str
    http_status: int | None
    started: str | None
    start_us: int
    start_bounds_us: tuple[int, int]
    seen_us: int
    ended: str | None
    end_us: int | None
    end_bounds_us: tuple[int, int] | None
    how_ended: str | None
    duration_us: int
    held_before: int | None
    held_max: int | None
    catch_up_us: int | None


class OutageList(BaseModel):
    """Outages, the newest first; `alive_us` is until when the recorder's clock is known, `total` how many are kept."""

    model_config = ConfigDict(frozen=True)

    alive_us: int
    total: int
    outages: tuple[OutageDocument, ...]


def outage_list(archive: Archive, limit: int) -> OutageList:
    """The newest outages of an archive."""
    newest = archive.outages[::-1][:limit]
    documents = tuple(outage_document(archive, outage) for outage in newest)
    return OutageList(alive_us=archive.alive_us, total=len(archive.outages), outages=documents)


def outage_document(archive: Archive, outage: RecordedOutage) -> OutageDocument:
    """One outage with its wall-clock times; one that is under way lasts until now."""
    end_us = outage.end_us if outage.end_us is not None else archive.alive_us
    caught_up_us = outage.caught_up_us
    return OutageDocument(
        id=outage.id,
        link=outage.link,
        cause=outage.cause,
        http_status=outage.http_status,
        started=_utc(archive.unix_us(outage.start_us)),
        start_us=outage.start_us,
        start_bounds_us=outage.start_bounds_us,
        seen_us=outage.seen_us,
        ended=_utc(archive.unix_us(end_us)) if outage.end_us is not None else None,
        end_us=outage.end_us,
        end_bounds_us=outage.end_bounds_us,
        how_ended=outage.ended,
        duration_us=end_us - outage.start_us,
        held_before=outage.held_before,
        held_max=outage.held_max,
        catch_up_us=caught_up_us - end_us if caught_up_us is not None else None,
    )


def recording_bytes(archive: Archive, days: float | None, title: str = "") -> bytes:
    """All of an archive, or its last `days`, as the text of a recording.

    Raises `NothingRecorded`, and `RecordingError` for the title.
    """
    since_us = None if days is None else max(0, archive.alive_us - round(days * _DAY_US))
    return b"".join(encode_recording(to_recording(archive, since_us=since_us, title=title)))


def outage_router(store_path: Path) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/api/v1/outages")
    one_at_a_time = asyncio.Lock()

    @router.get("")
    async def outages(limit: Annotated[int, Query(ge=1, le=LIST_MAX)] = LIST_DEFAULT) -> OutageList:
        """The newest outages."""
        return await _read(lambda: outage_list(read_archive(store_path, LINKS, events=False), limit))

    @router.get("/recording")
    async def recording(days: Annotated[float | None, Query(gt=0, le=DAYS_MAX)] = None) -> Response:
        """The recording."""
        async with one_at_a_time:
            text = await _read(lambda: recording_bytes(read_archive(store_path, LINKS), days))
        return Response(text, media_type=MEDIA_TYPE)

    return router


async def _read(read: Callable[[], Answer]) -> Answer:
    try:
        return await asyncio.to_thread(read)
    except StoreError as error:
        raise HTTPException(503, str(error)) from error
    except NothingRecorded as error:
        raise HTTPException(404, str(error)) from error


def _utc(unix_us: int | None) -> str | None:
    if unix_us is None:
        return None
    text = datetime.fromtimestamp(unix_us / _US_PER_S, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
