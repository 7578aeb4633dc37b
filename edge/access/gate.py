"""The middleware that looks at every request before a route does: its Host, whose it is, and whether it may go on.

Promises, in this order: a Host that is not this gateway is refused (421, against DNS rebinding); a bearer token that is
none is refused (401, or 429 from an address that has tried many) whatever else comes with it; a changing request that a
browser sends from another site, or that comes by cookie without its CSRF token, is refused (403); reading needs the
scope `read`, changing one of `ingest` and `operate` (the route says which), but for the few paths of `OPEN`. What no
line of it knows is refused. A live stream ends within `RECHECK_S` of its session.
"""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from edge.access.desk import Seen
from edge.access.errors import AccessError, BadToken, LockedOut
from edge.access.passwords import same
from edge.access.requires import CHALLENGE, refusal
from edge.access.roles import NOBODY, Kind, Role, Scope
from edge.access.service import AccessService
from edge.access.settings import may_be_asked_as
from edge.problems import Problem

CSRF_HEADER = "x-csrf-token"
RECHECK_S = 5.0
PROBES = frozenset({"/livez", "/readyz"})
ENTRANCES = frozenset({"/api/v1/login", "/api/v1/setup"})
OPEN = ENTRANCES | {"/api/v1/me", "/api/v1/logout"}
"""Open to everybody: who am I, and the ways in and out."""
FILES = "/static/"
PAGE = "/"
"""Open to everybody; what it holds of data, the route gives to those who may read."""
OWN = frozenset({"/api/v1/me/password"})
"""Open to whoever is logged in: what they change is their own."""
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Gate:
    """Goes around the application; inside the middleware that sets the headers of every answer."""

    def __init__(self, app: ASGIApp, service: AccessService) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            seen = await self._admit(request)
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        scope = {**scope, "state": {**scope.get("state", {}), "principal": seen.principal, "csrf": seen.csrf}}
        if request.method in _SAFE_METHODS and seen.principal.kind in (Kind.SESSION, Kind.TOKEN):
            await _WhileValid(lambda: self._is_still(request, seen)).run(self._app, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _admit(self, request: Request) -> Seen:
        """Whose request it is. Raises `Problem` for one that may not go on."""
        path, settings = request.scope["path"], self._service.settings
        if path not in PROBES and not may_be_asked_as(request.headers.get("host", ""), settings):
            why = "this gateway has another name: expected its address, localhost, or one of api.hosts"
            raise Problem(HTTPStatus.MISDIRECTED_REQUEST, why)
        is_safe = request.method in _SAFE_METHODS
        bearer = bearer_of(request.headers)
        if not is_safe and bearer is None:
            refuse_other_sites(request)
        if is_safe and (path in PROBES or path.startswith(FILES)):  # none of them holds data
            return Seen(NOBODY)
        if is_safe and path == PAGE:
            return await self._looks_at_the_page(request)
        seen = await self._identify(request, bearer)
        if not is_safe and path not in ENTRANCES:
            _refuse_without_csrf_token(request, seen)
        if path not in OPEN:
            _refuse_without_rights(seen, path, is_safe=is_safe)
        return seen

    async def _identify(self, request: Request, bearer: str | None) -> Seen:
        session = request.cookies.get(cookie_name(request))
        try:
            return await self._service.identify(session, bearer, request.client.host if request.client else "")
        except LockedOut as error:
            why = f"Bearer: {error}"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, why, {"Retry-After": str(error.retry_after_s)}) from None
        except BadToken as error:
            raise Problem(HTTPStatus.UNAUTHORIZED, f"Bearer: {error}", CHALLENGE) from None
        except AccessError as error:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "5"}) from None

    async def _looks_at_the_page(self, request: Request) -> Seen:
        """Who they are; nobody is refused, for the page is also where one logs in."""
        try:
            return await self._identify(request, None)
        except Problem:
            return Seen(NOBODY)

    async def _is_still(self, request: Request, seen: Seen) -> bool:
        try:
            now = await self._identify(request, bearer_of(request.headers))
        except Problem:
            return False
        return now.principal == seen.principal


class _WhileValid:
    """Runs a request that only reads, and ends its stream, if it is one, when its rights are over."""

    def __init__(self, is_valid: Callable[[], Awaitable[bool]]) -> None:
        self._is_valid = is_valid
        self._over = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def run(self, app: ASGIApp, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """The application, with `receive` and `send` that know of the end."""
        complete = False

        async def receive_or_end() -> Message:
            waiting = [asyncio.ensure_future(receive()), asyncio.ensure_future(self._over.wait())]
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                return waiting[0].result() if waiting[0].done() else {"type": "http.disconnect"}  # type: ignore[return-value]
            finally:
                for each in waiting:
                    each.cancel()

        async def send_noting(message: Message) -> None:
            nonlocal complete
            if message["type"] == "http.response.start" and _is_stream(message):
                self._watching = asyncio.create_task(self._watch())
            complete = complete or (message["type"] == "http.response.body" and not message.get("more_body"))
            await send(message)

        try:
            await app(scope, receive_or_end, send_noting)
        finally:
            if self._watching is not None:
                self._watching.cancel()
        if self._over.is_set() and not complete:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self) -> None:
        while await self._is_valid():  # noqa: ASYNC110  # nothing tells when a session in a file is over
            await asyncio.sleep(RECHECK_S)
        self._over.set()


def _is_stream(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type", "").startswith("text/event-stream")


def cookie_name(request: Request) -> str:
    """The session cookie's: of its own for each port, for browsers keep one jar for all ports of a host."""
    server = request.scope.get("server")
    name = f"tidegate-{server[1] if server else 0}"
    return f"__Host-{name}" if request.url.scheme == "https" else name


def bearer_of(headers: Headers) -> str | None:
    """What an Authorization header brings, if there is one; of another scheme than Bearer, nothing that is a token."""
    given = headers.get("authorization")
    if given is None:
        return None
    scheme, _, token = given.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def refuse_other_sites(request: Request) -> None:
    """Raise `Problem` for a request that a browser sends on behalf of another site's page."""
    site = request.headers.get("sec-fetch-site", "none")
    origin = request.headers.get("origin")
    is_ours = origin is None or urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
    if site not in ("same-origin", "none") or not is_ours:
        raise Problem(HTTPStatus.FORBIDDEN, "a page of another site may not change anything here")


def _refuse_without_csrf_token(request: Request, seen: Seen) -> None:
    if seen.csrf is not None and not same(request.headers.get(CSRF_HEADER, ""), seen.csrf):
        why = f"expected the session's token in the header {CSRF_HEADER} (GET /api/v1/me tells it)"
        raise Problem(HTTPStatus.FORBIDDEN, why)


def _refuse_without_rights(seen: Seen, path: str, *, is_safe: bool) -> None:
    who = seen.principal
    if path in OWN:
        if who.kind is not Kind.SESSION:
            raise refusal(who, Role.VIEWER)
    elif is_safe:
        if not who.may(Scope.READ):
            raise refusal(who, Role.VIEWER)
    elif not (who.may(Scope.OPERATE) or who.may(Scope.INGEST)):
        raise refusal(who, Role.OPERATOR)
