"""Hands requests that the front has no route for to the gateway, and joins the two descriptions of the API to one.

Promises: a body is read whole before anything is handed on, with a limit and within its time; of a request's headers
only those go on that the gateway's routes read; the gateway's log lines of the request stand in the same trace.
"""

from typing import Any

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from edge.access.requires import principal_of
from edge.front.back import Back
from edge.front.frames import Forwarded, Who
from edge.problems import read_body
from edge.trace_context import TraceParent

BODY_BYTES_MAX = 6 * 1024 * 1024  # a firmware image of 4 MiB in base64, with its manifest
HEADERS_HANDED_ON = frozenset({b"content-type", b"content-length", b"accept"})
HEADERS_KEPT_BACK = frozenset({b"traceresponse", b"content-length"})
"""Of an answer: what the front says itself."""


class Forward:
    """An ASGI application: the gateway's answers."""

    def __init__(self, back: Back) -> None:
        self._back = back

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Raises `Problem` and `GatewayAway`, whose handlers answer."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        body = b"" if request.method in ("GET", "HEAD") else await read_body(request, BODY_BYTES_MAX)
        who = principal_of(request)
        answered = await self._back.forward(
            Forwarded(
                0, request.method, scope["path"], scope["query_string"], _handed_on(request), body,
                request.client.host if request.client else None, Who(who.kind, who.name, who.scopes),
            )
        )  # fmt: skip
        response = Response(answered.body, answered.status)
        kept = [(name, value) for name, value in answered.headers if name.lower() not in HEADERS_KEPT_BACK]
        response.raw_headers = [*kept, (b"content-length", str(len(answered.body)).encode())]
        await response(scope, receive, send)


def _handed_on(request: Request) -> list[tuple[bytes, bytes]]:
    headers = [(name, value) for name, value in request.headers.raw if name in HEADERS_HANDED_ON]
    here = structlog.contextvars.get_contextvars()
    if "trace_id" in here:
        headers.append((b"traceparent", TraceParent(here["trace_id"], here["span_id"]).header().encode()))
    return headers


async def whole_description(app: FastAPI, back: Back) -> dict[str, Any]:
    """The OpenAPI document of the front's own routes and of the gateway's. Raises `GatewayAway`."""
    nobody = Who(principal_of(Request({"type": "http", "headers": [], "state": {}})).kind, None, frozenset())
    theirs = await back.forward(Forwarded(0, "GET", "/openapi.json", b"", [], b"", None, nobody))
    other = msgspec.json.decode(theirs.body)
    ours = app.openapi()
    schemas = {**other["components"]["schemas"], **ours["components"]["schemas"]}
    paths = {**other["paths"], **ours["paths"]}
    return {**ours, "paths": paths, "components": {**ours["components"], "schemas": schemas}}
