"""The gateway as the front sees it: questions about its data, and requests that it answers itself.

`LocalBack` is the gateway's own end, whether the front is in the same process or behind a pipe. Promise: a request is
run on the gateway's application with the rights that the front's gate found, and with no other.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from starlette.types import ASGIApp, Message

from edge.access.roles import Principal
from edge.dashboard.directory import Directory
from edge.dashboard.in_store import InStore
from edge.dashboard.questions import STATUS, Answer, Argument, Asked, Question
from edge.front.frames import Answered, Forwarded
from edge.status import GatewayStatus


class Back(Asked, Protocol):
    """Whom the front asks."""

    async def forward(self, request: Forwarded) -> Answered:
        """The gateway's own answer to a request. Raises `GatewayAway`."""


class LocalBack:
    """In the gateway's process."""

    def __init__(
        self, status: Callable[[], Awaitable[GatewayStatus]], in_store: InStore, directory: Directory, app: ASGIApp
    ) -> None:
        """`app`: what answers the requests that are forwarded."""
        self._status = status
        self._in_store = in_store
        self._directory = directory
        self._app = app

    async def ask(self, question: Question[Answer], *arguments: Argument) -> Answer:
        """See `Asked.ask`."""
        if question.name == STATUS.name:
            status: Any = await self._status()
            return status  # type: ignore[no-any-return]
        call: Callable[..., Answer] = getattr(self._directory, question.name)
        return await self._in_store(call, *arguments)

    async def forward(self, request: Forwarded) -> Answered:
        """See `Back.forward`. What the application raises, it raises."""
        return await _run(self._app, request)


async def _run(app: ASGIApp, request: Forwarded) -> Answered:
    who = request.who
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": request.query,
        "root_path": "",
        "headers": request.headers,
        "client": None if request.client is None else (request.client, 0),
        "server": None,
        "state": {"principal": Principal(who.kind, who.name, who.scopes)},
    }
    status, headers, body = 500, [], bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], [(name, value) for name, value in message["headers"]]
        else:
            body.extend(message.get("body", b""))

    await app(scope, receive, send)
    return Answered(request.number, status, headers, bytes(body))
