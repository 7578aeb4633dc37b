"""The part of the HTTP API about how the gateway is set: what holds, and the two things that can be switched.

    GET    /api/v1/settings               the effective configuration, secrets masked, and the log level
    PUT    /api/v1/settings/log-level     {"level": "debug"}: until the next restart
    PUT    /api/v1/settings/maintenance   {"minutes": 60}: maintenance mode, which ends by itself
    DELETE /api/v1/settings/maintenance   end it now

Promises: no secret is in an answer; switching needs an operator, and is logged with who did it.
"""

import logging
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from edge.access.requires import requires
from edge.access.roles import Principal, Role
from edge.config import EdgeConfig
from edge.maintenance import MINUTES, MINUTES_MAX, Maintenance
from edge.masking import effective
from edge.status import MaintenanceStatus
from sensors.clock import Clock

Level = Literal["debug", "info", "warning", "error"]
Operator = Annotated[Principal, Depends(requires(Role.OPERATOR))]
log = structlog.get_logger("gateway")


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LogLevel(_Body):
    """From which level on lines are written."""

    level: Annotated[Level, Field(examples=["debug"])]


class ForMinutes(_Body):
    """How long maintenance mode lasts."""

    minutes: Annotated[int, Field(ge=1, le=MINUTES_MAX, examples=[MINUTES])] = MINUTES


class SettingsDocument(_Body):
    """What holds. `settings`: the configuration with every default, secrets masked."""

    settings: dict[str, Any]
    log_level: str
    maintenance: MaintenanceStatus | None


def settings_router(config: EdgeConfig, maintenance: Maintenance, clock: Clock) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/api/v1/settings", tags=["Settings"])
    shown = effective(config)

    def document() -> SettingsDocument:
        level = logging.getLevelName(logging.getLogger().getEffectiveLevel()).lower()
        active = maintenance_status(maintenance, clock)
        return SettingsDocument(settings=shown, log_level=level, maintenance=active)

    @router.get("")
    async def settings() -> SettingsDocument:
        """What holds."""
        return document()

    @router.put("/log-level")
    async def switch_log_level(wanted: LogLevel, who: Operator) -> SettingsDocument:
        """Another level, until the next restart. Libraries that chat stay as they are."""
        logging.getLogger().setLevel(wanted.level.upper())
        log.warning("log level switched", level=wanted.level, by=who.name)
        return document()

    @router.put("/maintenance")
    async def begin_maintenance(wanted: ForMinutes, who: Operator) -> SettingsDocument:
        """Maintenance mode for a while."""
        maintenance.begin(who.name or "", wanted.minutes, clock.monotonic_ms(), clock.wall_ms())
        log.warning("maintenance mode begins", minutes=wanted.minutes, by=who.name)
        return document()

    @router.delete("/maintenance")
    async def end_maintenance(who: Operator) -> SettingsDocument:
        """The end of maintenance mode."""
        maintenance.end()
        log.warning("maintenance mode ends", by=who.name)
        return document()

    return router


def maintenance_status(maintenance: Maintenance, clock: Clock) -> MaintenanceStatus | None:
    """Maintenance mode as the status tells it."""
    active = maintenance.active(clock.monotonic_ms())
    return None if active is None else MaintenanceStatus(**active._asdict())
