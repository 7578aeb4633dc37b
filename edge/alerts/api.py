"""The part of the HTTP API for alerts.

    GET  /api/v1/alerts?state=open&severity=critical&device=KEY&before=ID&limit=100&fields=id,message
    POST /api/v1/alerts/{id}/acknowledge        {"by": "Ada"}

Promises: an acknowledgement takes an operator, is answered after its commit, and the first one stays; errors are
problem details.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, Literal, Protocol

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from edge.access.requires import requires
from edge.access.roles import Principal, Role
from edge.alerts.book import BY_MAX, LIST_MAX, AlertBook, Listed
from edge.api_description import problems, takes
from edge.field_selection import Fields, Wanted, selected
from edge.problems import Problem, read_body
from edge.store.alerts import AlertRow
from sensors.alerts import Severity
from sensors.clock import Clock

BODY_BYTES_MAX = 4096
ID_MAX = 2**62
State = Literal["active", "unacknowledged", "open", "closed", "all"]


class InStore(Protocol):
    """Runs a call in the store's thread."""

    def __call__(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """The call's answer."""


class AlertDocument(BaseModel):
    """One alert. `device_key` is null for the gateway's own. Times are milliseconds since 1970."""

    model_config = ConfigDict(frozen=True)

    id: int
    source: Literal["rule", "device", "gateway"]
    rule: str
    site: str
    device: str
    device_key: int | None
    severity: Severity
    message: str
    active: bool
    since_ms: int
    raised_ms: int
    count: int
    value: str | None
    unit: str | None
    number: float | None
    threshold: float | None
    cleared_ms: int | None
    acknowledged_ms: int | None
    acknowledged_by: str | None


class AlertPage(BaseModel):
    """Some of the alerts that were asked for: `total` match. The next page is behind the lowest id."""

    model_config = ConfigDict(frozen=True)

    total: int
    items: list[AlertDocument]


class _By(msgspec.Struct, forbid_unknown_fields=True):
    by: Annotated[str, msgspec.Meta(description="who has seen it; without it, whoever asks")] = ""


class AlertsApi:
    """The routes."""

    def __init__(self, book: AlertBook, in_store: InStore, clock: Clock) -> None:
        self._book = book
        self._in_store = in_store
        self._clock = clock

    def router(self) -> APIRouter:
        """The routes, to be mounted."""
        router = APIRouter(prefix="/api/v1/alerts", tags=["Alerts"])

        @router.get("", response_model=AlertPage)
        async def alerts(
            fields: Annotated[Fields, Depends(Wanted(AlertDocument))],
            state: Annotated[State, Query(description="`open`: active, or not acknowledged")] = "open",
            severity: Annotated[Severity | None, Query(description="only of this one")] = None,
            device: Annotated[
                int | None, Query(ge=0, le=ID_MAX, description="the key of a device; 0: the gateway's own")
            ] = None,
            before: Annotated[int, Query(ge=1, le=ID_MAX, description="the lowest id of the page before")] = ID_MAX,
            limit: Annotated[int, Query(ge=1, le=LIST_MAX, description="so many at most")] = 100,
            order: Annotated[Literal["newest", "worst"], Query(description="which come first")] = "newest",
        ) -> AlertPage | Response:
            """Alerts, the newest first; or the worst of the active ones first (one page only)."""
            wanted = Listed(state, severity, device, before, limit)
            page: AlertPage = await self._in_store(alert_page, self._book, wanted, worst_first=order == "worst")
            return selected(page, "items", fields)

        @router.post(
            "/{alert_id}/acknowledge", response_model=AlertDocument, responses=problems(400, 404),
            openapi_extra=takes(_By, {"by": "Ada"}, required=False),
        )  # fmt: skip
        async def acknowledge(
            alert_id: Annotated[int, Path(ge=1, le=ID_MAX, description="as the list tells it")],
            who: Annotated[Principal, Depends(requires(Role.OPERATOR))],
            request: Request,
        ) -> AlertDocument:
            """Note that somebody has seen it."""
            by = _by(await read_body(request, BODY_BYTES_MAX)) or check_by(who.name or "")
            row = await self._in_store(self._book.acknowledge, alert_id, by, self._clock.wall_ms())
            if row is None:
                raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no alert {alert_id}")
            return alert_document(row)

        return router


def _by(body: bytes) -> str:
    """Whom the request names; empty for whoever makes it."""
    try:
        by = msgspec.json.decode(body, type=_By).by.strip() if body else ""
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"body: {error}") from None
    return check_by(by) if by else ""


def check_by(by: str) -> str:
    """Who acknowledges, fit to be kept. Raises `Problem`."""
    if len(by) > BY_MAX or not by.isprintable():
        raise Problem(HTTPStatus.BAD_REQUEST, f"by: expected at most {BY_MAX} printable characters")
    return by or "operator"


def alert_page(book: AlertBook, wanted: Listed, *, worst_first: bool = False) -> AlertPage:
    """The answer to a list. Raises `StoreError`."""
    rows = book.worst(wanted) if worst_first else book.alerts(wanted)
    return AlertPage(total=book.count(wanted), items=[alert_document(row) for row in rows])


def alert_document(row: AlertRow) -> AlertDocument:
    """One alert as it is told."""
    alert = row.alert
    fields = {name: getattr(alert, name) for name in alert.__struct_fields__}
    return AlertDocument(id=row.id, device_key=row.device_key or None, active=alert.is_active, **fields)
