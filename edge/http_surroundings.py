"""What every request of the HTTP API goes through whatever it asks: its place in a trace.

Promises: each answer carries `traceresponse` (the caller's trace, or a new one, and our span), and each log line that
is written while it is made carries `trace_id` and `span_id`.
"""

import secrets

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.trace_context import TraceParent, parse_traceparent

SPAN_BYTES, TRACE_BYTES = 8, 16


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
