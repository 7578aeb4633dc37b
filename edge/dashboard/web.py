"""What surrounds the routes: the pages as files, security headers, HEAD, problem details, compression.

Promises: every answer but that to a fault of ours (500) carries a Content-Security-Policy that allows our own files and
nothing inline; every error is a problem document (RFC 9457, `application/problem+json`); HEAD is answered wherever GET
is, but for the live stream.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.access.requires import principal_of
from edge.access.roles import Scope as Right
from edge.dashboard.first_page import first_page
from edge.dashboard.routes import LIVE_PATH, make_router
from edge.dashboard.service import Dashboard
from edge.http_surroundings import Tagged
from edge.problems import add_problem_handlers

STATIC = Path(__file__).parent / "static"
API_DOCS = Path(__file__).parent / "api_docs"
GZIP_FROM_BYTES = 1000
GZIP_LEVEL = 5  # half the time of level 9, for 2% more bytes on our files

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

API_DOCS_POLICY = HEADERS["Content-Security-Policy"].replace("img-src 'self'", "img-src 'self' data:")
"""Swagger UI's style sheet holds its signs as data; they are images, which run nothing."""


def install(app: FastAPI, dashboard: Dashboard, me: Callable[[Request], Awaitable[str]]) -> None:
    """Put the dashboard's routes and pages on an application. `me`: who makes a request, as JSON."""
    app.include_router(make_router(dashboard))
    template = (STATIC / "index.html").read_text(encoding="utf-8")

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> HTMLResponse:
        now = dashboard.latest if principal_of(request).may(Right.READ) else None
        return HTMLResponse(first_page(template, await me(request) if now else "null", now))

    @app.get("/docs", include_in_schema=False)
    async def api_docs() -> FileResponse:
        return FileResponse(API_DOCS / "index.html")

    app.mount("/docs", StaticFiles(directory=API_DOCS))
    app.mount("/static", StaticFiles(directory=STATIC))
    add_problem_handlers(app)
    app.add_middleware(Tagged)
    app.add_middleware(GZipMiddleware, minimum_size=GZIP_FROM_BYTES, compresslevel=GZIP_LEVEL)
    app.add_middleware(_Surroundings)


class _Surroundings:
    """Headers on every answer, and HEAD as GET (the server leaves the body out)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD" and scope["path"] != LIVE_PATH:
            scope = {**scope, "method": "GET"}
        path: str = scope["path"]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                # A page is asked for anew each time (304 if it is the same); an answer is true for a second.
                is_file = path == "/docs" or path.startswith(("/static/", "/docs/"))
                if path == "/docs":
                    headers["Content-Security-Policy"] = API_DOCS_POLICY
                headers["Cache-Control"] = "no-cache" if is_file else "no-store"
            await send(message)

        await self._app(scope, receive, send_with_headers)
