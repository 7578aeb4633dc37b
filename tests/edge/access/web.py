"""A browser without a browser, and an application with routes of every kind behind the gate."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from edge.access.requires import requires
from edge.access.roles import Role, Scope
from edge.access.service import AccessService
from edge.api import make_app
from edge.config import ApiSettings
from edge.status import GatewayStatus
from tests.edge.access.kit import PASSWORD, access_service
from tests.edge.dashboard.kit import HeldClock, status

SAME_SITE = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:8080"}


class Web:
    """A browser without a browser: keeps cookies, sends what a page of ours would."""

    def __init__(self, service: AccessService, clock: HeldClock, client: httpx.AsyncClient) -> None:
        self.service = service
        self.clock = clock
        self.client = client
        self.csrf = ""

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**SAME_SITE, "X-CSRF-Token": self.csrf, **more.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **more)

    async def login(self, name: str = "ada", password: str = PASSWORD) -> httpx.Response:
        answer = await self.ask("POST", "/api/v1/login", json={"name": name, "password": password})
        if answer.status_code == 200:
            self.csrf = answer.json()["csrf"]
        return answer

    async def add(self, name: str = "ada", role: Role = Role.OPERATOR) -> None:
        desk = self.service.desk
        await self.service.ask(desk.add_user, name, role, PASSWORD, self.clock.wall_ms())

    async def token(self, *scopes: Scope) -> dict[str, str]:
        made = self.service.desk.add_token
        token = await self.service.ask(made, f"t-{len(scopes)}", scopes, "test", self.clock.wall_ms())
        return {"Authorization": f"Bearer {token}"}


def _router() -> APIRouter:
    router = APIRouter(prefix="/api/v1")

    @router.post("/change", dependencies=[Depends(requires(Role.OPERATOR))])
    async def change() -> dict[str, Any]:
        return {}

    @router.post("/forgotten")  # a route whose author wrote no line about rights
    async def forgotten() -> dict[str, Any]:
        return {}

    @router.post("/readings", dependencies=[Depends(requires(Scope.INGEST))])
    async def readings() -> dict[str, Any]:
        return {}

    @router.get("/stream")
    async def stream() -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            while True:
                yield "data: 1\n\n"
                await asyncio.sleep(0.005)

        return StreamingResponse(events(), media_type="text/event-stream")

    return router


@asynccontextmanager
async def opened_web(folder: Path, settings: ApiSettings) -> AsyncIterator[Web]:
    clock = HeldClock()
    service = access_service(folder, clock, settings)

    async def look() -> GatewayStatus:
        return status()

    app = make_app(look, _router(), access=service)
    try:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as client:
            yield Web(service, clock, client)
    finally:
        await service.close()


Use = Callable[[Web], Awaitable[None]]


def refused(answer: httpx.Response, status_code: int) -> str:
    assert answer.status_code == status_code, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])
