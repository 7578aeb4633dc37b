"""The part of the HTTP API that causes outages: see `edge.drill`.

    GET    /api/v1/drill    whether one may begin, the one that runs, the one that ended last
    POST   /api/v1/drill    {"fault": "down", "seconds": 60}: begin one, which ends by itself
    DELETE /api/v1/drill    end it now

Promises: beginning and ending need an operator, beginning also maintenance mode or a configuration that allows drills
always (409 else); both are logged with who did it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from edge.access.requires import requires
from edge.access.roles import Principal, Role
from edge.api_description import problems
from edge.drill import (
    LATENCY_MS,
    LATENCY_MS_MAX,
    LATENCY_MS_MIN,
    SECONDS_MAX,
    SECONDS_MIN,
    Drill,
    DrillRefused,
    Drills,
    Fault,
    Order,
)
from edge.outages.observations import UPLINK
from edge.status import DrillOrder, DrillStatus, RunDrill
from sensors.clock import Clock

SECONDS = 60
Operator = Annotated[Principal, Depends(requires(Role.OPERATOR))]
log = structlog.get_logger("gateway")


class Wanted(BaseModel):
    """A drill to begin. `link`: uplink or devices; `destination`: only this one of the uplink's."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"fault": "down", "seconds": SECONDS}]}
    )

    fault: Fault
    seconds: Annotated[int, Field(ge=SECONDS_MIN, le=SECONDS_MAX)] = SECONDS
    link: str = UPLINK.name
    destination: str | None = None
    latency_ms: Annotated[int, Field(ge=LATENCY_MS_MIN, le=LATENCY_MS_MAX)] = LATENCY_MS


def drill_router(
    drills: Drills,
    destinations: tuple[str, ...],
    clock: Clock,
    held: Callable[[], Awaitable[int]],
    changed: Callable[[], Awaitable[None]],
) -> APIRouter:
    """The routes. `held`: how many readings wait; `changed` is awaited when a drill has begun, or was ended."""
    router = APIRouter(prefix="/api/v1/drill", tags=["Drill"])

    @router.get("")
    async def drill() -> DrillStatus:
        """Whether one may begin, and the one that runs."""
        return drill_status(drills, clock)

    @router.post("", responses=problems(409))
    async def begin_drill(wanted: Wanted, who: Operator) -> DrillStatus:
        """An outage for a while."""
        if wanted.destination not in (None, *destinations):
            why = f"destination: expected one of {', '.join(destinations)}, found {wanted.destination}"
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, why)
        try:
            order = Order(**wanted.model_dump())
            waiting = await held()
            drills.begin(order, who.name or "", clock.monotonic_ms(), clock.wall_ms(), waiting)
        except ValueError as error:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
        except DrillRefused as error:
            raise HTTPException(HTTPStatus.CONFLICT, str(error)) from None
        log.warning("drill begins", by=who.name, **asdict(order))
        await changed()
        return drill_status(drills, clock)

    @router.delete("")
    async def end_drill(who: Operator) -> DrillStatus:
        """The end of the drill."""
        drills.end(clock.wall_ms())
        log.warning("drill ends", by=who.name)
        await changed()
        return drill_status(drills, clock)

    return router


def drill_status(drills: Drills, clock: Clock) -> DrillStatus:
    """Drills as the status tells them."""
    now_ms = clock.monotonic_ms()
    running = drills.running(now_ms, clock.wall_ms())
    return DrillStatus(
        allowed=drills.allowed(now_ms),
        running=None if running is None else _document(running),
        last=None if drills.last is None else _document(drills.last),
    )


def _document(drill: Drill) -> RunDrill:
    order = drill.order
    told = DrillOrder(fault=order.fault, link=order.link, destination=order.destination, latency_ms=order.latency_ms)
    return RunDrill(
        order=told, by=drill.by, since_ms=drill.since_ms, until_ms=drill.until_ms, held_before=drill.held_before
    )
