"""The gateway's HTTP API: `/livez`, `/readyz`, `/api/v1/status` and the routers that it is given.

Neither probe fails because a link is down. Serves in the gateway's own event loop; asking costs the
store thread one short look.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable

import structlog
from fastapi import APIRouter, FastAPI, Response

from edge.access.gate import Gate
from edge.access.service import AccessService
from edge.api_access import access_router
from edge.dashboard.service import Dashboard
from edge.dashboard.web import install
from edge.http_server import CONCURRENCY_MAX, Server
from edge.http_surroundings import Traced
from edge.problems import Problem, answer_problem
from edge.status import GatewayStatus
from edge.store import StoreError

log = structlog.get_logger("gateway")
StatusSource = Callable[[], Awaitable[GatewayStatus]]


class PortInUse(Exception):
    """The address cannot be listened on. Who must act: the operator, by another `api.port`."""

    def __init__(self, host: str, port: int, why: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {why}")
        self.host = host
        self.port = port


def make_app(status: StatusSource, *routers: APIRouter, access: AccessService | None = None) -> FastAPI:
    """The application. Without `access` nobody has rights (`signed_in` of the tests gives some)."""
    app = FastAPI(title="Tidegate edge", docs_url=None, redoc_url=None)
    app.add_exception_handler(Problem, answer_problem)

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


async def serve_api(
    access: AccessService,
    status: StatusSource,
    listening: Callable[[], None],
    dashboard: Dashboard,
    *routers: APIRouter,
    context: ssl.SSLContext | None = None,
) -> None:
    """Serve until cancelled, where and to whom `access` says; with `context`, TLS. Raises `PortInUse`."""
    settings = access.settings
    try:
        server_socket = socket.create_server((settings.host, settings.port), backlog=CONCURRENCY_MAX)
    except OSError as error:
        raise PortInUse(settings.host, settings.port, error.strerror or str(error)) from None
    app = make_app(status, *routers, access=access)
    install(app, dashboard)
    server = Server(app, context)
    serving = asyncio.create_task(server.serve(sockets=[server_socket]))
    host, port = server_socket.getsockname()[:2]
    scheme = "http" if context is None else "https"
    url = f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"
    log.info("dashboard", url=url)
    await access.announce(url)
    try:
        listening()
        await asyncio.shield(serving)
    finally:
        await dashboard.close()
        server.should_exit = True
        await serving
        server_socket.close()
