"""What every request of the HTTP API goes through, whatever it asks: its place in a trace, and what its asker has.

Promises: a JSON answer to GET carries a weak ETag, and a request that brings the same one in If-None-Match is answered
304 without the body, which on a metered link is most of a poll's cost; each answer carries `traceresponse` (the
caller's trace, or a new one, and our span), and each log line that is written while it is made carries `trace_id` and
`span_id`.
"""

import hashlib
import secrets
from http import HTTPStatus

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.trace_context import TraceParent, parse_traceparent

SPAN_BYTES, TRACE_BYTES = 8, 16
TAG_CHARS = 32  # of SHA-256 in hex: 128 bits


class Traced:
    """Goes around the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = parse_traceparent(Headers(scope=scope).get("traceparent"))
        trace_id = caller.trace_id if caller else secrets.token_hex(TRACE_BYTES)
        here = TraceParent(trace_id, secrets.token_hex(SPAN_BYTES), bool(caller and caller.sampled))

        async def send_traced(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["traceresponse"] = here.header()
            await send(message)

        with structlog.contextvars.bound_contextvars(trace_id=here.trace_id, span_id=here.span_id):
            await self._app(scope, receive, send_traced)


class Tagged:
    """Goes around the application, inside compression, for the tag is of what an answer says."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        had = Headers(scope=scope).get("if-none-match", "")
        begun: Message | None = None

        async def send_tagged(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start" and _is_whole_json(message):
                begun = message
                return
            if begun is not None:
                start, begun = begun, None
                if not message.get("more_body"):
                    message = _tag(start, message, had)
                await send(start)
            await send(message)

        await self._app(scope, receive, send_tagged)


def _is_whole_json(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return start["status"] == HTTPStatus.OK and headers.get("content-type", "").startswith("application/json")


def _tag(start: Message, body: Message, had: str) -> Message:
    """Put the tag on the beginning of an answer; the body to send, which is none if the asker has it."""
    tag = f'W/"{hashlib.sha256(body.get("body", b"")).hexdigest()[:TAG_CHARS]}"'
    headers = MutableHeaders(scope=start)
    headers["ETag"] = tag
    if tag not in (each.strip() for each in had.split(",")):
        return body
    start["status"] = HTTPStatus.NOT_MODIFIED.value
    del headers["content-length"]
    del headers["content-type"]
    return {**body, "body": b""}
