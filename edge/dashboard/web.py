"""What surrounds the routes: the pages as files, security headers, HEAD, problem details, compression.

Promises: every answer but that to a fault of ours (500) carries a Content-Security-Policy that allows our own files and
nothing inline; every error is a problem document (RFC 9457, `application/problem+json`); HEAD is answered wherever GET
is, but for the live stream; files of the pages are asked for just once (`edge.dashboard.assets`), the page of the API's
description each time, and whatever holds data is not kept at all.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.access.requires import principal_of
from edge.access.roles import Scope as Right
from edge.dashboard.assets import ASK_AGAIN, Assets
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
    "Cache-Control": "no-store",  # an answer is true for a second
}
"""Of every answer; files, and the page of the API's description, have some of their own."""
FILES_OWN = frozenset({"Content-Security-Policy", "Cache-Control"})

API_DOCS_POLICY = HEADERS["Content-Security-Policy"].replace("img-src 'self'", "img-src 'self' data:")
"""Swagger UI's style sheet holds its signs as data; they are images, which run nothing."""


def install(app: FastAPI, dashboard: Dashboard, me: Callable[[Request], Awaitable[str]]) -> None:
    """Put the dashboard's routes and pages on an application. `me`: who makes a request, as JSON."""
    app.include_router(make_router(dashboard))
    files = Assets("/static", STATIC, shared=True)
    docs_files = Assets("/docs", API_DOCS, shared=False)  # for those who may read: there is nothing secret in them
    template = files.named((STATIC / "index.html").read_text(encoding="utf-8"))
    docs_page = docs_files.named(files.named((API_DOCS / "index.html").read_text(encoding="utf-8")))

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> HTMLResponse:
        now = dashboard.latest if principal_of(request).may(Right.READ) else None
        return HTMLResponse(first_page(template, await me(request) if now else "null", now))

    @app.get("/docs", include_in_schema=False)
    async def api_docs() -> HTMLResponse:
        policy = {"Content-Security-Policy": API_DOCS_POLICY, "Cache-Control": ASK_AGAIN}
        return HTMLResponse(docs_page, headers=policy)

    app.mount("/docs", docs_files)
    app.mount("/static", files)
    add_problem_handlers(app)
    app.add_middleware(Tagged)
    app.add_middleware(GZipMiddleware, minimum_size=GZIP_FROM_BYTES, compresslevel=GZIP_LEVEL)
    app.add_middleware(_Surroundings)


def is_file(path: str) -> bool:
    """Whether this is a file, or a page that holds no data."""
    return path == "/docs" or path.startswith(("/static/", "/docs/"))


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
        own = FILES_OWN if is_file(scope["path"]) else frozenset()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    if name not in own or name not in headers:
                        headers[name] = value
            await send(message)

        await self._app(scope, receive, send_with_headers)
