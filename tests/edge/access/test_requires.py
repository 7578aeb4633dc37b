"""The one line by which a route says who may call it."""

import asyncio
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, Request
from starlette.types import ASGIApp

from edge.access.requires import requires
from edge.access.roles import Kind, Principal, Role, Scope
from edge.api import make_app
from edge.status import GatewayStatus
from tests.edge.access.kit import signed_in


def _app() -> ASGIApp:
    router = APIRouter()

    @router.post("/operate")
    async def operate(who: Annotated[Principal, Depends(requires(Role.OPERATOR))]) -> dict[str, Any]:
        return {"name": who.name}

    @router.get("/look", dependencies=[Depends(requires(Role.VIEWER))])
    async def look() -> dict[str, Any]:
        return {}

    @router.post("/ingest")
    async def ingest(request: Request) -> dict[str, Any]:
        return {"name": requires(Scope.INGEST)(request).name}

    async def no_status() -> GatewayStatus:
        raise NotImplementedError

    return make_app(no_status, router)


def _ask(app: ASGIApp, method: str, path: str) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.request(method, path)

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        (None, "POST", "/operate", 401),
        (None, "GET", "/look", 401),
        (None, "POST", "/ingest", 401),
        (Role.VIEWER, "GET", "/look", 200),
        (Role.VIEWER, "POST", "/operate", 403),
        (Role.VIEWER, "POST", "/ingest", 403),
        (Role.OPERATOR, "GET", "/look", 200),
        (Role.OPERATOR, "POST", "/operate", 200),
        (Role.OPERATOR, "POST", "/ingest", 200),
    ],
)
def test_a_route_is_open_to_those_with_the_rights_it_asks_for(
    role: Role | None, method: str, path: str, status: int
) -> None:
    app = _app() if role is None else signed_in(_app(), role)
    answer = _ask(app, method, path)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert "expected the" in answer.json()["detail"]
        assert ("www-authenticate" in answer.headers) == (status == 401)


def test_the_route_learns_who_it_is() -> None:
    assert _ask(signed_in(_app(), Role.OPERATOR, "grace"), "POST", "/operate").json() == {"name": "grace"}


def test_a_state_that_the_middleware_did_not_make_is_nobody() -> None:
    async def forged(scope: Any, receive: Any, send: Any) -> None:
        await _app()({**scope, "state": {"principal": "ada"}}, receive, send)

    assert _ask(forged, "POST", "/operate").status_code == 401


def test_to_operate_implies_to_read_and_to_ingest_does_not() -> None:
    assert Role.OPERATOR.scope is Scope.OPERATE
    for scopes, reads in (({Scope.OPERATE}, True), ({Scope.INGEST}, False), ({Scope.READ}, True)):
        assert Principal(kind=Kind.TOKEN, name="t", scopes=frozenset(scopes)).may(Scope.READ) is reads
