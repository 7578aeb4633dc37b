"""The gateway's own part of the HTTP API: `/livez`, `/readyz`, `/api/v1/status` and the routers that it is given.

Neither probe fails because a link is down. `edge.front` serves it, and what it adds to it; asking costs the store
thread one short look.
"""

from collections.abc import Awaitable, Callable
from typing import Literal

from fastapi import APIRouter, FastAPI, Response
from pydantic import BaseModel, ConfigDict

from edge.access.gate import Gate
from edge.access.service import AccessService
from edge.api_access import access_router
from edge.api_description import Described
from edge.http_surroundings import Traced
from edge.problems import add_problem_handlers
from edge.status import GatewayStatus
from edge.store import StoreError

StatusSource = Callable[[], Awaitable[GatewayStatus]]


class Alive(BaseModel):
    """What a probe is told."""

    model_config = ConfigDict(frozen=True)

    status: Literal["ok", "degraded"]
    why: str | None = None


class PortInUse(Exception):
    """The address cannot be listened on. Who must act: the operator, by another `api.port`."""

    def __init__(self, host: str, port: int, why: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {why}")
        self.host = host
        self.port = port


def make_app(status: StatusSource, *routers: APIRouter, access: AccessService | None = None) -> FastAPI:
    """The application. Without `access` nobody has rights (`signed_in` of the tests gives some)."""
    app = Described()
    add_problem_handlers(app)

    @app.get("/livez", tags=["Probes"], response_model_exclude_none=True)
    async def livez() -> Alive:
        """The process runs."""
        return Alive(status="ok")

    @app.get(
        "/readyz",
        tags=["Probes"],
        response_model_exclude_none=True,
        responses={503: {"model": Alive, "description": "It does not; `why` says why."}},
    )
    async def readyz(response: Response) -> Alive:
        """The store takes readings."""
        try:
            store = (await status()).store
        except StoreError as error:
            response.status_code = 503
            return Alive(status="degraded", why=str(error))
        if not store.healthy:
            response.status_code = 503
            return Alive(status="degraded", why=store.error or "")
        return Alive(status="ok")

    @app.get("/api/v1/status", tags=["Overview"])
    async def whole_status() -> GatewayStatus:
        """Everything at one instant."""
        return await status()

    for router in routers:
        app.include_router(router)
    if access is not None:
        app.include_router(access_router(access))
        app.add_middleware(Gate, service=access)
    app.add_middleware(Traced)
    return app
