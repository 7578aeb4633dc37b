"""What the dashboard's tests share: a status to bend, a clock to hold, and a dashboard over a real desk."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from fastapi import APIRouter

from edge.api import make_app
from edge.dashboard import Dashboard
from edge.dashboard.charts import ChartFiles
from edge.dashboard.directory import Directory
from edge.desk import Desk
from edge.forecast import LinkForecast
from edge.forward.forwarder import Breaker
from edge.front.back import LocalBack
from edge.link_rules import Level
from edge.status import (
    DestinationStatus,
    ForwardStatus,
    GatewayStatus,
    IngestStatus,
    LedgerStatus,
    LinkStatus,
    StoreStatus,
    forward_status,
    ledger_status,
)
from tests.edge.kit import T0_MS, message, open_desk, reading

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

UP = LinkStatus(state="up", since_ms=T0_MS)
DOWN = LinkStatus(state="down", since_ms=T0_MS, cause="timeout", message="no answer")


class HeldClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at_ms = T0_MS

    def wall_ms(self) -> int:
        return self.at_ms

    def monotonic_ms(self) -> int:
        return self.at_ms


def status(**changes: Any) -> GatewayStatus:
    """A gateway that does well, but for `changes`; those of `forward`, `ledger` and `store` are dicts."""
    ledger = {
        "received": 10, "delivered": 10, "held": 0, "quarantined": 0, "duplicates": 0, "lost": 0, "undecodable": 0,
        "not_rolled_up": 0, "balances": True,
    } | changes.pop("ledger", {})  # fmt: skip
    forward = {
        "backlog": 0, "oldest_unsent_ms": None, "received_per_s": 1.0, "drained_per_s": 1.0, "catch_up_s": 0.0,
        "breaker": Breaker.CLOSED, "paused": False, "failures": 0, "last_error": None, "lanes": {},
    } | changes.pop("forward", {})  # fmt: skip
    store = {"bytes": 4096, "healthy": True, "error": None} | changes.pop("store", {})
    whole: dict[str, Any] = {
        "at_ms": T0_MS, "started_ms": T0_MS, "version": "0.1.0", "devices": 1, "waiting_messages": 0,
        "sessions_lost": 0, "devices_link": UP, "uplink": UP, "ledger": LedgerStatus(**ledger),
        "forward": ForwardStatus(**forward), "store": StoreStatus(**store),
        "ingest": IngestStatus(**dict.fromkeys(IngestStatus.model_fields, 0)),
    }  # fmt: skip
    return GatewayStatus(**(whole | changes))


def destination(**changes: Any) -> DestinationStatus:
    """One that does well, but for `changes`; those of `forecast` are a dict."""
    if changes.get("forecast", {}) is None:
        return destination(**changes | {"forecast": {}}).model_copy(update={"forecast": None})
    forecast = {
        "catch_up_s": 0.0, "catch_up_bytes": 0, "catch_up_cost": None, "month_bytes": 5, "month_bytes_max": None,
        "month_cost": 0.5, "month_end_bytes": None, "month_end_cost": None, "budget_used_up_s": None, "level": 0,
        "is_open": True, "currency": "EUR",
    } | changes.pop("forecast", {})  # fmt: skip
    whole: dict[str, Any] = {
        "name": "archive", "configured": True, "link": UP, "received": 9, "delivered": 7, "held": 2, "quarantined": 0,
        "thinned": 0, "expired": 0, "suppressed": 0, "balances": True, "oldest_unsent_ms": 5, "drained_per_s": 1.0,
        "catch_up_s": None, "forecast": LinkForecast(**forecast | {"level": Level(forecast["level"])}),
    }  # fmt: skip
    return DestinationStatus(**(whole | changes))


async def in_this_thread(
    call: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Answer:
    """Stands for the store's thread."""
    return call(*args, **kwargs)


def dashboard_on(desk: Desk, clock: HeldClock | None = None) -> Dashboard:
    """A dashboard over a desk, with a gateway around it that does well."""
    held = clock or HeldClock()

    def look() -> Awaitable[GatewayStatus]:
        return _look(desk, held)

    return Dashboard(back_on(desk, look), files_of(desk), held)


def files_of(desk: Desk) -> ChartFiles:
    """Of a desk."""
    return ChartFiles(desk.store.path, desk.history.path, desk.history.sizes_s)


def desk_of_five(folder: Path) -> Desk:
    """With five devices of three readings each; to be closed."""
    opened = open_desk(folder)
    opened.take_in([message(*(reading(seq, device=f"d{at}") for seq in range(3))) for at in range(5)], 0, T0_MS)
    return opened


async def well() -> GatewayStatus:
    """A gateway that does well."""
    return status()


def back_on(desk: Desk, look: Callable[[], Awaitable[GatewayStatus]], *routers: APIRouter) -> LocalBack:
    """A gateway's own end, over a desk."""
    return LocalBack(look, in_this_thread, Directory(desk), make_app(look, *routers))


async def _look(desk: Desk, clock: HeldClock) -> GatewayStatus:
    standing = desk.standing(clock.at_ms, clock.at_ms)
    base = status(at_ms=clock.at_ms, devices=standing.devices)
    return base.model_copy(update={"ledger": ledger_status(standing), "forward": forward_status(standing)})
