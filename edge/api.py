"""The gateway's own part of the HTTP API: `/livez`, `/readyz`, `/api/v1/status` and the routers that it is given.

Neither probe fails because a link is down. `edge.front` serves it, and what it adds to it; asking costs the store
thread one short look.
"""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, FastAPI, Response

from edge.access.gate import Gate
from edge.access.service import AccessService
from edge.api_access import access_router
from edge.http_surroundings import Traced
from edge.problems import add_problem_handlers
from edge.status import GatewayStatus
from edge.store import StoreError

TITLE = "Tidegate edge"
StatusSource = Callable[[], Awaitable[GatewayStatus]]


class PortInUse(Exception):
    """The address cannot be listened on. Who must act: the operator, by another `api.port`."""

    def __init__(self, host: str, port: int, why: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {why}")
        self.host = host
        self.port = port


def make_app(status: StatusSource, *routers: APIRouter, access: AccessService | None = None) -> FastAPI:
    """The application. Without `access` nobody has rights (`signed_in` of the tests gives some)."""
    app = FastAPI(title=TITLE, docs_url=None, redoc_url=None)
    add_problem_handlers(app)

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        """The process runs."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, str]:
        """The store takes readings."""
        try:
            store = (await status()).store
        except StoreError as error:
            response.status_code = 503
            return {"status": "degraded", "why": str(error)}
        if not store.healthy:
            response.status_code = 503
            return {"status": "degraded", "why": store.error or ""}
        return {"status": "ok"}

    @app.get("/api/v1/status")
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
