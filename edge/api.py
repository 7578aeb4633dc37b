"""The gateway's HTTP API: `/livez`, `/readyz`, `/api/v1/status` and the routers that it is given.

Neither probe fails because a link is down. Serves in the gateway's own event loop; asking costs the
store thread one short look.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI, Response

from edge.config import ApiSettings
from edge.dashboard.service import Dashboard
from edge.dashboard.web import install
from edge.problems import Problem, answer_problem
from edge.status import GatewayStatus
from edge.store import StoreError

KEEP_ALIVE_S = 5
CONCURRENCY_MAX = 64  # connections; an operator's browser needs six
SHUTDOWN_S = 2
log = structlog.get_logger("gateway")
StatusSource = Callable[[], Awaitable[GatewayStatus]]


class PortInUse(Exception):
    """The address cannot be listened on. Who must act: the operator, by another `api.port`."""

    def __init__(self, host: str, port: int, why: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {why}")
        self.host = host
        self.port = port


def make_app(status: StatusSource, *routers: APIRouter) -> FastAPI:
    """The application."""
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
    return app


async def serve_api(
    settings: ApiSettings,
    status: StatusSource,
    listening: Callable[[], None],
    dashboard: Dashboard,
    *routers: APIRouter,
) -> None:
    """Serve until cancelled. Raises `PortInUse`."""
    try:
        server_socket = socket.create_server((settings.host, settings.port), backlog=CONCURRENCY_MAX)
    except OSError as error:
        raise PortInUse(settings.host, settings.port, error.strerror or str(error)) from None
    app = make_app(status, *routers)
    install(app, dashboard)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=SHUTDOWN_S,
            limit_concurrency=CONCURRENCY_MAX,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[server_socket]))
    host, port = server_socket.getsockname()[:2]
    log.info("dashboard", url=f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/")
    try:
        listening()
        await asyncio.shield(serving)
    finally:
        await dashboard.close()
        server.should_exit = True
        await serving
        server_socket.close()


class _Server(uvicorn.Server):
    """Leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install nothing."""
        yield
