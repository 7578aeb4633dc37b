"""What the front serves: login, pages, the dashboard's API and its streams; all else is the gateway's to answer."""

import asyncio
import socket
import ssl
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI

from edge.access.gate import Gate
from edge.access.service import AccessService
from edge.api import PortInUse
from edge.api_access import access_router, me_as_json
from edge.api_description import Described
from edge.api_outages import outage_router
from edge.certificate_watch import CertificateWatch
from edge.dashboard.service import Dashboard
from edge.dashboard.web import install
from edge.front.back import Back
from edge.front.forward import Forward, whole_description
from edge.front.settings import FrontSettings
from edge.http_server import CONCURRENCY_MAX, Server
from edge.http_surroundings import Traced
from sensors.clock import Clock

log = structlog.get_logger("gateway")


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections, whoever serves them later. Raises `PortInUse`."""
    try:
        return socket.create_server((host, port), backlog=CONCURRENCY_MAX)
    except OSError as error:
        raise PortInUse(host, port, error.strerror or str(error)) from None


def make_front(access: AccessService, back: Back, dashboard: Dashboard, *routers: APIRouter) -> FastAPI:
    """The application."""
    app = Described(openapi_url=None)
    described: dict[str, Any] = {}

    @app.get("/openapi.json", include_in_schema=False)
    async def description() -> dict[str, Any]:
        if not described:
            described.update(await whole_description(app, back))
        return described

    for router in (access_router(access), *routers):
        app.include_router(router)
    app.router.default = Forward(back)
    app.add_middleware(Gate, service=access)
    app.add_middleware(Traced)
    install(app, dashboard, lambda request: me_as_json(request, access))
    return app


async def serve_front(
    server_socket: socket.socket,
    access: AccessService,
    back: Back,
    dashboard: Dashboard,
    *routers: APIRouter,
    context: ssl.SSLContext | None = None,
) -> None:
    """Serve until cancelled, to whom `access` says; with `context`, TLS."""
    server = Server(make_front(access, back, dashboard, *routers), context)
    serving = asyncio.create_task(server.serve(sockets=[server_socket]))
    looking = asyncio.create_task(dashboard.run())
    host, port = server_socket.getsockname()[:2]
    scheme = "http" if context is None else "https"
    url = f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"
    log.info("dashboard", url=url)
    await access.announce(url)
    try:
        await asyncio.wait({serving, looking}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await dashboard.close()
        server.should_exit = True
        looking.cancel()
        await serving
        await asyncio.wait({looking})
        if not looking.cancelled():
            looking.result()


async def serve_beside(
    settings: FrontSettings, server_socket: socket.socket, back: Back, certificates: CertificateWatch, clock: Clock
) -> None:
    """Serve in the event loop of whoever calls, until cancelled."""
    access = AccessService(settings.api, settings.access_file, clock)
    dashboard = Dashboard(back, settings.files, clock)
    outages = outage_router(settings.files.store)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(certificates.take_up_forever())
            await serve_front(server_socket, access, back, dashboard, outages, context=certificates.context)
    finally:
        await access.close()
